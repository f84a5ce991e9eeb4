"""`check`: what it finds in files, keys, balances, clocks and markets, and what the worker tells by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from console_world import PAPER, World, live_world

from copytrade.console.checking import check_running
from copytrade.console.checkup import TOLD_FILE, Checkup
from copytrade.settings.redaction import Redactor
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

CASH = {"master": "10000", "alice_smith": "1000", "bob_jones": "20", "carol_small": "4", "dave_disabled": "0.5"}


def paths_of(world: World) -> Paths:
    return Paths(world.config, world.users_dir, world.state, world.root / ".env")


def test_each_guard_is_held_against_the_account(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH) as (world, _):
        world.change_user("dave_disabled", enabled=True)
        done = world.command("check", "--json")
        assert done.code == 0, done
        found = {account["account"]: account for account in done.json["accounts"]}
        passed = {name: [g["passed"] for g in account["guards"]] for name, account in found.items()}
        assert passed["kraken:alice_smith"] == [True, True, True, True]
        assert passed["kraken:bob_jones"] == [True, True, False, True]
        assert passed["kraken:carol_small"] == [True, True, False, False]
        assert passed["kraken:dave_disabled"] == [False, False, False, False]
        assert [name for name, account in found.items() if not account["ok"]] == ["kraken:dave_disabled"]
        assert "under guards.connect_min 1.00: it is not connected: deposit" in found["kraken:dave_disabled"]["next"]
        assert "minimum_trading_balance 25.00: no entries" in found["kraken:bob_jones"]["next"]
        text = world.command("check").out
        assert "  next: dave_disabled: equity 0.50 is under guards.connect_min" in text
        assert "4 of 5 accounts can trade; the worker would start" in text
        assert world.command("check", "--user", "dave_disabled").code == 1


def test_a_nonce_window_and_a_key_for_any_address_are_told(tmp_path: Path) -> None:
    with live_world(tmp_path, {"master": "10000"}) as (world, venue):
        venue.add("alice_smith", "1000", nonce_window=5)
        world.environ |= venue.environ
        (account,) = world.json("check", "--user", "alice_smith")["accounts"]
        assert any("nonce window: set it to 0" in line for line in account["warnings"])
        assert any("works from any address" in line for line in account["warnings"])
        assert "withdraw-funds" not in account["permissions"]


def test_markets_that_a_followers_venue_lacks_are_named(world: World) -> None:
    world.json("enrol", "erin_lee", "--venue", "okx")
    world.json("enrol", "fay", "--venue", "okx", "--set", "instruments.block=BTC/USD")
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    found = {account["account"]: account for account in world.json("check")["accounts"]}
    assert found["okx:erin_lee"]["lacks"] == ["BTC/USD"]
    assert "lists no market in USDT for BTC/USD" in found["okx:erin_lee"]["next"]
    assert found["okx:fay"]["lacks"] == []
    assert found["kraken:alice_smith"]["lacks"] == []
    world.set_settings({**PAPER, "copy": {"stand_ins": {"USD": ["USDT"]}}})
    assert world.json("check", "--user", "erin_lee")["accounts"][0]["lacks"] == []


async def test_a_clock_that_is_off_is_told(world: World) -> None:
    hooks = Hooks(clock=lambda: datetime.now(UTC) - timedelta(seconds=60))
    async with System(paths_of(world), {}, hooks, Redactor()) as system:
        result = await check_running(system, None, "alice_smith")
    assert 59 <= result["venues"][0]["clock_ahead_s"] <= 61, "Kraken names whole seconds"
    assert any("s behind kraken's: set it (NTP)" in line for line in result["accounts"][0]["warnings"])


async def test_the_worker_tells_news_and_nothing_twice(world: World) -> None:
    told: list[str] = []

    async def look() -> list[str]:
        told.clear()
        async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
            await Checkup(system, lambda alert: told.append(alert.text)).once()
        return list(told)

    assert await look() == []
    world.set_settings({**PAPER, "guards": {"minimum_trading_balance": 600}})
    small, less = await look()
    assert small.startswith("check: kraken:carol_small: equity 26.00 is under guards.minimum_trading_balance 600")
    assert less.startswith("check: kraken:bob_jones: equity 500.00 is under guards.minimum_trading_balance 600")
    world.set_settings({**PAPER, "guards": {"minimum_trading_balance": 650}})
    assert await look() == [], "the figure is another one, the news is old"
    assert (world.state / TOLD_FILE).stat().st_mode & 0o077 == 0
    world.set_settings(PAPER)
    assert all(": no longer so: " in line for line in await look())
    assert json.loads((world.state / TOLD_FILE).read_text()) == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1, 2]", b"\xff"])
async def test_a_damaged_memory_of_what_was_told_only_tells_again(world: World, damage: bytes) -> None:
    world.set_settings({**PAPER, "guards": {"minimum_trading_balance": 600}})
    world.state.mkdir()
    (world.state / TOLD_FILE).write_bytes(damage)
    told: list[str] = []
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        await Checkup(system, lambda alert: told.append(alert.text)).once()
    assert any("bob_jones" in line for line in told)
