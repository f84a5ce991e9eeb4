"""What the console shows and does, against a real system and a real simulated venue."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from console_scanner import found_in
from web_world import Seat, seated, small_desk, streaming
from world import World, follower, until

from copytrade.console.web.access import TokenFile
from copytrade.console.web.actions import EngineActions
from copytrade.console.web.hub import SUBSCRIBERS_MAX
from copytrade.console.web.pages import statics
from copytrade.domain.account import Mode
from copytrade.domain.alerts import Alert, AlertKind
from copytrade.domain.errors import BadRequest
from copytrade.ledger.reader import LedgerReader

PAGES = ("/", "/signals", "/orders", "/health", "/log", "/audit", "/api/docs", "/sign-in")
PAGE_MAX_BYTES = 300_000
ALICE = "kraken:alice_smith"


@pytest.fixture
async def seat(tmp_path: Path) -> AsyncIterator[Seat]:
    async with small_desk(tmp_path) as desk, seated(desk) as made:
        yield made


def alert(text: str) -> Alert:
    return Alert(AlertKind.VENUE_DOWN, text)


def rows(body: Any) -> dict[str, dict[str, Any]]:
    """Rows of an overview by account, each by column."""
    return {row[0]: dict(zip(body["columns"], row, strict=True)) for row in body["rows"]}


# -- figures --------------------------------------------------------------------------------------------------------


async def test_the_overview_tells_how_everybody_stands(seat: Seat) -> None:
    signal = await seat.desk.buy("1000")
    await seat.settled()
    body = await seat.get("/api/overview")
    assert (body["master"], body["kill"], body["followers"], body["connected"]) == ("kraken:master", "off", 2, 2)
    found = rows(body)
    assert list(found) == ["kraken:master", ALICE, "kraken:bob_jones"]
    alice = found[ALICE]
    assert (alice["equity"], alice["currency"], alice["mode"], alice["lane"]) == ("1000.00", "USD", "active", "ready")
    assert alice["positions"] == 1
    assert alice["last"][1:] == ["buy", "BTC/USD", "filled", signal]


async def test_a_signal_shows_each_copy_with_its_times(seat: Seat) -> None:
    signal = await seat.desk.buy("1000")
    await seat.settled()
    body = await seat.get(f"/api/signals/{signal}")
    copies = rows(body)
    assert (copies[ALICE]["state"], copies[ALICE]["quantity"], copies[ALICE]["reason"]) == (
        "filled", "0.002", "sized_by_ratio",
    )  # fmt: skip
    for copy in copies.values():
        assert 0 <= copy["planned_ms"] <= copy["sent_ms"] <= copy["acked_ms"] <= copy["ended_ms"]
    assert "ratio" in body["reasons"]["sized_by_ratio"]
    assert body["master"]["state"] == "filled"
    (listed,) = (await seat.get("/api/signals"))["signals"]
    assert (listed["signal_id"], listed["copies"]) == (signal, {"filled": 2})
    assert (await seat.client.get("/api/signals/nosuch")).status_code == 404


async def test_a_follower_has_limits_positions_orders_and_a_curve(tmp_path: Path) -> None:
    alice = {"cash": 1000, "max_exposure": 400, "max_drawdown": "50%", "name": "Alice <b>Smith</b>"}
    followers = {"alice_smith": alice}
    async with small_desk(tmp_path, followers=followers) as desk, seated(desk, drift=lambda a: "1 BTC") as seat:
        await desk.buy("1000")
        await seat.settled()

        def noted() -> bool:
            with LedgerReader(desk.world.paths.ledger) as reader:
                return bool(reader.equity_history(ALICE))

        await until(noted, "the first point of the curve")
        body = await seat.get(f"/api/followers/{ALICE}")
        assert body["positions"] == [{"symbol": "BTC/USD", "quantity": "0.002"}]
        assert (body["drift"], body["name"]) == ("1 BTC", "Alice <b>Smith</b>")
        limits = {limit["name"]: limit for limit in body["limits"]}
        assert limits["max_user_risk"]["means"] == "100.00 USD an entry"
        assert (limits["max_exposure"]["used"], limits["max_exposure"]["share"]) == ("100.00", 0.25)
        assert limits["max_drawdown"]["words"].endswith("% of 50.00 %")
        assert [order["state"] for order in body["orders"]] == ["filled"]
        assert body["orders"][0]["reason"] == "scaled by the ratio of equities"
        assert body["curve"][0][1] == "1000"
        page = (await seat.client.get(f"/followers/{ALICE}")).text
        assert "<b>Smith" not in page


async def test_an_unknown_follower_is_told_so_and_markup_in_a_path_is_text(seat: Seat) -> None:
    assert (await seat.client.get("/api/followers/kraken:nobody")).status_code == 404
    page = (await seat.client.get("/followers/%3Cscript%3Ealert(1)%3C%2Fscript%3E")).text
    assert "<script>alert" not in page


async def test_orders_by_state_and_account(seat: Seat) -> None:
    await seat.desk.buy("1000")
    await seat.settled()
    found = (await seat.get(f"/api/orders?account={ALICE}&state=filled"))["orders"]
    assert [order["account"] for order in found] == [ALICE]
    assert (await seat.get("/api/orders?state=held"))["orders"] == []
    assert len((await seat.get("/api/orders?role=master"))["orders"]) == 1
    assert (await seat.client.get("/api/orders?state=nonsense")).status_code == 422
    assert (await seat.client.get("/api/orders?limit=100000")).status_code == 422


async def test_health_and_the_probes(tmp_path: Path) -> None:
    facts = {"orders left this minute": "58"}
    async with (
        small_desk(tmp_path) as desk,
        seated(desk, metrics=lambda: asyncio.sleep(0, "copytrade_up 1\n"), venue_facts=lambda name: facts) as seat,
    ):
        body = await seat.get("/api/health")
        (venue,) = body["venues"]
        assert (venue["name"], venue["state"], venue["connected"]) == ("kraken", "up", 3)
        assert venue["facts"]["orders left this minute"] == "58"
        assert "ms" in venue["facts"]["clock against ours"]
        assert body["size"]["events"] == 0
        assert (await seat.client.get("/metrics")).text == "copytrade_up 1\n"
        async with seat.stranger() as client:
            assert (await client.get("/healthz")).text == "healthy\n"
            assert (await client.get("/readyz")).text == "ready\n"
            desk.engine.services.closing.set()
            assert (await client.get("/readyz")).status_code == 503
            desk.engine.services.closing.clear()


async def test_the_log_page_has_alerts_and_warnings(seat: Seat) -> None:
    seat.tail.alert(alert("the venue is down"))
    lines = (await seat.get("/api/log"))["lines"]
    assert [line[2:] for line in lines][-1] == ["alert", "copytrade", "the venue is down"]
    assert (await seat.get(f"/api/log?after={lines[-1][0]}"))["lines"] == []


# -- the stream -----------------------------------------------------------------------------------------------------


async def test_the_stream_begins_with_what_is_and_goes_on_with_what_changes(seat: Seat) -> None:
    first = await seat.desk.buy("1000")
    await seat.settled()
    async with streaming(seat.client, "overview", f"signal:{first}", "signals", f"account:{ALICE}", "log") as stream:
        assert (await stream.next("head"))["signals"] == 1
        assert set(rows(await stream.next("overview"))) == {"kraken:master", ALICE, "kraken:bob_jones"}
        assert (await stream.next(f"signal:{first}"))["signal"]["signal_id"] == first
        second = await seat.desk.buy("500")
        columns = (await seat.get("/api/overview"))["columns"]
        while True:
            changed = rows({**await stream.next("overview"), "columns": columns})
            if ALICE in changed and changed[ALICE]["last"][4] == second and changed[ALICE]["last"][3] == "filled":
                break
        seat.tail.alert(alert("look here"))
        assert [line[4] for line in (await stream.next("log"))["lines"]][-1] == "look here"
    async with streaming(seat.client, "signals", f"account:{ALICE}") as stream:
        third = await seat.desk.buy("300")
        assert third in (await stream.next("signals"))["changed"]
        assert await stream.next(f"account:{ALICE}") == {"changed": True}


async def test_a_fan_out_that_takes_long_is_seen_while_it_happens(tmp_path: Path) -> None:
    """Pages wait for a fan-out, but not for a venue that takes seconds for one of its answers."""
    slow = {"kraken": {"request_timeout_s": 10, "order_deadline_s": 15}}
    async with small_desk(tmp_path, settings=slow) as desk, seated(desk) as seat:
        await _seen_while_it_happens(seat)


async def _seen_while_it_happens(seat: Seat) -> None:
    seat.desk.world.fault("delay", "alice_smith", delay_ms=4000)
    signal = await seat.desk.buy("1000")
    async with streaming(seat.client, f"signal:{signal}") as stream:
        seen = rows(await stream.next(f"signal:{signal}"))
        states = [seen[ALICE]["state"]]
        while states[-1] != "filled":
            body = await stream.next(f"signal:{signal}")
            if ALICE in (changed := rows(body)):
                states.append(changed[ALICE]["state"])
    assert states[0] in ("approved", "accepted")
    assert states[-1] == "filled"


async def test_streams_end_with_the_session(seat: Seat) -> None:
    async with seat.stranger(origin=seat.url) as client:
        await seat.sign_in(client)
        async with streaming(client, "overview") as stream:
            await stream.next("overview")
            await client.post("/sign-out")
            await seat.desk.buy("1000")  # the next word on the stream finds the session gone
            async with asyncio.timeout(30):
                assert await stream.ended()


async def test_streams_of_a_program_end_with_its_token(seat: Seat) -> None:
    async with seat.stranger(authorization=f"Bearer {seat.token}") as client, streaming(client, "overview") as stream:
        await stream.next("overview")
        TokenFile(seat.state).renew()
        await seat.desk.buy("1000")
        async with asyncio.timeout(30):
            assert await stream.ended()


async def test_a_secret_at_the_end_of_a_shown_line_is_not_cut_open(seat: Seat) -> None:
    secret = "S3CR3T-" + "0123456789abcdef" * 3
    seat.desk.world.redactor.add(secret)
    for filler in range(380, 401):
        seat.tail.alert(alert("x" * filler + secret))
    lines = (await seat.get("/api/log"))["lines"]
    assert len(lines) >= 21
    assert not any("S3CR" in line[4] for line in lines)


async def test_only_so_many_pages_may_be_open(seat: Seat) -> None:
    hub = seat.server._hub
    hub._subscriptions |= {object() for _ in range(SUBSCRIBERS_MAX)}  # type: ignore[misc]
    answer = await seat.client.get("/api/stream", params={"topic": "overview"})
    assert answer.status_code == 503
    assert "close some" in answer.json()["error"]
    hub._subscriptions.clear()


async def test_a_page_that_does_not_read_is_let_go_and_delays_nobody(seat: Seat) -> None:
    hub = seat.server._hub
    messages = await hub.subscribe(["log"], lambda: True)
    for number in range(200):
        hub._to("log", b"data: %d\n\n" % number)
    got = [message async for message in messages]
    assert got == []  # it is told to start over, by the end of its stream
    assert not hub._subscriptions


# -- actions --------------------------------------------------------------------------------------------------------


async def test_kill_and_unkill_with_who_and_from_where(seat: Seat) -> None:
    assert (await seat.act("/api/kill", state="halt", confirm="close_only")).status_code == 409
    assert (await seat.act("/api/kill", state="never", confirm="never")).status_code == 422
    assert not seat.desk.kill.path.exists()
    done = await seat.act("/api/kill", state="close_only", confirm="close_only")
    assert done.json() == {"kill_switch": "close_only"}
    assert seat.desk.kill.look().value == "close_only"
    assert 'data-kill="close_only"' in (await seat.client.get("/")).text
    done = await seat.act("/api/unkill", confirm="unkill")
    assert done.json() == {"kill_switch": "off", "was_on": True, "held_exits": 0, "placed": 0}
    records = await seat.audit()
    assert [(r["what"], r.get("outcome")) for r in records[:4]] == [
        ("unkill", "done"), ("unkill", "asked"), ("kill", "done"), ("kill", "asked"),
    ]  # fmt: skip
    assert {(r["who"], r["where"]) for r in records} == {("olga", "127.0.0.1")}
    assert records[3]["asked"] == {"state": "close_only"}


async def test_held_exits_are_placed_on_the_operators_word(seat: Seat) -> None:
    await seat.desk.buy("1000")
    await seat.settled()
    await seat.act("/api/kill", state="flatten", confirm="flatten")
    await until(lambda: seat.desk.kill.look().value == "halt", "the flattening to end")
    await seat.settled()
    assert (await seat.act("/api/unkill", place_exits=True, confirm="unkill")).status_code == 200
    await seat.settled()
    assert seat.desk.position("alice_smith") == 0


async def test_modes_go_through_what_edits_the_user_files(tmp_path: Path) -> None:
    asked: list[tuple[str, Mode]] = []

    def set_mode(account: str, mode: Mode) -> None:
        if mode is Mode.DISARMED:
            raise BadRequest("not this one")
        asked.append((account, mode))

    async with small_desk(tmp_path) as desk, seated(desk, actions=EngineActions(desk.engine, set_mode)) as seat:
        path = f"/api/followers/{ALICE}/mode"
        assert (await seat.act(path, mode="paused", confirm=ALICE)).json() == {"account": ALICE, "mode": "paused"}
        assert (await seat.act(path, mode="paused", confirm="kraken:bob_jones")).status_code == 409
        assert (await seat.act(path, mode="disarmed", confirm=ALICE)).json() == {"error": "not this one"}
        nobody = await seat.act("/api/followers/kraken:nobody/mode", mode="paused", confirm="kraken:nobody")
        assert nobody.status_code == 400
        assert asked == [(ALICE, Mode.PAUSED)]
        record = (await seat.audit())[0]
        assert (record["outcome"], record["asked"]) == ("failed", {"mode": "paused", "account": "kraken:nobody"})


async def test_what_the_engine_does_not_offer_is_said(seat: Seat) -> None:
    for path, body in (
        (f"/api/followers/{ALICE}/flatten", {"confirm": ALICE}),
        ("/api/reconcile", {"confirm": "all"}),
        (f"/api/followers/{ALICE}/mode", {"mode": "paused", "confirm": ALICE}),
    ):
        answer = await seat.act(path, **body)
        assert answer.status_code == 501, path
        assert "this version" in answer.json()["error"]


async def test_an_audit_trail_that_cannot_be_written_stops_all_but_the_kill_switch(seat: Seat) -> None:
    path = seat.state / "console_audit.jsonl"
    path.unlink()
    path.mkdir()
    try:
        assert (await seat.act("/api/unkill", confirm="unkill")).status_code == 503
        assert (await seat.act("/api/kill", state="halt", confirm="halt")).status_code == 200
    finally:
        path.rmdir()
    assert seat.desk.kill.look().value == "halt"
    assert any("audit trail" in line[4] for line in (await seat.get("/api/log"))["lines"])


async def test_every_action_and_figure_is_documented(seat: Seat) -> None:
    schema = await seat.get("/api/openapi.json")
    page = (await seat.client.get("/api/docs")).text
    assert len(schema["paths"]) >= 15
    for path, methods in schema["paths"].items():
        assert path in page
        for call in methods.values():
            assert call["summary"]
            assert all(parameter.get("description") for parameter in call.get("parameters", []))


# -- weight, speed, secrets -----------------------------------------------------------------------------------------


async def first_messages(seat: Seat, *topics: str) -> bytes:
    """What a page is sent at once, of all its topics."""
    read = b""
    async with seat.client.stream("GET", "/api/stream", params={"topic": list(topics)}) as answer:
        async for part in answer.aiter_bytes():
            read += part
            if all(f'["{topic}",'.encode() in read for topic in topics) and read.endswith(b"\n\n"):
                return read
    raise AssertionError(f"the stream ended before it had told of {topics}")


class Files(HTMLParser):
    """What a page loads, and what it must not have inside."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script" and "src" not in values:
            self.inline.append("script")
        self.inline += [name for name in values if name == "style" or name.startswith("on")]
        for name in ("src", "href"):
            if (values.get(name) or "").startswith("/static/"):
                self.found.append((values[name] or "").partition("?")[0])


def files_of(page: str) -> set[str]:
    """All files of a page, those that its scripts import among them."""
    parser = Files()
    parser.feed(page)
    assert parser.inline == []
    found, open_ = set(), list(parser.found)
    while open_:
        name = open_.pop().removeprefix("/static/")
        if name not in found:
            found.add(name)
            open_ += re.findall(r'from "\./([a-z_]+\.js)"', statics()[name][0].decode())
    return found


async def test_at_a_thousand_followers_pages_stay_light(tmp_path: Path) -> None:
    """No page over 300 KB with all that it loads. How quick they are is measured by `benchmarks.console`."""
    followers = {f"follower_{number:04d}": 1000 for number in range(1000)}
    with World(tmp_path, followers=followers, master_cash=1_000_000) as world:
        async with world.trading() as desk, seated(desk) as seat:
            signal = await desk.buy("100000")
            await seat.settled()
            sizes = {}
            async with streaming(seat.client, "overview") as stream:
                assert len((await stream.next("overview"))["rows"]) == 1001
            streams = {
                "/": "overview", f"/signals/{signal}": f"signal:{signal}", "/health": "health", "/log": "log",
            }  # fmt: skip
            loads = {
                "/": [], "/signals": ["/api/signals?limit=200"], f"/signals/{signal}": [], "/log": [],
                "/orders": ["/api/orders?limit=400"], "/health": ["/api/health"], "/audit": ["/api/audit"],
                "/followers/kraken:follower_0500": ["/api/followers/kraken:follower_0500"], "/api/docs": [],
            }  # fmt: skip
            for path, more in loads.items():
                page = (await seat.client.get(path)).text
                size = len(page) + sum(len(statics()[name][0]) for name in files_of(page))
                for each in more:
                    size += len((await seat.client.get(each)).content)
                if path in streams:
                    size += len(await first_messages(seat, streams[path]))
                sizes[path] = size
            assert max(sizes.values()) <= PAGE_MAX_BYTES, sizes
            assert sizes["/"] > 80_000  # the thousand rows were counted


async def test_no_secret_in_any_page_or_answer(tmp_path: Path) -> None:
    """With keys that venue, files and log quote: in names, reasons, details, alerts and log lines."""
    with World(tmp_path) as world:
        secrets = [part for pair in world.keys.values() for part in pair]
        for pair in world.keys.values():
            for part in pair:
                world.redactor.add(part)
        world.users["bob_jones"]["name"] = f"Bob {world.keys['bob_jones'][0]}"
        world.write_users()
        async with world.trading() as desk, seated(desk, venue_facts=lambda name: {"key": secrets[0]}) as seat:
            error = f"EGeneral:Permission denied:{world.keys['alice_smith'][1]}"
            world.fault("error", "alice_smith", error=error, count=1)
            signal = await desk.buy("1000")
            await desk.dealt_with(signal)
            seat.tail.alert(alert(f"the key {secrets[1]} was quoted"))
            desk.engine.services.roster.followers[follower("bob_jones")].unreachable = None
            await seat.act("/api/reconcile", account=secrets[2], confirm=secrets[2])
            written: dict[str, bytes] = {}
            paths = [
                *PAGES, f"/signals/{signal}", f"/followers/{ALICE}", "/followers/kraken:bob_jones",
                f"/followers/{secrets[3]}", "/api/overview", "/api/health", "/api/log", "/api/audit", "/api/orders",
                "/api/signals", f"/api/signals/{signal}", f"/api/followers/{ALICE}", "/api/followers/kraken:bob_jones",
                "/api/openapi.json", "/metrics",
            ]  # fmt: skip
            for path in paths:
                answer = await seat.client.get(path)
                written[path.replace(secrets[3], "(secret)")] = answer.content + str(answer.headers).encode()
            written["stream"] = await first_messages(seat, "overview", "health", "log", f"signal:{signal}")
            written["audit"] = (seat.state / "console_audit.jsonl").read_bytes()
            assert b"***" in written["/api/log"]  # the secrets did come by
            assert b"***" in written["/api/overview"]
            assert b"***" in written["/api/health"]
            assert b"***" in written["audit"]
            assert found_in(written, [*secrets, seat.token]) == []
