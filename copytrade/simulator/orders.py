"""The venue's own records: accounts, orders and fills.

Every simulated venue keeps these; each shows them in its own shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
OPEN = "open"
CLOSED = "closed"
CANCELED = "canceled"
EXPIRED = "expired"


@dataclass(slots=True)
class NewOrder:
    """An order as it reaches the matching engine, already checked against the market's rules.

    `volume` is in base units, or in quote units if `volume_in_quote` (market buys only). `limit_price` is
    None for a market order.

    With a `trigger` the order waits until the price reaches `stop_price`: a "stop" waits for a price that is
    worse for its side (a sale for a bid at or below it, a purchase for an ask at or above it), a "take_profit"
    for one that is better. From then on it is a market or a limit order like any other. With `bracket_stop` the
    limit order rests as the profit, and becomes a market order once the price is as bad as `bracket_stop`.
    `holds_at_trigger` leaves the money free until then, as some venues do; with `bracket_ends_at_fill` the first
    fill at the profit ends the watch for the loss.
    """

    account: str
    symbol: str
    side: str  # buy | sell
    volume: Decimal
    limit_price: Decimal | None = None
    volume_in_quote: bool = False
    time_in_force: str = "GTC"  # GTC | IOC | FOK | GTD
    expires_at_s: float | None = None
    post_only: bool = False
    fee_in_base: bool = False
    client_id: str | None = None
    user_ref: int | None = None
    trigger: str = ""  # "" | stop | take_profit
    stop_price: Decimal | None = None
    bracket_stop: Decimal | None = None
    holds_at_trigger: bool = False
    bracket_ends_at_fill: bool = False


@dataclass(slots=True)
class Order:
    """An accepted order. `filled` counts base units, `cost` and `fee` quote units; times are unix seconds.

    `stop_price` is the trigger as it stands now, a bracket's too; `triggered_at_s` is when the price reached it.
    """

    arrival: int
    order_id: str
    request: NewOrder
    accepted_at_s: float
    hold_asset: str
    hold: Decimal
    status: str = OPEN
    volume: Decimal = ZERO
    limit_price: Decimal | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    closed_at_s: float | None = None
    reason: str | None = None
    fills: list[int] = field(default_factory=list)
    visible_at_s: float = 0.0
    resting: bool = False
    amended: bool = False
    parts_left: int = 1
    cancel_after_fraction: Decimal | None = None
    stop_price: Decimal | None = None
    triggered_at_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status == OPEN

    @property
    def waits(self) -> bool:
        """Whether it is a triggered kind whose trigger the price has not reached: it cannot fill yet."""
        return bool(self.request.trigger) and self.triggered_at_s is None

    @property
    def armed(self) -> bool:
        """Whether the price may still trigger it: it waits, or is a bracket whose loss was not reached."""
        return self.stop_price is not None and self.triggered_at_s is None

    @property
    def working_price(self) -> Decimal | None:
        """The limit it fills at now; None for a market order and for a bracket whose stop was reached."""
        over = self.request.bracket_stop is not None and self.triggered_at_s is not None
        return None if over else self.limit_price

    @property
    def rises_to_trigger(self) -> bool:
        """Whether a rising price triggers it: a stop of a purchase, or a take-profit of a sale."""
        return (self.request.side == "buy") == (self.request.trigger != "take_profit")


@dataclass(slots=True)
class Fill:
    """One trade of one order.

    `volume` in base units, `cost` and `fee` in quote units; `fee_base` is what was taken in base instead.
    """

    number: int
    fill_id: str
    arrival: int
    time_s: float
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    fee_base: Decimal
    maker: bool


@dataclass(slots=True)
class Account:
    """One account's money and orders, in memory.

    Lists are in time order so that a lookup reads only the end it needs.
    """

    name: str
    balances: dict[str, Decimal] = field(default_factory=dict)
    holds: dict[str, Decimal] = field(default_factory=dict)
    deposited: dict[str, Decimal] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    open_by_symbol: dict[str, int] = field(default_factory=dict)
    closed_orders: list[Order] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    by_client_id: dict[str, list[Order]] = field(default_factory=dict)
    by_user_ref: dict[int, list[Order]] = field(default_factory=dict)
    hidden_until_s: float = 0.0
    cancel_all_at_s: float | None = None

    def available(self, asset: str) -> Decimal:
        """Balance less what open orders hold."""
        return self.balances.get(asset, ZERO) - self.holds.get(asset, ZERO)


def order_to_record(order: Order) -> dict[str, Any]:
    """An order as plain JSON values, for the store."""
    request = order.request
    return {
        "account": request.account, "symbol": request.symbol, "side": request.side, "asked":
        str(request.volume), "asked_price": _text(request.limit_price), "in_quote": request.volume_in_quote,
        "tif": request.time_in_force, "expires_at_s": request.expires_at_s, "post": request.post_only,
        "fee_in_base": request.fee_in_base, "client_id": request.client_id, "user_ref": request.user_ref,
        "order_id": order.order_id, "accepted_at_s": order.accepted_at_s, "hold_asset": order.hold_asset,
        "hold": str(order.hold), "status": order.status, "volume": str(order.volume), "limit_price":
        _text(order.limit_price), "filled": str(order.filled), "cost": str(order.cost), "fee": str(order.fee),
        "closed_at_s": order.closed_at_s, "reason": order.reason, "fills": order.fills, "visible_at_s":
        order.visible_at_s, "resting": order.resting, "amended": order.amended, "parts_left":
        order.parts_left, "cancel_after_fraction": _text(order.cancel_after_fraction), "trigger":
        request.trigger, "asked_stop": _text(request.stop_price), "bracket_stop": _text(request.bracket_stop),
        "holds_at_trigger": request.holds_at_trigger, "bracket_ends_at_fill":
        request.bracket_ends_at_fill, "stop_price": _text(order.stop_price),
        "triggered_at_s": order.triggered_at_s, }  # fmt: skip


def order_from_record(arrival: int, record: dict[str, Any]) -> Order:
    """The order that `order_to_record` wrote."""
    request = NewOrder(
        account=record["account"],
        symbol=record["symbol"],
        side=record["side"],
        volume=Decimal(record["asked"]),
        limit_price=_number(record["asked_price"]),
        volume_in_quote=record["in_quote"],
        time_in_force=record["tif"],
        expires_at_s=record["expires_at_s"],
        post_only=record["post"],
        fee_in_base=record["fee_in_base"],
        client_id=record["client_id"],
        user_ref=record["user_ref"],
        trigger=record.get("trigger", ""),
        stop_price=_number(record.get("asked_stop")),
        bracket_stop=_number(record.get("bracket_stop")),
        holds_at_trigger=record.get("holds_at_trigger", False),
        bracket_ends_at_fill=record.get("bracket_ends_at_fill", False),
    )
    return Order(
        arrival=arrival,
        order_id=record["order_id"],
        request=request,
        accepted_at_s=record["accepted_at_s"],
        hold_asset=record["hold_asset"],
        hold=Decimal(record["hold"]),
        status=record["status"],
        volume=Decimal(record["volume"]),
        limit_price=_number(record["limit_price"]),
        filled=Decimal(record["filled"]),
        cost=Decimal(record["cost"]),
        fee=Decimal(record["fee"]),
        closed_at_s=record["closed_at_s"],
        reason=record["reason"],
        fills=record["fills"],
        visible_at_s=record["visible_at_s"],
        resting=record["resting"],
        amended=record["amended"],
        parts_left=record["parts_left"],
        cancel_after_fraction=_number(record["cancel_after_fraction"]),
        stop_price=_number(record.get("stop_price")),
        triggered_at_s=record.get("triggered_at_s"),
    )


def fill_to_record(fill: Fill) -> dict[str, Any]:
    """A fill as plain JSON values, for the store."""
    return {
        "fill_id": fill.fill_id, "arrival": fill.arrival, "time_s": fill.time_s, "price": str(fill.price),
        "volume": str(fill.volume), "cost": str(fill.cost), "fee": str(fill.fee), "fee_base":
        str(fill.fee_base), "maker": fill.maker, }  # fmt: skip


def fill_from_record(number: int, record: dict[str, Any]) -> Fill:
    """The fill that `fill_to_record` wrote."""
    return Fill(
        number=number,
        fill_id=record["fill_id"],
        arrival=record["arrival"],
        time_s=record["time_s"],
        price=Decimal(record["price"]),
        volume=Decimal(record["volume"]),
        cost=Decimal(record["cost"]),
        fee=Decimal(record["fee"]),
        fee_base=Decimal(record["fee_base"]),
        maker=record["maker"],
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
