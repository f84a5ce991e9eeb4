"""Finds planted secrets in what was written: whole or by halves, in every form that a writer may give them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

PART_MIN = 12  # shorter pieces of random text are found by accident


def found_in(places: dict[str, bytes], planted: Iterable[str]) -> list[str]:
    """The places that hold a planted value in any form, or half of one."""
    needles = {needle for value in planted for needle in _needles(value)}
    return [name for name, content in places.items() if any(needle in content for needle in needles)]


def _needles(value: str) -> Iterator[bytes]:
    if value.startswith("-----BEGIN"):
        yield from _pem_needles(value)
        return
    forms: Sequence[str] = [
        value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value), quote(value, safe=""), quote_plus(value),
        base64.b64encode(value.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    ]  # fmt: skip
    yield from _halves([*(form.encode() for form in forms), *_raw(value)])


def _raw(value: str) -> list[bytes]:
    """The bytes that a base64 text stands for, and how else they may be written."""
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return []
    return [raw, raw.hex().encode(), base64.urlsafe_b64encode(raw).rstrip(b"=")]


def _pem_needles(pem: str) -> Iterator[bytes]:
    """Each line of a PEM block but its first and last, and the private number itself (SEC1 has it at bytes 7 to 38)."""
    lines = pem.strip().splitlines()[1:-1]
    number = base64.b64decode("".join(lines))[7:39]
    yield from (line.encode() for line in lines if len(line) >= PART_MIN)
    yield from _halves([number, number.hex().encode(), str(int.from_bytes(number)).encode()])


def _halves(blobs: Iterable[bytes]) -> Iterator[bytes]:
    for blob in blobs:
        half = len(blob) // 2
        yield from (part for part in (blob, blob[:half], blob[half:]) if len(part) >= PART_MIN)
