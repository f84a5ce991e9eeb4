"""The chain of hashes through the ledger's events, and the check that follows it.

    chain(n) = sha256(chain(n - 1), n, lengths of name and date, name, date, body)

So no event can be changed, taken out, put in or moved without all hashes behind it being made anew; and whoever noted
a hash down elsewhere can tell that, too. Observations (balances, the history of equity) are no events, and not in it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

GENESIS = hashlib.sha256(b"copytrade ledger, before its first event").digest()

# A file that was written over has a break at every event: the first ones tell where it begins.
PROBLEMS_MAX = 20
_AT_ONCE = 100  # a plan for 10,000 followers is one event of 4 MB

Link = Callable[[bytes, int, bytes, bytes, bytes], bytes]


def link(previous: bytes, seq: int, name: bytes, at: bytes, body: bytes) -> bytes:
    """The hash of event `seq`, which depends on the one before it. Texts as UTF-8; the lengths keep them apart."""
    return hashlib.sha256(b"%b%d %d %d %b%b%b" % (previous, seq, len(name), len(at), name, at, body)).digest()


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What following the chain found. `head` is the hash of the last event, and `seq` its number.

    `first_break` is the number of the first event that is not what was written, None for a whole chain; `problems`
    says so of the first few. `expected_at` is the number of the event with the hash that was looked for (0: the
    beginning), None when it was not met.
    """

    seq: int
    head: str
    first_break: int | None
    problems: tuple[str, ...]
    expected_at: int | None = None

    @property
    def ok(self) -> bool:
        return self.first_break is None


def follow(connection: sqlite3.Connection, expect: str | None = None, *, link: Link = link) -> ChainVerdict:
    """Compute every hash again. `expect` is a hash (hexadecimal) to look for. Raises `sqlite3.Error`.

    Where a hash does not fit, it goes on from the one that is in the file: so one changed event is one break, and a
    chain that was written anew from somewhere on is found by `expect` alone.
    """
    problems: list[str] = []
    broken: list[int] = []
    previous, last = GENESIS, 0
    wanted = None if expect is None else bytes.fromhex(expect)
    expected_at = 0 if wanted == GENESIS else None

    def broke(seq: int, what: str) -> None:
        broken.append(seq)
        if len(problems) < PROBLEMS_MAX:
            problems.append(what)

    for seq, name, at, body, kept in _rows(connection):
        if seq != last + 1:
            gone = f"event {last + 1} is" if seq == last + 2 else f"events {last + 1} to {seq - 1} are"
            broke(min(last + 1, seq), f"{gone} missing: after {last} comes {seq}")
        elif link(previous, seq, name, at, body) != kept:
            shown = f"({name.decode('utf-8', 'replace')} of {at.decode('utf-8', 'replace')})"
            broke(seq, f"event {seq} {shown:.80} is not what was written, or its hash is not")
        if kept == wanted:
            expected_at = seq
        previous, last = kept, seq
    noted = connection.execute("SELECT last_seq FROM meta WHERE id = 1").fetchone()
    if noted is None or noted[0] != last:
        there = None if noted is None else noted[0]
        broke(last + 1, f"the ledger should end with event {there} and ends with event {last}")
    return ChainVerdict(last, previous.hex(), min(broken, default=None), tuple(problems), expected_at)


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[int, bytes, bytes, bytes, bytes]]:
    # As bytes: a text that is no UTF-8 any more is to be told, not to stop the reading.
    parts = ", ".join(f"CAST({column} AS BLOB)" for column in ("name", "at", "body", "chain"))
    cursor = connection.execute(f"SELECT seq, {parts} FROM events ORDER BY seq")  # noqa: S608  (our words)
    for seq, *texts in cursor:
        name, at, body, kept = (b"" if text is None else bytes(text) for text in texts)
        yield seq, name, at, body, kept


def head(connection: sqlite3.Connection) -> bytes:
    """The hash of the last event. Raises `sqlite3.Error`."""
    row = connection.execute("SELECT chain FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return GENESIS if row is None else bytes(row[0])


def chain_existing(connection: sqlite3.Connection) -> None:
    """Give every event of an older file its hash. Inside a transaction of the caller's. Raises `sqlite3.Error`."""
    texts = "CAST(name AS BLOB), CAST(at AS BLOB), CAST(body AS BLOB)"
    query = f"SELECT seq, {texts} FROM events WHERE seq > ? ORDER BY seq LIMIT {_AT_ONCE}"  # noqa: S608  (our words)
    previous, last = GENESIS, 0
    while part := connection.execute(query, (last,)).fetchall():
        found = []
        for seq, name, at, body in part:
            previous, last = link(previous, seq, name, at, body), seq
            found.append((previous, seq))
        connection.executemany("UPDATE events SET chain = ? WHERE seq = ?", found)
