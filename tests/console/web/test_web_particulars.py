"""What single pages tell: causes of drift, what is carried, limits that tripped, strategies of accounts, scanners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from web_world import seated, small_desk
from world import follower

from copytrade.console.web.engine_calls import drift_words
from copytrade.domain.account import Mode
from copytrade.ledger.reader import LedgerReader

ALICE, CAROL, DORA = (str(follower(name)) for name in ("alice_smith", "carol_small", "dora_solo"))
FOLLOWERS: dict[str, Any] = {
    "alice_smith": {"cash": 1000, "max_order": 60}, "carol_small": 30,
    "dora_solo": {"cash": 800, "mode": "independent"},
}  # fmt: skip
SCAN = {"progress": "batch 3 of 7", "health_percent": 97, "breaker": "closed", "rounds": 14, "calls_per_round": 40}
LOOP = {
    "account": DORA, "standing": "runs", "health_percent": 90, "cycles": 20, "errors": 2, "errors_in_a_row": 2,
    "last_error": "VenueUnavailable: no answer", "took_s": 0.2, "began_at": None, "ended_at": None,
}  # fmt: skip
PROGRESS = {"scan": {"kraken": SCAN}, "independent": [LOOP], "independent_scan": {"okx": {"binance": SCAN}}}


async def test_a_followers_page_tells_why_it_is_off_and_what_is_kept(tmp_path: Path) -> None:
    settings = {"copy": {"below_minimum": "carry"}}
    async with (
        small_desk(tmp_path, followers=FOLLOWERS, settings=settings) as desk,
        seated(desk, progress=lambda: PROGRESS, drift=lambda account: drift_words(desk.engine, account)) as seat,
    ):
        await desk.buy("1000")
        await desk.settled()
        await desk.buy("120")  # carol's share is under the venue's minimum
        await seat.settled()
        for account in (ALICE, CAROL, DORA):
            await desk.engine.reconciler.look(account, fresh=True)
        alice = await seat.get(f"/api/followers/{ALICE}")
        (row,) = alice["drift_rows"]
        assert (row["actual"], row["ideal"], row["error"]) == ("0.00144", "0.00224", "-0.0008")
        assert row["causes"] == [{"cause": "cap", "why": "capped by max_order", "quantity": "-0.0008"}]
        assert (alice["carried"], alice["loop"]) == ([], None)
        carol = await seat.get(f"/api/followers/{CAROL}")
        (kept,) = carol["carried"]
        assert (kept["symbol"], kept["quantity"]) == ("BTC/USD", "0.0000072")
        assert [each["cause"] for each in carol["drift_rows"][0]["causes"]] == ["carry"]
        # Who trades by itself is not measured by the master, and needs no look for it.
        assert desk.engine.reconciler.report(follower("dora_solo"))[0].error
        dora = await seat.get(f"/api/followers/{DORA}")
        assert dora["drift_rows"] == []
        assert (dora["loop"]["errors_in_a_row"], dora["loop"]["alone"]) == (2, False)
        overview = await seat.get("/api/overview")
        place = overview["columns"].index("drift")
        drifting = {row[0]: bool(row[place]) for row in overview["rows"]}
        assert (drifting[ALICE], drifting[CAROL], drifting[DORA]) == (True, True, False)


async def test_the_health_page_tells_who_scans_what_and_whose_strategy_is_in_trouble(tmp_path: Path) -> None:
    well = {**LOOP, "account": ALICE, "errors_in_a_row": 0}
    progress = {**PROGRESS, "independent": [well, LOOP]}
    async with small_desk(tmp_path, followers=FOLLOWERS) as desk, seated(desk, progress=lambda: progress) as seat:
        health = await seat.get("/api/health")
    assert [(scan["owner"], scan["venue"], scan["progress"]) for scan in health["scans"]] == [
        ("master", "kraken", "batch 3 of 7"), ("independent at okx", "binance", "batch 3 of 7"),
    ]  # fmt: skip
    loops = health["loops"]
    assert (loops["count"], loops["standing"], loops["trouble"]) == (2, {"runs": 2}, 1)
    assert [each["account"] for each in loops["shown"]] == [DORA]


async def test_without_loops_nothing_is_told_of_them(tmp_path: Path) -> None:
    async with small_desk(tmp_path) as desk, seated(desk) as seat:
        health = await seat.get("/api/health")
        assert (health["scans"], health["loops"]["count"]) == ([], 0)
        assert (await seat.get(f"/api/followers/{ALICE}"))["loop"] is None


async def test_independent_is_among_the_modes(tmp_path: Path) -> None:
    from copytrade.console.web.actions import EngineActions

    asked: list[tuple[str, Mode]] = []

    def set_mode(account: str, mode: Mode, instrument: str = "") -> None:
        asked.append((account, mode))

    async with small_desk(tmp_path) as desk, seated(desk, actions=EngineActions(desk.engine, set_mode)) as seat:
        done = await seat.act(f"/api/followers/{ALICE}/mode", mode="independent", confirm=ALICE)
        assert done.status_code == 200
    assert asked == [(ALICE, Mode.INDEPENDENT)]


async def test_a_touched_kill_switch_is_on_the_audit_page(tmp_path: Path) -> None:
    from copytrade.console.trail_keeper import TrailKeeper

    async with small_desk(tmp_path) as desk, seated(desk) as seat:
        services = desk.engine.services
        keeper = TrailKeeper(desk.ledger, seat.state, services.kill, services.clock, str)
        await keeper.start()
        services.kill.path.touch()
        await keeper.stop()  # takes in what came last
        await desk.ledger.append([])
        with LedgerReader(desk.world.paths.ledger) as reader:
            assert reader.operator_acts()
        seen = [row for row in await seat.audit() if row["what"] == "kill switch seen"]
        assert [(row["asked"], row["where"], row["hash"]) for row in seen] == [
            ({"seen": "halt"}, "the file SYSTEM_DISABLED", "")
        ]
        assert {row["what"] for row in await seat.audit()} >= {"signed in", "kill switch seen"}
