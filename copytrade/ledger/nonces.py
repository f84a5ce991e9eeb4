"""Nonces of one API key: strictly rising, whatever dies, whoever else uses the key, wherever the clock goes.

A venue refuses a nonce that is not higher than the last one it saw for that key, and Kraken never forgets the
last one (docs.kraken.com, "What is a nonce?"). Three rules make a repeat impossible here:

- Write ahead of use. The file holds a *ceiling*: no nonce above it has been handed out. It is raised before
  the nonce leaves, so a `kill -9` between the two wastes numbers and repeats none.
- One owner at a time. A file lock (`flock`, through the package `filelock`) is held for each single nonce, or
  for as long as a worker leases the key.
- Upwards only. Nothing here lowers the number in the file.

Nonces are milliseconds since 1970 (13 digits): `max(last + 1, now)`. Other clients of the same key that count
finer (micro- or nanoseconds) would lock this one out for good, hence `raise_to`.

Errors: `NonceStoreError` (the file cannot be kept; no nonce was handed out) and below it `NonceStoreBusy`
(another process owns the key).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import math
import os
import re
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

logger = logging.getLogger(__name__)

# How many numbers a lease reserves at once: a minute's worth. Large enough that the orders of a busy minute write once
# (a write costs an order some 25 µs and more on a slow disk); small enough that a restart is hardly ahead of the clock.
RESERVE_AHEAD = 60_000
# Kraken's nonce is an unsigned 64-bit integer.
NONCE_MAX = 2**64 - 1
# How long a single `next` waits for other processes that take single nonces too. They hold the lock for about
# 30 µs, so one that waits longer than this is looking at a lease.
SHARED_WAIT_S = 5.0
# The lock is polled: a blocking flock cannot be given up after a time limit.
POLL_S = 0.001
# How often files may be replaced under our hands within one call before we give up: each time takes somebody
# who deletes them within microseconds.
REPLACED_MAX = 10
# A nonce this far beyond the clock did not come from a client that counts milliseconds.
FOREIGN_SCALE_MS = 366 * 24 * 3600 * 1000

_RECORD = re.compile(rb"nonce-ceiling ([0-9]{20}) check ([0-9a-f]{8})\n")
_RECORD_BYTES = len(b"nonce-ceiling 00000000000000000000 check 00000000\n")


class NonceStoreError(Exception):
    """The nonce file cannot be kept. No nonce was handed out, so nothing may be signed with this key.

    The operator frees disk space or mends the permissions that the message names.
    """


class NonceStoreBusy(NonceStoreError):
    """Another process owns the key. The operator stops that process, or gives this one a key of its own."""


class NonceStore:
    """The nonces of one API key of one account, kept in one small file under `directory`.

    Args:
        directory: where the files live, usually `state/nonces`; made with mode 0700 if it is missing.
        account: `<venue>:<user_id>`; becomes the readable part of the file's name.
        key_id: the API key (the public half, never the secret). Only 8 hex digits of its hash reach the
            file's name, so that a rotated key starts afresh and two keys of one account do not share a file.
        clock: nanoseconds since 1970, like `time.time_ns`. May go backwards; nonces do not.
        shared_wait_s: how long `next` without a lease waits for another process.

    Use it in one of two ways: call `next` at will (a lock and a write each time, about 30 µs, safe among any
    number of processes), or hold a lease and pay one write for every five seconds of numbers. A worker
    leases; a command that sends one order need not. Threads may share a store either way. Waiting blocks the
    calling thread, so an event loop acquires in a thread; `next` under a lease does not wait.
    """

    def __init__(
        self,
        directory: Path,
        account: str,
        key_id: str,
        *,
        clock: Callable[[], int] = time.time_ns,
        shared_wait_s: float = SHARED_WAIT_S,
    ) -> None:
        if not account or not key_id:
            raise ValueError("a nonce store needs the account and the API key it belongs to")
        readable = ".".join(re.sub(r"[^A-Za-z0-9_-]", "-", part) for part in account.split(":", 1))
        digest = hashlib.sha256(key_id.encode()).hexdigest()[:8]
        self.account = account
        self.path = Path(directory) / f"{readable[:100]}.{digest}.nonce"
        self.lock_path = self.path.with_name(self.path.name + ".lock")
        self._clock = clock
        self._shared_wait_s = shared_wait_s
        self._mutex = threading.Lock()
        self._lock_fd: int | None = None
        self._leased = False
        self._last = 0  # the highest nonce that is handed out, or must not be handed out any more
        self._ceiling = 0  # the highest number this store has seen in the file
        _stores.add(self)

    def __repr__(self) -> str:
        return f"NonceStore({str(self.path)!r}, leased={self._leased})"

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # half-built, or the interpreter is leaving
            self._close_lock()

    def next(self) -> int:
        """The next nonce, in milliseconds since 1970 or a little beyond.

        Higher than every nonce returned before this call began, by this process or another one.

        Raises:
            NonceStoreBusy: another process owns the key.
            NonceStoreError: the file cannot be kept; nothing was handed out.
        """
        with self._mutex:
            if not self._leased:
                return self._advance(lambda floor: (max(floor + 1, self._now()), 0))
            nonce = max(self._last + 1, self._now())
            if nonce > self._ceiling:
                return self._advance(lambda floor: (max(floor + 1, self._now()), RESERVE_AHEAD))
            self._last = nonce
            return nonce

    def jump(self, ahead_ms: int) -> int:
        """Leave a gap after the venue has refused a nonce as too low: its memory of the key is ahead of ours.

        Returns the lowest value that the next nonce can have: at least `ahead_ms` above both the last one and
        the clock. Raises as `next` does.
        """
        if ahead_ms < 1:
            raise ValueError(f"a nonce store jumps upwards only; ahead_ms must be at least 1, not {ahead_ms}")
        with self._mutex:
            last = self._advance(lambda floor: (max(floor, self._now()) + ahead_ms - 1, 0), durable=True)
        return last + 1

    def raise_to(self, nonce: int) -> None:
        """Take note of the last nonce that the venue says it saw; lower or equal values change nothing.

        Raises as `next` does, and ValueError for something that is no 64-bit nonce.
        """
        if not 0 <= nonce < NONCE_MAX:
            raise ValueError(f"a nonce is an unsigned 64-bit number, not {nonce}")
        with self._mutex:
            if nonce <= self._last:
                return
            if nonce > self._now() + FOREIGN_SCALE_MS:
                logger.warning(
                    "%s: the venue's last nonce is %d, far beyond milliseconds: another program that counts "
                    "finer has used this key. Continuing above it; give that program a key of its own.",
                    self.account,
                    nonce,
                )
            self._advance(lambda floor: (max(floor, nonce), 0), durable=True)

    def acquire(self, timeout_s: float = 0.0) -> None:
        """Own the key until `release`; proves at once that the file can be written.

        Raises:
            NonceStoreBusy: another process (or another store in this one) has it, still after `timeout_s`.
            NonceStoreError: the file cannot be kept.
        """
        with self._mutex:
            if self._leased:
                raise RuntimeError(f"{self!r} is leased already: release it before the next acquire")
            self._take_lock(timeout_s)
            self._leased = True
            try:
                self._advance(lambda floor: (max(floor, self._now()), 0))
            except BaseException:
                self._leave()
                raise
            self._sign_lock(os.getpid())

    def release(self) -> None:
        """Give the key up and close the descriptor that is kept between calls; harmless without a lease.

        Reserved numbers that were not used are wasted on purpose: the file never goes down.
        """
        with self._mutex:
            if self._leased and self._lock_is_current():
                self._sign_lock(None)
            self._leave()

    @contextlib.contextmanager
    def lease(self, timeout_s: float = 0.0) -> Iterator[NonceStore]:
        """`acquire` and `release` around a block."""
        self.acquire(timeout_s)
        try:
            yield self
        finally:
            self.release()

    # -- the one way up ------------------------------------------------------------------------------------

    def _advance(self, choose: Callable[[int], tuple[int, int]], *, durable: bool = False) -> int:
        """Raise the file, then the memory. `choose` maps the highest used number to (new last, reserve).

        The files may be deleted at any moment ("delete the nonce files" is a habit), which would let a second
        process lock a fresh pair. So both are looked at again *after* the write: if they still are the files
        others would open, then whoever comes later reads what was just written; if not, the number is dropped
        and the round starts again.

        No fsync for ordinary nonces: a killed process leaves its writes to the kernel, and after a power cut
        the clock has moved on past anything that was lost. Only a step far ahead of the clock (`durable`)
        cannot be found again from the clock, so that one is forced to disk; whatever is lost still heals
        through `jump`.
        """
        for _ in range(REPLACED_MAX):
            self._own_lock()
            try:
                with self._explained(), self._open_file() as descriptor:
                    written = self._read(descriptor)
                    # Up to the ceiling numbers are ours; a higher one in the file was handed out elsewhere.
                    floor = written if written > self._ceiling else self._last
                    last, reserve = choose(floor)
                    if last > NONCE_MAX - RESERVE_AHEAD:
                        raise NonceStoreError(
                            f"{self.account}: the nonces of this API key are used up ({last} ends the 64 "
                            "bits). Make a new key at the venue and delete this one there"
                        )
                    ceiling = max(last + reserve, self._ceiling, written)
                    self._write(descriptor, ceiling, durable=durable)
                    current = _is_current(descriptor, self.path) and self._lock_is_current()
                if current:
                    self._last, self._ceiling = last, ceiling
                    return last
            finally:
                if not self._leased:
                    self._unlock()
        raise NonceStoreError(
            f"{self.path} is being replaced again and again; no order of {self.account} leaves. "
            "Find the program that deletes or restores files there and stop it"
        )

    def _now(self) -> int:
        return self._clock() // 1_000_000

    # -- the file ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NonceStoreError(
                f"{error.filename or self.path}: {error.strerror or error}. No order of {self.account} "
                "leaves until the nonce file can be written: free disk space, or make "
                f"{self.path.parent} writable for the user that runs this program. Do not delete the file"
            ) from error

    @contextlib.contextmanager
    def _open_file(self) -> Iterator[int]:
        descriptor = _open(self.path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> int:
        """The ceiling in the file; 0 for a new file, and for a damaged one after saying so."""
        raw = os.pread(descriptor, _RECORD_BYTES, 0)
        ceiling = _parse(raw)
        if ceiling is None:
            if raw:  # a file that was made this moment is empty
                logger.warning(
                    "%s is damaged (%d bytes, check failed). Continuing from the clock%s; should the venue "
                    "refuse nonces of %s, they jump ahead by themselves. Check the disk.",
                    self.path,
                    len(raw),
                    " and from memory" if self._last else "",
                    self.account,
                )
            return 0
        return ceiling

    def _write(self, descriptor: int, ceiling: int, *, durable: bool) -> None:
        # One write of a fixed width in place: there is no moment at which the file is empty or half as long.
        record = _format(ceiling)
        written = os.pwrite(descriptor, record, 0)
        if written != len(record):
            raise OSError(errno.ENOSPC, f"only {written} of {len(record)} bytes were written", str(self.path))
        if durable:
            os.fsync(descriptor)

    # -- the lock ------------------------------------------------------------------------------------------

    def _own_lock(self) -> None:
        if not self._leased:
            self._take_lock(self._shared_wait_s)
        elif not self._lock_is_current():
            # Somebody deleted the lock file, so another process may have locked a new one and used the key
            # since: whatever it wrote counts from here on, and the numbers reserved before do not.
            self._close_lock()
            self._ceiling = self._last
            try:
                self._take_lock(0.0)
            except NonceStoreError:
                self._close_lock()  # open yet not ours: the next call must not take it for our lock
                raise
            self._sign_lock(os.getpid())

    def _take_lock(self, wait_s: float) -> None:
        # Polls are counted instead of looking at a clock: one that is set back must not make the wait longer.
        polls_left = math.ceil(wait_s / POLL_S)
        for _ in range(polls_left + REPLACED_MAX):
            with self._explained():
                if self._lock_fd is None:
                    self._lock_fd = _open(self.lock_path)
                locked = lock_descriptor(self._lock_fd, blocking=False)
                if not self._lock_is_current():
                    self._close_lock()  # deleted since it was opened: what counts is the file others see
                    continue
            if locked:
                return
            if polls_left == 0:
                break
            polls_left -= 1
            time.sleep(POLL_S)
        raise NonceStoreBusy(
            f"{self.lock_path} is held{self._holder()}: another program uses the API key of {self.account}. "
            "Stop that one, or give this one an API key of its own. Do not delete the file"
        )

    def _lock_is_current(self) -> bool:
        return self._lock_fd is not None and _is_current(self._lock_fd, self.lock_path)

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            unlock_descriptor(self._lock_fd)

    def _close_lock(self) -> None:
        if self._lock_fd is not None:
            descriptor, self._lock_fd = self._lock_fd, None
            os.close(descriptor)  # which also unlocks

    def _leave(self) -> None:
        self._leased = False
        self._last = self._ceiling = max(self._last, self._ceiling)
        self._close_lock()

    def _sign_lock(self, process_id: int | None) -> None:
        """Name the owner for the message to whoever is refused: a courtesy, so it may fail."""
        if self._lock_fd is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._lock_fd, b"%-20s\n" % str(process_id or "").encode(), 0)

    def _holder(self) -> str:
        if self._lock_fd is not None:
            with contextlib.suppress(OSError, ValueError):
                return f" by process {int(os.pread(self._lock_fd, 20, 0))}"
        return ""

    def _forget_parent(self) -> None:
        """In a forked child: the descriptor, its lock and the reserved numbers are the parent's."""
        self._mutex = threading.Lock()
        self._leave()


def _format(ceiling: int) -> bytes:
    head = b"nonce-ceiling %020d" % ceiling
    return b"%s check %08x\n" % (head, zlib.crc32(head))


def _parse(raw: bytes) -> int | None:
    match = _RECORD.fullmatch(raw)
    if match is None or _format(int(match[1])) != raw:
        return None
    return int(match[1])


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether opening `path` now would give the file that `descriptor` has open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False


_stores: weakref.WeakSet[NonceStore] = weakref.WeakSet()


def _forget_parents() -> None:
    for store in list(_stores):
        store._forget_parent()


# A forked child shares open files and therefore locks with its parent: both would own every key.
os.register_at_fork(after_in_child=_forget_parents)
