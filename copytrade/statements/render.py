"""A statement (as `statement_json` gives it) as CSV, and as one page of HTML that needs nothing else."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from html import escape
from typing import Any

Json = dict[str, Any]

COLUMNS = (
    "account", "month", "section", "at", "instrument", "side", "quantity", "price", "amount", "fee", "currency", "item",
)  # fmt: skip
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #8884; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .notes { font-size: 13px; }
@media print { body { margin: 0; max-width: none; } }
"""


def to_csv(statements: Sequence[Json]) -> str:
    """One line for each trade, payment and figure, told apart by `section`; all accounts in one file."""
    out = _Text()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for statement in statements:
        same = {"account": statement["account"], "month": statement["month"]}
        for row in _rows(statement):
            writer.writerow({**same, **{name: "" if value is None else value for name, value in row.items()}})
    return "".join(out.parts)


class _Text:
    """Where the writer of CSV writes to."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, part: str) -> int:
        self.parts.append(part)
        return len(part)


def _rows(s: Json) -> Iterable[Json]:
    currency = s["currency"]
    for trade in s["trades"]:
        yield {
            "section": "trade", "at": trade["at"], "instrument": trade["instrument"], "side": trade["side"],
            "quantity": trade["quantity"], "price": trade["price"], "amount": trade["cost"], "fee": trade["fee"],
            "currency": trade["currency"], "item": trade["order_id"],
        }  # fmt: skip
    for payment in s["payments"]["rows"]:
        yield {"section": "payment", "at": payment["at"], "amount": payment["amount"], "currency": currency}
    for row in s["instruments"]:
        held = {"quantity": row["quantity"], "price": row["price"], "at": row["priced_at"]}
        for item in ("bought", "sold", "fees", "realised", "unrealised", "profit"):
            more = held if item == "unrealised" else {}
            yield {"section": "instrument", "instrument": row["instrument"], "item": item, "amount": row[item],
                   "currency": row["currency"], **more}  # fmt: skip
    for row in s["totals"]:
        for item in ("bought", "sold", "fees", "realised", "unrealised", "profit"):
            yield {"section": "total", "item": item, "amount": row[item], "currency": row["currency"]}
    for item, value in s["return"].items():
        yield {"section": "return", "item": item, "amount": value}
    for cause in s["causes"]:
        yield {"section": "cause", "instrument": cause["instrument"], "item": cause["cause"],
               "quantity": cause["quantity"], "amount": cause["value"], "currency": currency}  # fmt: skip
    for item, value in (s["fee"] or {}).items():
        yield {"section": "performance fee", "item": item, "amount": value, "currency": currency}


def to_html(statements: Sequence[Json]) -> str:
    """One page for all of them. Every text is escaped; there is no script in it and nothing is fetched."""
    month = statements[0]["month"] if statements else ""
    body = "".join(_page(statement) for statement in statements) or "<p>No account.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Statement {escape(month)}</title><style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _page(s: Json) -> str:
    currency, returns, fee = s["currency"], s["return"], s["fee"]
    opening, closing = s["equity"]["opening"], s["equity"]["closing"]
    parts = [f"<h1>{escape(s['name'] or s['account'])}: {escape(s['month'])}</h1><p>{escape(s['account'])}</p>"]
    parts.append(_table(
        "Summary", ("", currency),
        [
            ("Equity at the start", money(opening and opening["equity"])),
            (f"Paid in less paid out ({s['payments']['source']})", money(s["payments"]["total"])),
            ("Equity at the end", money(closing and closing["equity"])),
            ("Return, time-weighted", percent(returns["own"])),
            ("Return of the master over the same time", percent(returns["master"])),
            ("Difference", percent(returns["difference"])),
            (f"Tracking error (deviation of {returns['days']} days)", percent(returns["tracking_error_daily"])),
        ],
    ))  # fmt: skip
    if fee is not None:
        parts.append(_table(
            "Performance fee", ("", currency),
            [
                ("High-water mark, payments taken in", money(fee["high_water"])),
                ("Equity", money(fee["equity"])), ("Gain above the mark", money(fee["gain"])),
                (f"Fee at {percent(fee['rate'])}, by the {fee['period']}" + ("" if fee["due"] else ": not due yet"),
                 money(fee["amount"])),
                ("High-water mark from now on", money(fee["high_water_after"])),
            ],
        ))  # fmt: skip
    names = ("trades", "bought", "sold", "fees", "realised", "unrealised", "profit")
    totals = [(f"All in {r['currency']}", "", *_figures(r, names), "") for r in s["totals"]]
    instruments = [(r["instrument"], r["quantity"], *_figures(r, names), money(r["price"])) for r in s["instruments"]]
    heads = ("Instrument", "Held", *(name.capitalize() for name in names), "Price")
    parts.append(_table(f"Profit by instrument ({s['cost_method']} cost)", heads, [*instruments, *totals]))
    causes = [(f"{c['instrument']}: {c['cause']}", c["quantity"], money(c["value"])) for c in s["causes"]]
    parts.append(_table("Why the position is not the master's", ("Cause", "Quantity", currency), causes))
    payments = [(p["at"][:16].replace("T", " "), money(p["amount"])) for p in s["payments"]["rows"]]
    parts.append(_table("Payments", ("When (UTC)", currency), payments))
    trades = [
        (t["at"][:19].replace("T", " "), t["instrument"], t["side"], t["quantity"], money(t["price"]),
         money(t["cost"]), money(t["fee"]), t["currency"])
        for t in s["trades"]
    ]  # fmt: skip
    heads = ("When (UTC)", "Instrument", "Side", "Quantity", "Price", "Cost", "Fee", "Currency")
    parts.append(_table("Trades", heads, trades))
    if s["notes"]:
        parts.append(f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in s["notes"])}</ul>')
    return f"<section>{''.join(parts)}</section>"


def _figures(row: Json, names: Iterable[str]) -> list[str]:
    return [str(row[name]) if name == "trades" else money(row[name]) for name in names]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<h2>{escape(title)}</h2><div class="wide"><table><tr>{head}</tr>{lines}</table></div>'


def money(value: str | None) -> str:
    """Two digits behind the point; an en dash where nothing is known."""
    if value is None:
        return "\N{EN DASH}"
    return f"{Decimal(value).quantize(Decimal('0.01'), rounding=ROUND_HALF_EVEN):,}"


def percent(value: str | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{(Decimal(value) * 100).quantize(Decimal('0.01'), rounding=ROUND_HALF_EVEN)} %"
