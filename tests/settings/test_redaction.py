"""No form of a known secret gets through a log handler."""

import base64
import io
import json
import logging
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.settings.redaction import RedactingFilter, RedactingFormatter, Redactor
from copytrade.settings.secret import Secret

SECRET = "mAdE+Up/Secret=With~Odd%Signs=="
PEM = "-----BEGIN EC PRIVATE KEY-----\nbWFkZS11cC1wZW0tYmxvY2stbGluZQ==\n-----END EC PRIVATE KEY-----\n"


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    for value in (Secret(SECRET), PEM, "mAdE+Up/Secret=With~Odd%Signs==longer"):
        redactor.add(value)
    return redactor


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        urllib.parse.quote(SECRET),
        urllib.parse.urlencode({"k": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"users:{SECRET}:x".encode()).decode(),
        base64.b64encode(f"userss:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        json.dumps({"pem": PEM}),
        repr(PEM),
        PEM.splitlines()[1],
        f"{SECRET}longer",
    ],
)
def test_every_form_is_caught_in_the_middle_of_text(redactor: Redactor, form: str) -> None:
    redacted = redactor.redact(f"before {form} after {form}")
    assert redacted.startswith("before ")
    assert redacted.count("***") >= 2
    assert form not in redacted
    for leak in (SECRET[:12], "bWFkZS11cC1w", base64.b64encode(SECRET.encode()).decode()[4:16], "longer"):
        assert leak not in redacted


def test_lower_case_escapes_are_the_same_secret(redactor: Redactor) -> None:
    quoted = (
        urllib.parse.quote(SECRET, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d")
    )
    assert redactor.redact(quoted) == "***"


@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_text_without_secrets_is_untouched_and_secrets_never_stay(before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(SECRET)
    assert redactor.redact(before + after) == before + after
    assert redactor.redact(before + SECRET + after) == f"{before}***{after}"


def test_ordinary_words_survive_short_secrets() -> None:
    redactor = Redactor()
    redactor.add("order")
    redactor.add("")
    assert redactor.redact("order 5 sent") == "order 5 sent"
    assert SECRET not in repr(redactor)


def say(handler: logging.Handler) -> None:
    logger = logging.Logger("made.up")
    logger.addHandler(handler)
    logger.info("key=%s in %r", SECRET, {"secret": SECRET}, extra={"body": SECRET})
    logger.error("arguments %d do not fit", SECRET)
    try:
        raise ValueError(f"signing with {SECRET} failed")
    except ValueError:
        logger.exception("failed", stack_info=True)


def test_filter_covers_message_arguments_extras_and_traceback(redactor: Redactor) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter(redactor))
    say(handler)
    text = stream.getvalue()
    assert SECRET not in text
    assert text.count("***") >= 3
    assert "Traceback" in text
    assert "arguments do not fit" in text
    record = logging.LogRecord("x", 20, "p", 1, "%s", (SECRET,), None)
    record.body = SECRET
    RedactingFilter(redactor).filter(record)
    assert SECRET not in repr(record.__dict__)


def test_formatter_is_the_last_gate(redactor: Redactor) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    inner = logging.Formatter("{levelname} " + SECRET + " {message}", style="{")
    handler.setFormatter(RedactingFormatter(inner, redactor))
    record = logging.LogRecord("x", 20, "p", 1, "key=%s", (SECRET,), None)
    handler.handle(record)
    assert stream.getvalue() == "INFO *** key=***\n"
