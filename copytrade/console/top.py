"""`top`: the followers and their lanes in the terminal, live; piped, printed once.

What only the worker knows (lanes, modes in force, who is connected) it is asked for over its socket; the rest, and
all of it when there is no worker, comes from the ledger's file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from copytrade.console.control import ask
from copytrade.console.output import clock_time, print_error, print_json, shown_price
from copytrade.domain.errors import LedgerError
from copytrade.domain.reasons import Reason
from copytrade.engine.killswitch import KillSwitch
from copytrade.ledger.reader import LedgerReader
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System

if TYPE_CHECKING:
    from rich.console import Group

Json = dict[str, Any]

_ASK_TIMEOUT_S = 5.0
_SIGNALS = 6
# Lanes in the order in which somebody should look at them.
_URGENCY = {"parked": 0, "held": 1, "down": 2, "busy": 3, "connecting": 4, "ready": 5, "off": 6, "": 7}
_COLOURS = {"parked": "bold red", "held": "bold red", "down": "red", "busy": "cyan", "connecting": "yellow",
            "ready": "green", "off": "dim"}  # fmt: skip
_MODES = {"active": "", "close_only": "yellow", "paused": "yellow", "disarmed": "red", "disabled": "dim", "left": "dim"}
_FIXED_LINES = 8  # headings, blanks and the foot, beside the followers and the signals


def live_rows(system: System, redact: Callable[[str], str] = str) -> Json:
    """What the worker answers: every account as it stands, and figures for the head."""
    from copytrade.console.web.sources import EngineSources

    settings = system.settings
    sources = EngineSources(system.engine, settings.mode, settings.master.strategy, redact)
    rows = [
        {
            "account": row.account, "mode": row.mode, "equity": row.equity, "currency": row.currency,
            "lane": row.lane, "lane_text": row.lane_text, "depth": row.depth, "positions": row.positions,
        }
        for row in sources.accounts()
    ]  # fmt: skip
    return {
        "mode": settings.mode, "strategy": settings.master.strategy, "kill_switch": sources.kill_state(),
        "sending": system.engine.services.sends_in_flight, "accounts": rows,
    }  # fmt: skip


def run_top(paths: Paths, every_s: float, *, once: bool, as_json: bool) -> int:
    """Show it until interrupted; once when piped, with `once`, or as JSON."""
    try:
        if as_json:
            print_json(look(paths))
            return 0
        from rich.console import Console
        from rich.live import Live

        live = sys.stdout.isatty() and not once
        console = Console() if sys.stdout.isatty() else Console(width=140)
        if not live:
            console.print(_screen(look(paths), lines=None))
            return 0
        with Live(console=console, screen=True, auto_refresh=False) as shown:
            while True:
                shown.update(_screen(look(paths), lines=console.size.height - _FIXED_LINES), refresh=True)
                time.sleep(every_s)
    except KeyboardInterrupt:
        return 0
    except LedgerError as error:
        print_error(str(error), as_json=as_json)
        return 1


def look(paths: Paths) -> Json:
    """Everything on the screen, as it is now. Raises `LedgerError`."""
    from_ledger = _from_ledger(paths)
    live = _from_worker(paths)
    if live is None:
        kill = KillSwitch(paths.state, os.environ).look().value if paths.state.is_dir() else "off"
        live = {"mode": "", "strategy": "", "kill_switch": kill, "sending": 0, "accounts": from_ledger["accounts"]}
        live["worker"] = "not running"
    else:
        live["worker"] = "running"
    last = from_ledger["last"]
    for row in live["accounts"]:
        row["last"] = last.get(row["account"])
    live["accounts"].sort(key=lambda row: (_URGENCY.get(row["lane"], 7), row["account"]))
    return {**live, "signals": from_ledger["signals"], "held_exits": from_ledger["held"]}


def _from_worker(paths: Paths) -> Json | None:
    try:
        answer = ask(paths.socket, {"do": "top"}, _ASK_TIMEOUT_S)
    except TimeoutError:
        return None
    if answer is None or "result" not in answer:
        return None
    result: Json = answer["result"]
    return result


def _from_ledger(paths: Paths) -> Json:
    found: Json = {"accounts": [], "signals": [], "last": {}, "held": 0}
    if not paths.ledger.exists():
        return found
    with LedgerReader(paths.ledger) as ledger:
        found["signals"] = ledger.signals(limit=_SIGNALS)
        parked = {row["account"]: row for row in ledger.parked()}
        positions: dict[str, int] = {}
        for row in ledger.positions():
            positions[row["account"]] = positions.get(row["account"], 0) + 1
        held = ledger.held_exits()
        found["held"] = len(held)
        with_held = {order["account"] for order in held}
        for row in ledger.balances():
            account = row["account"]
            park = parked.get(account)
            found["accounts"].append(
                {
                    "account": account, "mode": "", "equity": row["equity"], "currency": row["currency"],
                    "lane": "parked" if park else "held" if account in with_held else "",
                    "lane_text": "" if park is None else f"{Reason(park['reason']).text} {park['detail']}".strip(),
                    "depth": 0, "positions": positions.get(account, 0),
                }
            )  # fmt: skip
        for order in ledger.orders(limit=2_000)[::-1]:
            found["last"][order["account"]] = {
                "at": order["planned_at"], "side": order["side"], "symbol": order["symbol"], "state": order["state"]
            }
    return found


# -- what it looks like ------------------------------------------------------------------------------------------------


def _screen(seen: Json, lines: int | None) -> Group:
    """The whole screen; `lines` is how many there are for followers and signals, None for as many as it takes."""
    from rich.console import Group
    from rich.text import Text

    room = None if lines is None else max(3, lines - min(len(seen["signals"]), _SIGNALS))
    shown = seen["accounts"] if room is None else seen["accounts"][:room]
    counts: dict[str, int] = {}
    for row in seen["accounts"]:
        counts[row["lane"] or "known"] = counts.get(row["lane"] or "known", 0) + 1
    head = Text.assemble(
        ("copytrade ", "bold"), f"{seen['mode']} ".lstrip(), f"worker {seen['worker']}",
        f"; strategy {seen['strategy']}" if seen["strategy"] else "", "; kill switch ",
        (seen["kill_switch"], "green" if seen["kill_switch"] == "off" else "bold red"),
        f"; {seen['sending']} on the wire" if seen["sending"] else "",
        (f"; {seen['held_exits']} exits held", "bold red") if seen["held_exits"] else "",
    )  # fmt: skip
    foot = ", ".join(f"{count} {lane}" for lane, count in sorted(counts.items())) or "no accounts yet"
    hidden = len(seen["accounts"]) - len(shown)
    more = f"; {hidden} more do not fit: those that need a look come first" if hidden else ""
    return Group(head, _accounts(shown), Text(foot + more, "dim"), _signals(seen["signals"]))


def _accounts(rows: list[Json]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=False)
    for name, justify in (("account", "left"), ("mode", "left"), ("lane", "left"), ("waiting", "right"),
                          ("equity", "right"), ("positions", "right"), ("last order", "left")):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        last = row["last"]
        lane = Text(row["lane"], _COLOURS.get(row["lane"], ""))
        if row["lane_text"] and row["lane"] in ("parked", "down"):
            lane.append(f" {row['lane_text'][:60]}", "dim")
        table.add_row(
            Text(row["account"]),
            Text(row["mode"], _MODES.get(row["mode"], "")),
            lane,
            Text(str(row["depth"]) if row["depth"] else ""),
            Text(f"{Decimal(row['equity']):,.2f} {row['currency']}" if row["equity"] else ""),
            Text(str(row["positions"]) if row["positions"] else ""),
            Text("" if last is None else f"{clock_time(last['at'])} {last['side']} {last['symbol']} {last['state']}"),
        )
    return table


def _signals(signals: list[Json]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=False)
    for name in ("signal", "what", "", "instrument", "price", "copies"):
        table.add_column(name, no_wrap=True)
    for each in signals:
        copies = ", ".join(f"{count} {state}" for state, count in each["copies"].items())
        table.add_row(
            Text(clock_time(each["at"])), Text(each["kind"]), Text(f"{each['side']} {each['quantity']}"),
            Text(each["symbol"]), Text(shown_price(each["price"])), Text(copies),
        )  # fmt: skip
    return table
