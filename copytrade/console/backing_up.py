"""`backup` and `restore` of `state/`.

A backup is a folder, made while the worker runs: the ledger and the paper venues by SQLite's own copying, which sees
one moment of them; then the plain files, so that the operators' file has every line that the ledger knows. It is
checked before it gets its name, so a folder that has one is whole. API keys are in no backup: they are in the
environment or `.env`, and the console's token is made anew.

What was traded after a backup is not in it. So a restore leaves the kill switch on: the worker starts, asks the venues
about the orders that it knows, and sends nothing before somebody has compared and lifted the switch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from copytrade.console.auditing import note_act
from copytrade.console.output import print_error, print_json
from copytrade.domain.errors import CopyTradeError, LedgerError
from copytrade.engine.killswitch import KillState, KillSwitch
from copytrade.ledger.faults import ledger_error
from copytrade.ledger.opening import check, open_for_reading
from copytrade.ledger.replay import follow_chain, verify
from copytrade.ledger.schema import sync_folder
from copytrade.wiring.paths import Paths

MANIFEST = "backup.json"
_PREFIX = "copytrade-"
_FORM = 1
_PLAIN = ("console_audit.jsonl",)
_WRITTEN_ANEW = ("trade_journal*.jsonl",)  # from the ledger; an old one would not fit another ledger
_AT_ONCE = 1 << 20

Json = dict[str, Any]


class CannotBackUp(CopyTradeError):
    """A backup cannot be made or used; the text says why and what to do."""


def run_backup(paths: Paths, folder: Path, keep: int | None, *, as_json: bool) -> int:
    """Make a backup in a new folder inside `folder`; with `keep`, take the oldest ones beyond that many away."""
    try:
        made = back_up(paths, folder, datetime.now(UTC))
        gone = [] if keep is None else prune(folder, keep)
    except (CopyTradeError, OSError) as error:
        print_error(f"no backup was made: {error}", as_json=as_json)
        return 1
    manifest = read_manifest(made)
    if as_json:
        print_json({"backup": str(made), "head": manifest["head"], "removed": [str(old) for old in gone]})
    else:
        print(f"{made}: whole, {len(manifest['files'])} files, head {manifest['head']}")
        for old in gone:
            print(f"  removed {old}")
    return 0


def run_restore(paths: Paths, backup: Path, *, replace: bool, as_json: bool) -> int:
    """Put a backup in place of `state/`, and throw the kill switch."""
    try:
        manifest = restore(paths, backup, datetime.now(UTC), replace=replace)
    except (CopyTradeError, OSError) as error:
        print_error(f"nothing was restored: {error}", as_json=as_json)
        return 1
    note_act(paths, "restore", backup=str(backup), head=manifest["head"])
    if as_json:
        print_json({"restored": str(backup), "head": manifest["head"], "kill_switch": "halt"})
        return 0
    print(f"{paths.state}: restored from {backup}, of {manifest['at']}, head {manifest['head']}")
    print("the kill switch is on. Start the worker, compare positions and open orders with the venues (check, drift),")
    print("for what was traded after the backup is not in it; then unkill")
    return 0


def back_up(paths: Paths, folder: Path, at: datetime) -> Path:
    """Returns the new folder. Raises `CopyTradeError` or `OSError`; then nothing that looks like a backup is left."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = folder / f"{_PREFIX}{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z"
    if made.exists():
        raise CannotBackUp(f"{made} is there already: try again")
    building = folder / f".{made.name}.{os.getpid()}.new"
    building.mkdir(mode=0o700)
    try:
        _copy_database(paths.ledger, building / paths.ledger.name)
        for source in sorted(paths.paper.glob("*.sqlite")) if paths.paper.is_dir() else ():
            _copy_database(source, _inside(building, "paper") / source.name)
        for source in [found for pattern in _PLAIN for found in sorted(paths.state.glob(pattern))]:
            _copy_file(source, building / source.name)
        for source in sorted(paths.nonces.glob("*.nonce")):
            _copy_file(source, _inside(building, "nonces") / source.name)
        chain = _must_be_whole(building / paths.ledger.name, replayed=False)
        files = {str(path.relative_to(building)): _digest(path) for path in _files(building)}
        manifest = {"form": _FORM, "at": at.isoformat(timespec="seconds"), "head": chain, "files": files}
        _write(building / MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
        building.rename(made)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    sync_folder(folder)
    return made


def prune(folder: Path, keep: int) -> list[Path]:
    """Take the oldest backups away until `keep` are left. Only what this made is counted, or touched."""
    found = sorted(path for path in folder.glob(f"{_PREFIX}*") if (path / MANIFEST).is_file())
    gone = found[: max(0, len(found) - max(keep, 1))]
    for old in gone:
        shutil.rmtree(old)
    return gone


def restore(paths: Paths, backup: Path, at: datetime, *, replace: bool) -> Json:
    """Check the backup, set what is in `state/` aside, and put it in place. Returns the manifest.

    Nonces only rise: a nonce file that is there already stays. Raises `CopyTradeError` or `OSError`.
    """
    manifest = read_manifest(backup)
    for name, digest in manifest["files"].items():
        if not (backup / name).is_file() or _digest(backup / name) != digest:
            raise CannotBackUp(f"{backup / name} is missing or not what was backed up: take another backup")
    _must_be_whole(backup / paths.ledger.name, replayed=True)
    paths.make_state()
    with _alone(paths):
        there = [path for path in (paths.ledger, paths.paper) if path.exists()]
        if there and not replace:
            raise CannotBackUp(
                f"{there[0]} is there: give --replace to set it aside (nothing is deleted), or another --state"
            )
        KillSwitch(paths.state, os.environ).engage(KillState.HALT)
        _set_aside(paths, at)
        for name in manifest["files"]:
            if name != paths.ledger.name:
                _put_back(backup / name, paths.state / name)
        _put_back(backup / paths.ledger.name, paths.ledger)  # last: a restore that is cut off leaves no ledger
    return manifest


def read_manifest(backup: Path) -> Json:
    """Raises `CannotBackUp`."""
    try:
        manifest = json.loads((backup / MANIFEST).read_text(encoding="utf-8"))
        form, files = manifest["form"], dict(manifest["files"])
        if form != _FORM or not all(_is_inside(name) for name in files):
            raise ValueError(f"its form is {form}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotBackUp(
            f"{backup} is no backup that this version can read ({error}): name a folder that `backup` made"
        ) from None
    return {**manifest, "files": files}


# -- inside -----------------------------------------------------------------------------------------------------------


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and name == str(path)


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Hold the locks that a worker holds. Raises `CannotBackUp` while there is one."""
    with contextlib.ExitStack() as stack:
        for lock in (paths.worker_lock, Path(f"{paths.ledger}.lock")):
            try:
                stack.enter_context(FileLock(lock, timeout=0, mode=0o600))
            except Timeout:
                raise CannotBackUp(f"a worker or a command is at work on {paths.state}: stop it first") from None
        yield


def _set_aside(paths: Paths, at: datetime) -> None:
    """What is in the way gets another name, beside its old one."""
    names = [f"{paths.ledger.name}{end}" for end in ("", "-wal", "-shm")] + [paths.paper.name]
    there = [paths.state / name for name in names]
    there += [found for pattern in (*_PLAIN, *_WRITTEN_ANEW) for found in paths.state.glob(pattern)]
    aside = paths.state / f"before-restore-{at:%Y%m%dT%H%M%SZ}"
    for source in there:
        if source.exists():
            aside.mkdir(mode=0o700, exist_ok=True)
            source.rename(aside / source.name)


def _put_back(source: Path, target: Path) -> None:
    if target.suffix == ".nonce" and target.exists():
        return
    target.parent.mkdir(mode=0o700, exist_ok=True)
    spare = target.with_name(f".{target.name}.new")
    _copy_file(source, spare)
    spare.rename(target)
    sync_folder(target.parent)


def _inside(folder: Path, name: str) -> Path:
    (folder / name).mkdir(mode=0o700, exist_ok=True)
    return folder / name


def _copy_database(source: Path, target: Path) -> None:
    """One moment of a database that another process may be writing, as one file at rest. Raises `LedgerError`."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    ours = source.name.startswith("ledger.")
    try:
        reading = open_for_reading(source) if ours else sqlite3.connect(f"file:{source}?mode=ro", uri=True)
        with contextlib.closing(reading) as connection, contextlib.closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)  # in one step: in the -wal mode a writer goes on meanwhile
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as fault:
        raise ledger_error(source, "read", fault) from fault
    _sync(target)


def _must_be_whole(ledger: Path, *, replayed: bool) -> str:
    """The head of the chain. Raises `LedgerError` for a ledger that is not what was written.

    To replay takes minutes for a ledger of years: it is done where a worker is about to live by it.
    """
    with contextlib.closing(open_for_reading(ledger)) as connection:
        try:
            check(ledger, connection)
        except sqlite3.Error as fault:
            raise ledger_error(ledger, "read", fault) from fault
    chain = follow_chain(ledger)
    if problems := [*chain.problems, *(verify(ledger).problems if replayed else ())]:
        raise LedgerError(f"{ledger} is not what was written: {problems[0]}: see audit")
    return f"{chain.seq}:{chain.head}"


def _copy_file(source: Path, target: Path) -> None:
    _write(target, source.read_bytes())


def _write(target: Path, data: bytes) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()
