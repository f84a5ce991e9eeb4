"""Orders of accounts that trade by themselves: the master desk's way, under the follower's own caps.

Which accounts those are is in the ledger (`IndependenceBegan`), not only in the user files: a position that was copied
leaves with the master, one that an account has bought by itself leaves by its own strategy, and neither may be taken
for the other when the mode is changed. So an account changes sides only while it holds nothing.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from copytrade.copying.limits import REASONS
from copytrade.domain.account import AccountId, FollowerTerms, Mode, venue_of
from copytrade.domain.errors import Refused
from copytrade.domain.events import Event
from copytrade.domain.independence import IndependenceBegan, IndependenceEnded
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import MasterDesk, MasterGuards, TradeRequest
from copytrade.engine.lanes import Lanes
from copytrade.engine.roster import Member
from copytrade.engine.services import Services
from copytrade.engine.tracker import Tracker
from copytrade.engine.work import RefreshEquity

_MODES = {
    Mode.CLOSE_ONLY: Reason.MODE_CLOSE_ONLY,
    Mode.PAUSED: Reason.MODE_PAUSED,
    Mode.DISARMED: Reason.MODE_DISARMED,
}


class IndependentDesk:
    """Places the orders of one account that trades by itself."""

    def __init__(
        self, services: Services, lanes: Lanes, tracker: Tracker, refresh: RefreshEquity, account: AccountId
    ) -> None:
        self._services = services
        self._refresh = refresh
        self._desk = MasterDesk(services, lanes, tracker, refresh, MasterGuards(), account)

    async def place(self, request: TradeRequest) -> OrderRecord:
        """As `MasterDesk.place`. An entry for an amount is cut to the account's caps, one of a quantity is refused
        over them; an exit meets no cap.

        Raises `Refused` besides when the account may not buy now: its mode, a limit that has tripped, its lists.
        """
        account = self._desk.account
        if account not in self._services.ledger.state.standing.alone:
            raise Refused(Reason.INDEPENDENT, f"{account} is copied to, and cannot trade by itself as well")
        if request.side is Side.BUY:
            request = await self._within_caps(request)
        return await self._desk.place(request)

    async def _within_caps(self, request: TradeRequest) -> TradeRequest:
        services, member, account = self._services, self._desk.member, self._desk.account
        instrument = services.instrument(venue_of(account), request.spelling)
        symbol = instrument.symbol if instrument else request.spelling
        if (refusal := self._refusal(member, symbol)) is not None:
            raise refusal
        balances = services.books.balances(account)
        if balances is None:
            await self._refresh(account, services.limits.equity_wait_s)
            balances = services.books.balances(account)
        if balances is None:
            return request  # the desk refuses it, and says why
        cap = self._cap(member.terms, balances.equity, balances.cash)
        self._desk.guards = MasterGuards(max_order=cap, min_cash_to_buy=services.rules.min_cash_to_buy)
        if request.usd is not None and request.usd > cap:
            request = replace(request, usd=cap)
        return request

    def _refusal(self, member: Member, symbol: str) -> Refused | None:
        services, terms = self._services, member.terms
        if not terms.enabled or member.left:
            return Refused(Reason.DISABLED, f"{terms.account} only sells what it has bought by itself")
        if terms.mode is not Mode.INDEPENDENT:
            reason = _MODES.get(terms.mode, Reason.MODE_CLOSE_ONLY)
            return Refused(reason, f"the mode of {terms.account} is {terms.mode}")
        mode, name = terms.mode_of((symbol,))
        if mode is not Mode.ACTIVE:
            return Refused(Reason.INSTRUMENT_MODE, f"{name} is {mode}")
        if (trip := services.ledger.state.standing.trip(terms.account)) is not None:
            return Refused(REASONS[trip.limit], trip.detail)
        if symbol in terms.blocked or (terms.allowed is not None and symbol not in terms.allowed):
            return Refused(Reason.NOT_ALLOWED, symbol)
        held = services.books.instruments(terms.account)
        if terms.max_positions is not None and symbol not in held and len(held) >= terms.max_positions:
            return Refused(Reason.AT_POSITION_LIMIT, f"{len(held)} of {terms.max_positions}")
        return None

    def _cap(self, terms: FollowerTerms, equity: Amount, cash: Amount) -> Amount:
        rules = self._services.rules
        caps = [equity.scaled(terms.max_user_risk), cash.scaled(1 / ((1 + rules.fee_rate) * (1 + rules.max_slippage)))]
        if terms.max_order is not None:
            caps.append(terms.max_order)
        if terms.max_exposure is not None:
            caps.append(terms.max_exposure - self._services.books.exposure(terms.account))
        return max(Amount(Decimal(0)), min(caps))


def change_of_sides(services: Services, member: Member) -> Event | str | None:
    """What has to be written down so that the account is what its user file says; what it still has to wait for, in
    words; or None where all is as it should be."""
    account = member.terms.account
    alone = account in services.ledger.state.standing.alone
    wanted = member.terms.mode is Mode.INDEPENDENT and not member.left
    if wanted is alone:
        return None
    if busy := _busy(services, account):
        if wanted:
            return f"{account} begins to trade by itself once it is out of what was copied: {busy}"
        return f"{account} is copied to again once it is out of what it bought by itself: {busy}"
    now = services.clock()
    return IndependenceBegan(account, now) if wanted else IndependenceEnded(account, now)


def _busy(services: Services, account: AccountId) -> str:
    """What the account holds that could be sold, and its open orders; "" for neither."""
    state = services.ledger.state
    held = [
        f"{quantity} {symbol}" for symbol, quantity in state.positions.of(account).items()
        if not _dust(services, account, symbol, quantity)
    ]  # fmt: skip
    held += [f"order {r.order_id}" for r in state.orders.of(account)]
    held += [f"the signal in {s.symbol}" for s in state.unplanned.values() if s.target == account]
    return ", ".join(held)


def _dust(services: Services, account: AccountId, symbol: str, quantity: Quantity) -> bool:
    """Whether the venue would not take an order to sell it."""
    instrument = services.instrument(venue_of(account), symbol)
    if instrument is None:
        return False
    rounded = quantity.rounded_down(instrument.lot_step)
    price = services.books.price(symbol, venue_of(account))
    if price is None:
        return not rounded or rounded < instrument.min_quantity
    return instrument.below_minimum(Side.SELL, rounded, price) is not None
