"""Metrics and probes of a running system: what they say is what happened."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from console_world import PAPER, REPOSITORY, WAIT_S, World
from prometheus_client.parser import text_string_to_metric_families

from copytrade.console.attending import Attendants
from copytrade.console.health import healthy, readiness, ready
from copytrade.console.metrics import Metrics
from copytrade.console.operations import trade
from copytrade.domain.errors import LedgerUnwritable
from copytrade.engine.killswitch import KillState
from copytrade.settings.redaction import Redactor
from copytrade.venues.alpaca.limits import MinuteBudget
from copytrade.venues.binance.limits import Window
from copytrade.venues.budget import DecayCounter
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

BUY = {"instrument": "BTC/USD", "side": "buy", "usd": "1000", "request_id": "one"}


def paths_of(world: World) -> Paths:
    return Paths(world.config, world.users_dir, world.state, world.root / ".env")


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by name and label values."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_copies_hops_and_state_are_told_as_they_happened(world: World) -> None:
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        metrics = Metrics(system, lambda: {"kraken": {"breaker": "open"}}, lambda: {"sent": 2, "waiting": 1})
        before = samples(await metrics.text())
        assert not [name for name, _ in before if name == "copytrade_copies_total"]
        await trade(system.engine, dict(BUY))
        assert await system.engine.quiesce(30)
        await system.ledger.append([])  # returns once the file has all of it
        found = samples(await metrics.text())
        assert found["copytrade_copies_total", ("filled", "sized_by_ratio")] == 1
        assert found["copytrade_copies_total", ("filled", "capped_by_risk")] == 1
        assert sum(v for (name, _), v in found.items() if name == "copytrade_copies_total") == 4
        assert found["copytrade_master_orders_total", ("filled", "master_order")] == 1
        assert found["copytrade_signals_total", ()] == 1
        assert found["copytrade_hop_seconds_count", ("acknowledged",)] == 2
        assert found["copytrade_hop_seconds_count", ("filled",)] == 2
        assert found["copytrade_accounts", ("connected", "kraken")] == 4
        assert found["copytrade_accounts", ("disabled", "kraken")] == 1
        assert found["copytrade_kill_switch", ("off",)] == 1
        assert found["copytrade_breaker", ("kraken",)] == 1
        assert found["copytrade_messages_total", ("sent",)] == 2
        assert 0 < found["copytrade_budget_left", ("kraken",)] <= 1
        assert found["copytrade_ledger_commit_seconds_count", ()] >= 2
        assert found["copytrade_ledger_commit_seconds_bucket", ("+Inf",)] == (
            found["copytrade_ledger_commit_seconds_count", ()]
        )
        again = samples(await metrics.text())
        assert again["copytrade_copies_total", ("filled", "sized_by_ratio")] == 1, "counted once"
        metrics.close()


async def test_no_follower_and_no_secret_is_named(world: World) -> None:
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        await trade(system.engine, dict(BUY))
        metrics = Metrics(system)
        text = await metrics.text()
        metrics.close()
    assert "alice" not in text
    assert len(text) < 100_000


async def test_readiness_follows_kill_switch_ledger_and_master(world: World) -> None:
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        assert (ready(system), healthy(system)) == ((True, "ready"), (True, "healthy"))
        kill = system.engine.services.kill
        kill.engage(KillState.HALT)
        assert ready(system) == (False, "not ready")
        assert [name for name, well in readiness(system).items() if not well] == ["not_halted"]
        kill.engage(KillState.CLOSE_ONLY)
        assert ready(system)[0]
        kill.lift()
        client, system.engine.services.roster.master.client = system.engine.services.roster.master.client, None
        assert [name for name, well in readiness(system).items() if not well] == ["master"]
        system.engine.services.roster.master.client = client
        system.ledger._fail(LedgerUnwritable("the disk is full"))
        assert (ready(system)[0], healthy(system)) == (False, (False, "the ledger failed"))
    assert not readiness(system)["started"]


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    dashboard = json.loads((REPOSITORY / "docs/grafana.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(panel["title"] and panel["targets"] for panel in panels)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    shown = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in re.findall(r"\bcopytrade_[a-z_]+", asked)}
    source = "".join(
        (REPOSITORY / "copytrade/console" / name).read_text() for name in ("metrics.py", "tally.py")
    )
    named = set(re.findall(r'"copytrade_([a-z_]+)"', source))
    named |= set(re.findall(r'_(?:one|gauge)\(\s*"([a-z_]+)"', source))
    assert shown == {f"copytrade_{name}" for name in named}
    text = (REPOSITORY / "docs/monitoring.md").read_text()
    assert [name for name in sorted(shown) if name not in text] == []


def test_a_monitor_asks_the_running_worker(world: World) -> None:
    world.set_settings({**PAPER, "console": {"port": 0}})
    token = world.json("console-token", "--new")["token"]
    with world.worker() as worker:
        url = worker.line("console: http://").partition("console: ")[2].split()[0]
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        world.settle()

        def ask(path: str, **headers: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=30) as reply:
                    return reply.status, reply.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        bearer = {"authorization": f"Bearer {token}"}
        assert ask("/metrics")[0] == 401
        status, text = ask("/metrics", **bearer)
        assert (status, samples(text)["copytrade_up", ("paper",)]) == (200, 1)
        world.json("trade", "BTC/USD", "buy", "--usd", "1000", "--request-id", "two")
        world.settle()
        found = samples(ask("/metrics", **bearer)[1])
        assert sum(v for (name, _), v in found.items() if name == "copytrade_copies_total") >= 4
        assert ask("/readyz") == (200, "ready\n")
        world.json("kill")
        assert ask("/readyz") == (503, "not ready\n")
        assert ask("/healthz") == (200, "healthy\n")


async def test_the_page_of_health_tells_budgets(world: World) -> None:
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        attendants = Attendants(system, str, system.engine.services.clock)
        assert "at the busiest account" in attendants.venue_facts("kraken")["rate limit left"]
        assert attendants.venue_facts("okx") == {}
        assert samples(await attendants.metrics())["copytrade_up", ("paper",)] == 1
        await attendants.stop()


@pytest.mark.parametrize("venue", ["kraken", "coinbase", "alpaca", "okx", "binance"])
async def test_every_venue_tells_what_is_left_of_its_limits(tmp_path: Path, venue: str) -> None:
    world = World(tmp_path, {**PAPER, "master": {"venue": venue, "strategy": "none"}})
    world.users_file.write_text("[]")
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        master = system.engine.services.roster.master
        async with asyncio.timeout(WAIT_S):  # a machine that is busy may have to connect twice
            while (client := master.client) is None:
                await asyncio.sleep(0.02)
        left = client.budget_left  # type: ignore[union-attr]
        assert 0 <= left <= 1


def test_what_is_left_falls_with_what_is_used_and_comes_back() -> None:
    now = [1000.0]
    counter = DecayCounter(10, 1, lambda: now[0])
    minute = MinuteBudget(100, lambda: now[0], lambda: now[0])
    window = Window(50, 60, lambda: now[0])
    counter.charge(4)
    window.charge(20)
    for _ in range(30):
        minute.charge()
    assert (counter.left, minute.left, window.left) == (0.6, 0.7, 0.6)
    window.saturate()
    assert window.left == 0
    now[0] += 120
    assert (counter.left, minute.left, window.left) == (1, 1, 1)
