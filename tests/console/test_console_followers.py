"""Commands that change follower files: what they write, what they refuse, and that the worker takes it over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from console_world import Program, World

from copytrade.console.web.audit import AUDIT_FILE, first_break


def trail(world: World) -> list[tuple[str, str, list[str]]]:
    lines = (world.state / AUDIT_FILE).read_text().splitlines()
    return [(r["where"], r["what"], r["asked"]["accounts"]) for r in map(json.loads, lines)]


def test_modes_are_written_noted_and_reported(world: World) -> None:
    modes = {"pause": "paused", "close-only": "close_only", "disarm": "disarmed", "resume": "active"}
    for command, mode in modes.items():
        assert world.json(command, "alice_smith")["accounts"] == ["kraken:alice_smith"]
        assert {u["account"]: u["mode"] for u in world.json("users")}["kraken:alice_smith"] == mode
    assert trail(world) == [("command line", "mode", ["kraken:alice_smith"])] * 4
    assert first_break(world.state / AUDIT_FILE) is None
    before = world.users_file.read_bytes()
    assert "resume --enable" in world.json("resume", "dave_disabled")["notes"][0]
    world.json("resume", "dave_disabled", "--enable")
    assert world.users_file.read_bytes().startswith(before[: before.rindex(b'"enabled": false')])
    assert world.users()[-1]["enabled"] is True


def test_single_instruments_have_modes_of_their_own(world: World) -> None:
    def modes() -> object:
        return world.users()[0].get("instruments", {}).get("modes")

    done = world.command("pause", "alice_smith", "--instrument", "btc/usd")
    assert (done.code, done.out.strip()) == (0, "kraken:alice_smith: mode of btc/usd is paused")
    world.json("disarm", "alice_smith", "--instrument", "ETH/USD")
    assert modes() == {"BTC/USD": "paused", "ETH/USD": "disarmed"}
    world.json("close-only", "alice_smith", "--instrument", "BTC/USD")
    assert modes() == {"BTC/USD": "close_only", "ETH/USD": "disarmed"}
    assert world.users()[0].get("mode", "active") == "active"
    assert "active; BTC/USD close_only; ETH/USD disarmed" in " ".join(world.command("users", COLUMNS="300").out.split())
    notes = world.json("resume", "alice_smith")["notes"]
    assert "BTC/USD (close_only), ETH/USD (disarmed): resume --instrument ends it" in notes[0]
    world.json("resume", "alice_smith", "--instrument", "ETH/USD")
    assert modes() == {"BTC/USD": "close_only"}
    world.json("resume", "alice_smith", "--instrument", "BTC/USD")
    assert not modes()
    world.json("pause", "alice_smith")
    assert "itself is paused" in world.json("resume", "alice_smith", "--instrument", "BTC/USD")["notes"][0]
    lines = (world.state / AUDIT_FILE).read_text().splitlines()
    assert json.loads(lines[0])["asked"] == {
        "who": "alice_smith", "mode": "paused", "instrument": "BTC/USD", "accounts": ["kraken:alice_smith"],
    }  # fmt: skip


@pytest.mark.parametrize("typed", ["XXBTZUSD", "BTC/", "BTC USD"])
def test_an_instrument_that_is_none_is_refused_and_nothing_is_written(world: World, typed: str) -> None:
    before = world.users_file.read_bytes()
    assert world.command("pause", "alice_smith", "--instrument", typed).code == 1
    assert world.users_file.read_bytes() == before


def test_lists_of_instruments_stay_beside_their_modes(world: World) -> None:
    world.json("enrol", "erin_lee", "--venue", "kraken", "--set", "instruments.block=DOGE/USD")
    world.json("pause", "erin_lee", "--instrument", "BTC/USD")
    assert world.users()[-1]["instruments"] == {"block": ["DOGE/USD"], "modes": {"BTC/USD": "paused"}}
    world.json("resume", "erin_lee", "--instrument", "BTC/USD")
    assert world.users()[-1]["instruments"] == {"block": ["DOGE/USD"]}


def test_who_is_not_there_is_told_and_nothing_is_written(world: World) -> None:
    before = world.users_file.read_bytes()
    done = world.command("pause", "zoe", "--json")
    assert (done.code, done.json["error"]) == (1, "bad_request")
    assert "alice_smith" in done.json["message"]
    assert world.users_file.read_bytes() == before
    assert not (world.state / AUDIT_FILE).exists()


def test_a_follower_is_enrolled_and_removed(world: World) -> None:
    typed = ["--venue", "kraken", "--name", "Erin Lee", "--max-user-risk", "0.05", "--set", "instruments.block=BTC/USD"]
    assert world.json("enrol", "erin_lee", *typed)["accounts"] == ["kraken:erin_lee"]
    assert world.users()[-1] == {
        "user_id": "erin_lee", "name": "Erin Lee", "broker_type": "kraken", "max_user_risk": 0.05,
        "instruments": {"block": ["BTC/USD"]}, "enabled": True,
    }  # fmt: skip
    again = world.command("enrol", "erin_lee", "--venue", "kraken")
    assert again.code == 1
    assert "enrolled already, in config/users/retail_kraken.json" in again.err
    assert world.command("enrol", "Erin!", "--venue", "kraken").code == 1
    assert world.command("enrol", "erin_lee").code == 2
    done = world.command("enrol", "fay", "--venue", "kraken", "--set", "max_user_rsik=0.1")
    assert "Did you mean max_user_risk?" in done.err
    world.json("remove", "erin_lee")
    assert [user["user_id"] for user in world.users()][-1] == "dave_disabled"


def test_who_holds_a_position_is_not_removed_by_a_slip(world: World) -> None:
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    done = world.command("remove", "alice_smith")
    assert done.code == 1
    assert "kraken:alice_smith holds copied BTC/USD" in done.err
    assert world.users()[0]["user_id"] == "alice_smith"
    world.json("remove", "alice_smith", "--though-it-holds")
    assert world.users()[0]["user_id"] == "bob_jones"


def test_live_mode_names_the_variables_that_are_missing_and_refuses_a_clash(world: World) -> None:
    world.set_settings({"mode": "live", "master": {"strategy": "none"}})
    notes = world.json("enrol", "erin_lee", "--venue", "okx")["notes"]
    assert notes == [
        "okx:erin_lee: set OKX_USER_ERIN_API_KEY and OKX_USER_ERIN_API_SECRET and OKX_USER_ERIN_API_PASSPHRASE in the "
        "environment or .env, then run check"
    ]
    keys = {"KRAKEN_USER_ALICE_API_KEY": "k" * 20, "KRAKEN_USER_ALICE_API_SECRET": "c2VjcmV0c2VjcmV0"}
    done = world.command("enrol", "alice_other", "--venue", "kraken", **keys)
    assert done.code == 1
    assert 'could belong to "alice_other" and "alice_smith"' in done.err
    assert "nothing was changed" in done.err
    assert len(world.users()) == 4


def test_a_table_is_imported_whole_or_not_at_all(world: World, tmp_path: Path) -> None:
    table = tmp_path / "july.csv"
    head = "user_id,venue,name,multiplier,enabled,instruments.allow\n"
    good = ['ann,kraken,"Ann, of July",1.5,TRUE,BTC/USD;ETH/USD\n', "ben,okx,,,,\n"]
    bad = ["Bad Id,krken,x,-1,maybe,\n", "alice_smith,kraken,,,,\n", "ben,okx,again,,,\n", "cid,okx,1,2,3,4,5\n"]
    table.write_text(head + "".join([*good, *bad]))
    done = world.command("enrol", "--import", str(table))
    assert done.code == 1
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == [f"{table}:7", "nothing was changed"]
    table.write_text(head + "".join([*good, *bad[:3]]))
    done = world.command("enrol", "--import", str(table))
    lines = [line.removeprefix(f"{table}:").partition(":")[0] for line in done.err.splitlines()]
    assert lines == ["4", "4", "4", "4", "5", "6", "nothing was changed"]
    assert not (world.users_dir / "july.json").exists()
    table.write_text("\ufeff" + head + "".join(good))
    assert world.json("enrol", "--import", str(table))["accounts"] == ["kraken:ann", "okx:ben"]
    assert json.loads((world.users_dir / "july.json").read_text()) == [
        {"user_id": "ann", "broker_type": "kraken", "name": "Ann, of July", "multiplier": 1.5, "enabled": True,
         "instruments": {"allow": ["BTC/USD", "ETH/USD"]}},
        {"user_id": "ben", "broker_type": "okx"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "user_id: is missing among the columns"),
        ("user_id,broker_type\n", "names no users"),
        ("user_id,venue,api_secret\nann,okx,x\n", "keys do not belong in this file"),
        ("user_id,venue,name,name\nann,okx,a,b\n", "is the name of two columns"),
        ('user_id,venue\n"ann,okx\n', "cannot be read"),
        ("user_id,venue\n\udcff,okx\n", "is not UTF-8 text"),
    ],
)
def test_a_table_that_is_none_is_told(world: World, tmp_path: Path, text: str, told: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(text.encode("utf-8", "surrogateescape"))
    done = world.command("enrol", "--import", str(table))
    assert done.code == 1
    assert told in done.err


@pytest.mark.parametrize("file", ["../outside.json", "notes.txt", ".hidden.json", "link.json"])
def test_nothing_is_written_outside_of_the_follower_files(world: World, file: str) -> None:
    (world.users_dir / "link.json").symlink_to(world.root / "elsewhere.json")
    done = world.command("enrol", "ann", "--venue", "okx", "--file", file)
    assert done.code == 1
    assert not (world.root / "elsewhere.json").exists()
    assert not (world.root / "config" / "outside.json").exists()


def test_a_running_worker_takes_it_over(shared: tuple[World, Program]) -> None:
    world, worker = shared
    mark = worker.mark()
    world.json("pause", "alice_smith")
    worker.line("kraken:alice_smith: mode: active -> paused", after=mark)
    copies = {c["account"]: c["reason"] for c in world.json("trade", "BTC/USD", "buy", "--usd", "1000")["copies"]}
    assert copies["kraken:alice_smith"] == "mode_paused"
    mark = worker.mark()
    world.json("resume", "kraken:alice_smith")
    worker.line("kraken:alice_smith: mode: paused -> active", after=mark)
    mark = worker.mark()
    world.json("enrol", "erin_lee", "--venue", "kraken")
    worker.line("enrolled kraken:erin_lee", after=mark)
