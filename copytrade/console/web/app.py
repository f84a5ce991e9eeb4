"""Puts the console together: routes inside, the guard around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from copytrade.console.web import api, pages, signing
from copytrade.console.web.access import Brake, Sessions, TokenFile
from copytrade.console.web.actions import Actions
from copytrade.console.web.audit import AuditTrail
from copytrade.console.web.guard import Guard, Names
from copytrade.console.web.hub import Hub
from copytrade.console.web.logtail import LogTail
from copytrade.console.web.records import Records
from copytrade.console.web.sources import Sources
from copytrade.domain.alerts import Tell
from copytrade.settings.console import ConsoleSettings

Probe = Callable[[], tuple[bool, str]]
"""Whether all is well, and a line about it. Tells nothing that a stranger may not know."""


@dataclass(frozen=True, slots=True)
class Probes:
    """For monitors. `metrics` gives the text in Prometheus' format, None where there is none."""

    healthy: Probe
    ready: Probe
    metrics: Callable[[], Awaitable[str]] | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that routes work with."""

    settings: ConsoleSettings
    sources: Sources
    actions: Actions
    records: Records
    hub: Hub
    audit: AuditTrail
    tail: LogTail
    tokens: TokenFile
    sessions: Sessions
    brake: Brake
    probes: Probes
    names: Names
    cookie_name: str
    redact: Callable[[str], str]
    alert: Tell


@dataclass(frozen=True, slots=True)
class Console:
    """The application, and what it is made of: tests look at `routes`."""

    guarded: ASGIApp
    inner: FastAPI

    @property
    def routes(self) -> list[Any]:
        return list(self.inner.routes)


def create_app(parts: Parts) -> Console:
    """All routes, behind the guard."""
    # FastAPI's own documentation pages load scripts from elsewhere; ours does not.
    inner = FastAPI(title="copytrade console", docs_url=None, redoc_url=None, openapi_url=None)
    signing.add_routes(inner, parts)
    pages.add_routes(inner, parts)
    api.add_routes(inner, parts)
    guarded = Guard(
        inner, inner.routes, parts.names, parts.settings, parts.tokens, parts.sessions, parts.brake, parts.cookie_name
    )
    return Console(guarded, inner)
