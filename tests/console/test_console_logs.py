"""The log: one way for everybody's lines, ids of the order on each, and no secret in any."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from copytrade.console.logs import StructuredFormatter, logger, set_up_logging
from copytrade.engine.about import concerning, ids
from copytrade.settings.redaction import RedactingFormatter, Redactor

SECRET = 'made/up"secret+1234=='


class Kept(logging.Handler):
    """Keeps what would be written."""

    def __init__(self, style: str) -> None:
        super().__init__()
        redactor = Redactor()
        redactor.add(SECRET)
        self.setFormatter(RedactingFormatter(StructuredFormatter(redactor, style), redactor))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def last(self) -> Any:
        return json.loads(self.lines[-1])


@pytest.fixture(params=["json", "plain"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    handler = Kept(request.param)
    log = logging.getLogger("copytrade.sample")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    handler.style = request.param  # type: ignore[attr-defined]
    yield handler
    log.removeHandler(handler)
    log.propagate = True


log = logging.getLogger("copytrade.sample")


def test_a_line_says_when_how_grave_who_and_what(kept: Kept) -> None:
    log.warning("%s of %d", "one", 2)
    if kept.style == "json":  # type: ignore[attr-defined]
        assert kept.last.pop("at")[10] == "T"
        log.warning("again")
        assert list(kept.last) == ["at", "level", "logger", "message"]
        assert kept.last["level"] == "warning"
    else:
        assert kept.lines[0].endswith("WARNING one of 2")
        assert len(kept.lines[0].splitlines()) == 1


async def test_lines_of_a_task_carry_its_orders_ids_and_no_others(kept: Kept) -> None:
    async def lane(number: int) -> str:
        concerning(f"kraken:u{number}", f"o{number}", "s1")
        await asyncio.sleep(0)
        log.info("sent")
        return kept.lines[-1]

    first, second = await asyncio.gather(asyncio.create_task(lane(1)), asyncio.create_task(lane(2)))
    assert ("o1" in first, "o2" in first) == (True, False)
    assert ("o1" in second, "o2" in second) == (False, True)
    assert "s1" in second
    assert ids() == {}
    log.info("of nothing")
    assert "order_id" not in kept.lines[-1]


@pytest.mark.parametrize("way", ["message", "argument", "extra", "nested", "error", "structlog", "object"])
def test_no_secret_comes_through_in_any_form(kept: Kept, way: str) -> None:
    class Holder:
        def __repr__(self) -> str:
            return f"Holder({SECRET})"

    if way == "message":
        log.error(SECRET)
    elif way == "argument":
        log.error("key %r", [SECRET])
    elif way == "extra":
        log.error("x", extra={"key": SECRET})
    elif way == "nested":
        log.error("x", extra={"parts": [{"key": (SECRET,)}]})
    elif way == "structlog":
        logger("copytrade.sample", account="kraken:ann").error("x", key=SECRET)
    elif way == "object":
        logger("copytrade.sample").error("x", holder=Holder())
    else:
        try:
            raise RuntimeError(f"with {SECRET}")
        except RuntimeError:
            log.exception("failed")
            assert "RuntimeError" in kept.lines[-1]
            assert "test_console_logs" in kept.lines[-1]
    text = kept.lines[-1]
    for form in (SECRET, json.dumps(SECRET)[1:-1], "secret+1234"):
        assert form not in text
    assert "***" in text


def test_structlogs_fields_stand_beside_the_message(kept: Kept) -> None:
    logger("copytrade.sample", account="kraken:ann").info("told %s", "twice", quantity=2)
    if kept.style == "json":  # type: ignore[attr-defined]
        assert kept.last["account"] == "kraken:ann"
        assert kept.last["quantity"] == 2
        assert kept.last["logger"] == "copytrade.sample"
    assert "told twice" in kept.lines[-1]


def test_set_up_takes_over_what_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level, hook = root.handlers[:], root.level, sys.excepthook
    try:
        set_up_logging(Redactor(), "INFO", "auto")
        logging.getLogger("any.library").info("hello")
        logging.getLogger("any.library").debug("not told")
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["message"] == "hello"
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        sys.excepthook = hook
