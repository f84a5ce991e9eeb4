"""Changes a JSON list of objects as text: what is not changed keeps its order, its blanks and its spelling.

All functions take the whole text of a file that `json_file` found faultless, and return the whole text anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_BLANK = " \t\r\n"
_decoder = json.JSONDecoder(parse_int=str, parse_float=str)


@dataclass(frozen=True, slots=True)
class Member:
    """One `"key": value` of an object, by offsets into the text."""

    key: str
    key_at: int
    key_end: int
    value_at: int
    value_end: int


@dataclass(frozen=True, slots=True)
class Span:
    """One object of the list: from its `{` to behind its `}`."""

    start: int
    end: int
    members: tuple[Member, ...]

    def member(self, key: str) -> Member | None:
        return next((each for each in self.members if each.key == key), None)


def spans(text: str) -> list[Span]:
    """Where the objects of the list stand, in order."""
    found = []
    offset = _skip(text, _skip(text, 0) + 1)
    while text[offset] != "]":
        _, end = _decoder.raw_decode(text, offset)
        found.append(Span(offset, end, tuple(_members(text, offset))))
        offset = _skip(text, end)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
    return found


def set_member(text: str, at: int, key: str, value: Any) -> str:
    """Give the object number `at` this value under `key`: in its place, or behind the last member."""
    span = spans(text)[at]
    known = span.member(key)
    if known is not None:
        return text[: known.value_at] + _written(value) + text[known.value_end :]
    last = span.members[-1]
    before = span.members[-2].value_end if len(span.members) > 1 else span.start
    # The same blanks that stand before the last member, and between its key and its value.
    blanks = text[before : last.key_at].lstrip("{,") if len(span.members) > 1 else text[span.start + 1 : last.key_at]
    blanks = blanks[blanks.rfind(",") + 1 :]
    colon = text[last.key_end : last.value_at]
    new = f",{blanks}{json.dumps(key)}{colon}{_written(value)}"
    return text[: last.value_end] + new + text[last.value_end :]


def remove_object(text: str, at: int) -> str:
    """Take the object number `at` out, together with one comma and the blanks that were its own."""
    all_spans = spans(text)
    span = all_spans[at]
    if len(all_spans) == 1:
        head, tail = text[: span.start], text[span.end :]
        return head.rstrip(_BLANK) + tail.lstrip(_BLANK)
    if at + 1 < len(all_spans):
        return text[: span.start] + text[all_spans[at + 1].start :]
    return text[: all_spans[at - 1].end] + text[span.end :]


def append_objects(text: str, objects: Sequence[Mapping[str, Any]]) -> str:
    """Put more objects behind the others, laid out as the last of them. An empty `text` becomes a list."""
    if not objects:
        return text
    if not text.strip("\ufeff" + _BLANK):
        text += "[]\n"
    all_spans = spans(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    if not all_spans:
        at = text.index("[") + 1
        new = [f"{newline}  {_object(values, '    ', '  ', newline)}" for values in objects]
        return f"{text[:at]}{','.join(new)}{newline}{text[at:].lstrip(_BLANK)}"
    last = all_spans[-1]
    spread = newline in text[last.start : last.end]
    if len(all_spans) > 1:
        blanks = text[all_spans[-2].end : last.start].replace(",", "", 1)
    else:
        lead = text[text.index("[") + 1 : last.start]
        blanks = lead if newline in lead else (newline if spread else " ")
    if spread:
        inner, outer = _indentation(text, last.members[-1].key_at), _indentation(text, last.end - 1)
        new = [_object(values, inner, outer, newline) for values in objects]
    else:
        new = [_written(values) for values in objects]
    return text[: last.end] + "".join(f",{blanks}{each}" for each in new) + text[last.end :]


def _object(values: Mapping[str, Any], inner: str, outer: str, newline: str) -> str:
    lines = f",{newline}".join(f"{inner}{json.dumps(key)}: {_written(value)}" for key, value in values.items())
    return f"{{{newline}{lines}{newline}{outer}}}"


def _written(value: Any) -> str:
    """A value as JSON; decimals with the digits that they have."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {_written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_written(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _indentation(text: str, at: int) -> str:
    """The blanks between the start of the line and what stands at `at`, if there is nothing else."""
    start = text.rfind("\n", 0, at) + 1
    lead = text[start:at]
    return lead if not lead.strip(_BLANK) else ""


def _skip(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in _BLANK + "\ufeff":
        offset += 1
    return offset


def _members(text: str, start: int) -> list[Member]:
    found = []
    offset = _skip(text, start + 1)
    while text[offset] == '"':
        key_at = offset
        key, key_end = _decoder.raw_decode(text, offset)
        value_at = _skip(text, _skip(text, key_end) + 1)
        _, value_end = _decoder.raw_decode(text, value_at)
        found.append(Member(key, key_at, key_end, value_at, value_end))
        offset = _skip(text, value_end)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
    return found
