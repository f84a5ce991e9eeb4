"""Ids and keys that look random and are always the same for the same seed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

IdMaker = Callable[[int], str]


def bytes_for(seed: int, *parts: object, size: int = 64) -> bytes:
    """`size` bytes (at most 64) that depend on the seed and every part."""
    text = "\x1f".join([str(seed), *map(str, parts)])
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def letters_for(seed: int, *parts: object, count: int) -> str:
    """`count` (at most 96) capital letters and digits 2 to 7: five bits each."""
    return base64.b32encode(bytes_for(seed, *parts, size=(count * 5 + 7) // 8)).decode()[:count]
