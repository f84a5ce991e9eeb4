"""Keeps secrets out of logs: every known secret, in the forms in which it could slip through, becomes ***."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from .secret import Secret

# Shorter ones would blank out ordinary words; no venue issues a key or passphrase this short.
SECRET_MIN_CHARACTERS = 6
# Texts are searched by their first characters, so that the cost does not grow with the number of followers.
_PREFIX = 4


class Redactor:
    """Replaces secrets in text. Adding is cheap, and searching takes time by the text's length alone."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return "Redactor(***)"

    def add(self, secret: Secret | str) -> None:
        """Know a secret from now on. One of fewer than 6 characters is ignored."""
        value = secret.reveal() if isinstance(secret, Secret) else secret
        for form in _forms(value):
            known = self._by_prefix.get(form[:_PREFIX], ())
            if form not in known:
                # Longest first: a secret may begin with another one.
                self._by_prefix[form[:_PREFIX]] = tuple(sorted((*known, form), key=len, reverse=True))

    def redact(self, text: str) -> str:
        """The text with every known secret replaced by ***."""
        by_prefix = self._by_prefix
        parts: list[str] = []
        kept, offset = 0, 0
        last = len(text) - _PREFIX
        while offset <= last:
            candidates = by_prefix.get(text[offset : offset + _PREFIX])
            if candidates is not None:
                for form in candidates:
                    if text.startswith(form, offset):
                        parts += (text[kept:offset], "***")
                        offset = kept = offset + len(form)
                        break
                else:
                    offset += 1
            else:
                offset += 1
        return "".join((*parts, text[kept:])) if parts else text


def _forms(value: str) -> Iterator[str]:
    """The secret as it is, and as JSON, URLs and base64 carry it; a block also line by line."""
    if len(value) < SECRET_MIN_CHARACTERS:
        return
    plain = [
        value,
        *(line for line in value.splitlines() if len(line) >= 16 and not line.startswith("-----")),
    ]
    for text in plain:
        yield text
        yield json.dumps(text)[1:-1]
        yield repr(text)[1:-1]
        for quoted in (quote(text), quote(text, safe=""), quote_plus(text)):
            yield quoted
            head, *escaped = quoted.split("%")
            yield "%".join([head, *(part[:2].lower() + part[2:] for part in escaped)])  # %2f means %2F
    raw = value.encode()
    # Inside a longer base64 text the secret may begin at any of three positions; the edges then mix with
    # neighbours.
    for before in range(3):
        padded = b"\0" * before + raw
        encoded = base64.b64encode(padded[: len(padded) - len(padded) % 3]).decode()
        inner = encoded[4 if before else 0 :]
        if len(inner) >= SECRET_MIN_CHARACTERS:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


class RedactingFilter(logging.Filter):
    """Redacts message, arguments and traceback before any formatter sees them.

    Put it on a *handler*: a logger's filters do not see its children's records.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # a bad format string must not stop the line, nor show its arguments
            message = f"{record.msg} (arguments do not fit)"
        record.msg, record.args = self._redactor.redact(message), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = self._redactor.redact(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redactor.redact(record.stack_info)
        for name, value in list(record.__dict__.items()):
            if isinstance(value, str) and name not in ("msg", "exc_text", "stack_info"):
                setattr(record, name, self._redactor.redact(value))
        return True


class RedactingFormatter(logging.Formatter):
    """Wraps another formatter and redacts what it made: the last gate, whatever the formatter adds."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.redact(self._inner.format(record))
