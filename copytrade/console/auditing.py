"""`audit`: whether the record is what was written, and where it is not. And the operators' record for commands."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from copytrade.console.output import print_error, print_json
from copytrade.console.web.audit import AUDIT_FILE, AuditFile, first_break, hashes
from copytrade.domain.errors import LedgerError
from copytrade.ledger.asking import Questions
from copytrade.ledger.chain import ChainVerdict
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import Verdict, follow_chain, verify
from copytrade.ledger.sealing import SEALED, Seal, seal_of
from copytrade.wiring.paths import Paths

_HEAD = re.compile(r"(?:[0-9]+:)?([0-9a-fA-F]{64})")

_NAME_CHARACTERS_MAX = 60

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Acts:
    """The operators' file against the ledger: how many lines, how many the ledger knows, and what is wrong."""

    lines: int
    chained: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Equity:
    """The history of equity against the seals in the chain: how many days, up to which, and which are not as sealed."""

    days: int
    until: str
    problems: tuple[str, ...]


NOT_COVERED = (
    "readings of equity since the last sealed day (a day is sealed once it is over, in UTC)",
    "balances as last seen: the venue has the true ones",
    "the trade journal and paper venues: made anew from the ledger, or pretence",
    "settings, follower files and keys: of their changes it is noted that and when the worker took them over",
)
"""What neither the chain nor the replay says anything about. Told with every audit, so that nobody believes more."""


def run_audit(paths: Paths, expect: str | None, *, quick: bool, as_json: bool) -> int:
    """Verify chain, replay (not when `quick`) and operators' file; exit code 1 where one is not what was written."""
    wanted = None
    if expect is not None:
        found = _HEAD.fullmatch(expect.strip())
        if found is None:
            text = f"--expect is {expect!r:.80}: give a head as audit prints it, a number, ':' and 64 digits"
            print_error(text, as_json=as_json, kind="bad_request")
            return 2
        wanted = found.group(1).lower()
    try:
        chain = follow_chain(paths.ledger, wanted)
        replay = None if quick else verify(paths.ledger)
        acts = compare_acts(paths)
        equity = None if quick else compare_equity(paths)
    except (LedgerError, OSError) as error:
        print_error(str(error), as_json=as_json)
        return 1
    unmet = wanted is not None and chain.expected_at is None
    ok = chain.ok and (replay is None or replay.ok) and not acts.problems and not unmet
    ok = ok and (equity is None or not equity.problems)
    if as_json:
        print_json({"ok": ok, **_as_json(chain, replay, acts, equity, wanted)})
    else:
        _show(paths, chain, replay, acts, equity, wanted)
    return 0 if ok else 1


def compare_acts(paths: Paths) -> Acts:
    """See that the operators' file is whole, and has every line that the ledger knows. Raises `LedgerError`."""
    with LedgerReader(paths.ledger) as reader:  # first: lines may be added to the file meanwhile
        known = [body["record"] for body in reader.operator_acts() if body["record"]][::-1]
    trail = paths.state / AUDIT_FILE
    if not trail.exists():
        gone = (f"{trail} is gone, and the ledger knows {len(known)} lines of it",) if known else ()
        return Acts(0, len(known), gone)
    problems = []
    if (line := first_break(trail)) is not None:
        problems.append(f"{trail}, line {line}: it was changed, put in, or follows one that was taken out")
    there = hashes(trail)
    if missing := [record for record in known if record not in there]:
        problems.append(f"{trail} lacks {len(missing)} lines that the ledger knows, the first with hash {missing[0]}")
    return Acts(len(there), len(known), tuple(problems))


def compare_equity(paths: Paths) -> Equity:
    """See that each sealed day of the history of equity is as it was sealed. Raises `LedgerError`."""
    with LedgerReader(paths.ledger) as reader:
        sealed = [body["target"] for body in reader.operator_acts() if body["what"] == SEALED][::-1]
    questions = Questions(paths.ledger)
    problems, until = [], ""
    try:
        for text in sealed:
            try:
                then = Seal.of_text(text)
            except ValueError as error:
                problems.append(str(error))
                continue
            now, until = seal_of(questions, then.day), then.day.isoformat()
            if now != then:
                problems.append(
                    f"equity_history, {until}: {now.readings} readings, and not those {then.readings} that were sealed"
                )
    finally:
        questions.close()
    return Equity(len(sealed), until, tuple(problems))


def _as_json(
    chain: ChainVerdict, replay: Verdict | None, acts: Acts, equity: Equity | None, wanted: str | None
) -> Json:
    return {
        "events": chain.seq,
        "head": _head(chain),
        "first_break": chain.first_break,
        "chain": list(chain.problems),
        "replay": None if replay is None else list(replay.problems),
        "operators": {"lines": acts.lines, "chained": acts.chained, "problems": list(acts.problems)},
        "equity": None if equity is None else
        {"days": equity.days, "until": equity.until, "problems": list(equity.problems)},
        "not_covered": list(NOT_COVERED),
        "expected": None if wanted is None else {"hash": wanted, "at": chain.expected_at},
    }


def _show(
    paths: Paths, chain: ChainVerdict, replay: Verdict | None, acts: Acts, equity: Equity | None, wanted: str | None
) -> None:
    print(f"{paths.ledger}: {chain.seq} events")
    _say("chain", "whole", chain.problems)
    if replay is not None:
        _say("replay", "the events give what the tables hold", replay.problems)
    _say("operators' record", f"whole, {acts.lines} lines, {acts.chained} of them in the chain", acts.problems)
    if equity is not None:
        well = f"{equity.days} days are as they were sealed, the last {equity.until}" if equity.days else "no whole day"
        _say("history of equity", f"{well} yet" if not equity.days else well, equity.problems)
    if not chain.ok:
        print(f"everything before event {chain.first_break} is what was written; from there on trust your backups only")
    if wanted is not None and chain.expected_at is not None:
        print(f"expected: found at event {chain.expected_at}: nothing up to there was written anew")
    elif wanted is not None:
        print("expected: NOT FOUND: this is another ledger, an older copy of it, or one that was written anew")
    _show_limits()
    if chain.ok:
        print(f"head: {_head(chain)}")
        print("note it down elsewhere; audit --expect HEAD then tells whether anything up to it was written anew")


def _show_limits() -> None:
    print("not covered:")
    for line in NOT_COVERED:
        print(f"  {line}")


def _say(what: str, well: str, problems: Sequence[str]) -> None:
    print(f"  {what}: {'BROKEN' if problems else well}")
    for problem in problems:
        print(f"    {problem}")


def _head(chain: ChainVerdict) -> str:
    return f"{chain.seq}:{chain.head}"


# -- for other commands ---------------------------------------------------------------------------------------------


def operator_name() -> str:
    """Who types: the name of the system's user."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container without a user of that number
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo by {behind[:_NAME_CHARACTERS_MAX]})" if behind and behind != name else name


def operator_place() -> str:
    """From where: the command line, and where somebody came in by SSH, from which address."""
    came = os.environ.get("SSH_CONNECTION", "").split()
    return f"command line, ssh from {came[0][:_NAME_CHARACTERS_MAX]}" if came else "command line"


def note_act(paths: Paths, what: str, outcome: str = "done", **asked: Any) -> None:
    """Write a command's act into the operators' file. The act is done by then: a record that fails stops nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        trail = AuditFile(paths.state, lambda: datetime.now(UTC), lambda text: text)
        trail.keep(operator_name(), operator_place(), what, asked=asked, outcome=outcome)
