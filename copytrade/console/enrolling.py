"""`enrol`, `pause`, `close-only`, `disarm`, `resume`, `remove`: changes the follower files, and notes who did it.

The functions above the commands are for programs as well (the web console); all raise `BadRequest`,
`copytrade.settings.faults.SettingsError` and `OSError`, and then nothing has been changed.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from copytrade.console.output import print_error, print_json
from copytrade.domain.account import Mode
from copytrade.domain.errors import BadRequest, CopyTradeError, LedgerError
from copytrade.settings.credentials import Missing, resolve
from copytrade.settings.faults import Fault, SettingsError
from copytrade.settings.load import read_environment_or_faults, read_settings_or_faults
from copytrade.settings.model import Settings
from copytrade.settings.users import User, UsersFile
from copytrade.settings.users_edit import Entry, UsersEdit, editing
from copytrade.wiring.paths import Paths

Json = dict[str, Any]


@dataclass(slots=True)
class Changed:
    """What was done: the accounts, the files, and what the operator should know or do next.

    `stands_in_the_way` are faults that were there before and keep the worker from reading the files at all.
    """

    accounts: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stands_in_the_way: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        return {
            "accounts": self.accounts, "files": self.files, "notes": self.notes,
            "stands_in_the_way": self.stands_in_the_way,
        }  # fmt: skip


def set_mode(
    paths: Paths, who: str, mode: Mode | str, by: str = "", *, enable: bool = False, instrument: str = ""
) -> Changed:
    """Set the mode of a user (`alice`: all accounts) or of one account (`kraken:alice`), or that of one `instrument`.

    `by` puts it into the audit trail under that name; empty: the caller does that itself. `enable` also sets
    `enabled: true` where it is false.
    """
    mode, instrument = Mode(mode), instrument.upper()

    def change(edit: UsersEdit) -> list[Entry]:
        entries = _found(edit, who)
        for entry in entries:
            if instrument:
                _set_instrument_mode(edit, entry, instrument, mode)
            elif entry.user.mode != mode.value:
                edit.set(entry, "mode", mode.value)
            if enable and not entry.user.enabled:
                edit.set(entry, "enabled", True)
        return entries

    asked = {"who": who, "mode": mode.value} | ({"instrument": instrument} if instrument else {})
    changed, entries = _change(paths, change, by, "mode", asked)
    for entry in entries:
        changed.notes += _still_stopped(entry.user, mode, instrument, enabled=entry.user.enabled or enable)
    return changed


def _set_instrument_mode(edit: UsersEdit, entry: Entry, instrument: str, mode: Mode) -> None:
    """Write it beside the other instruments' modes; `active` is what an instrument without one is."""
    if "/" not in instrument and entry.user.broker_type != "alpaca":
        raise BadRequest(f"--instrument is {instrument}: write it like BTC/USD, only stocks have no slash")
    lists = entry.user.instruments
    modes: dict[str, str] = {symbol: set_to for symbol, set_to in lists.modes.items() if symbol != instrument}
    if mode is not Mode.ACTIVE:
        modes[instrument] = mode.value
    if modes != dict(lists.modes):
        parts = {"allow": list(lists.allow), "block": list(lists.block), "modes": modes}
        edit.set(entry, "instruments", {name: part for name, part in parts.items() if part})


def _still_stopped(user: User, mode: Mode, instrument: str, *, enabled: bool) -> list[str]:
    """What keeps entries from an account all the same, and how to end that."""
    notes = [] if enabled else [f"{user.account} is not enabled, so it takes no entries: resume --enable"]
    if mode is not Mode.ACTIVE:
        return notes
    if instrument:
        if user.mode != Mode.ACTIVE.value:
            notes.append(f"{user.account} itself is {user.mode}, which counts for every instrument: resume it")
    elif user.instruments.modes:
        stopped = ", ".join(f"{symbol} ({set_to})" for symbol, set_to in sorted(user.instruments.modes.items()))
        notes.append(f"{user.account} has a mode of its own for {stopped}: resume --instrument ends it")
    return notes


def set_mode_for_console(paths: Paths, account: str, mode: Mode, instrument: str = "") -> None:
    """The same for one account, as an action of the web console, which keeps its own record of who asked.

    Raises `CopyTradeError` and `OSError`.
    """
    try:
        changed = set_mode(paths, account, mode, instrument=instrument)
    except SettingsError as error:
        raise CopyTradeError(f"nothing was changed: {error}") from None
    if changed.stands_in_the_way:
        raise CopyTradeError(
            f"it is written, but the worker takes nothing over before this is mended: {changed.stands_in_the_way[0]}"
        )


def enrol(paths: Paths, values: Mapping[str, Any], file: str | None = None, by: str = "") -> Changed:
    """Add one account; `values` are the fields of a user file. `file` is a name in the folder of follower files."""
    return enrol_all(paths, [Row(values, 0)], "", file or f"retail_{values.get('broker_type')}.json", by)


def remove(paths: Paths, who: str, by: str = "", *, though_it_holds: bool = False) -> Changed:
    """Take a user or one account out of the files. One that holds a copied position is refused, unless told."""

    def change(edit: UsersEdit) -> list[Entry]:
        entries = _found(edit, who)
        held = {} if though_it_holds else _held(paths)
        for entry in entries:
            if symbols := held.get(entry.user.account):
                raise BadRequest(
                    f"{entry.user.account} holds copied {', '.join(symbols)}: close-only lets it follow the master "
                    "out, or flatten it; --though-it-holds removes it all the same"
                )
        for entry in reversed(entries):  # from the end, so that the places of the others stay
            edit.remove(entry)
        return entries

    changed, _ = _change(paths, change, by, "remove", {"who": who})
    changed.notes.append("its API key is still in the environment or .env: take it out there, and end it at the venue")
    return changed


@dataclass(frozen=True, slots=True)
class Row:
    """One user to be enrolled, and the line it comes from (0: typed)."""

    values: Mapping[str, Any]
    line: int


def enrol_all(paths: Paths, rows: Sequence[Row], source: str, file: str, by: str = "") -> Changed:
    """Add many accounts to one file, all or none. Raises `SettingsError` with a fault for each line of `source`."""
    target = _target(paths, file)
    lines: dict[str, int] = {}

    def change(edit: UsersEdit) -> list[Entry]:
        known = {entry.user.account: entry for entry in edit.entries()}
        faults = []
        for row in rows:
            account = f"{row.values.get('broker_type')}:{row.values.get('user_id')}"
            if (entry := known.get(account)) is not None:
                faults.append(Fault(source or account, row.line, "", *_enrolled(source, entry)))
            elif account in lines:
                remedy = "Keep one of the two"
                faults.append(Fault(source, row.line, "", f"{account} is in line {lines[account]} already", remedy))
            lines.setdefault(account, row.line)
        if faults:
            raise SettingsError(faults)
        edit.add(target, [row.values for row in rows])
        return [entry for entry in edit.entries() if entry.user.account in lines]

    try:
        changed, entries = _change(paths, change, by, "enrol", {"accounts": None})
    except SettingsError as error:
        raise SettingsError(_of_source(error.faults, rows, source, target)) from None
    changed.notes += _missing_keys(paths, [entry.user for entry in entries])
    return changed


# -- inside ------------------------------------------------------------------------------------------------------------


def _change(
    paths: Paths, change: Callable[[UsersEdit], list[Entry]], by: str, what: str, asked: Json
) -> tuple[Changed, list[Entry]]:
    with editing(paths.users, _check(paths)) as edit:
        entries = change(edit)
        in_the_way = edit.write()
    done = Changed(
        [entry.user.account for entry in entries],
        sorted({str(entry.file) for entry in entries}),
        stands_in_the_way=[str(fault) for fault in in_the_way],
    )
    if by:
        _audit(paths, by, what, {**asked, "accounts": done.accounts}, done)
    return done, entries


def _check(paths: Paths) -> Callable[[list[UsersFile]], list[Fault]]:
    """What the worker would say of the files together: keys that two accounts could mean."""
    ignored: list[Fault] = []
    environment = read_environment_or_faults(os.environ, paths.dotenv, ignored)
    settings, _ = read_settings_or_faults(paths.config, environment, ignored)

    def check(files: list[UsersFile]) -> list[Fault]:
        if settings.mode != "live":
            return []
        return list(resolve([placed.user for file in files for placed in file.users], environment.secrets).faults)

    return check


def _found(edit: UsersEdit, who: str) -> list[Entry]:
    entries = edit.find(who)
    if not entries:
        known = sorted({entry.user.user_id for entry in edit.entries()})
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise BadRequest(f"{who} is in no follower file; there are {shown or 'none'}")
    return entries


def _target(paths: Paths, file: str) -> Path:
    if Path(file).name != file or not file.endswith(".json") or file.startswith("."):
        raise BadRequest(f"--file is {file!r}: give a plain name that ends in .json, like retail_kraken.json")
    target = paths.users / file
    if target.is_symlink():
        raise BadRequest(f"{target} is a symbolic link, and those are not read: name another file")
    return target


def _enrolled(source: str, entry: Entry) -> tuple[str, str]:
    remedy = "Take the line out" if source else f"Edit {entry.file}, or use pause, close-only, disarm, resume"
    return f"{entry.user.account} is enrolled already, in {entry.file}", remedy


def _of_source(faults: Sequence[Fault], rows: Sequence[Row], source: str, target: Path) -> list[Fault]:
    """Faults of rows told by the rows' own lines; those of other files as they are."""
    told: dict[Fault, None] = {}
    for row in rows:
        found = _row_faults(row, source)
        told |= dict.fromkeys(found)
    others = [fault for fault in faults if fault.file != str(target)] if told else list(faults)
    return sorted([*told, *others], key=lambda fault: fault.line)


def _row_faults(row: Row, source: str) -> list[Fault]:
    from copytrade.settings.json_edit import append_objects
    from copytrade.settings.json_file import json_list_of
    from copytrade.settings.users import users_of

    found = users_of(json_list_of(source or "enrol", append_objects("", [row.values]).encode())).faults
    return [Fault(fault.file, row.line, fault.field, fault.problem, fault.remedy) for fault in found]


def _held(paths: Paths) -> dict[str, list[str]]:
    """Copied positions by account. Raises `BadRequest` when that cannot be told."""
    from copytrade.ledger.reader import LedgerReader

    if not paths.ledger.exists():
        return {}
    held: dict[str, list[str]] = {}
    try:
        with LedgerReader(paths.ledger) as ledger:
            for row in ledger.positions():
                held.setdefault(row["account"], []).append(row["symbol"])
    except LedgerError as error:
        raise BadRequest(f"whether it holds a position cannot be told: {error}") from None
    return held


def _missing_keys(paths: Paths, users: Sequence[User]) -> list[str]:
    """Which variables are still to be set, where the settings are live."""
    ignored: list[Fault] = []
    environment = read_environment_or_faults(os.environ, paths.dotenv, ignored)
    settings, _ = read_settings_or_faults(paths.config, environment, ignored)
    if _is_paper(settings):
        return []
    credentials = resolve(users, environment.secrets)
    states = ((user.account, credentials.by_account[user.account]) for user in users)
    return [f"{account}: {state}, then run check" for account, state in states if isinstance(state, Missing)]


def _is_paper(settings: Settings) -> bool:
    return settings.mode == "paper"


def _audit(paths: Paths, by: str, what: str, asked: Json, done: Changed) -> None:
    """Into the same trail as the web console's actions. A trail that cannot be written is told, not fatal."""
    from copytrade.console.auditing import operator_place
    from copytrade.console.web.audit import AuditFile

    try:
        paths.make_state()
        trail = AuditFile(paths.state, lambda: datetime.now(UTC), lambda text: text)
        trail.keep(by, operator_place(), what, asked=asked, outcome="done")
    except (OSError, ValueError, KeyError) as error:
        done.notes.append(f"it is done, but the audit trail in {paths.state} cannot be written: {error}")


# -- commands ----------------------------------------------------------------------------------------------------------


def run_change(change: Callable[[str], Changed], said: str, *, as_json: bool) -> int:
    """Do one change for a command; exit code 1 when it was refused or the worker cannot take it over."""
    try:
        changed = change(_operator())
    except SettingsError as error:
        print_error(f"{error}\nnothing was changed", as_json=as_json, kind="refused")
        return 1
    except BadRequest as error:
        print_error(str(error), as_json=as_json, kind="bad_request")
        return 1
    except (CopyTradeError, OSError) as error:
        print_error(f"nothing was changed: {error}", as_json=as_json)
        return 1
    if as_json:
        print_json({"done": said, **changed.to_json()})
    else:
        for account in changed.accounts:
            print(f"{account}: {said}")
        for note in changed.notes:
            print(f"  ! {note}")
        for fault in changed.stands_in_the_way:
            print(f"  x the worker takes nothing over before this is mended: {fault}")
    return 1 if changed.stands_in_the_way else 0


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user of that number
        return f"uid {os.getuid()}"
