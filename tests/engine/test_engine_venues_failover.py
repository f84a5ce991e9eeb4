"""Failover: an entry that cannot be placed at one account goes to the user's next one, once, and exits never do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ports import LedgerAround
from venues_world import VenuesDesk, VenuesWorld
from world import until

from copytrade.domain.account import AccountId
from copytrade.domain.events import AccountParked, CopiesPlanned, CopyDecided, Event, OrderStopped
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.engine.service import Wiring

D = Decimal
ON = {"failover": True}
BOTH = {"alice_smith": {"okx": {"cash": 1_000, "prefer": ["okx"], **ON}, "coinbase": {"cash": 1_000, **ON}}}
OKX, COINBASE = "okx:alice_smith", "coinbase:alice_smith"


async def entry_elsewhere(world: VenuesWorld, desk: VenuesDesk) -> str:
    """The master buys; the copy must end at Coinbase, and be the only one."""
    signal = await desk.buy("1000")
    await desk.settled()
    assert desk.copy(signal, OKX).state in (OrderState.STOPPED, OrderState.REFUSED), desk.copy(signal, OKX)
    second = desk.copy(signal, COINBASE)
    assert second.state is OrderState.FILLED, second
    assert len(desk.copies(signal)) == 2
    assert [order["symbol"] for order in world.bought_anywhere("alice_smith")] == ["BTC/USD"]
    return signal


# -- the venue goes away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price_known", [True, False])
async def test_a_venue_that_goes_down_hands_its_entry_over_once(tmp_path: Path, price_known: bool) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        if price_known:  # or the look at the price fails before the order can
            await know_price(desk)
        await world.down("okx")
        await entry_elsewhere(world, desk)
        await desk.sell()
        await desk.settled()
        assert world.holds("coinbase", "alice_smith") == 0


async def know_price(desk: VenuesDesk) -> None:
    """OKX's price is read, so that the next entry there goes straight to the send."""
    services = desk.engine.services
    instrument = services.instrument("okx", "BTC/USDT")
    assert instrument is not None
    await services.prices.quote(instrument, 5.0)


async def test_without_failover_the_entry_is_missed_and_nobody_else_is_asked(tmp_path: Path) -> None:
    users = {"alice_smith": {"okx": {"prefer": ["okx"]}, "coinbase": {}}}
    copy = {"stand_ins": {"USD": ["USDT"]}, "entry_ttl_s": 1}
    async with VenuesWorld(tmp_path, users=users, copy=copy) as world, world.trading() as desk:
        await world.down("okx")
        signal = await desk.buy("1000")
        await desk.settled()
        assert [copy.account for copy in desk.copies(signal)] == [OKX]
        assert desk.copy(signal, OKX).state is OrderState.STOPPED
        assert world.bought_anywhere("alice_smith") == []


async def test_an_exit_waits_for_its_own_venue_and_is_placed_there(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        assert world.holds("okx", "alice_smith") > 0
        await world.down("okx")
        out = await desk.sell()
        await until(lambda: desk.copy(out, OKX).state is OrderState.APPROVED, "the exit waits")
        assert [copy.account for copy in desk.copies(out)] == [OKX]
        await world.up("okx")
        await desk.settled()
        assert desk.copy(out, OKX).state is OrderState.FILLED
        assert world.holds("okx", "alice_smith") < D("0.00000001")
        assert len(world.orders("okx", "alice_smith")) == 2


async def test_an_entry_whose_outcome_is_unknown_is_never_handed_over(tmp_path: Path) -> None:
    """The bytes have left: only the venue can say whether it has the order, and until then there is no second one."""
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        world.fault("okx", "drop", "alice_smith", when="after", count=1)
        blind = world.sims["okx"].add_fault("status", when="before", method="GET /trade/order", status=502)
        signal = await desk.buy("1000")
        await until(lambda: desk.copy(signal, OKX).state is OrderState.UNKNOWN, "the outcome is unknown")
        world.sims["okx"].clear_faults(blind)
        await desk.settled()
        assert desk.copy(signal, OKX).state is OrderState.FILLED
        assert len(world.bought_anywhere("alice_smith")) == 1


async def test_an_entry_is_not_handed_over_once_the_master_is_on_its_way_out(tmp_path: Path) -> None:
    """It would be bought at the second account after the exit was planned, and nobody would sell it there."""
    slow = {"retry_delays_s": (0.5, 0.5, 0.5)}
    async with VenuesWorld(tmp_path, users=BOTH, limits=slow) as world, world.trading() as desk:
        await know_price(desk)
        await world.down("okx")
        entry = await desk.buy("1000")
        out = await desk.sell()
        await until(lambda: desk.copies(out), "the exit is planned")
        assert desk.copy(entry, OKX).state is OrderState.APPROVED, "the entry is still being tried"
        await desk.settled()
        assert desk.copy(entry, OKX).state is OrderState.STOPPED
        assert world.bought_anywhere("alice_smith") == []
        assert world.holds("coinbase", "alice_smith") == 0


# -- the account is at fault -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [("50113", Reason.BAD_KEY), ("50120", Reason.NO_PERMISSION), ("51024", Reason.LOCKED_OUT)],
)
async def test_an_account_that_parks_hands_its_entry_over(tmp_path: Path, error: str, reason: Reason) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        world.fault("okx", "error", "alice_smith", when="before", error=error, count=1)
        first = await entry_elsewhere(world, desk)
        assert desk.copy(first, OKX).reason is reason
        assert OKX in desk.ledger.state.parked
        assert desk.alerts_of(OKX, "parked")
        second = await desk.buy("500")  # by now the plan knows
        await desk.settled()
        assert [copy.account for copy in desk.copies(second)] == [COINBASE]


async def test_entries_that_wait_behind_the_one_that_parked_are_handed_over_too(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        world.fault("okx", "delay", "alice_smith", when="before", delay_ms=300, count=1)
        world.fault("okx", "error", "alice_smith", when="before", error="50113")
        signals = [await desk.buy("500") for _ in range(3)]
        await desk.settled()
        for signal in signals:
            assert desk.copy(signal, COINBASE).state is OrderState.FILLED
        assert len(world.bought_anywhere("alice_smith")) == 3
        assert world.orders("okx", "alice_smith") == []


async def test_a_key_that_is_missing_at_the_start_hands_every_entry_to_the_next_account(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world:
        del world.environ["OKX_USER_ALICE_SMITH_API_PASSPHRASE"]
        async with world.trading() as desk:
            signal = await desk.buy("1000")
            await desk.settled()
            assert [copy.account for copy in desk.copies(signal)] == [COINBASE]


async def test_an_order_that_the_venue_refuses_is_not_tried_elsewhere(tmp_path: Path) -> None:
    """A refusal is about the order: a second venue is for accounts that cannot be reached."""
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        world.fault("okx", "reject_funds", "alice_smith", count=1)
        signal = await desk.buy("1000")
        await desk.settled()
        assert [(copy.account, copy.reason) for copy in desk.copies(signal)] == [(OKX, Reason.INSUFFICIENT_FUNDS)]
        assert world.bought_anywhere("alice_smith") == []


async def test_when_the_next_account_fails_as_well_the_one_after_it_is_asked_and_then_nobody(tmp_path: Path) -> None:
    users = {"alice_smith": {"okx": {"prefer": ["okx"], **ON}, "binance": ON, "coinbase": ON}}
    async with VenuesWorld(tmp_path, users=users) as world, world.trading() as desk:
        for venue in ("okx", "binance"):
            await world.down(venue)
        signal = await desk.buy("1000")
        await desk.settled()
        states = {copy.account: copy.state for copy in desk.copies(signal)}
        assert states.pop(COINBASE) is OrderState.FILLED
        assert set(states.values()) <= {OrderState.STOPPED}
        await world.down("coinbase")
        signal = await desk.buy("500")
        await desk.settled()
        assert {copy.state for copy in desk.copies(signal)} == {OrderState.STOPPED}
        assert len(world.bought_anywhere("alice_smith")) == 1


# -- in the ledger -----------------------------------------------------------------------------------------------------


class Transactions(LedgerAround):
    """Remembers what was appended together."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self.seen: list[Sequence[Event]] = []

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        self.seen.append(list(events))
        return super().append(events, hurry=hurry)


async def test_the_end_at_one_account_and_the_plan_at_the_next_are_one_transaction(tmp_path: Path) -> None:
    around: list[Transactions] = []

    def watch(wiring: Wiring) -> Wiring:
        around.append(Transactions(wiring.ledger))
        return replace(wiring, ledger=around[0])

    async with VenuesWorld(tmp_path, users=BOTH) as world:
        async with world.trading(watch) as desk:
            await world.down("okx")
            signal = await entry_elsewhere(world, desk)
            (together,) = [t for t in around[0].seen if any(isinstance(event, OrderStopped) for event in t)]
            assert [type(event) for event in together] == [OrderStopped, CopiesPlanned]
            assert [event.signal_id for event in together if isinstance(event, CopiesPlanned)] == [signal]
            order = desk.copy(signal, OKX).order_id
        # One line of the ledger cannot be there without the other: nothing else stands between them either.
        with sqlite3.connect(world.paths.ledger) as database:
            kinds = [json.loads(body) for (body,) in database.execute("SELECT body FROM events ORDER BY seq")]
        database.close()
        place = next(i for i, event in enumerate(kinds) if event.get("order_id") == order and "reason" in event)
        assert kinds[place + 1]["signal_id"] == signal


async def test_after_a_restart_an_entry_that_was_handed_over_is_not_handed_over_again(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world:
        async with world.trading() as desk:
            await world.down("okx")
            signal = await entry_elsewhere(world, desk)
        await world.up("okx")
        async with world.trading() as desk:
            await desk.settled()
            assert len(desk.copies(signal)) == 2
            assert len(world.bought_anywhere("alice_smith")) == 1


# -- entries that wait -------------------------------------------------------------------------------------------------


async def deferred_entry(world: VenuesWorld, desk: VenuesDesk) -> str:
    """Both accounts' figures are old, so that the entry waits in the lane of the first to be sized."""
    world.clock.ahead_s += 601
    await know_price(desk)
    signal = await desk.buy("1000")
    await until(lambda: world.plans and world.plans[-1][0].signal_id == signal, "the signal is planned")
    planned = world.plans[-1][1]
    assert [(copy.account, copy.reason) for copy in planned] == [(OKX, Reason.WAITS_FOR_EQUITY)]
    await desk.settled()
    return signal


@pytest.mark.parametrize("failover", [True, False])
async def test_a_deferred_entry_that_its_account_cannot_pay_goes_on_as_the_plan_would_have(
    tmp_path: Path, failover: bool
) -> None:
    """That an account is empty is no matter of `failover`: with figures to go by, the plan would have passed it by."""
    users = {"alice_smith": {"okx": {"prefer": ["okx"], "failover": failover}, "coinbase": {"failover": failover}}}
    around: list[Transactions] = []

    def watch(wiring: Wiring) -> Wiring:
        around.append(Transactions(wiring.ledger))
        return replace(wiring, ledger=around[0])

    async with VenuesWorld(tmp_path, users=users) as world, world.trading(watch) as desk:
        world.sims["okx"].deposit("alice_smith", "USDT", D(-999))
        signal = await deferred_entry(world, desk)
        first, second = desk.copy(signal, OKX), desk.copy(signal, COINBASE)
        assert (first.state, first.reason) == (OrderState.SKIPPED, Reason.BELOW_MIN_BALANCE)
        assert second.state is OrderState.FILLED
        assert [order["symbol"] for order in world.bought_anywhere("alice_smith")] == ["BTC/USD"]
        (together,) = [t for t in around[0].seen if any(_is_of(event, first.order_id) for event in t)]
        assert [type(event) for event in together] == [CopyDecided, CopiesPlanned]
        await desk.sell()
        await desk.settled()
        assert world.holds("coinbase", "alice_smith") == 0


def _is_of(event: Event, order_id: str) -> bool:
    return isinstance(event, CopyDecided) and event.copy.order_id == order_id


@pytest.mark.parametrize("failover", [True, False])
async def test_a_deferred_entry_whose_account_cannot_be_read_goes_on_with_failover_only(
    tmp_path: Path, failover: bool
) -> None:
    users = {"alice_smith": {"okx": {"prefer": ["okx"], "failover": failover}, "coinbase": {"failover": failover}}}
    limits = {"equity_wait_s": 0.3}
    async with VenuesWorld(tmp_path, users=users, limits=limits) as world, world.trading() as desk:
        world.sims["okx"].add_fault("status", when="before", method="GET /account/balance", status=502)
        signal = await deferred_entry(world, desk)
        assert desk.copy(signal, OKX).reason is Reason.EQUITY_UNKNOWN
        assert len(world.bought_anywhere("alice_smith")) == failover


async def test_a_deferred_entry_that_nobody_can_pay_ends_and_stays_one_order_of_nobody(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        world.sims["okx"].deposit("alice_smith", "USDT", D(-999))
        world.sims["coinbase"].deposit("alice_smith", "USD", D(-999))
        signal = await deferred_entry(world, desk)
        assert {copy.state for copy in desk.copies(signal)} == {OrderState.SKIPPED}
        assert world.bought_anywhere("alice_smith") == []


async def test_a_deferred_entry_is_not_handed_over_once_the_master_is_on_its_way_out(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        world.sims["okx"].deposit("alice_smith", "USDT", D(-999))
        world.sims["okx"].add_fault("delay", when="before", method="GET /account/balance", delay_ms=700)
        world.clock.ahead_s += 601
        await know_price(desk)
        entry = await desk.buy("1000")
        out = await desk.sell()
        await until(lambda: desk.copies(out), "the exit is planned")
        assert desk.copy(entry, OKX).state is OrderState.DEFERRED, "the entry is still being sized"
        await desk.settled()
        assert [copy.account for copy in desk.copies(entry)] == [OKX]
        assert world.bought_anywhere("alice_smith") == []


@pytest.mark.parametrize("lost", [False, True])
async def test_entries_behind_an_exit_that_cannot_be_placed_are_handed_over_and_the_exit_stays(
    tmp_path: Path, lost: bool
) -> None:
    """Its venue is down and it never left, or its outcome is unknown and it cannot be looked up."""
    async with VenuesWorld(tmp_path, users=BOTH) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        held = world.holds("okx", "alice_smith")
        assert held > 0
        await know_price(desk)
        if lost:
            world.fault("okx", "drop", "alice_smith", when="before", count=1)
            world.sims["okx"].add_fault("status", when="before", method="GET /trade/order", status=502)
        else:
            await world.down("okx")
        out = await desk.sell()
        stuck = OrderState.UNKNOWN if lost else OrderState.APPROVED
        await until(lambda: desk.copies(out) and desk.copy(out, OKX).state is stuck, "the exit is stuck")
        signals = [await desk.buy("500") for _ in range(2)]
        await until(
            lambda: [o["side"] for o in world.orders("coinbase", "alice_smith")] == ["buy", "buy"],
            "the entries are placed at the next account",
        )
        assert desk.copy(out, OKX).state is stuck
        for signal in signals:
            assert desk.copy(signal, OKX).reason is Reason.VENUE_UNREACHABLE
        if lost:
            world.sims["okx"].clear_faults()
        else:
            await world.up("okx")
        await desk.settled()
        assert desk.copy(out, OKX).state is OrderState.FILLED
        assert world.holds("okx", "alice_smith") < D("0.00000001")
        assert len(world.bought_anywhere("alice_smith")) == 3


async def test_without_a_next_account_entries_behind_a_stuck_exit_wait_for_their_venue(tmp_path: Path) -> None:
    users = {"alice_smith": {"okx": {"cash": 1_000, "prefer": ["okx"]}, "coinbase": {}}}
    async with VenuesWorld(tmp_path, users=users) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        await know_price(desk)
        await world.down("okx")
        out = await desk.sell()
        signal = await desk.buy("500")
        await until(lambda: desk.copies(signal), "the entry is planned")
        await until(lambda: desk.engine.lanes.of(desk.copy(out, OKX).account).depth == 2, "both wait")
        await world.up("okx")
        await desk.settled()
        assert desk.copy(signal, OKX).state is OrderState.FILLED
        assert world.orders("coinbase", "alice_smith") == []


@pytest.mark.parametrize("failover", [True, False])
async def test_a_deferred_entry_of_an_account_that_is_parked_after_a_restart_does_not_wait_for_it(
    tmp_path: Path, failover: bool
) -> None:
    users = {"alice_smith": {"okx": {"prefer": ["okx"], "failover": failover}, "coinbase": {"failover": failover}}}
    at_once = {"engine": {"shutdown_grace_s": 0}}
    async with VenuesWorld(tmp_path, users=users, settings=at_once) as world:
        async with world.trading() as desk:
            world.sims["okx"].add_fault("delay", when="before", method="GET /account/balance", delay_ms=60_000)
            world.clock.ahead_s += 601
            await know_price(desk)
            signal = await desk.buy("1000")
            await until(lambda: desk.copies(signal), "the signal is planned")
            assert desk.copy(signal, OKX).state is OrderState.DEFERRED
            await until(lambda: desk.engine.lanes.of(AccountId(OKX)).busy, "the entry is being sized")
            parked = AccountParked(AccountId(OKX), Reason.BAD_KEY, "for the test", world.clock.utc())
            await desk.ledger.append([parked])
        world.sims["okx"].clear_faults()
        world.environ["OKX_USER_ALICE_SMITH_API_SECRET"] = "0" * 32
        async with world.trading() as desk:
            await desk.settled()
            first = desk.copy(signal, OKX)
            assert (first.state, first.reason) == (OrderState.STOPPED, Reason.ACCOUNT_PARKED)
            assert OKX in desk.ledger.state.parked
            assert len(world.bought_anywhere("alice_smith")) == failover, desk.copies(signal)
