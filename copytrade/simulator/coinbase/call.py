"""One call on its way through the simulator, and what the venue keeps besides the exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from copytrade.simulator.coinbase.listing import BY_SYMBOL
from copytrade.simulator.coinbase.params import Query
from copytrade.simulator.coinbase.tokens import ApiKey
from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault
from copytrade.simulator.orders import Account

PRODUCT_FLAGS = (
    "trading_disabled", "is_disabled", "cancel_only", "limit_only", "post_only", "view_only", "auction_mode",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """What Coinbase does not publish, each as a choice.

    `duplicates`: a `client_order_id` that is not unique gets the order that exists (`returned`, the documented
    answer) or a failure (`refused`, a word that some lists of errors have). `id_retention_s`: how long an id is
    remembered; None is for ever. `quote_size_includes_fee`: whether the fee of a purchase by amount comes out of that
    amount or on top. `fills_lag_s`: how much later than its order a fill is listed. `open_status_alone`: whether the
    filter `OPEN` together with another status is refused. `rate_limit_shape`: `errors` or `error`, the body of a 429.
    `stop_orders`, `bracket_orders`: whether spot accounts have them. `stop_status`: what an order that waits for its
    stop price shows. `edits_configure`: whether an edited order shows its new figures as its configuration, or in its
    history of edits alone. `update_times`: whether orders show when they last changed. `stream_prices`: whether the
    stream tells prices and values, as is documented, or leaves them out, as clients report.
    """

    duplicates: str = "returned"
    id_retention_s: float | None = None
    quote_size_includes_fee: bool = True
    fills_lag_s: float = 0.1
    open_status_alone: bool = True
    rate_limit_shape: str = "errors"
    stop_orders: bool = True
    bracket_orders: bool = True
    stop_status: str = "OPEN"
    edits_configure: bool = False
    update_times: bool = True
    stream_prices: bool = True

    def __post_init__(self) -> None:
        if self.duplicates not in ("returned", "refused"):
            raise ValueError(f"duplicates is {self.duplicates!r}: give returned or refused")
        if self.rate_limit_shape not in ("errors", "error"):
            raise ValueError(f"rate_limit_shape is {self.rate_limit_shape!r}: give errors or error")
        if self.stop_status not in ("OPEN", "PENDING", "QUEUED"):
            raise ValueError(f"stop_status is {self.stop_status!r}: give OPEN, PENDING or QUEUED")
        if self.fills_lag_s < 0 or (self.id_retention_s is not None and self.id_retention_s < 0):
            raise ValueError("fills_lag_s and id_retention_s cannot be negative")


@dataclass(slots=True)
class Desk:
    """Flags of products, each order's configuration and edits, and orders whose cancel is under way."""

    rules: Rules
    flags: dict[str, set[str]] = field(default_factory=dict)
    configurations: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelling: set[str] = field(default_factory=set)
    edits: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def flagged(self, symbol: str) -> set[str]:
        """Which of `PRODUCT_FLAGS` are set on a market; a book that is shared shares them."""
        product = BY_SYMBOL[symbol]
        return self.flags.get(product.alias or product.product_id, set())


@dataclass(slots=True)
class Call:
    """A call that may be answered. `api_key` and `account` are None for a public one.

    `now_s` is when the venue works on it, which a fault may have delayed. `keep` notes an order's configuration and
    edits for the store.
    """

    exchange: Exchange
    desk: Desk
    api_key: ApiKey | None
    account: Account
    query: Query
    body: dict[str, Any]
    path_part: str
    now_s: float
    fault: Fault | None
    keep: Callable[[str], None]

    @property
    def fault_kind(self) -> str | None:
        """Kind of the fault that strikes this call."""
        return None if self.fault is None else self.fault.kind


Handler = Callable[[Call], Any]
