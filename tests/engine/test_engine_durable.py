"""I2: every order at a venue has an earlier durable intent; I5: replaying the ledger gives the live state.

Also what happens when the ledger cannot be written any more: nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
from ports import ClientAround, LedgerAround
from world import WAIT_S, Desk, World, until

from copytrade.domain.account import AccountId
from copytrade.domain.errors import LedgerError, LedgerUnwritable, Refused
from copytrade.domain.events import CopiesPlanned, Event, MasterIntended
from copytrade.domain.venue import OrderTicket, PlaceOutcome
from copytrade.engine.ports import AccountClient, Gate
from copytrade.engine.service import Wiring
from copytrade.ledger.replay import verify
from copytrade.ledger.store import Ledger

FIVE = {"ann": 1_000, "ben": 2_000, "cat": 500, "dan": 300, "eve": 50}


# -- I2 --------------------------------------------------------------------------------------------------------------


@dataclass
class Witness:
    """Reads the ledger's file over a connection of its own at the moment in which an order is about to leave."""

    path: Path
    sent: int = 0
    without_intent: list[str] = field(default_factory=list)

    def look(self, ticket: OrderTicket) -> None:
        self.sent += 1
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            rows = connection.execute(
                "SELECT account, side, quantity, state FROM orders WHERE order_id = ?", (ticket.order_id,)
            ).fetchall()
        finally:
            connection.close()
        intended = [(ticket.account, ticket.side.value, str(ticket.quantity))]
        if [row[:3] for row in rows] != intended or rows[0][3] not in ("approved", "deferred"):
            self.without_intent.append(f"{ticket} but the file says {rows}")


def witnessed(witness: Witness, wiring: Wiring) -> Wiring:
    class Watched(ClientAround):
        async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
            def last_look() -> None:
                gate()
                witness.look(ticket)

            return await self.inner.place(ticket, last_look)

    factory = wiring.factories["kraken"]

    def watched(account: AccountId) -> AccountClient:
        return Watched(factory(account))

    return replace(wiring, factories={"kraken": watched})


class AcknowledgesTooEarly(LedgerAround):
    """Says that plans are durable while it still keeps them back; they are written a little later."""

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        held_back = any(isinstance(event, CopiesPlanned) for event in events)
        written = self.inner.append(events, hurry=hurry and not held_back)
        if not held_back:
            return written
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def _trade_under(world: World, adjust: Callable[[Wiring], Wiring]) -> None:
    async with world.trading(adjust) as desk:
        await desk.dealt_with(await desk.buy("1000"))
        await desk.settled()
        await desk.dealt_with(await desk.sell("0.01"))
        await desk.dealt_with(await desk.sell())
        await desk.settled()


async def test_every_order_leaves_after_its_intent_is_on_file(tmp_path: Path) -> None:
    with World(tmp_path, followers=FIVE, settings={"guards": {"minimum_trading_balance": 1}}) as world:
        witness = Witness(world.paths.ledger)
        await _trade_under(world, lambda wiring: witnessed(witness, wiring))
        assert witness.sent >= 3 * 6 - 2  # the smallest account may fall under the venue's minimum
        assert witness.without_intent == []


async def test_control_an_acknowledgement_before_the_commit_is_caught(tmp_path: Path) -> None:
    slow = {"engine": {"ledger_group_ms": 300}, "guards": {"minimum_trading_balance": 1}}
    with World(tmp_path, followers=FIVE, settings=slow) as world:
        witness = Witness(world.paths.ledger)

        def early(wiring: Wiring) -> Wiring:
            return witnessed(witness, replace(wiring, ledger=AcknowledgesTooEarly(wiring.ledger)))

        await _trade_under(world, early)
        assert witness.without_intent


# -- I5 --------------------------------------------------------------------------------------------------------------


async def _random_run(world: World, rng: random.Random) -> None:
    """Trades, faults and a restart, as they fall."""
    for _ in range(2):
        async with world.trading() as desk:
            for _ in range(4):
                for user in rng.sample(list(FIVE), 2):
                    kind, when = rng.choice(["drop", "status", "empty", "error"]), rng.choice(["before", "after"])
                    world.fault(kind, user, count=1, when=when, error="EOrder:Insufficient funds")
                held = desk.position("master")
                if held and rng.random() < 0.5:
                    part = (held * Decimal(rng.choice(["0.3", "0.5"]))).quantize(Decimal("0.00000001"))
                    await desk.sell(rng.choice([None, str(part)]))
                else:
                    await desk.buy(rng.choice([400, 700, 1_000]))
        # The stop comes with orders on their way; the next start carries on with them.


@pytest.mark.parametrize("seed", [1])
async def test_replaying_the_ledger_gives_the_live_state(tmp_path: Path, seed: int) -> None:
    with World(tmp_path, followers=FIVE, simulator={"fill_delay_ms": 30}) as world:
        await _random_run(world, random.Random(seed))
        async with world.trading() as desk:
            live = desk.ledger.state
        verdict = verify(world.paths.ledger, live)
        assert verdict.problems == ()
        assert verdict.events > 20
        assert world.venue.doubles() == []


async def test_control_a_changed_event_is_caught(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with world.trading() as desk:
            await desk.dealt_with(await desk.buy("1000"))
            await desk.settled()
            live = desk.ledger.state
        assert verify(world.paths.ledger, live).ok
        connection = sqlite3.connect(world.paths.ledger)
        (seq, body), *_ = connection.execute("SELECT seq, body FROM events WHERE name = 'OrderExecuted'").fetchall()
        changed = json.loads(body) | {"quantity": "0.0019"}
        connection.execute("UPDATE events SET body = ? WHERE seq = ?", (json.dumps(changed), seq))
        connection.commit()
        connection.close()
        assert not verify(world.paths.ledger, live).ok


# -- the ledger fails ------------------------------------------------------------------------------------------------


async def test_on_a_full_disk_nothing_leaves_without_its_intent_and_then_nothing_at_all(tmp_path: Path) -> None:
    small = tmp_path / "small.sqlite3"
    crowd = {f"f{n:03}": 1_000 for n in range(40)}
    with World(tmp_path, followers=crowd) as world, closing_later() as opened:

        def on_a_small_disk(wiring: Wiring) -> Wiring:
            opened.append(Ledger.open(small, max_pages=90))
            return replace(wiring, ledger=opened[0])

        async with world.trading(on_a_small_disk) as desk:
            with pytest.raises((LedgerError, Refused)) as failure:
                await _buy_on(desk)
            assert "disk is full" in str(failure.value)
            await until(lambda: not desk.engine.services.sends_in_flight, "answers to what was under way")
            sent = world.venue.orders()
            with pytest.raises(Refused, match="disk is full"):
                await desk.buy("200")
            assert world.venue.orders() == sent
            await until(lambda: desk.alerts_of("ledger failed", "disk is full"), "the operator is told")
        assert {order["client_id"] for order in sent} <= _intents(small)
        assert len(sent) > 1


class FailsOnceTheMasterIntends(LedgerAround):
    """Breaks down between the master's intent and its order."""

    broken: LedgerError | None = None

    @property
    def failed(self) -> LedgerError | None:
        return self.broken

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        written = self.inner.append(events, hurry=hurry)
        if any(isinstance(event, MasterIntended) for event in events):
            self.broken = LedgerUnwritable("the ledger cannot be written: made up")
        return written


async def test_a_request_whose_order_the_failed_ledger_stops_gets_an_error(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with world.trading(lambda w: replace(w, ledger=FailsOnceTheMasterIntends(w.ledger))) as desk:
            with pytest.raises(LedgerError, match="made up"):
                await desk.buy("1000")
            assert world.venue.orders() == []


async def test_a_request_that_the_stop_overtakes_gets_an_error_and_its_order_is_carried_on_with(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, settings={"engine": {"shutdown_grace_s": 0}}) as world:
        async with world.trading() as desk:
            world.fault("drop", "master", count=1)
            world.fault("status", "master", "OpenOrders", status=503, when="before")
            waiting = asyncio.create_task(desk.buy("1000"))
            await until(lambda: world.orders("master"), "the venue has the master's order")
        with pytest.raises(Refused, match="stopping"):
            await asyncio.wait_for(waiting, WAIT_S)
        world.venue.clear_faults()
        async with world.trading() as desk:
            await desk.settled()
        assert [len(world.orders(user)) for user in ("master", "alice_smith")] == [1, 1]


async def _buy_on(desk: Desk) -> None:
    for _ in range(20):
        await desk.buy("200")


@contextlib.contextmanager
def closing_later() -> Iterator[list[Ledger]]:
    """Closes the ledgers that a test has opened, once the system that writes them has stopped."""
    opened: list[Ledger] = []
    try:
        yield opened
    finally:
        for ledger in opened:
            ledger.close()


def _intents(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {row[0] for row in connection.execute("SELECT order_id FROM orders")}
    finally:
        connection.close()
