"""Ours with the web console: even runs with five pages open in another process, odd runs with none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import Any

from benchmarks.contender import Job, Sample, serve
from benchmarks.processes import REPOSITORY
from benchmarks.service import Service
from copytrade.console.web.access import TokenFile
from copytrade.console.web.logtail import LogTail
from copytrade.console.web.server import ConsoleServer
from copytrade.console.web.starting import start_console
from copytrade.settings.redaction import Redactor

_STEADY_S = 1.5  # a few looks, so that a run does not meet the opening of its own pages


class ConsoleService(Service):
    """`Service`, with its console served from the same event loop."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._console: ConsoleServer | None = None
        self._watchers: asyncio.subprocess.Process | None = None

    async def prepare(self) -> None:
        await super().prepare()
        assert self._system is not None
        tail, redactor = LogTail(str), Redactor()
        logging.getLogger().addHandler(tail)
        self._console = await start_console(self._system, redactor, tail, lambda text: print(text, file=sys.stderr))
        assert self._console is not None
        token = TokenFile(self._paths.state).renew()
        self._watchers = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.console_watchers", self._console.url, token,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY,
        )  # fmt: skip

    async def run(self, number: int) -> Sample:
        watched = number % 2 == 0
        assert self._console is not None
        if watched:
            await self._tell("open")
        else:
            await self._console._hub.close()
        await asyncio.sleep(_STEADY_S)
        sample = await super().run(number)
        if watched:
            await self._tell("close")
        elif number == 1:  # with pages closed, and everybody at rest
            await self.settle()
            print(json.dumps(await self._tell("first")), file=sys.stderr)
        return sample

    async def close(self) -> None:
        if self._watchers is not None:
            with contextlib.suppress(ProcessLookupError):
                self._watchers.terminate()
            await self._watchers.wait()
        if self._console is not None:
            await self._console.stop()
        await super().close()

    async def _tell(self, what: str) -> dict[str, Any]:
        assert self._watchers is not None
        assert self._watchers.stdin is not None
        assert self._watchers.stdout is not None
        self._watchers.stdin.write(what.encode() + b"\n")
        await self._watchers.stdin.drain()
        said: dict[str, Any] = json.loads(await self._watchers.stdout.readline())
        return said


if __name__ == "__main__":
    serve(ConsoleService)
