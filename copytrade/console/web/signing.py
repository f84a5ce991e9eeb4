"""Signing in and out, and the probes that need no sign-in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from copytrade.console.web.audit import not_kept
from copytrade.console.web.guard import Visitor
from copytrade.console.web.pages import render

if TYPE_CHECKING:
    from copytrade.console.web.app import Parts, Probe

_NAME_CHARACTERS_MAX = 40


def visitor_of(request: Request) -> Visitor:
    found: Visitor = request.scope["state"]["visitor"]
    return found


def add_routes(app: FastAPI, parts: Parts) -> None:
    """`/sign-in`, `/sign-out`, `/healthz`, `/readyz`."""

    async def sign_in_page() -> Response:
        return render("sign_in.html", fault="" if parts.tokens.exists() else _NO_TOKEN)

    async def sign_in(request: Request) -> Response:
        where = visitor_of(request).where
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        who = _name(form.get("name", [""])[0])
        if (wait_s := parts.brake.wait_s(where)) > 0:
            fault = f"Too many wrong tokens. Try again in {math.ceil(wait_s / 60)} minutes."
            page = render("sign_in.html", 429, fault=fault, name=who)
            page.headers["retry-after"] = str(math.ceil(wait_s))
            return page
        if not parts.tokens.matches(form.get("token", [""])[0].strip()):
            parts.brake.failed(where)
            await _note(parts, who, where, "sign-in refused")
            return render("sign_in.html", 403, fault="That is not the console's token.", name=who)
        await _note(parts, who, where, "signed in")
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(
            parts.cookie_name, parts.sessions.open(who, where), max_age=int(parts.settings.session_hours * 3600),
            httponly=True, samesite="strict", secure=parts.settings.secure, path="/",
        )  # fmt: skip
        return answer

    async def sign_out(request: Request) -> Response:
        visitor = visitor_of(request)
        parts.sessions.close(visitor.cookie)
        await _note(parts, visitor.who, visitor.where, "signed out")
        answer = RedirectResponse("/sign-in", status_code=303)
        secure = parts.settings.secure
        answer.delete_cookie(parts.cookie_name, path="/", secure=secure, httponly=True, samesite="strict")
        return answer

    async def healthz() -> Response:
        return _probed(parts.probes.healthy)

    async def readyz() -> Response:
        return _probed(parts.probes.ready)

    hidden = {"include_in_schema": False, "response_model": None}
    app.add_api_route("/sign-in", sign_in_page, methods=["GET"], **hidden)  # type: ignore[arg-type]
    app.add_api_route("/sign-in", sign_in, methods=["POST"], **hidden)  # type: ignore[arg-type]
    app.add_api_route("/sign-out", sign_out, methods=["POST"], **hidden)  # type: ignore[arg-type]
    app.add_api_route("/healthz", healthz, methods=["GET"], response_model=None, tags=["monitoring"],
                      summary="200 while the process works, else 503", name="healthz")  # fmt: skip
    app.add_api_route("/readyz", readyz, methods=["GET"], response_model=None, tags=["monitoring"],
                      summary="200 once trades can be placed, else 503", name="readyz")  # fmt: skip


_NO_TOKEN = "There is no token yet. Make one on the worker's machine: python -m copytrade console-token --new"  # noqa: S105


async def _note(parts: Parts, who: str, where: str, what: str) -> None:
    """Signing in and out is noted where that can be done, and possible where it cannot."""
    try:
        await parts.audit.record(who, where, what)
    except OSError as error:
        parts.alert(not_kept(error))


def _name(typed: str) -> str:
    """A name for the audit trail: what was typed, without anything that is no text."""
    kept = "".join(c for c in typed if c.isprintable()).strip()[:_NAME_CHARACTERS_MAX]
    return kept or "operator"


def _probed(probe: Probe) -> Response:
    well, text = probe()
    return PlainTextResponse(text + "\n", status_code=200 if well else 503)
