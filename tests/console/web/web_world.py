"""A running system with its console, and a browser's manners for those who have none."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from world import Desk, World, until

from copytrade.console.web.access import TokenFile
from copytrade.console.web.actions import EngineActions
from copytrade.console.web.app import Probes
from copytrade.console.web.audit import AuditFile
from copytrade.console.web.logtail import LogTail
from copytrade.console.web.server import ConsoleServer
from copytrade.console.web.sources import EngineSources
from copytrade.console.web.starting import probes
from copytrade.ledger.reader import LedgerReader
from copytrade.settings.console import ConsoleSettings

Json = dict[str, Any]


@dataclass
class Seat:
    """The console of a running system, as its operator finds it. `client` is signed in and sends our Origin."""

    desk: Desk
    server: ConsoleServer
    token: str
    tail: LogTail
    client: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def state(self) -> Path:
        return self.desk.world.paths.state

    def stranger(self, **headers: str) -> httpx.AsyncClient:
        """Somebody without a session."""
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30.0)

    async def sign_in(self, client: httpx.AsyncClient, name: str = "olga", token: str | None = None) -> httpx.Response:
        form = {"name": name, "token": self.token if token is None else token}
        return await client.post("/sign-in", data=form, headers={"origin": self.url})

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    async def act(self, path: str, **body: Any) -> httpx.Response:
        return await self.client.post(path, json=body)

    async def settled(self) -> None:
        """Wait until every order is at its end, in the ledger's file too, which pages read."""
        desk = self.desk

        def written() -> bool:
            with LedgerReader(desk.world.paths.ledger) as reader:
                counts = reader.counts()
            return bool(counts["ended"] == desk.ledger.state.ended_count and not counts["open"])

        await desk.settled()
        await until(written, "the ledger's file to have it all")

    async def audit(self) -> list[Json]:
        return list((await self.get("/api/audit"))["records"])

    async def desk_audit(self) -> list[Json]:
        """The same from the file, for a console that answers to another name only."""
        return await AuditFile(self.state, self.desk.world.clock.utc, str).latest(10)


@contextlib.asynccontextmanager
async def seated(
    desk: Desk, *, settings: ConsoleSettings | None = None, actions: Any = None, metrics: Any = None,
    renewed_every_s: float = 60.0, **sources: Any,
) -> AsyncIterator[Seat]:  # fmt: skip
    """Serve the console of a running system at a free port, and sign in."""
    world = desk.world
    redact = world.redactor.redact
    tail = LogTail(redact)
    logging.getLogger().addHandler(tail)
    checks = probes(desk.system, metrics)
    server = ConsoleServer(
        settings or ConsoleSettings(port=0), world.paths.state, world.paths.ledger,
        EngineSources(desk.engine, desk.system.settings.mode, "none", redact, **sources),
        actions or EngineActions(desk.engine), Probes(checks.healthy, checks.ready, checks.metrics), tail, redact,
        world.clock.utc, AuditFile(world.paths.state, world.clock.utc, redact),
    )  # fmt: skip
    token = TokenFile(world.paths.state).renew()
    server.renewed_every_s = renewed_every_s
    await server.start()
    url = f"http://127.0.0.1:{server.port}"
    try:
        async with httpx.AsyncClient(base_url=url, headers={"origin": url}, timeout=30.0) as client:
            seat = Seat(desk, server, token, tail, client)
            if settings is None:  # else the test says how its console is reached
                answer = await seat.sign_in(client)
                assert answer.status_code == 303, answer.text
            yield seat
    finally:
        await server.stop()
        logging.getLogger().removeHandler(tail)


class Stream:
    """The server-sent events of some topics, as they come."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, topic: str) -> Any:
        """The body of the next message about this topic."""
        async for line in self._lines:
            if line.startswith("data: "):
                about, body = json.loads(line.removeprefix("data: "))
                if about == topic:
                    return body
        raise AssertionError(f"the stream ended without a word on {topic}")

    async def ended(self) -> bool:
        async for _ in self._lines:
            pass
        return True


@contextlib.asynccontextmanager
async def streaming(client: httpx.AsyncClient, *topics: str) -> AsyncIterator[Stream]:
    async with client.stream("GET", "/api/stream", params={"topic": list(topics)}) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Stream(answer.aiter_lines())


@contextlib.asynccontextmanager
async def small_desk(root: Path, **world: Any) -> AsyncIterator[Desk]:
    """One master and two followers."""
    with World(root, **world) as made:
        async with made.trading() as desk:
            yield desk
