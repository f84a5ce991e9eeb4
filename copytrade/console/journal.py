"""The trade journal: every trade of every account as one line of JSON in `state/trade_journal.jsonl`.

It is written from the ledger, beside trading and never ahead of it. Each line carries the number of its event there,
so the journal's own last line says where to go on: nothing is missed and nothing is there twice, whenever the worker
stops or dies. Whole lines are appended in one write and are on the disk before the next are read; a line that a crash
has torn is cut off at the next start and written again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Iterator
from decimal import Context
from pathlib import Path
from typing import Any

from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.errors import LedgerError
from copytrade.domain.instrument import base_of
from copytrade.domain.money import parse_decimal, plain
from copytrade.ledger.trades import Record, trades_after

log = logging.getLogger("copytrade.journal")

NAME = "trade_journal.jsonl"
_BATCH = 500  # some 250 kB: read, written and synced in one go
_TAIL_BYTES = 1 << 16  # a line is under a kilobyte
_PRICE = Context(prec=16)
_MODE = 0o600  # it tells who trades what


class TradeJournal:
    """The files. Used by one thread at a time; opening repairs what a crash has torn.

    All methods raise `OSError` for what the disk cannot do and `LedgerError` for what the ledger cannot tell; both
    leave whole lines only, and the next call goes on from there.
    """

    def __init__(self, folder: Path, ledger: Path, max_bytes: int, keep: int) -> None:
        """`max_bytes` of one file; `keep` older ones stay beside it (`trade_journal.1.jsonl` the newest of them)."""
        self.path = folder / NAME
        self._ledger = ledger
        self._max_bytes = max_bytes
        self._keep = keep
        self._after: int | None = None
        self._of: str | None = None

    def write_new(self) -> int:
        """Append the trades that are not in it yet; returns how many there were."""
        if self._after is None:
            self._repair()
            self._of, self._after = self._last_written()
        count = 0
        while True:
            found = trades_after(self._ledger, self._after, _BATCH, self._of)
            if found.trades:
                self._append(b"".join(_line(trade, found.ledger) for trade in found.trades))
                count += len(found.trades)
            self._of, self._after = found.ledger, found.upto
            if len(found.trades) < _BATCH:
                return count

    # -- inside -------------------------------------------------------------------------------------------------------

    def _append(self, lines: bytes) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size and size + len(lines) > self._max_bytes:
            self._rotate()
            size = 0
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)
        try:
            try:
                if os.write(file, lines) != len(lines):
                    raise OSError(f"{self.path} took only a part of what was written: is the disk full?")
                os.fsync(file)
            except OSError:
                self._after = None  # what is there says where to go on
                with contextlib.suppress(OSError):
                    os.ftruncate(file, size)
                raise
        finally:
            os.close(file)

    def _rotate(self) -> None:
        """The file becomes number 1, number 1 becomes number 2; the one past `keep` goes."""
        self._older(self._keep).unlink(missing_ok=True)
        for number in range(self._keep - 1, 0, -1):
            if self._older(number).exists():
                self._older(number).rename(self._older(number + 1))
        if self._keep:
            self.path.rename(self._older(1))
        else:
            self.path.unlink()
        _sync_folder(self.path.parent)

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"trade_journal.{number}.jsonl")

    def _repair(self) -> None:
        """Cut off what follows the last whole line."""
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end:
                start = max(0, end - _TAIL_BYTES)
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    end = start + at + 1
                    break
                end = start
            if end != size:
                file.truncate(end)
                os.fsync(file.fileno())
                log.warning("%s: a torn line of %d bytes was cut off; it is written again", self.path, size - end)

    def _last_written(self) -> tuple[str | None, int]:
        """The ledger and the event number of the newest line there is."""
        for path in (self.path, *(self._older(number) for number in range(1, self._keep + 1))):
            if path.exists():
                for line in _lines_from_the_end(path):
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        known = json.loads(line)
                        return str(known["ledger"]), int(known["seq"])
        return None, 0


def _lines_from_the_end(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        yield from reversed(file.read().splitlines())


def _line(trade: Record, ledger: str) -> bytes:
    quantity, cost = parse_decimal(trade["quantity"]), parse_decimal(trade["cost"])
    symbol: str = trade["symbol"]
    told: dict[str, Any] = {
        "seq": trade["seq"], "ledger": ledger, "at": trade["at"], "account": trade["account"], "role": trade["role"],
        "symbol": symbol, "side": trade["side"], "effect": trade["effect"], "kind": trade["kind"],
        "quantity": plain(quantity), "price": plain(_PRICE.divide(cost, quantity)),
        "cost": plain(cost), "fee": trade["fee"], "fee_base": trade["fee_base"],
        "currency": symbol[len(base_of(symbol)) + 1 :] or "USD", "state": trade["status"], "reason": trade["reason"],
        "detail": trade["detail"], "order_id": trade["order_id"], "venue_order_id": trade["venue_order_id"],
        "signal_id": trade["signal_id"], "intended_at": trade["planned_at"],
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _sync_folder(folder: Path) -> None:
    """A rename is durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class JournalKeeper:
    """Keeps the journal while the worker runs. What goes wrong with it stops nothing, and is said once."""

    def __init__(self, journal: TradeJournal, every_s: float, alert: Tell) -> None:
        self._journal = journal
        self._every_s = every_s
        self._alert = alert
        self._told = ""

    async def run(self) -> None:
        """Write what is new every so many seconds, until cancelled."""
        while True:
            await self.write()
            await asyncio.sleep(self._every_s)

    async def write(self) -> None:
        """Write what is new, in a thread: it waits for the disk. Never raises for what disk or ledger can do."""
        writing = asyncio.create_task(asyncio.to_thread(self._write))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing  # two threads must never be at it
            raise

    def _write(self) -> None:
        try:
            self._journal.write_new()
        except (OSError, LedgerError) as error:
            if str(error) != self._told:
                self._told = str(error)
                self._alert(
                    Alert(
                        AlertKind.RECORD_NOT_KEPT,
                        f"the trade journal is not written: {error}; trading goes on, and it catches up by itself",
                    )
                )
        else:
            self._told = ""
