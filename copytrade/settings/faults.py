"""What is wrong with a file of the operator's, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

# Values are quoted in messages for recognition only; nobody needs more to find them.
_VALUE_SHOWN_MAX = 60
# A terminal's height: somebody with more faults than this mends these first and runs again.
_FAULTS_SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in one place. `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        field = f"{_one_line(self.field)}: " if self.field else ""
        return f"{where}: {field}{self.problem}. {self.remedy}"


class SettingsError(Exception):
    """Settings, users or credentials cannot be used as they are. `faults` has all, not only the first.

    The operator mends the places named and starts again (or saves, when the worker is running: it keeps the
    last good state until then).
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        shown = [str(fault) for fault in self.faults[:_FAULTS_SHOWN_MAX]]
        if len(self.faults) > _FAULTS_SHOWN_MAX:
            shown.append(f"... and {len(self.faults) - _FAULTS_SHOWN_MAX} more")
        super().__init__("\n".join(shown))


def shown(value: object) -> str:
    """A value as the operator typed it, short, on one line."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = _one_line(text[:200])
    return text if len(text) <= _VALUE_SHOWN_MAX else text[: _VALUE_SHOWN_MAX - 3] + "..."


def _one_line(text: str) -> str:
    """A field's name is the file's as much as its value is: neither may break the line or colour the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def suggestion(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(names)}"


def unknown_field(name: str, known: Iterable[str]) -> tuple[str, str]:
    """Problem and remedy for a field that does not exist. Its value is not shown: it may be a key."""
    if any(word in name.lower() for word in ("secret", "api_key", "apikey", "passphrase", "password", "token")):
        return "is not a field, and keys do not belong in this file", (
            "Move it to .env (see .env.example), and make a new key if this file has been shared"
        )
    return "is not a field", suggestion(name, known)


def faults_of(
    error: ValidationError,
    file: str,
    line_of: Callable[[tuple[Any, ...]], int],
    fields_at: Callable[[tuple[Any, ...]], list[str]],
) -> list[Fault]:
    """Faults from a pydantic error.

    Args:
        error: what pydantic found.
        file: the file's name for the message.
        line_of: line of a place in the file, given as pydantic's `loc`.
        fields_at: the fields known at a `loc`, for suggestions.
    """
    faults = []
    for detail in error.errors(include_url=False, include_context=False):
        place = detail["loc"]
        field = ".".join(str(part) for part in place)
        if detail["type"] == "extra_forbidden":
            problem, remedy = unknown_field(str(place[-1]), fields_at(place[:-1]))
        elif detail["type"] == "missing":
            problem, remedy = "is missing", f"Add {field}"
            place = place[:-1]
        else:
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            message, _, advice = message.partition(" | ")
            problem = f"{shown(detail['input'])}: {message[:1].lower()}{message[1:]}"
            remedy = advice or "Correct the value, or take the line out to use the default"
        faults.append(Fault(file, line_of(place), field, problem, remedy))
    return faults
