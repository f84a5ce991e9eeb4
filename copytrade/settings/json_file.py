"""Reads a JSON list of objects and remembers where each one stands, so that a fault can name its line."""

from __future__ import annotations

import json
import os
import stat
from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from .faults import Fault

# 10,000 followers with every option take about 6 MB. Reading stops here so that a wrong file (a log, a dump)
# cannot take the worker's memory.
JSON_MAX_BYTES = 20_000_000

Place = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class NotANumber:
    """What JSON has no word for, or Decimal no room for: NaN, Infinity, 1e99999999999999999999."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class JsonList:
    """The objects of a file that could be read, each with the offset at which it starts."""

    name: str
    text: str = ""
    objects: list[tuple[Any, int]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    _newlines: list[int] | None = None

    def line_at(self, offset: int) -> int:
        if self._newlines is None:
            self._newlines = [index for index, character in enumerate(self.text) if character == "\n"]
        return bisect_right(self._newlines, offset - 1) + 1

    def line_of(self, start: int, place: Place) -> int:
        """The line of a key (or a key within a key's object) of the object that starts at `start`."""
        offset = start
        for part in place:
            found = [(at, value_at) for key, at, value_at in _keys(self.text, offset) if key == part]
            if not found:
                break
            key_at, offset = found[-1]
            if self.text[offset] != "{":
                return self.line_at(key_at)
            start = key_at
        return self.line_at(start)


def _number(text: str) -> Decimal | NotANumber:
    try:
        return Decimal(text)
    except InvalidOperation:
        return NotANumber(text)


# Only finds where values end, so numbers of any length may stay text.
_plain_decoder = json.JSONDecoder(parse_int=str, parse_float=str)


def _make_decoder(repeated: list[str]) -> json.JSONDecoder:
    """A decoder that adds every key to `repeated` which an object has twice."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(items)
        if len(values) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    repeated.append(key)
                seen.add(key)
        return values

    return json.JSONDecoder(object_pairs_hook=pairs, parse_float=_number, parse_int=_number, parse_constant=NotANumber)


def _skip(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in " \t\r\n":
        offset += 1
    return offset


def _keys(text: str, start: int) -> list[tuple[str, int, int]]:
    """(key, its offset, its value's offset) of the object at `start`, which is known to be well formed."""
    keys: list[tuple[str, int, int]] = []
    offset = _skip(text, start + 1)
    while text[offset] == '"':
        key_at = offset
        key, offset = _plain_decoder.raw_decode(text, offset)
        value_at = _skip(text, _skip(text, offset) + 1)
        _, offset = _plain_decoder.raw_decode(text, value_at)
        keys.append((key, key_at, value_at))
        offset = _skip(text, offset)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
    return keys


def read_json_list(path: Path) -> JsonList:
    """Everything in the file, or the faults that say why not. Never raises for what is in the file."""
    result = JsonList(str(path))
    raw = _read(path, result)
    return result if raw is None else _list(result, raw)


def json_list_of(name: str, raw: bytes) -> JsonList:
    """The same of what is to be written to the file `name`."""
    result = JsonList(name)
    if len(raw) > JSON_MAX_BYTES:
        _fault(result, 0, f"is larger than {JSON_MAX_BYTES} bytes", "Split it: any number of files is read")
        return result
    return _list(result, raw)


def _list(result: JsonList, raw: bytes) -> JsonList:
    try:
        result.text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _fault(result, raw.count(b"\n", 0, error.start) + 1, "is not UTF-8 text", "Save the file as UTF-8")
        return result
    try:
        _scan(result)
    except json.JSONDecodeError as error:
        _fault(result, error.lineno, f"is not JSON: {error.msg} (column {error.colno})", "Correct the line")
    except RecursionError:
        _fault(result, 0, "is nested too deeply", "Write a plain list of users")
    return result


def _read(path: Path, result: JsonList) -> bytes | None:
    try:
        # Not blocking: a named pipe called x.json would otherwise hold the worker up for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                _fault(result, 0, "is not a regular file", "Move it out of the users' directory")
                return None
            raw = file.read(JSON_MAX_BYTES + 1)
    except OSError as error:
        problem = "is a directory" if isinstance(error, IsADirectoryError) else f"cannot be read: {error.strerror}"
        _fault(result, 0, problem, "Make it a readable file, or move it out of the users' directory")
        return None
    if len(raw) > JSON_MAX_BYTES:
        _fault(result, 0, f"is larger than {JSON_MAX_BYTES} bytes", "Split it: any number of files is read")
        return None
    return raw


def _scan(result: JsonList) -> None:
    text = result.text
    offset = _skip(text, 0)
    if offset == len(text):
        _fault(result, 0, "is empty", "Write [] for no users, or delete the file")
        return
    if text[offset] != "[":
        _fault(result, result.line_at(offset), "must be a list of users", "Put the users between [ and ]")
        return
    repeated: list[str] = []
    decoder = _make_decoder(repeated)
    offset = _skip(text, offset + 1)
    while not (text.startswith("]", offset) and not result.objects):
        value, end = decoder.raw_decode(text, offset)
        for key in repeated:
            line = result.line_at(offset)
            if isinstance(value, dict):
                inside = [name for name, part in value.items() if isinstance(part, dict) and key in part]
                line = result.line_of(offset, (key,) if key in value else (*inside[:1], key))
            result.faults.append(Fault(result.name, line, key, "is given twice", "Keep one of the two"))
        repeated.clear()
        result.objects.append((value, offset))
        offset = _skip(text, end)
        if text.startswith("]", offset):
            break
        if not text.startswith(",", offset):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, offset)
        offset = _skip(text, offset + 1)
    offset = _skip(text, offset + 1)
    if offset != len(text):
        raise json.JSONDecodeError("Extra text after the list", text, offset)


def _fault(result: JsonList, line: int, problem: str, remedy: str) -> None:
    result.faults.append(Fault(result.name, line, "", problem, remedy))
