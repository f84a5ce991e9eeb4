"""Takes what operators did into the ledger's chain, while the worker runs.

Commands and the web console write each act into the operators' own file (`web/audit.py`): that works without a worker,
and with a ledger that does not. This follows that file, however a line got into it, and makes an event of each, with
the line's hash. It also notes every change of the kill switch that it sees, and of the operator's files, whoever made
it, and seals each day of the history of equity. Nothing that is traded waits for this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pwd
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from copytrade.console.web.audit import AUDIT_FILE
from copytrade.domain.errors import LedgerError
from copytrade.domain.operating import OperatorActed
from copytrade.engine.killswitch import ENVIRONMENT_NAME, FILE_NAME, KillState, KillSwitch
from copytrade.ledger.asking import Questions
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.sealing import SEALED, SETTLED_AFTER, Seal, days_to_seal, seal_of
from copytrade.ledger.store import Ledger

EVERY_S = 1.0  # people act seldom, and a look costs two system calls
SWITCH = "kill switch seen"
FILES = "files changed"
BROKEN = "operators' record broken"
_TEXT_MAX = 500  # of what one act was about; the whole is in the operators' file
_LINES_MAX = 50  # of one change of the files, which may be an import of thousands

log = logging.getLogger("copytrade.trail")

Json = dict[str, Any]
Redact = Callable[[str], str]


class TrailKeeper:
    """Follows the operators' file and the kill switch. Used on the event loop; files are read in a thread."""

    def __init__(
        self, ledger: Ledger, state: Path, kill: KillSwitch, clock: Callable[[], datetime], redact: Redact
    ) -> None:
        self._ledger = ledger
        self._file = state / AUDIT_FILE
        self._kill = kill
        self._clock = clock
        self._redact = redact
        self._offset = 0
        self._switch: str | None = None
        self._looked_on: date | None = None  # when days were last sealed
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find the place where the last run stopped, and go on from there."""
        try:
            last, self._switch = await asyncio.to_thread(self._last_known)
            broken = await asyncio.to_thread(self._find, last)
        except (LedgerError, OSError) as error:
            log.warning("what operators did is not taken into the ledger: %s", error)
            return
        if broken:
            self._append([self._own(BROKEN, AUDIT_FILE, f"the line {last[:16]}... that the ledger knows is gone")])
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take in what came last, and end."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        await self._look()

    def files_changed(self, lines: Sequence[str]) -> None:
        """What the worker took over from the operator's files."""
        shown = list(lines[:_LINES_MAX])
        if len(lines) > len(shown):
            shown.append(f"and {len(lines) - len(shown)} more")
        self._append([self._own(FILES, self._redact(line), "taken over") for line in shown])

    async def _run(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> None:
        try:
            self._append(await asyncio.to_thread(self._news))
            today = (self._clock() - SETTLED_AFTER).date()
            if today != self._looked_on:
                self._append(await asyncio.to_thread(self._seals))
                self._looked_on = today
        except (LedgerError, OSError) as error:
            log.warning("what operators did cannot be read: %s", error)

    def _append(self, acts: Sequence[OperatorActed]) -> None:
        if not acts or self._ledger.failed is not None:
            return
        with contextlib.suppress(LedgerError):  # the worker sees that by itself, and stops
            self._ledger.append(acts)

    # -- in a thread ------------------------------------------------------------------------------------------------

    def _last_known(self) -> tuple[str, str]:
        """The hash of the last line that the ledger has, and the last state of the switch."""
        record, switch = "", ""
        with LedgerReader(self._ledger.path) as reader:
            for body in reader.operator_acts():
                record = record or body["record"]
                if body["what"] == SWITCH:
                    switch = switch or body.get("target", "")
                if record and switch:
                    break
        return record, switch or KillState.OFF.value

    def _find(self, last: str) -> bool:
        """Go to the line behind the one with this hash. True when there is none: then all lines are news."""
        if not last:
            return False
        offset = 0
        for line in self._lines():
            offset += len(line)
            if _read(line).get("hash") == last:
                self._offset = offset
                return False
        return True

    def _news(self) -> list[OperatorActed]:
        acts = []
        for line in self._lines(self._offset):
            if not line.endswith(b"\n"):
                break  # still being written
            self._offset += len(line)
            acts.append(self._act(_read(line)))
        switch = self._kill.look().value
        if switch != self._switch:
            self._switch = switch
            acts.append(self._switched(switch))
        return acts

    def _switched(self, state: str) -> OperatorActed:
        """The owner of the file is whoever made it; who took it away, no file tells."""
        try:
            owner, source = owner_of(self._kill.path), f"the file {FILE_NAME}"
        except FileNotFoundError:
            off = state == KillState.OFF
            owner, source = "", "seen by the worker" if off else f"the environment, {ENVIRONMENT_NAME}"
        except OSError:
            owner, source = "", "the state folder, which cannot be looked at"
        return OperatorActed(SWITCH, owner, source, "in force", "", self._clock(), state)

    def _seals(self) -> list[OperatorActed]:
        """One for each day of readings that is over and not sealed yet."""
        with LedgerReader(self._ledger.path) as reader:
            last = next((body["target"] for body in reader.operator_acts() if body["what"] == SEALED), None)
        questions = Questions(self._ledger.path)
        try:
            sealed = None if last is None else Seal.of_text(last).day
            days = days_to_seal(questions, sealed, self._clock())
            return [self._own(SEALED, seal_of(questions, day).text(), "kept") for day in days]
        finally:
            questions.close()

    def _lines(self, offset: int = 0) -> list[bytes]:
        try:
            with self._file.open("rb") as file:
                file.seek(offset)
                return file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return []

    def _act(self, line: Json) -> OperatorActed:
        asked = line.get("asked")
        target = "" if asked is None else json.dumps(asked, ensure_ascii=False, separators=(",", ":"))
        return OperatorActed(
            what=_text(line, "what"), by=_text(line, "who"), source=_text(line, "where"),
            outcome=_text(line, "outcome"), record=_text(line, "hash"), at=self._when(line), target=target[:_TEXT_MAX],
        )  # fmt: skip

    def _when(self, line: Json) -> datetime:
        try:
            at = datetime.fromisoformat(line["at"])
        except (KeyError, ValueError, TypeError):
            return self._clock()
        return at if at.tzinfo is not None else self._clock()

    def _own(self, what: str, target: str, outcome: str) -> OperatorActed:
        return OperatorActed(what, "", "seen by the worker", outcome, "", self._clock(), target[:_TEXT_MAX])


def owner_of(path: Path) -> str:
    """The name of whom a file belongs to. Raises `OSError`."""
    number = path.lstat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _read(line: bytes) -> Json:
    try:
        found = json.loads(line)
    except ValueError:
        return {"what": "a line that cannot be read"}
    return found if isinstance(found, dict) else {"what": "a line that cannot be read"}


def _text(line: Json, name: str) -> str:
    return str(line.get(name, ""))[:_TEXT_MAX]
