"""`trade`, and the function of the same use in the package."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.console.operations import TradeOrder, amend, cancel, trade, trade_request
from copytrade.console.output import print_error, print_json, shown_kind
from copytrade.console.running import show_error, through_worker_or_alone
from copytrade.domain.account import user_of
from copytrade.domain.errors import BadRequest, CopyTradeError
from copytrade.domain.order import OrderState
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System

Json = dict[str, Any]
_TIMEOUT_S = 120.0  # a master order whose outcome is unknown is looked up first, and then come the copies


def run_trade(paths: Paths, order: TradeOrder, venue: str | None, *, as_json: bool) -> int:
    """Returns the exit code."""
    request = order.to_json()
    if venue is not None:
        request["venue"] = venue
    try:
        trade_request(request)
    except BadRequest as error:
        print_error(str(error), as_json=as_json, kind="bad_request")
        return 2
    answer = place(paths, request)
    if show_error(answer, as_json=as_json):
        return 1
    result = answer["result"]
    if as_json:
        print_json(result)
    else:
        _print(result)
    done = result["master"]["venue_order_id"] is not None and not result["summary"]["failed"]
    return 0 if done else 1


def run_change(paths: Paths, request: Json, *, as_json: bool) -> int:
    """`cancel` and `amend`. Returns the exit code."""

    async def alone(system: System) -> Json:
        return await (cancel if request["do"] == "cancel" else amend)(system.engine, request)

    answer = through_worker_or_alone(paths, request, alone, timeout_s=_TIMEOUT_S)
    if show_error(answer, as_json=as_json):
        return 1
    result = answer["result"]
    if as_json:
        print_json(result)
        return 0
    master = result["master"]
    print(f"the master's {_what(master)} is {master['state']}, {master['filled']} filled; order {master['order_id']}")
    _print_copies(result)
    return 0


def place(paths: Paths, request: Json) -> Json:
    """Place one trade, through the worker or alone."""

    async def alone(system: System) -> Json:
        return await trade(system.engine, request)

    return through_worker_or_alone(paths, request, alone, timeout_s=_TIMEOUT_S)


def execute_master_trade(
    pair: str,
    side: str,
    usd_size: float | int | str | Decimal,
    *,
    config: Path | str = "config/copytrade.yaml",
    users: Path | str = "config/users",
    state: Path | str = "state",
    request_id: str = "",
) -> Json:
    """Place one master order for `usd_size` of the quote currency and copy it to every follower.

    With a running worker it is handed to it; without one this process does the work itself. A float is taken by its
    shortest decimal form (`100.1` is 100.1). Returns what `trade --json` prints: `master`, `signal_id`, `copies`,
    `summary`. Raises `CopyTradeError` when the master's order was not placed.
    """
    order = TradeOrder(pair, side, str(usd_size), request_id=request_id)
    request = order.to_json()
    trade_request(request)
    answer = place(Paths(Path(config), Path(users), Path(state)), request)
    if "error" in answer:
        raise CopyTradeError(answer["message"])
    result: Json = answer["result"]
    if result["master"]["venue_order_id"] is None:
        raise CopyTradeError(f"the master's order was not placed: {_why(result['master'])}")
    return result


def _why(order: Json) -> str:
    detail = f" ({order['detail']})" if order["detail"] else ""
    return f"{order['reason_text']}{detail}"


def _print(result: Json) -> None:
    master = result["master"]
    if master["venue_order_id"] is None:
        print(f"the master's {master['side']} of {master['instrument']} was not placed: {_why(master)}")
        if result.get("held_by"):
            orders = ", ".join(result["held_by"])
            print(f"    what it needs is held by {orders}, at rest at the venue: cancel or amend that first")
        return
    print(
        f"master {master['side']}s {master['quantity']} {master['instrument']} at {master['price']}"
        f" ({_money(master)})  {master['venue_order_id']}"
    )
    if master["kind"] not in ("market", "ioc_limit"):
        print(f"    {_what(master)}; order {master['order_id']}, for cancel and amend")
    _print_copies(result)


def _what(order: Json) -> str:
    kind, shown = shown_kind(order["kind"], order["limit_price"], order["stop_price"], order.get("take_profit"))
    prices = [f"{word} {price}" for word, price in shown.items() if price is not None]
    return " ".join([kind, order["side"], order["quantity"], order["instrument"], *prices])


def _print_copies(result: Json) -> None:
    summary = result["summary"]
    for copy in result["copies"]:
        user = user_of(copy["account"])
        if copy["taken_back"] is not None:
            done = f"{copy['filled']} of {copy['quantity']} filled"
            state = "on its way back" if copy["state"] == OrderState.ACCEPTED else copy["state"]
            print(f"    {user}: {state}, {done}; {copy['taken_back']}")
        elif copy["venue_order_id"] is not None:
            print(f"    {user}: {copy['quantity']} ({_money(copy)})  {copy['venue_order_id']}; {copy['reason_text']}")
        else:
            print(f"    {user}: {copy['state']}: {_why(copy)}")
    tried = summary["placed"] + summary["failed"] + summary["waiting"]
    waiting = f", waiting {summary['waiting']}" if summary["waiting"] else ""
    counts = f"Success {summary['placed']}/{tried}, failed {summary['failed']}/{tried}, skipped {summary['skipped']}"
    print(f"    {counts}{waiting}")


def _money(order: Json) -> str:
    return f"{Decimal(order['cost']):,.2f} {order['instrument'].split('/')[1]}"
