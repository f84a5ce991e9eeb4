"""Faults to order: what a venue or the network between does wrong, to whom, how often.

A fault names a kind from the table below and, each optional, a method (`AddOrder`), an account and a key. Of
the requests it matches it strikes: all, every n-th, or with a seeded probability; `count` ends it after so
many strikes. Delays add up; of the other kinds the first that strikes wins.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

KINDS = {
    "drop": "close the connection without an answer",
    "cut": "send half of the answer, then close the connection",
    "hang": "never answer (for hang_s, then close the connection)",
    "status": "answer with HTTP `status` and an HTML page",
    "error": "answer with the error string `error`",
    "delay": "wait delay_ms: before the request is worked on, or before its answer leaves",
    "truncated_json": "answer with the first half of the JSON text",
    "empty": "answer 200 with no body",
    "redirect": "answer 302 to `location`",
    "no_content": "answer 204",
    "huge": "answer with a body of 10 MB",
    "stale": "answer with the previous answer to this key",
    "reject_funds": "refuse an order for want of funds",
    "hide": "accept an order but hide it from every lookup for hide_s",
    "ignore_filter": "answer a lookup of closed orders as if it had no client id filter",
    "cancel_pending": "answer a cancel with pending, and cancel delay_ms later",
    "partial_cancel": "fill an order to `fraction`, then cancel it",
    "stream_refuse": "answer a request to open a private stream with 503",
    "stream_drop": "break the connection of a private stream",
    "stream_silent": "keep a private stream open and say nothing on it any more, heartbeats and pongs included",
    "stream_garbage": "send half of a JSON text on a private stream in place of an event",
    "stream_skip": "leave an event out of a private stream",
    "stream_repeat": "send an event on a private stream twice",
}
# These change what the matching engine or a lookup does; the rest strike the exchange of request and answer.
ENGINE_KINDS = frozenset({"reject_funds", "hide", "ignore_filter", "cancel_pending", "partial_cancel"})
# These strike private streams alone, and no other kind does.
STREAM_KINDS = frozenset(kind for kind in KINDS if kind.startswith("stream_"))
WHEN = ("before", "after")
_TEXT_FIELDS = ("method", "account", "key", "error", "location", "fraction")


@dataclass(slots=True)
class Fault:
    """One fault.

    `when="before"` strikes instead of working on the request, `"after"` once it has been worked on.
    """

    kind: str
    when: Literal["before", "after"] = "after"
    method: str | None = None
    account: str | None = None
    key: str | None = None
    count: int | None = None
    every: int = 1
    probability: float | None = None
    status: int = 502
    error: str = "EService:Unavailable"
    delay_ms: int = 0
    hang_s: float = 60.0
    hide_s: float = 5.0
    fraction: str = "0.5"
    location: str = "/"
    fault_id: int = 0
    matched: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault kind is {self.kind!r}: give one of {', '.join(KINDS)}")
        if self.when not in WHEN:
            raise ValueError(f"fault when is {self.when!r}: give before or after")
        if self.every < 1 or (self.count is not None and self.count < 1):
            raise ValueError(f"fault every is {self.every} and count {self.count}: give numbers from 1")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError(f"fault probability is {self.probability}: give a number from 0 to 1")
        if not 200 <= self.status <= 599:
            raise ValueError(f"fault status is {self.status}: give an HTTP status from 200 to 599")
        if self.delay_ms < 0 or not 0 <= self.hang_s <= 3600 or self.hide_s < 0:
            raise ValueError("fault delay_ms, hang_s (at most 3600) and hide_s cannot be negative")
        if not self.fraction.replace(".", "", 1).isdigit() or not 0 <= float(self.fraction) < 1:
            raise ValueError(
                f"fault fraction is {self.fraction!r}: give the share to fill, from 0 to below 1, such as 0.5"
            )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fault:
        """A fault from the JSON of the admin API. Raises ValueError naming the field."""
        allowed = {name for name in cls.__slots__ if name not in ("fault_id", "matched", "struck")}
        unknown = set(values) - allowed
        if unknown:
            raise ValueError(f"fault has unknown fields {sorted(unknown)}: give {sorted(allowed)}")
        if "kind" not in values:
            raise ValueError(f"fault has no kind: give one of {', '.join(KINDS)}")
        for name, value in values.items():
            if name in _TEXT_FIELDS and value is not None and not isinstance(value, str):
                raise ValueError(f"fault {name} is {value!r}: give a text")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"fault has a field of the wrong type: {error}") from None


class FaultBook:
    """The faults in force at one venue, with their own seeded chance."""

    def __init__(self, seed: int) -> None:
        self._faults: dict[int, Fault] = {}
        self._random = random.Random(seed)  # noqa: S311 - repeatable chance is the point, nothing secret hangs on it
        self._ids = itertools.count(1)
        self.struck: dict[str, int] = {}
        self.keep_replies = False

    def add(self, fault: Fault) -> int:
        """Put a fault in force; returns its id."""
        fault.fault_id = next(self._ids)
        self._faults[fault.fault_id] = fault
        self.keep_replies = self.keep_replies or fault.kind == "stale"
        return fault.fault_id

    def remove(self, fault_id: int | None = None) -> int:
        """End one fault, or all of them; returns how many were in force."""
        if fault_id is None:
            ended = len(self._faults)
            self._faults.clear()
            return ended
        return 0 if self._faults.pop(fault_id, None) is None else 1

    def all(self) -> list[Fault]:
        """The faults in force, oldest first."""
        return list(self._faults.values())

    def strike(self, method: str, account: str | None, key: str | None) -> list[Fault]:
        """The faults that strike this request, each counted: every delay, and the first of the others."""
        if not self._faults:
            return []
        struck: list[Fault] = []
        settled = False
        for fault in list(self._faults.values()):
            if fault.kind in STREAM_KINDS or (settled and fault.kind != "delay"):
                continue
            if not self._hits(fault, method, account, key):
                continue
            settled = settled or fault.kind != "delay"
            self._count(fault)
            struck.append(fault)
        return struck

    def strike_stream(self, kinds: Sequence[str], account: str | None) -> Fault | None:
        """The first fault of one of these kinds that strikes a private stream of this account, counted.

        Breaking and silencing a connection are asked for some twenty times a second, the others once an event.
        """
        if not self._faults:
            return None
        for fault in list(self._faults.values()):
            if fault.kind in kinds and self._hits(fault, fault.method or "", account, fault.key):
                self._count(fault)
                return fault
        return None

    def _count(self, fault: Fault) -> None:
        fault.struck += 1
        self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
        if fault.count is not None and fault.struck >= fault.count:
            del self._faults[fault.fault_id]

    def _hits(self, fault: Fault, method: str, account: str | None, key: str | None) -> bool:
        if (
            (fault.method is not None and fault.method != method)
            or (fault.account is not None and fault.account != account)
            or (fault.key is not None and fault.key != key)
        ):
            return False
        fault.matched += 1
        if fault.matched % fault.every:
            return False
        return fault.probability is None or self._random.random() < fault.probability
