"""What every venue's account must do, whatever its protocol: each venue's tests run this against its simulator.

A subclass gives the fixture `lab`: an object with `venue`, `account`, `sim`, `orders()` (what the venue has),
`fault(kind, **settings)` in the simulator's words, `passing_error` (a text of the venue's that may pass by itself),
and `order(name, side=..., quantity=..., limit=...)`, which makes a ticket. The account holds 10,000 of `currency` and
1 BTC, the price of `symbol` is 50,000 without a spread. A subclass says where its venue differs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from copytrade.domain.errors import SendStopped, VenueError
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, RefusedByVenue, Unknown
from copytrade.engine import ports


def let_through() -> None:
    """A gate that is open."""


def before() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=5)


class AccountContract:
    """Tests of one venue's `Venue` and `AccountClient`."""

    place_method: str  # the simulator's name of the call that places an order
    lookup_methods: tuple[str, ...]  # every call that a look-up may make
    symbol = "BTC/USD"
    currency = "USD"
    buys_pay_in_base = False  # the venue takes the fee of a purchase out of what was bought

    def test_fits_the_engines_ports(self, lab):
        venue: ports.Venue = lab.venue
        account: ports.AccountClient = lab.account
        assert account.account == f"{venue.name}:alice_smith"
        assert account.absence_wait_s > 0
        assert account.wait_s(lab.order()) == 0

    async def test_instrument_and_price(self, lab):
        instrument = lab.venue.instrument(self.symbol)
        assert instrument.venue == lab.venue.name
        quotes = await lab.venue.quotes([instrument])
        assert quotes[self.symbol].bid == quotes[self.symbol].ask == Price.of(50_000)
        assert lab.venue.instrument("NO/SUCH") is None

    async def test_market_order_is_placed_filled_and_told(self, lab):
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Accepted)
        execution = await lab.account.execution(outcome.venue_order_id)
        assert execution.status is ExecutionStatus.FILLED
        assert execution.quantity == Quantity.of("0.001")
        assert execution.cost == Amount.of(50)
        assert (execution.fee.value > 0) is not self.buys_pay_in_base
        assert (execution.fee_base.value > 0) is self.buys_pay_in_base
        assert not execution.detail, "it would stand where the order says how it was sized"
        assert len(lab.orders()) == 1

    async def test_sale_pays_its_fee_in_money(self, lab):
        outcome = await lab.account.place(lab.order(side=Side.SELL, quantity="1"), let_through)
        execution = await lab.account.execution(outcome.venue_order_id)
        assert execution.quantity == Quantity.of(1)
        assert execution.fee.value > 0
        assert not execution.fee_base

    async def test_refusal_is_told_with_its_reason(self, lab):
        outcome = await lab.account.place(lab.order(quantity="5000"), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.reason is Reason.INSUFFICIENT_FUNDS
        assert not outcome.parks_account
        assert await lab.account.find(lab.order(quantity="5000"), before(), ()) is None

    async def test_closed_gate_places_nothing(self, lab):
        def shut() -> None:
            raise SendStopped(Reason.KILL_SWITCH, "for the test")

        with pytest.raises(SendStopped):
            await lab.account.place(lab.order(), shut)
        assert lab.orders() == []

    async def test_order_that_was_taken_before_the_answer_was_lost_is_found(self, lab):
        lab.fault("drop", when="after", method=self.place_method, count=1)
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Unknown)
        found = await lab.account.find(lab.order(), outcome.sent_at, ())
        assert found.status is ExecutionStatus.FILLED
        assert found.quantity == Quantity.of("0.001")
        assert [order["order_id"] for order in lab.orders()] == [found.venue_order_id]

    async def test_request_that_was_lost_before_the_venue_took_it_is_found_nowhere(self, lab):
        lab.fault("drop", when="before", method=self.place_method, count=1)
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Unknown)
        assert await lab.account.find(lab.order(), outcome.sent_at, ()) is None
        assert lab.orders() == []

    @pytest.mark.parametrize("status", [502, 504, 429])
    async def test_gateway_error_after_the_order_was_taken_is_unknown(self, lab, status):
        lab.fault("status", when="after", method=self.place_method, status=status, count=1)
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Unknown)
        assert await lab.account.find(lab.order(), outcome.sent_at, ()) is not None
        assert len(lab.orders()) == 1

    @pytest.mark.parametrize("kind", ["truncated_json", "empty", "redirect", "no_content", "huge", "cut", "stale"])
    async def test_answer_that_cannot_be_trusted_is_unknown(self, lab, kind):
        lab.fault(kind, method="none yet")  # the simulator keeps answers from the first such fault on
        await lab.account.place(lab.order("earlier"), let_through)
        lab.fault(kind, when="after", method=self.place_method, count=1)
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Unknown), outcome
        assert len(lab.orders()) == 2

    async def test_other_orders_are_not_taken_for_ours(self, lab):
        other = await lab.account.place(lab.order("other"), let_through)
        assert await lab.account.find(lab.order(), before(), ()) is None
        assert await lab.account.find(lab.order(), before(), (other.venue_order_id,)) is None

    async def test_every_hole_in_a_look_up_is_an_error(self, lab):
        for method in self.lookup_methods:
            lab.sim.faults.remove()
            lab.fault("error", when="before", method=method, error=lab.passing_error)
            with pytest.raises(VenueError):
                await lab.account.find(lab.order(), before(), ())

    async def test_read_that_fails_once_is_made_again(self, lab):
        outcome = await lab.account.place(lab.order(), let_through)
        lab.fault("status", when="before", status=502, count=1)
        assert (await lab.account.execution(outcome.venue_order_id)).status is ExecutionStatus.FILLED

    async def test_partial_fill_that_was_cancelled_tells_both(self, lab):
        lab.fault("partial_cancel", method=self.place_method, fraction="0.25", count=1)
        outcome = await lab.account.place(lab.order(quantity="0.004"), let_through)
        execution = await lab.account.execution(outcome.venue_order_id)
        assert execution.status is ExecutionStatus.CANCELLED
        assert execution.quantity == Quantity.of("0.001")

    async def test_limit_order_never_fills_beyond_its_limit(self, lab):
        outcome = await lab.account.place(lab.order(limit="49000"), let_through)
        assert isinstance(outcome, Accepted)
        execution = await lab.account.execution(outcome.venue_order_id)
        assert (execution.status, execution.quantity) == (ExecutionStatus.CANCELLED, Quantity.of(0))

    async def test_cancelling_what_is_over_is_no_error(self, lab):
        outcome = await lab.account.place(lab.order(), let_through)
        before = await lab.account.execution(outcome.venue_order_id)
        await lab.account.cancel(outcome.venue_order_id)
        after = await lab.account.execution(outcome.venue_order_id)
        assert (after.status, after.quantity) == (ExecutionStatus.FILLED, before.quantity)

    async def test_balances(self, lab):
        first = await lab.account.balances()
        assert (first.currency, first.cash, first.equity) == (self.currency, Amount.of(10_000), Amount.of(60_000))
        assert first.holdings["BTC"] == 1
        await lab.account.place(lab.order(quantity="0.1"), let_through)
        second = await lab.account.balances()
        missing = Quantity.of("1.1").value - second.holdings["BTC"]
        assert 0 < missing < Quantity.of("0.001").value if self.buys_pay_in_base else missing == 0
        assert second.cash.value == 5_000 if self.buys_pay_in_base else second.cash.value < 5_000

    async def test_key_that_may_trade_and_no_more_is_fit(self, lab):
        report = await lab.account.check_key()
        assert report.problems == ()
        assert report.account == lab.account.account
