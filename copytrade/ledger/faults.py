"""What SQLite and the file system say, put into the two errors that an operator can act on."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from copytrade.domain.errors import LedgerCorrupt, LedgerError, LedgerUnwritable

# Primary result codes of SQLite (sqlite.org/rescode.html); the extended ones carry them in their low byte.
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_CAUSES = {
    sqlite3.SQLITE_READONLY_ROLLBACK: "a run that was cut off left it unfinished: start the worker once, that mends it",
    sqlite3.SQLITE_FULL: "the disk is full (or the file has reached its size limit): free some space",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only: make both writable for this user",
    sqlite3.SQLITE_PERM: "access is denied: make the file and its folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see that its folder exists and is writable for this user",
    sqlite3.SQLITE_BUSY: "another program holds it locked: stop that program",
    sqlite3.SQLITE_LOCKED: "another program holds it locked: stop that program",
    sqlite3.SQLITE_IOERR: "the disk reports an error: look at the system's log, free space, check the disk",
}
_OS_CAUSES = {
    errno.ENOENT: "the folder {folder} does not exist: make it, or name another one with --state",
    errno.ENOTDIR: "{folder} is not a folder: name another one with --state",
    errno.EISDIR: "a folder is in its place: move that away",
    errno.EACCES: "access is denied: make the file and its folder writable for this user",
    errno.EPERM: "access is denied: make the file and its folder writable for this user",
    errno.EROFS: "the file system is read-only: mount it writable, or name another folder with --state",
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
}
_AFTERWARDS = "No order is sent meanwhile. Then start the worker again: it carries on from what is on disk."


def ledger_error(path: Path, doing: str, fault: sqlite3.Error | OSError | ValueError | LookupError) -> LedgerError:
    """The error to raise for a fault met while `doing` something ("read", "written") with the ledger at `path`."""
    if isinstance(fault, OSError):
        refusal = _OS_CAUSES.get(fault.errno or 0, "the system refuses it: mend that")
        return LedgerUnwritable(
            f"the ledger {path} cannot be {doing}: {refusal.format(folder=path.parent)} "
            f"({fault.strerror or fault}). {_AFTERWARDS}"
        )
    if not isinstance(fault, sqlite3.Error):
        return damaged(path, f"{type(fault).__name__}: {fault}")
    code = getattr(fault, "sqlite_errorcode", 0)
    if isinstance(fault, sqlite3.IntegrityError):
        return LedgerError(
            f"the ledger {path} refused a record that it holds already ({fault}): the same order or signal came twice. "
            "This is a fault of the program; report it with the log. Starting the worker again is safe."
        )
    if code & 0xFF in _CORRUPT or code == sqlite3.SQLITE_IOERR_SHORT_READ or isinstance(fault, sqlite3.DataError):
        return damaged(path, str(fault))
    cause = _CAUSES.get(code) or _CAUSES.get(code & 0xFF)
    if cause is None and isinstance(fault, sqlite3.OperationalError) and "no such" in str(fault):
        return damaged(path, str(fault))
    name = getattr(fault, "sqlite_errorname", "")
    return LedgerUnwritable(
        f"the ledger {path} cannot be {doing}: {cause or 'SQLite refuses it: mend that'} "
        f"({fault}{', ' + name if name else ''}). {_AFTERWARDS}"
    )


def damaged(path: Path, what: str) -> LedgerCorrupt:
    """The error for a file that is not what this service wrote."""
    return LedgerCorrupt(
        f"the ledger {path} is damaged ({what}). No order is sent while it is. Keep the file, with the -wal and -shm "
        "files beside it, for an examination, put your latest backup of it in its place, start the worker, and let "
        "it compare with the venues. Do not simply delete it: open orders and copied positions are known from it alone."
    )


def again(error: LedgerError) -> LedgerError:
    """A fresh copy of an error that many callers get, so that no caller's traceback ends up in another's."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
