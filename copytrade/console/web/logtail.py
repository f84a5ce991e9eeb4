"""The last lines of the log and the alerts, in memory, for the page that shows them. No line is shown unredacted."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from copytrade.domain.alerts import Alert

LINES_MAX = 500  # a few screens; the log itself is elsewhere
_LINE_CHARACTERS_MAX = 400  # 500 of these stay well under what a page may weigh
_KEPT_CHARACTERS_MAX = 4000  # of a line before it is redacted; far more than is shown, so that no secret is cut in two


class Line(NamedTuple):
    """One line: its number since the start, when, how grave, from which logger, and what."""

    number: int
    at: str
    level: str
    logger: str
    text: str


class LogTail(logging.Handler):
    """A handler of the root logger that remembers. Safe to be called from any thread.

    Lines are redacted when somebody looks at them: logging happens on the way of orders, looking does not.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact
        self._lines: deque[Line] = deque(maxlen=LINES_MAX)
        self._number = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.msg.get("event", "") if isinstance(record.msg, dict) else record.getMessage()
            self._add(datetime.fromtimestamp(record.created, UTC), record.levelname.lower(), record.name, str(text))
        except Exception:  # a line that cannot be shown must not stop what it tells of
            self.handleError(record)

    def alert(self, alert: Alert) -> None:
        """Something that the operator was told."""
        with self.lock or logging._lock:  # type: ignore[attr-defined]
            self._add(datetime.now(UTC), "alert", "copytrade", alert.text)

    @property
    def last(self) -> int:
        """The number of the newest line."""
        return self._number

    def lines(self, after: int = 0) -> list[Line]:
        """The lines behind number `after`, oldest first, redacted."""
        found = [line for line in list(self._lines) if line.number > after]
        return [line._replace(text=self._redact(line.text)[:_LINE_CHARACTERS_MAX]) for line in found]

    def _add(self, at: datetime, level: str, logger: str, text: str) -> None:
        self._number += 1
        kept = text[:_KEPT_CHARACTERS_MAX]
        self._lines.append(Line(self._number, at.isoformat(timespec="milliseconds"), level, logger, kept))
