"""Logging: plain on a terminal, JSON otherwise, and no secret in either."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from copytrade.settings.redaction import RedactingFormatter, Redactor


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, message, and the traceback where there is one.

    Redacts before it encodes: a secret in quotes inside a message would come out of JSON in a form of its own.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        body = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redactor.redact(record.getMessage()),
        }
        if record.exc_info:
            body["traceback"] = self._redactor.redact("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(body, ensure_ascii=False)


def set_up_logging(redactor: Redactor, level: str = "INFO", style: str = "auto") -> None:
    """Send the log to standard error, every line through the redactor."""
    if style == "auto":
        style = "plain" if sys.stderr.isatty() else "json"
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    inner = JsonFormatter(redactor) if style == "json" else plain
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(inner, redactor))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = lambda kind, error, trace: sys.stderr.write(
        redactor.redact("".join(traceback.format_exception(kind, error, trace)))
    )
