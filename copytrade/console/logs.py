"""Logging: plain on a terminal, JSON otherwise, and no secret in either.

Every line of the process goes one way, whoever logs it: the standard library's loggers, structlog's, the SDKs'. A line
about an order carries its `account`, `order_id` and `signal_id`.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from copytrade.engine.about import ids
from copytrade.settings.redaction import RedactingFormatter, Redactor

_FIRST = ("at", "level", "logger", "message")
Fields = MutableMapping[str, Any]


class StructuredFormatter(logging.Formatter):
    """Renders through structlog, which is imported with the first line: most commands never log one."""

    def __init__(self, redactor: Redactor, style: str) -> None:
        super().__init__()
        self._redactor = redactor
        self._form = style
        self._inner: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._inner is None:
            self._inner = self._make()
        return self._inner.format(record)

    def _make(self) -> logging.Formatter:
        import structlog

        render: Any = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[_facts, self._redact, render if self._form == "json" else _plain],
        )

    def _redact(self, _: Any, __: str, fields: Fields) -> Fields:
        """Redacts before anything is encoded: a secret in quotes would come out of JSON in a form of its own."""
        return {name: self._clean(value) for name, value in fields.items()}

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redactor.redact(value)
        if isinstance(value, dict):
            return {self._clean(str(key)): self._clean(part) for key, part in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(part) for part in value]
        return value if value is None or isinstance(value, bool | int | float) else self._redactor.redact(str(value))


def _facts(_: Any, __: str, fields: Fields) -> Fields:
    """When, how grave, who, what, the order it is about, and the traceback where there is one."""
    record: logging.LogRecord = fields["_record"]
    made = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": fields.get("event", ""),
        **ids(),
    }
    kept = {"event", "_record", "_from_structlog", "exc_info", "stack_info", *_FIRST}
    made |= {name: value for name, value in fields.items() if name not in kept}
    error = fields.get("exc_info") or record.exc_info
    if error is True:
        error = sys.exc_info()
    if isinstance(error, BaseException):
        error = (type(error), error, error.__traceback__)
    if error and error[0] is not None:
        made["traceback"] = "".join(traceback.format_exception(*error))
    return made


def _plain(_: Any, __: str, fields: Fields) -> str:
    """One line for people; a traceback under it."""
    more = "".join(f" {name}={value}" for name, value in fields.items() if name not in (*_FIRST, "traceback"))
    line = f"{fields['at'][11:19]} {fields['level'].upper():<7} {fields['message']}{more}"
    return f"{line}\n{fields['traceback'].rstrip()}" if "traceback" in fields else line


def set_up_logging(redactor: Redactor, level: str = "INFO", style: str = "auto") -> None:
    """Send the log to standard error, every line through the redactor."""
    if style == "auto":
        style = "plain" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(StructuredFormatter(redactor, style), redactor))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = _excepthook(redactor)


def logger(name: str, **fields: Any) -> Any:
    """A structlog logger whose lines carry these fields, over the same way as all others."""
    import structlog

    wrapped = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.PositionalArgumentsFormatter(), wrapped],
        wrapper_class=structlog.stdlib.BoundLogger,
        **fields,
    )


def _excepthook(redactor: Redactor) -> Callable[..., Any]:
    def tell(kind: Any, error: Any, trace: Any) -> None:
        sys.stderr.write(redactor.redact("".join(traceback.format_exception(kind, error, trace))))

    return tell
