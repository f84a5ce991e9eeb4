"""Doing something with the system: through the worker when there is one, else by taking its place for a moment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from copytrade.console.auditing import note_act
from copytrade.console.control import ask
from copytrade.console.logs import set_up_logging
from copytrade.console.output import print_error
from copytrade.domain.errors import BadRequest, CopyTradeError, Refused
from copytrade.settings.faults import SettingsError
from copytrade.settings.redaction import Redactor
from copytrade.wiring.ground import StateBusy
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

Json = dict[str, Any]
_BUSY_WAIT_S = 10.0  # a worker that starts, or another command without one, needs a few seconds of the folder
_BUSY_POLL_S = 0.2
# What goes into the operators' record; the others only look.
_ACTS = frozenset({"trade", "cancel", "amend", "place_exits", "rearm", "reconcile", "flatten"})
_START_WAIT_S = 20.0  # somebody waits at a prompt; a worker, in contrast, tries for as long as it takes
_FILLS_WAIT_S = 5.0  # so that a command leaves a ledger that knows the fills of what it placed


def through_worker_or_alone(
    paths: Paths, request: Json, alone: Callable[[System], Awaitable[Json]], *, timeout_s: float
) -> Json:
    """The answer as JSON: `{"result": …}` or `{"error": kind, "message": …}`."""
    redactor = Redactor()
    if not logging.getLogger().handlers:  # a program that calls us as a library keeps its own
        set_up_logging(redactor, "WARNING", "plain")
    try:
        answer = worker_or_alone(paths, request, lambda: asyncio.run(_alone(paths, alone, redactor)), timeout_s)
        if request["do"] in _ACTS:
            asked = {name: value for name, value in request.items() if name != "do" and value not in (None, "", False)}
            note_act(paths, request["do"], str(answer.get("error", "done")), **asked)
        return answer
    except StateBusy as error:
        return {"error": "failed", "message": str(error)}
    except SettingsError as error:
        return {"error": "failed", "message": redactor.redact(str(error))}


def worker_or_alone(paths: Paths, request: Json, alone: Callable[[], Json], timeout_s: float) -> Json:
    """The worker's answer, or that of `alone`, whichever can have the folder. Raises what `alone` raises.

    While somebody else has the folder and no socket to ask at, this waits for a while: it is a worker that is just
    starting, or another command.
    """
    give_up_at = time.monotonic() + _BUSY_WAIT_S
    while True:
        answer = _ask(paths, request, timeout_s)
        if answer is not None:
            return answer
        try:
            return alone()
        except StateBusy:
            if time.monotonic() > give_up_at:
                raise
        time.sleep(_BUSY_POLL_S)


def _ask(paths: Paths, request: Json, timeout_s: float) -> Json | None:
    try:
        return ask(paths.socket, request, timeout_s)
    except TimeoutError:
        message = f"the worker did not answer within {timeout_s:.0f} s; it may still do what was asked, see status"
        return {"error": "failed", "message": message}


async def _alone(paths: Paths, work: Callable[[System], Awaitable[Json]], redactor: Redactor) -> Json:
    hooks = Hooks(alert=lambda text: print(redactor.redact(f"!! {text}"), file=sys.stderr))
    try:
        system = System(paths, os.environ, hooks, redactor)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_START_WAIT_S):
                    await stack.enter_async_context(system)
            except TimeoutError:
                message = f"the venue did not come on line within {_START_WAIT_S:.0f} s, so this was not done"
                return {"error": "failed", "message": f"{message}. Try again; check says more"}
            result = await work(system)
            await system.engine.quiesce(_FILLS_WAIT_S)
            return {"result": result}
    except Refused as error:
        return {"error": "refused", "reason": error.reason.value, "message": redactor.redact(str(error))}
    except BadRequest as error:
        return {"error": "bad_request", "message": redactor.redact(str(error))}
    except StateBusy:
        raise
    except CopyTradeError as error:
        return {"error": "failed", "message": redactor.redact(str(error))}


def show_error(answer: Json, *, as_json: bool) -> bool:
    """Print the error of an answer; False if it has none."""
    if "error" not in answer:
        return False
    more = {"reason": answer["reason"]} if "reason" in answer else {}
    print_error(answer["message"], as_json=as_json, kind=answer["error"], **more)
    return True
