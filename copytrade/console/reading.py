"""`status`, `signals`, `copies`, `positions`, `users`: read from the ledger file, with or without a worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.console.control import socket_path
from copytrade.console.output import clock_time, print_error, print_json, print_table, shown_kind, shown_price
from copytrade.domain.account import user_of
from copytrade.domain.errors import LedgerError
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.engine.killswitch import KillSwitch
from copytrade.ledger.reader import LedgerReader
from copytrade.wiring.paths import Paths

Json = dict[str, Any]
_LOOK_BACK = 100  # signals; only ends of resting orders ask for no copy, and beginnings come as often


def run_status(paths: Paths, *, as_json: bool) -> int:
    kill = KillSwitch(paths.state, os.environ)
    head: Json = {
        "worker": "running" if _worker_runs(paths) else "not running",
        "kill_switch": kill.look().value if paths.state.is_dir() else "off",
        "ledger": str(paths.ledger),
    }

    def read(ledger: LedgerReader) -> Json:
        counts = ledger.counts()
        open_orders = ledger.open_orders()
        by_state: dict[str, int] = {}
        for order in open_orders:
            by_state[order["state"]] = by_state.get(order["state"], 0) + 1
        return {
            **head, "signals": counts["signals"], "orders": counts["orders"], "open": by_state,
            "ended": {s: n for s, n in counts["orders_by_state"].items() if OrderState(s).final},
            "held_exits": [_order(o) for o in ledger.held_exits()], "parked": ledger.parked(),
            "positions": len(ledger.positions()), "last_signal": next(iter(ledger.signals(limit=1)), None),
        }  # fmt: skip

    def show(status: Json) -> None:
        print(f"worker: {status['worker']}; kill switch: {status['kill_switch']}; ledger: {status['ledger']}")
        if "signals" not in status:
            print("nothing has happened yet")
            return
        print(f"signals: {status['signals']}; orders: {status['orders']} ({_counted(status['ended'])})")
        print(f"on their way: {_counted(status['open']) or 'none'}; positions: {status['positions']}")
        for order in status["held_exits"]:
            print(f"!! held exit: {order['account']} {order['quantity']} {order['symbol']}: {order['reason_text']}")
        for account in status["parked"]:
            print(f"!! parked: {account['account']}: {Reason(account['reason']).text} ({account['detail']})")

    return _read(paths, read, show, as_json=as_json, empty=head)


def run_signals(paths: Paths, limit: int, *, as_json: bool) -> int:
    def read(ledger: LedgerReader) -> list[Json]:
        return ledger.signals(limit=limit)

    def show(signals: list[Json]) -> None:
        rows = [
            (
                clock_time(s["at"]), s["signal_id"], s["kind"], s["side"], s["quantity"], s["symbol"],
                shown_price(s["price"]), _counted(s["copies"]),
            )
            for s in signals
        ]  # fmt: skip
        columns = ("at (UTC)", "signal", "what", "side", "quantity", "instrument", "price", "copies")
        print_table("Signals, newest first", columns, rows, "no signals yet")

    return _read(paths, read, show, as_json=as_json, empty=[])


def run_copies(
    paths: Paths, signal: str | None, user: str | None, state: str | None, limit: int, *, as_json: bool,
    times: bool = False,
) -> int:  # fmt: skip
    if state is not None and state not in [s.value for s in OrderState]:
        choices = ", ".join(s.value for s in OrderState)
        print_error(f"--in is {state!r}: give one of {choices}", as_json=as_json, kind="bad_request")
        return 2

    def read(ledger: LedgerReader) -> list[Json]:
        wanted = signal
        if signal == "last":
            wanted = _last_answered(ledger)
        found = ledger.copies(signal_id=wanted, state=state, limit=100_000 if user else limit)
        if user is not None:
            found = [c for c in found if user_of(c["account"]) == user or c["account"] == user]
        signals = {c["signal_id"]: ledger.signal(c["signal_id"]) for c in found[:limit]}
        return [
            {
                **_order(copy), "hops_ms": hops_ms(signals[copy["signal_id"]], copy),
                "cancelled_ms": _cancelled_ms(signals[copy["signal_id"]], copy),
            }
            for copy in found[:limit]
        ]  # fmt: skip

    nothing = "no copies yet" if signal is user is state is None else "no such copies"

    def show(copies: list[Json]) -> None:
        if times:
            hops = [
                (
                    clock_time(c["planned_at"]), c["account"], c["side"], c["symbol"], c["state"],
                    *(_ms(c["hops_ms"][hop]) for hop in HOPS), _ms(c["cancelled_ms"]),
                )
                for c in copies
            ]  # fmt: skip
            title = "Copies, newest first; milliseconds since the master's order was accepted, amended or over"
            head = ("at (UTC)", "account", "side", "instrument", "state", *HOPS, "cancelled")
            print_table(title, head, hops, nothing)
            return
        rows = [
            (
                clock_time(c["planned_at"]), c["account"], c["side"], c["state"], c["quantity"], c["symbol"],
                c["filled"], c["venue_order_id"], _why(c),
            )
            for c in copies
        ]  # fmt: skip
        columns = ("at (UTC)", "account", "side", "state", "quantity", "instrument", "filled", "order", "why")
        print_table("Copies, newest first", columns, rows, nothing)

    return _read(paths, read, show, as_json=as_json, empty=[])


HOPS = ("durable", "planned", "sent", "acknowledged", "filled")


def hops_ms(signal: Json | None, copy: Json) -> dict[str, float | None]:
    """When a copy came to each point of its way, in milliseconds since the venue accepted the master's order.

    `durable` is when the signal was on its way to the disk. None where the copy has not been, or never will be.
    """
    times = {
        "durable": None if signal is None else signal["written_at"], "planned": copy["planned_at"],
        "sent": copy["sent_at"], "acknowledged": copy["acked_at"],
        "filled": copy["ended_at"] if copy["state"] == OrderState.FILLED else None,
    }  # fmt: skip
    if signal is None:
        return dict.fromkeys(HOPS)
    return {hop: None if at is None else _since(signal, at) for hop, at in times.items()}


def _cancelled_ms(signal: Json | None, copy: Json) -> float | None:
    """When the venue had ended a copy that did not fill, or not all of it; counted as `hops_ms`."""
    if signal is None or copy["state"] != OrderState.CANCELLED or copy["ended_at"] is None:
        return None
    return _since(signal, copy["ended_at"])


def _since(signal: Json, at: str) -> float:
    return round((datetime.fromisoformat(at) - datetime.fromisoformat(signal["at"])).total_seconds() * 1000, 1)


def _last_answered(ledger: LedgerReader) -> str:
    """The newest signal with copies. The end of a resting order is a signal too, and often asks for none."""
    signals = ledger.signals(limit=_LOOK_BACK)
    answered = (signal["signal_id"] for signal in signals if signal["copies"])
    return next(answered, signals[0]["signal_id"] if signals else "")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def run_orders(paths: Paths, limit: int, *, as_json: bool) -> int:
    def read(ledger: LedgerReader) -> list[Json]:
        return [_order(order) for order in ledger.orders(role="master", limit=limit)]

    def show(orders: list[Json]) -> None:
        rows = []
        for o in orders:
            kind, prices = shown_kind(o["kind"], o["limit_price"], o["stop_price"], o["profit"])
            at = clock_time(o["planned_at"])
            terms = (at, o["order_id"], o["side"], kind, o["quantity"], o["symbol"])
            rows.append((*terms, *prices.values(), o["state"], o["filled"]))
        columns = (
            "at (UTC)", "order", "side", "kind", "quantity", "instrument", "limit", "stop", "take-profit", "state",
            "filled",
        )  # fmt: skip
        print_table("The master's orders, newest first", columns, rows, "no orders yet")

    return _read(paths, read, show, as_json=as_json, empty=[])


def run_positions(paths: Paths, user: str | None, *, as_json: bool) -> int:
    def read(ledger: LedgerReader) -> list[Json]:
        return [p for p in ledger.positions() if user is None or user in (user_of(p["account"]), p["account"])]

    def show(positions: list[Json]) -> None:
        rows = [(p["account"], p["symbol"], p["quantity"]) for p in positions]
        nothing = "everybody is flat" if user is None else f"no copied position of {user}"
        print_table("Positions", ("account", "instrument", "quantity"), rows, nothing)

    return _read(paths, read, show, as_json=as_json, empty=[])


def run_users(paths: Paths, *, as_json: bool) -> int:
    from copytrade.settings.faults import SettingsError
    from copytrade.settings.load import load

    try:
        loaded = load(paths.config, paths.users, os.environ, paths.dotenv)
    except SettingsError as error:
        print_error(str(error), as_json=as_json)
        return 1
    balances = _balances(paths)
    users = [
        {
            **user.model_dump(mode="json"),
            "account": user.account,
            "equity": balances.get(user.account, {}).get("equity"),
            "equity_at": balances.get(user.account, {}).get("at"),
        }
        for user in loaded.users
    ]
    if as_json:
        print_json(users)
        return 0
    rows = [
        (
            u["account"], u["name"], _modes(u), u["multiplier"],
            u["max_user_risk"] or loaded.settings.copying.max_user_risk, _two_digits(u["equity"]),
            clock_time(u["equity_at"]),
        )
        for u in users
    ]  # fmt: skip
    columns = ("account", "name", "mode", "multiplier", "max risk", "equity", "read at (UTC)")
    print_table("Followers", columns, rows, f"no followers in {paths.users}")
    return 0


def _modes(user: dict[str, Any]) -> str:
    """The follower's, and those of single instruments."""
    own = user["mode"] if user["enabled"] else "not enabled"
    return "; ".join([own, *(f"{symbol} {mode}" for symbol, mode in sorted(user["instruments"]["modes"].items()))])


def _read(
    paths: Paths, read: Callable[[LedgerReader], Any], show: Callable[[Any], None], *, as_json: bool, empty: Any
) -> int:
    if not paths.ledger.exists():
        found = empty
    else:
        try:
            with LedgerReader(paths.ledger) as ledger:
                found = read(ledger)
        except LedgerError as error:
            print_error(str(error), as_json=as_json)
            return 1
    if as_json:
        print_json(found)
    else:
        show(found)
    return 0


def _order(record: Json) -> Json:
    back = record["cancel"]
    taken_back = None if back is None else Reason(back).text
    return {**record, "reason_text": Reason(record["reason"]).text, "taken_back": taken_back}


def _why(order: Json) -> str:
    because = order["reason_text"] + (f" ({order['detail']})" if order["detail"] else "")
    return because if order["taken_back"] is None else f"{order['taken_back']}; sized: {because}"


def _balances(paths: Paths) -> dict[str, Json]:
    if not paths.ledger.exists():
        return {}
    try:
        with LedgerReader(paths.ledger) as ledger:
            return {row["account"]: row for row in ledger.balances()}
    except LedgerError:
        return {}


def _worker_runs(paths: Paths) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(os.fspath(socket_path(paths.socket)))
        except OSError:
            return False
    return True


def _counted(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _two_digits(value: str | None) -> str:
    return "" if value is None else f"{Decimal(value):,.2f}"
