"""One call on its way through the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from copytrade.simulator.alpaca.errors import FORBIDDEN_BARE, NOT_AUTHORIZED, UNAUTHORIZED_BARE
from copytrade.simulator.alpaca.keys import ApiKey
from copytrade.simulator.alpaca.matching import SessionExchange
from copytrade.simulator.alpaca.params import Params
from copytrade.simulator.faults import Fault
from copytrade.simulator.orders import Account, Order

KEY_REFUSALS = {"code": NOT_AUTHORIZED, "unauthorized": UNAUTHORIZED_BARE, "forbidden": FORBIDDEN_BARE}
RATE_LIMIT_BODIES = ("json", "text")
POSITION_SYMBOLS = ("plain", "slash")
PRECISION = ("refuse", "truncate")
WASH_TRADES = ("refuse", "allow")
AGED_ORDERS = ("canceled", "expired")


@dataclass(frozen=True, slots=True)
class Unverified:
    """How the simulator behaves where Alpaca's documentation leaves it open; each can be had the other way.

    `key_refusal`: the answer to a wrong key on the trading paths (`code` 401 with a code, `unauthorized` 401 and
    `forbidden` 403 without); market data always answers `forbidden`. `duplicate_status`: of `client_order_id must be
    unique`. `rate_limit_body`: of a 429. `client_id_max`: 128, or the 48 of older pages. `position_symbols`: `BTCUSD`
    or `BTC/USD`. `too_precise`: what becomes of a tenth decimal. `order_value_max`: a cap on one crypto order in
    dollars. `fees_at_once`: crypto fees appear among the activities at once, and not at the end of the day.
    `wash_trades`: an order that could meet an open one of the same account is refused (documented, for coins too), or
    allowed. `aged_orders`: the status of one that Alpaca ends after 90 days.
    """

    key_refusal: str = "code"
    duplicate_status: int = 422
    rate_limit_body: str = "json"
    client_id_max: int = 128
    position_symbols: str = "plain"
    too_precise: str = "refuse"
    order_value_max: Decimal | None = None
    fees_at_once: bool = False
    wash_trades: str = "refuse"
    aged_orders: str = "canceled"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("key_refusal", self.key_refusal, tuple(KEY_REFUSALS)),
            ("rate_limit_body", self.rate_limit_body, RATE_LIMIT_BODIES),
            ("position_symbols", self.position_symbols, POSITION_SYMBOLS),
            ("too_precise", self.too_precise, PRECISION),
            ("wash_trades", self.wash_trades, WASH_TRADES),
            ("aged_orders", self.aged_orders, AGED_ORDERS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}: give one of {', '.join(allowed)}")


@dataclass(slots=True)
class AccountFlags:
    """What decides whether an account may trade; `set_account` changes it, and the account's own `suspend_trade`."""

    status: str = "ACTIVE"
    crypto_status: str = "ACTIVE"
    trading_blocked: bool = False
    transfers_blocked: bool = False
    account_blocked: bool = False
    suspend_trade: bool = False


@dataclass(slots=True)
class Bracket:
    """What an entry wants once it has filled; `exits` is then the engine's id of the order for both."""

    profit_price: Decimal
    loss_price: Decimal
    exits: str | None = None


@dataclass(slots=True)
class Desk:
    """What the venue keeps besides the exchange: flags of accounts, replaced orders, cancels under way, lists.

    `replaced_by` and `replaces` go from one order id to the other; `cancelling` holds the ids of cancels under way.
    `brackets` are by the entry's id, `entries_open` those whose entry has not ended; `entry_of` goes from the engine's
    id of the exits to the entry's. `legs` goes from the ids of legs to the engine's.
    """

    unverified: Unverified
    flags: dict[str, AccountFlags] = field(default_factory=dict)
    replaced_by: dict[str, str] = field(default_factory=dict)
    replaces: dict[str, str] = field(default_factory=dict)
    cancelling: set[str] = field(default_factory=set)
    brackets: dict[str, Bracket] = field(default_factory=dict)
    entries_open: set[str] = field(default_factory=set)
    entry_of: dict[str, str] = field(default_factory=dict)
    legs: dict[str, str] = field(default_factory=dict)

    def flags_of(self, account: str) -> AccountFlags:
        """The flags of an account."""
        return self.flags.setdefault(account, AccountFlags())


@dataclass(slots=True)
class PublicCall:
    """A call for market data, which for coins needs no key."""

    exchange: SessionExchange
    desk: Desk
    params: Params
    now_s: float


@dataclass(slots=True)
class Call(PublicCall):
    """A call of an account. `words` are what the path's placeholders stand for."""

    api_key: ApiKey
    account: Account
    fault: Fault | None
    seed: int
    words: tuple[str, ...] = ()

    @property
    def fault_kind(self) -> str | None:
        """Kind of the fault that strikes this call."""
        return None if self.fault is None else self.fault.kind

    @property
    def flags(self) -> AccountFlags:
        """The account's flags."""
        return self.desk.flags_of(self.account.name)

    def visible(self, order: Order) -> bool:
        """Whether look-ups show the order already."""
        return order.visible_at_s <= self.now_s


@dataclass(frozen=True, slots=True)
class Answer:
    """A status that is not 200, or a body that is none."""

    status: int
    body: Any = None


Handler = Callable[[Call], Any]
PublicHandler = Callable[[PublicCall], Any]
