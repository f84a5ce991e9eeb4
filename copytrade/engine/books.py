"""What is known of every account's money between two looks at the venue.

The venue's figures are refreshed in the background; in between, the cost of entries on their way is kept back, so that
two signals in quick succession cannot spend the same cash twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from copytrade.copying.rules import ALL_KINDS, FollowerBook
from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_AMOUNT, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord, State
from copytrade.domain.venue import Balances
from copytrade.engine.chains import NO_CHAIN, Chain
from copytrade.engine.roster import Member

_LOOKS_MAX = 16  # of an account that is watched: some minutes of one that trades, an hour of one that does not


@dataclass(frozen=True, slots=True)
class Look:
    """What an account had, asked at `asked_at`, and its positions by the ledger when the answer came."""

    balances: Balances
    asked_at: datetime
    positions: Mapping[str, Quantity]


class Books:
    """Balances as last read, and what has been promised since."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._balances: dict[AccountId, Balances] = {}
        self._asked_at: dict[AccountId, datetime] = {}
        self._reserved: dict[AccountId, dict[str, Amount]] = {}
        self._ended: dict[str, datetime] = {}
        self._looks: dict[AccountId, deque[Look]] = {}
        self._prices: dict[str, Price] = {}
        self._at_venue: dict[str, dict[str, Price]] = {}  # by symbol, then by venue
        self.is_dust: Callable[[AccountId, str, Quantity], bool] = lambda account, symbol, quantity: False
        for record in state.orders.values():
            if record.effect is Effect.ENTRY and record.price is not None:
                self.reserve(record.account, record.order_id, record.quantity * record.price)
                if record.state is OrderState.ACCEPTED and record.kind.rests and record.acked_at is not None:
                    self.rests(record, record.acked_at)

    def balances(self, account: AccountId) -> Balances | None:
        return self._balances.get(account)

    def asked_at(self, account: AccountId) -> datetime | None:
        """When these balances were asked for. What has filled since may be in them or not."""
        return self._asked_at.get(account)

    def observe(self, account: AccountId, balances: Balances, asked_at: datetime) -> None:
        """Take in what the venue said, asked at `asked_at`.

        Orders that had ended before we asked are in these figures; the promises made for them lapse.
        """
        self._balances[account], self._asked_at[account] = balances, asked_at
        if (looks := self._looks.get(account)) is not None:
            looks.append(Look(balances, asked_at, dict(self._state.positions.of(account))))
        reserved = self._reserved.get(account)
        if not reserved:
            return
        for order_id in [o for o in reserved if (ended := self._ended.get(o)) and ended < asked_at]:
            del reserved[order_id], self._ended[order_id]

    def remember(self, account: AccountId) -> None:
        """From now on keep the last looks at the account, not only the latest."""
        self._looks.setdefault(account, deque(maxlen=_LOOKS_MAX))

    def looks(self, account: AccountId) -> Sequence[Look]:
        """The looks that are kept, the oldest first."""
        return tuple(self._looks.get(account, ()))

    def reserve(self, account: AccountId, order_id: str, cost: Amount) -> None:
        self._reserved.setdefault(account, {})[order_id] = cost

    def ended(self, record: OrderRecord, at: datetime) -> None:
        """An order is over. Until the next look at the venue, what it really spent (or brought in) takes the place
        of what was promised for it; one that filled nothing takes nothing."""
        reserved = self._reserved.setdefault(record.account, {})
        if not record.filled:
            reserved.pop(record.order_id, None)
            return
        spent = record.cost + record.fee if record.side is Side.BUY else record.fee - record.cost
        reserved[record.order_id] = spent
        self._ended[record.order_id] = at

    def rests(self, record: OrderRecord, at: datetime) -> None:
        """A resting order is at the venue, which keeps its cost back itself: balances asked for after `at` are less
        that cost already."""
        if record.order_id in self._reserved.get(record.account, ()):
            self._ended[record.order_id] = at

    def price_seen(self, symbol: str, price: Price, venue: str = "") -> None:
        """A market's price, at one venue where it was read there. One that somebody has paid counts everywhere, as the
        latest, until the next reading of each venue."""
        self._prices[symbol] = price
        if venue:
            self._at_venue.setdefault(symbol, {})[venue] = price
        else:
            self._at_venue.pop(symbol, None)

    def entering(self, account: AccountId) -> set[str]:
        """The markets in which an entry of the account rests at its venue. Nobody looks at it often: more of it may
        have filled than the ledger knows."""
        return {
            r.symbol
            for r in self._state.orders.of(account)
            if r.effect is Effect.ENTRY and r.state is OrderState.ACCEPTED and r.kind.rests
        }

    def unsettled(self, account: AccountId) -> set[str]:
        """The markets in which an order of the account is on its way. A held exit is not, nor is an order that rests
        at the venue, as long as nobody wants it back."""
        return {r.symbol for r in self._state.orders.of(account) if on_its_way(r)}

    def book(
        self, member: Member, symbol: str, instrument: Instrument | None, unsettled: bool,
        price: Price | None = None, kinds: frozenset[OrderKind] = ALL_KINDS, chain: Chain = NO_CHAIN,
        carried_of: str = "",
    ) -> FollowerBook:  # fmt: skip
        """The account as it stands for a plan on one instrument; `carried_of` is the master's, where it has another."""
        terms = member.terms
        account = terms.account
        balances = self._balances.get(account)
        reserved = self._reserved.get(account)
        # Right after a start nobody is connected yet, and a signal that the last run left unanswered must not pass
        # followers by for that: without figures their copies wait in their lanes until the first attempt has ended.
        unreachable = None if member.connecting else member.unreachable
        if unreachable is None and (parked := self._state.parked.get(account)):
            unreachable = (Reason.ACCOUNT_PARKED, parked[1])
        return FollowerBook(
            terms=terms,
            instrument=instrument,
            currency=balances.currency if balances else instrument.quote if instrument else "USD",
            equity=balances.equity if balances else None,
            cash=balances.cash if balances else None,
            equity_at=balances.at if balances else None,
            reserved=_total(reserved.values()) if reserved else NO_AMOUNT,
            position=self._state.position(account, symbol),
            exposure=self.exposure(account) if terms.max_exposure is not None else NO_AMOUNT,
            unsettled=unsettled,
            unreachable=unreachable,
            price=price,
            symbol=symbol,
            kinds=kinds,
            wanted=chain.wanted,
            chained=chain.filled,
            trip=self._state.standing.trip(account),
            instruments=len(self.instruments(account) - {symbol}) if terms.max_positions is not None else 0,
            carried=self._state.standing.carried.get(account, {}).get(carried_of or symbol),
            alone=account in self._state.standing.alone,
        )

    def instruments(self, account: AccountId) -> set[str]:
        """The markets that the account holds copies in, or has an entry on its way to that was sized already."""
        mine = self._state.positions.of(account)
        held = {symbol for symbol, quantity in mine.items() if not self.is_dust(account, symbol, quantity)}
        return held | {record.symbol for record in self._entries(account)}

    def prices(self, venue: str) -> dict[str, Price]:
        """The last price seen of every market: the venue's own where that is known."""
        at_venue = {symbol: seen[venue] for symbol, seen in self._at_venue.items() if venue in seen}
        return {**self._prices, **at_venue}

    def price(self, symbol: str, venue: str) -> Price | None:
        """The last price seen of a market, however old: the venue's own where that is known."""
        return self._at_venue.get(symbol, {}).get(venue) or self._prices.get(symbol)

    def exposure(self, account: AccountId) -> Amount:
        """Copied positions at the last price seen, and entries on their way. Where one has not been seen yet, as right
        after a start, all that the account owns beside its cash counts: more than is copied, never less."""
        mine, venue = self._state.positions.of(account), venue_of(account)
        priced = [(quantity, self.price(symbol, venue)) for symbol, quantity in mine.items()]
        worth = [quantity * price for quantity, price in priced if price is not None]
        if len(worth) < len(mine) and (balances := self._balances.get(account)) is not None:
            worth = [max(_total(worth), balances.equity - balances.cash)]
        # Not what is kept back of the cash: the venue keeps the cost of an order that rests back itself.
        entries = self._entries(account)
        return _total([*worth, *((r.quantity - r.filled) * r.price for r in entries if r.price is not None)])

    def _entries(self, account: AccountId) -> Iterator[OrderRecord]:
        orders = self._state.orders.of(account)
        return (r for r in orders if r.effect is Effect.ENTRY and r.state is not OrderState.DEFERRED)


def on_its_way(record: OrderRecord) -> bool:
    """Whether what the account holds will soon be known better."""
    if record.state is OrderState.ACCEPTED:
        return not record.kind.rests or record.cancel is not None
    return record.state is not OrderState.HELD


def _total(amounts: Iterable[Amount]) -> Amount:
    total = NO_AMOUNT
    for amount in amounts:
        total = total + amount
    return total
