"""`statement`: one user's month, read from the ledger."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.console.output import print_error, print_json, print_table
from copytrade.copying.drift import DriftFold
from copytrade.domain.account import AccountId, user_of
from copytrade.domain.errors import LedgerError
from copytrade.domain.money import parse_decimal
from copytrade.domain.writing_off import WrittenOff
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.store import Ledger
from copytrade.settings.faults import SettingsError
from copytrade.settings.load import load
from copytrade.settings.model import Settings
from copytrade.statements.fees import FeePeriod
from copytrade.statements.payments import inferred, listed
from copytrade.statements.profit import CostMethod, Valued
from copytrade.statements.render import money, percent, to_csv, to_html
from copytrade.statements.statement import Cause, Facts, Terms, make_statement, statement_json
from copytrade.statements.values import Gone, Month, Payment, Point, Trade
from copytrade.wiring.paths import Paths

FORMS = ("text", "json", "csv", "html")
_PAGE = 200  # signals at a time
_DOLLARS = frozenset({"USD", "USDC", "USDT"})

Json = dict[str, Any]


class Unusable(ValueError):
    """What was asked for cannot be done; the text says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A `statement` as it was typed."""

    user: str
    month: str | None
    form: str
    payments: Path | None
    prices: Sequence[str]


def run_statement(paths: Paths, asked: Asked, now: datetime | None = None) -> int:
    """Print the statements of a user's accounts (`all`: of all users). Exit code 1 where there is nothing to tell."""
    now = now or datetime.now(UTC)
    as_json = asked.form == "json"
    try:
        month = Month.of(now) if asked.month is None else Month.parse(asked.month)
        prices = _typed_prices(asked.prices)
        told = {} if asked.payments is None else _listed(asked.payments)
    except ValueError as error:
        print_error(str(error), as_json=as_json, kind="bad_request")
        return 2
    try:
        loaded = load(paths.config, paths.users, os.environ, paths.dotenv)
        names = {str(user.account): user.name for user in loaded.users}
        with LedgerReader(paths.ledger) as reader, Ledger.open(paths.ledger, read_only=True) as ledger:
            source = _Source(reader, ledger, loaded.settings, month, now, prices, told)
            accounts = source.accounts(asked.user, names)
            statements = [source.statement(account, names.get(account, "")) for account in accounts]
    except (LedgerError, SettingsError, Unusable) as error:
        print_error(str(error), as_json=as_json)
        return 1
    if as_json:
        print_json(statements)
    elif asked.form in ("csv", "html"):
        sys.stdout.write((to_csv if asked.form == "csv" else to_html)(statements))
    else:
        for statement in statements:
            _show(statement)
    return 0


def _typed_prices(typed: Sequence[str]) -> dict[str, Decimal]:
    found = {}
    for each in typed:
        symbol, _, price = each.partition("=")
        try:
            found[symbol.upper()] = parse_decimal(price)
        except ValueError:
            found[symbol.upper()] = Decimal(0)
        if not symbol or found[symbol.upper()] <= 0:
            raise ValueError(f"--price is {each!r:.80}: write it like BTC/USD=60000")
    return found


def _listed(file: Path) -> dict[str, list[Payment]]:
    try:
        return listed(file.read_text(encoding="utf-8-sig"), str(file))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None


class _Source:
    """The facts about accounts, from one ledger."""

    def __init__(
        self, reader: LedgerReader, ledger: Ledger, settings: Settings, month: Month, now: datetime,
        prices: Mapping[str, Decimal], told: Mapping[str, Sequence[Payment]],
    ) -> None:  # fmt: skip
        self._reader = reader
        self._ledger = ledger
        self._month = month
        self._now = now
        self._prices = prices
        self._told = told
        self._first = Month.of(datetime.fromisoformat(reader.counts()["created_at"]))
        self._master = f"{settings.master.venue}:master"
        fees = settings.fees
        self._terms = Terms(fees.performance, FeePeriod(fees.period), CostMethod(fees.cost_method))
        self._latest = {str(row["account"]): row for row in reader.balances()}

    def accounts(self, user: str, names: Mapping[str, str]) -> list[str]:
        """The accounts that are meant. Raises `Unusable`."""
        both = dict.fromkeys([*names, *self._latest])
        known = [account for account in both if user_of(AccountId(account)) != "master"]
        found = [a for a in known if user in ("all", a, user_of(AccountId(a)))]
        if not found:
            users = sorted({user_of(AccountId(account)) for account in known})
            shown = ", ".join(users[:20]) + (", ..." if len(users) > 20 else "")
            raise Unusable(f"{user!r} is in no user file and not in the ledger; there are {shown or 'none'}")
        return found

    def statement(self, account: str, name: str) -> Json:
        points, currency, notes = self._points(account, self._first)
        trades = self._trades(account)
        after = self._valued(trades, min(self._now, self._month.end))
        master_points, master_currency, _ = self._points(self._master, self._month, with_before=True)
        flat = [point for month in sorted(master_points) for point in master_points[month]]
        causes = self._causes(AccountId(account), after)
        payments, source = self._payments(account, points, trades, currency)
        master_payments, _ = self._payments(self._master, master_points, self._trades(self._master), master_currency)
        facts = Facts(
            account=account, name=name, month=self._month, currency=currency, as_of=self._now, trades=trades,
            points=points, payments=payments, payments_source=source, master=flat, master_payments=master_payments,
            prices_before=self._valued(trades, self._month.start, typed=False), prices_after=after, causes=causes,
            gone=[Gone(each.at, each.symbol, each.quantity.value) for each in self._gone(AccountId(account))],
            notes=notes,
        )  # fmt: skip
        return statement_json(make_statement(facts, self._terms))

    def _points(
        self, account: str, first: Month, *, with_before: bool = False
    ) -> tuple[dict[Month, list[Point]], str, list[str]]:
        """Readings by month, in the currency of the latest one."""
        if with_before:
            first = Month.of(datetime.fromordinal(first.start.toordinal() - 1).replace(tzinfo=UTC))
        rows = {
            month: self._reader.equity_history(account, month.start, month.last) for month in first.through(self._month)
        }
        latest = self._latest.get(account)  # read between two notes of the history
        if latest is not None and Month.of(datetime.fromisoformat(latest["at"])) == self._month:
            rows[self._month] = [row for row in rows[self._month] if row["at"] < latest["at"]] + [latest]
        currencies = [row["currency"] for month in rows for row in rows[month]]
        if not currencies:
            return {}, "", []
        current = currencies[-1]
        notes = []
        if others := sorted(set(currencies) - {current}):
            notes.append(f"readings of its equity in {', '.join(others)} are left out: the latest is in {current}")
        points = {
            month: [
                Point(datetime.fromisoformat(row["at"]), Decimal(row["equity"]), Decimal(row["cash"]))
                for row in found
                if row["currency"] == current
            ]
            for month, found in rows.items()
        }
        return {month: found for month, found in points.items() if found}, current, notes

    def _trades(self, account: str) -> list[Trade]:
        trades = [
            Trade(
                datetime.fromisoformat(row["ended_at"] or row["acked_at"] or row["planned_at"]), row["order_id"],
                row["symbol"], row["side"] == "buy", Decimal(row["filled"]), Decimal(row["cost"]),
                Decimal(row["fee"]), Decimal(row["fee_base"]),
            )
            for row in self._reader.fills(account)
        ]  # fmt: skip
        return sorted(trades, key=lambda trade: (trade.at, trade.order_id))

    def _payments(
        self, account: str, points: Mapping[Month, Sequence[Point]], trades: Sequence[Trade], currency: str
    ) -> tuple[list[Payment], str]:
        """The operator's list where it knows the account, else what the readings say."""
        if account in self._told:
            return list(self._told[account]), "listed"
        ours = [t for t in trades if t.currency == currency or {t.currency, currency} <= _DOLLARS]
        return inferred([point for month in sorted(points) for point in points[month]], ours), "inferred"

    def _valued(self, trades: Sequence[Trade], at: datetime, *, typed: bool = True) -> dict[str, Valued]:
        """The price of each market that the account ever traded in, last before `at`."""
        found = {}
        for symbol in sorted({trade.symbol for trade in trades}):
            if typed and symbol in self._prices:
                found[symbol] = Valued(self._prices[symbol], None)
            elif (row := self._reader.price_before(symbol, at)) is not None:
                found[symbol] = Valued(Decimal(row["price"]), datetime.fromisoformat(row["at"]))
        return found

    def _causes(self, account: AccountId, prices: Mapping[str, Valued]) -> list[Cause]:
        """Drift at the end of the month, by cause."""
        steps: dict[str, Decimal] = {}
        for row in self._reader.orders(account=account, limit=1000):
            finest = Decimal(1).scaleb(int(Decimal(row["quantity"]).as_tuple().exponent))
            steps[row["symbol"]] = min(finest, steps.get(row["symbol"], finest))
        fold = DriftFold(lambda symbol: steps.get(symbol, Decimal(0)))
        gone = [each for each in self._gone(account) if each.at < self._month.end]
        after = 0
        while page := self._ledger.history(account, after, _PAGE):
            for after, signal, master, copies in page:
                fold.written_off(gone, after)
                if signal.at >= self._month.end:
                    return _told_causes(fold, prices)
                if signal.kind.follows_up:
                    for first in fold.resting:
                        if first.master_order_id == signal.master_order_id:
                            fold.renew(first, self._ledger.copies_of(first.signal_id, account))
                fold.take(signal, master, [copy for copy in copies if copy.filled or not self._handed_over(copy)])
        fold.written_off(gone)
        return _told_causes(fold, prices)

    def _gone(self, account: AccountId) -> list[WrittenOff]:
        return list(self._ledger.state.standing.gone.get(account, {}).values())

    def _handed_over(self, copy: Any) -> bool:
        """Whether another account of the same user has taken it: then it is not missing here."""
        user = user_of(copy.account)
        if sum(user_of(AccountId(account)) == user for account in self._latest) < 2:
            return False
        others = [c for c in self._ledger.copies_of(copy.signal_id) if user_of(c.account) == user]
        return bool(others) and others[-1].account != copy.account


def _told_causes(fold: DriftFold, prices: Mapping[str, Valued]) -> list[Cause]:
    return [
        Cause(symbol, cause, quantity, quantity * prices[symbol].price if symbol in prices else None)
        for symbol, drift in sorted(fold.ahead().drifts.items())
        for cause, quantity in sorted(drift.causes.items())
    ]


def _show(s: Json) -> None:
    returns, fee, currency = s["return"], s["fee"], s["currency"]
    opening, closing = s["equity"]["opening"], s["equity"]["closing"]
    rows = [
        ("equity at the start", money(opening and opening["equity"])),
        (f"paid in less paid out ({s['payments']['source']})", money(s["payments"]["total"])),
        ("equity at the end", money(closing and closing["equity"])),
        ("return, time-weighted", percent(returns["own"])),
        ("return of the master over the same time", percent(returns["master"])),
        (f"tracking error, deviation of {returns['days']} days", percent(returns["tracking_error_daily"])),
    ]
    if fee is not None:
        rows.append(("high-water mark", money(fee["high_water"])))
        rows.append((f"performance fee{'' if fee['due'] else ' (not due yet)'}", money(fee["amount"])))
    print_table(f"{s['account']} in {s['month']}", ("", currency), rows, "")
    names = ("trades", "quantity", "bought", "sold", "fees", "realised", "unrealised", "profit")
    lines = [(r["instrument"], *(_cell(r, name) for name in names)) for r in s["instruments"]]
    lines += [(f"all in {r['currency']}", *(_cell(r, name) for name in names)) for r in s["totals"]]
    print_table("Profit", ("instrument", *names), lines, "no trades, nothing held")
    causes = [(c["instrument"], c["cause"], c["quantity"], money(c["value"])) for c in s["causes"]]
    if causes:
        print_table("Held more or less than the master's position implies", ("", "cause", "quantity", ""), causes, "")
    for note in s["notes"]:
        print(f"  ! {note}")


def _cell(row: Json, name: str) -> str:
    if name in ("trades", "quantity"):
        return str(row.get(name, ""))
    return money(row[name])
