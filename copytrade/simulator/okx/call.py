"""One private call on its way through the simulator, and what the trading side keeps besides the exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault
from copytrade.simulator.okx.algobook import AlgoBook
from copytrade.simulator.okx.errors import OkxError
from copytrade.simulator.okx.keys import ApiKey
from copytrade.simulator.okx.limits import ACCOUNT_ORDERS, Windows
from copytrade.simulator.okx.params import Params
from copytrade.simulator.orders import Account, Order
from copytrade.simulator.storage import Store


@dataclass(frozen=True, slots=True)
class OrderNote:
    """What OKX shows of an order and the exchange does not keep."""

    order_type: str
    tag: str
    target: str
    size: str

    def to_record(self) -> dict[str, str]:
        return {"order_type": self.order_type, "tag": self.tag, "target": self.target, "size": self.size}

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> OrderNote:
        return cls(record["order_type"], record["tag"], record["target"], record["size"])


@dataclass(slots=True)
class TradingDesk:
    """Settings and notes of the trading side.

    `market_buy_extra` is the share above its cost that a market buy by base size needs free. `price_band` is how far
    a limit may be on the far side of the last price. `unfilled_kept_s` is how long a cancelled order without a fill
    can be looked up.
    """

    rate_limits: bool
    market_buy_extra: Decimal
    price_band: Decimal
    unfilled_kept_s: float
    store: Store | None
    algos: AlgoBook
    windows: Windows = field(default_factory=Windows)
    states: dict[str, str] = field(default_factory=dict)
    notes: dict[str, OrderNote] = field(default_factory=dict)

    def note(self, order: Order, note: OrderNote) -> None:
        """Keep a note of an accepted order."""
        self.notes[order.order_id] = note
        if self.store is not None:
            self.store.put("okx order", order.order_id, note.to_record())

    def load(self) -> None:
        """Read the notes back from the store."""
        if self.store is not None:
            self.notes = {name: OrderNote.from_record(record) for name, record in self.store.load("okx order")}


@dataclass(slots=True)
class Call:
    """A private call that has passed authentication, permission and rate limit.

    `params` is a query, or the JSON body (a list for batches). `arrived_s` is when it came in and `now_s` when the
    matching engine sees it: between them lies a delay that a fault put there. `expires_ms` is the `expTime` header.
    """

    exchange: Exchange
    desk: TradingDesk
    api_key: ApiKey
    account: Account
    body: Any
    arrived_s: float
    now_s: float
    expires_ms: int | None
    fault: Fault | None

    @property
    def params(self) -> Params:
        """The parameters of a call that takes one object. Raises OkxError."""
        if not isinstance(self.body, dict):
            raise OkxError("50002")
        return self.body

    def rows(self, most: int) -> list[Params]:
        """The parameters of a batch. Raises OkxError."""
        if not isinstance(self.body, list) or not 1 <= len(self.body) <= most:
            raise OkxError("51000", "orders")
        if not all(isinstance(row, dict) for row in self.body):
            raise OkxError("50002")
        return self.body

    @property
    def fault_kind(self) -> str | None:
        """Kind of the fault that strikes this call."""
        return None if self.fault is None else self.fault.kind

    def check_expiry(self) -> None:
        """Refuse a request whose `expTime` had passed when it came, and an order whose has passed since."""
        if self.expires_ms is None:
            return
        if self.expires_ms <= self.arrived_s * 1000:
            raise OkxError("50036")
        if self.expires_ms <= self.now_s * 1000:
            raise OkxError("50037")

    def count_order(self) -> None:
        """Count a new or amended order of the account. Raises OkxError."""
        scope = ("orders of", self.account.name)
        if self.desk.rate_limits and not self.desk.windows.allows(scope, ACCOUNT_ORDERS, self.now_s):
            raise OkxError("50061")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an answer to operations on orders: each with its own `sCode`."""

    rows: list[dict[str, Any]]


Handler = Callable[[Call], list[Any] | Rows]
