"""How commands write: tables for people, JSON for programs, and errors that fit both."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

from copytrade.domain.money import plain
from copytrade.domain.order import OrderKind

_PRICE_SHOWN = Context(prec=12)  # an average of fills has 28 digits; no venue's tick asks for more than these


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_error(message: str, *, as_json: bool, kind: str = "failed", **more: Any) -> None:
    """An error in full: to standard error for people, as the one JSON value for programs."""
    if as_json:
        print_json({"error": kind, "message": message, **more})
    else:
        sys.stderr.write(f"{message}\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """A table, or a sentence when there is nothing to show."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Piped into a file or a pager there is no width to fit into: nothing is cut off there.
    console = Console(width=None if sys.stdout.isatty() else 220)
    if not rows:
        console.print(empty)
        return
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console.print(table)


def shown_price(price: Any) -> str:
    """A price for people: `50348.50017706267455458000945` as `50348.5001771`."""
    return plain(_PRICE_SHOWN.plus(Decimal(str(price))))


def shown_kind(
    kind: str, limit: str | None, stop: str | None, profit: str | None
) -> tuple[str, dict[str, str | None]]:
    """An order's kind and prices in the words of `trade`: what stands for a bracket is a bracket with its profit."""
    if profit is not None or kind == OrderKind.BRACKET:
        return "bracket", {"limit": None, "stop": stop, "take-profit": profit or limit}
    if kind in (OrderKind.TAKE_PROFIT, OrderKind.TAKE_PROFIT_LIMIT):
        return kind.replace("_", "-"), {"limit": limit, "stop": None, "take-profit": stop}
    return kind.replace("_", "-"), {"limit": limit, "stop": stop, "take-profit": None}


def clock_time(iso: str | None) -> str:
    """`2026-11-21T01:32:39.087+00:00` as `11-21 01:32:39`."""
    return "" if iso is None else iso[5:19].replace("T", " ")
