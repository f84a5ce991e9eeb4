"""The API: the figures behind the pages, the stream, and every action. Documented at `/api/docs`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from copytrade.console.web.actions import NotOffered
from copytrade.console.web.audit import not_kept
from copytrade.console.web.guard import Visitor
from copytrade.console.web.hub import TooManyWatchers
from copytrade.console.web.records import ORDERS_MAX
from copytrade.domain.account import Mode
from copytrade.domain.errors import BadRequest, CopyTradeError, LedgerError
from copytrade.domain.order import OrderState, Role
from copytrade.engine.killswitch import KillState

if TYPE_CHECKING:
    from copytrade.console.web.app import Parts

log = logging.getLogger("copytrade.console")

_TOPICS_MAX = 8
Account = Annotated[str, Path(max_length=100, description="As in kraken:alice_smith.")]
_READ, _ACT = "reading", "actions"


class Confirmed(BaseModel):
    """Every action repeats in `confirm` what it acts upon, so that no slip does it."""

    model_config = ConfigDict(extra="forbid")


class Kill(Confirmed):
    state: Literal["halt", "close_only", "flatten"] = Field(
        description="halt: nothing leaves. close_only: exits flow. flatten: close all copied positions, then halt."
    )
    confirm: str = Field(description="The state again.")


class Unkill(Confirmed):
    place_exits: bool = Field(default=False, description="Place the exits that the switch held.")
    confirm: str = Field(description="The word unkill.")


class SetMode(Confirmed):
    mode: Literal["active", "close_only", "paused", "disarmed", "independent"] = Field(
        description="What flows to the follower; independent: nothing, it runs a strategy of its own."
    )
    instrument: str | None = Field(default=None, max_length=50, description="Of this one only, like BTC/USD.")
    confirm: str = Field(description="The account again.")


class Flatten(Confirmed):
    instrument: str | None = Field(
        default=None, max_length=50, description="This one only, like BTC/USD; it is close-only from then on."
    )
    confirm: str = Field(description="The account again.")


class Reconcile(Confirmed):
    account: str | None = Field(default=None, description="One account; all when left out.")
    write_off: bool = Field(
        default=False, description="Of one account: what its owner has taken away counts as copied no more."
    )
    confirm: str = Field(description="The account again, or all.")


def answer(body: Any, status: int = 200) -> Response:
    """JSON without a detour: what is answered is made of plain values already."""
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Response(encoded, status_code=status, media_type="application/json")


def add_routes(app: FastAPI, parts: Parts) -> None:
    """All of them."""
    _add_reading(app, parts)
    _add_lists(app, parts)
    _add_stream(app, parts)
    _add_actions(app, parts)


def _route(app: FastAPI, method: str, path: str, call: Callable[..., Awaitable[Response]], tag: str, text: str) -> None:
    app.add_api_route(path, call, methods=[method], tags=[tag], summary=text, response_model=None)


def _add_reading(app: FastAPI, parts: Parts) -> None:
    async def openapi() -> Response:
        return answer(app.openapi())

    async def metrics() -> Response:
        if parts.probes.metrics is None:
            return PlainTextResponse("this version has no metrics\n", status_code=501)
        return PlainTextResponse(await parts.probes.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def overview() -> Response:
        await parts.hub.quiet()
        return answer({**parts.sources.head(), **await parts.hub.overview()})

    async def follower(account: Account) -> Response:
        live = parts.sources.follower(account)
        if live is None:
            return answer({"error": "there is no such account"}, 404)
        return await _from_ledger(lambda: {**live, **parts.records.account(account)})

    async def health() -> Response:
        live = parts.sources.health()
        return await _from_ledger(lambda: {**live, "size": parts.records.size()})

    async def log_lines(after: Annotated[int, Query(ge=0, description="Only lines behind this one.")] = 0) -> Response:
        return answer({"lines": parts.tail.lines(after)})

    _route(app, "GET", "/metrics", metrics, "monitoring", "Figures for Prometheus")
    app.add_api_route("/api/openapi.json", openapi, methods=["GET"], include_in_schema=False, response_model=None)
    _route(app, "GET", "/api/overview", overview, _READ, "The master and all followers as they stand")
    _route(app, "GET", "/api/followers/{account}", follower, _READ, "One account: limits, positions, orders, curve")
    _route(app, "GET", "/api/health", health, _READ, "Venues, lanes, ledger, clock")
    _route(app, "GET", "/api/log", log_lines, _READ, "The last lines of the log")


def _add_lists(app: FastAPI, parts: Parts) -> None:
    async def signals(limit: Annotated[int, Query(ge=1, le=200, description="How many.")] = 50) -> Response:
        return await _from_ledger(lambda: {"signals": parts.records.signals(limit)})

    async def signal(signal_id: Annotated[str, Path(max_length=100, description="Its id.")]) -> Response:
        return await _from_ledger(lambda: parts.records.signal(signal_id))

    async def orders(
        state: Annotated[OrderState | None, Query(description="Only orders in this state.")] = None,
        account: Annotated[str | None, Query(max_length=100, description="Only of this account.")] = None,
        role: Annotated[Role | None, Query(description="master or copy.")] = None,
        limit: Annotated[int, Query(ge=1, le=ORDERS_MAX, description="How many, newest first.")] = 100,
    ) -> Response:
        asked = {"state": state, "account": account or None, "role": role, "limit": limit}
        return await _from_ledger(lambda: {"orders": parts.records.orders(**asked)})

    async def audit(limit: Annotated[int, Query(ge=1, le=500, description="How many.")] = 200) -> Response:
        try:
            records = await parts.audit.latest(limit)
        except (OSError, ValueError) as error:
            return answer({"error": f"the audit trail cannot be read: {error}"}, 503)
        try:
            records += await asyncio.to_thread(parts.records.seen, limit)
        except LedgerError as error:  # then what is written down is shown, and why there is no more
            log.warning("what the worker saw of operators' acts cannot be read: %s", error)
        return answer({"records": sorted(records, key=lambda record: str(record["at"]), reverse=True)[:limit]})

    _route(app, "GET", "/api/signals", signals, _READ, "What the master did, newest first")
    _route(app, "GET", "/api/signals/{signal_id}", signal, _READ, "One signal's fan-out, copy by copy")
    _route(app, "GET", "/api/orders", orders, _READ, "Orders of the master and copies, newest first")
    _route(app, "GET", "/api/audit", audit, _READ, "Who did what from where, newest first")


def _add_stream(app: FastAPI, parts: Parts) -> None:
    async def stream(
        request: Request,
        topic: Annotated[
            list[str],
            Query(max_length=_TOPICS_MAX, description="overview, signals, signal:ID, account:ID, orders, health, log"),
        ],
    ) -> Response:
        visitor: Visitor = request.scope["state"]["visitor"]

        fingerprint = parts.tokens.fingerprint()

        def alive() -> bool:  # a session that ends takes its open pages with it, a new token those of the old one
            if visitor.cookie:
                return parts.sessions.find(visitor.cookie) is not None
            return parts.tokens.fingerprint() == fingerprint

        try:
            messages = await parts.hub.subscribe(topic, alive)
        except TooManyWatchers as error:
            return answer({"error": str(error)}, 503)
        except LedgerError as error:
            return answer({"error": parts.redact(str(error))}, 503)
        # The proxies that hold answers back until they are whole are told not to.
        return StreamingResponse(messages, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    _route(app, "GET", "/api/stream", stream, _READ, "What changes, as server-sent events of [topic, body]")


def _add_actions(app: FastAPI, parts: Parts) -> None:
    actions = parts.actions

    async def kill(request: Request, body: Kill) -> Response:
        state = KillState(body.state)
        # Stopping must not depend on a disk that takes an audit record.
        return await _act(parts, request, "kill", body, body.state, lambda: actions.kill(state), always=True)

    async def unkill(request: Request, body: Unkill) -> Response:
        return await _act(
            parts, request, "unkill", body, "unkill", lambda: actions.unkill(place_exits=body.place_exits)
        )

    async def set_mode(request: Request, account: Account, body: SetMode) -> Response:
        mode = Mode(body.mode)
        return await _act(
            parts, request, "mode", body, account, lambda: actions.set_mode(account, mode, body.instrument),
            account=account,
        )  # fmt: skip

    async def flatten(request: Request, account: Account, body: Flatten) -> Response:
        return await _act(
            parts, request, "flatten", body, account, lambda: actions.flatten(account, body.instrument), account=account
        )

    async def reconcile(request: Request, body: Reconcile) -> Response:
        whom = body.account
        return await _act(
            parts, request, "reconcile", body, whom or "all",
            lambda: actions.reconcile(whom, write_off=body.write_off),
        )  # fmt: skip

    _route(app, "POST", "/api/kill", kill, _ACT, "Throw the kill switch")
    _route(app, "POST", "/api/unkill", unkill, _ACT, "Lift the kill switch")
    _route(app, "POST", "/api/followers/{account}/mode", set_mode, _ACT, "Change what flows to a follower")
    _route(app, "POST", "/api/followers/{account}/flatten", flatten, _ACT, "Close a follower's copied positions")
    _route(app, "POST", "/api/reconcile", reconcile, _ACT, "Compare copied positions with the venue")


async def _act(
    parts: Parts, request: Request, what: str, body: Any, confirm: str, do: Callable[[], Awaitable[Any]],
    *, always: bool = False, account: str | None = None,
) -> Response:  # fmt: skip
    """Check the confirmation, note who asks, do it, note how it went."""
    visitor: Visitor = request.scope["state"]["visitor"]
    if body.confirm != confirm:
        return answer({"error": f"not done: confirm must be {confirm}"}, 409)
    asked = body.model_dump(exclude={"confirm"}, exclude_unset=True) | ({} if account is None else {"account": account})

    async def note(outcome: str, **more: Any) -> None:
        await parts.audit.record(visitor.who, visitor.where, what, asked=asked, outcome=outcome, **more)

    try:
        await note("asked")
    except OSError as error:
        parts.alert(not_kept(error))
        if not always:
            return answer({"error": f"not done: the audit trail cannot be written ({error.strerror})"}, 503)
    status, result = await _done(parts, what, do)
    try:
        await note("done" if status == 200 else "failed", **result)
    except OSError as error:
        parts.alert(not_kept(error))
    return answer(result, status)


async def _done(parts: Parts, what: str, do: Callable[[], Awaitable[Any]]) -> tuple[int, dict[str, Any]]:
    try:
        return 200, await do()
    except NotOffered as error:
        return 501, {"error": str(error)}
    except BadRequest as error:
        return 400, {"error": parts.redact(str(error))}
    except CopyTradeError as error:
        return 409, {"error": parts.redact(str(error))}
    except OSError as error:
        return 503, {"error": f"a file cannot be written: {error}"}
    except Exception as error:
        log.exception("the console's action %s failed", what)
        return 500, {"error": f"a fault in the worker ({type(error).__name__}), see its log; then look at the overview"}


async def _from_ledger(read: Callable[[], Any]) -> Response:
    """What `read` finds in a thread; encoded there too, for it may be long."""

    def found() -> bytes | None:
        body = read()
        return None if body is None else json.dumps(body, separators=(",", ":")).encode()

    try:
        encoded = await asyncio.to_thread(found)
    except LedgerError as error:
        return answer({"error": str(error)}, 503)
    if encoded is None:
        return answer({"error": "there is no such thing"}, 404)
    return Response(encoded, media_type="application/json")
