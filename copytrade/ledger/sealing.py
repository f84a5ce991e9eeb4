"""The history of equity under the chain's seal: a hash of each whole day's readings, which the chain then keeps.

Readings are observations and come by the thousand, so they are no events of their own. Statements reckon by them all
the same; a day that is over (in UTC) does not change any more, and its hash is an event.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from copytrade.ledger.asking import Questions

SEALED = "equity history sealed"
"""What the event that keeps a seal says was done."""
SETTLED_AFTER = timedelta(minutes=10)  # a reading is written within seconds; a slow venue's carries its own time

_DAY = timedelta(days=1)
_ACCOUNTS = """
WITH RECURSIVE accounts(account) AS (
    SELECT min(account) FROM equity_history
    UNION ALL
    SELECT (SELECT min(account) FROM equity_history WHERE account > accounts.account) FROM accounts
    WHERE accounts.account IS NOT NULL
)
"""
_LIST = f"{_ACCOUNTS} SELECT account FROM accounts WHERE account IS NOT NULL"  # noqa: S608  (our words)
_FIRST = (
    f"{_ACCOUNTS} SELECT min((SELECT min(at) FROM equity_history WHERE account = accounts.account)) "  # noqa: S608
    "FROM accounts WHERE account IS NOT NULL"
)
# Put together by SQLite, which lets others go on meanwhile.
_READINGS = """
SELECT count(*), coalesce(group_concat(line, char(10)), '') FROM (
    SELECT account || ' ' || at || ' ' || equity || ' ' || cash || ' ' || currency AS line
    FROM equity_history WHERE account = ? AND at >= ? AND at < ? ORDER BY at
)
"""


@dataclass(frozen=True, slots=True)
class Seal:
    """The readings of one day: how many, and their SHA-256 in hexadecimal."""

    day: date
    readings: int
    digest: str

    def text(self) -> str:
        """As it stands in the chain."""
        body = {"day": self.day.isoformat(), "readings": self.readings, "sha256": self.digest}
        return json.dumps(body, separators=(",", ":"))

    @classmethod
    def of_text(cls, text: str) -> Seal:
        """Raises `ValueError` for what is no seal."""
        try:
            body = json.loads(text)
            return cls(date.fromisoformat(body["day"]), int(body["readings"]), str(body["sha256"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{text!r:.80} is no seal of a day") from error


def seal_of(questions: Questions, day: date) -> Seal:
    """The seal of a day's readings as the table holds them now. Raises `LedgerError`."""
    since, until = day.isoformat(), (day + _DAY).isoformat()
    digest, readings = hashlib.sha256(), 0
    for (account,) in questions.ask(_LIST, ()):
        ((count, lines),) = questions.ask(_READINGS, (account, since, until))
        if count:
            readings += count
            digest.update(f"{lines}\n".encode())
    return Seal(day, readings, digest.hexdigest())


def days_to_seal(questions: Questions, last: date | None, now: datetime) -> list[date]:
    """The days that are over since the last sealed one; from the first reading on where there is none.

    Raises `LedgerError`.
    """
    if last is None:
        ((first,),) = questions.ask(_FIRST, ())
        if first is None:
            return []
        day = date.fromisoformat(first[:10])
    else:
        day = last + _DAY
    today = (now - SETTLED_AFTER).date()
    return [day + _DAY * number for number in range(max(0, (today - day).days))]
