"""`kill` and `unkill`."""

from __future__ import annotations

import os
from typing import Any

from copytrade.console.auditing import note_act
from copytrade.console.output import print_error, print_json
from copytrade.console.running import show_error, through_worker_or_alone
from copytrade.domain.errors import LedgerError
from copytrade.domain.reasons import Reason
from copytrade.engine.killswitch import ENVIRONMENT_NAME, KillState, KillSwitch
from copytrade.ledger.reader import LedgerReader
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System

_PLACE_TIMEOUT_S = 60.0
FLATTEN_TIMEOUT_S = 300.0  # a venue that is slow or throttles is given this long to take everybody out


def run_kill(paths: Paths, *, close_only: bool, flatten: bool, as_json: bool) -> int:
    """Put the switch on disk. It works with and without a worker; `flatten` without one does the closing itself."""
    if close_only and flatten:
        print_error("give --close-only or --flatten, not both", as_json=as_json, kind="bad_request")
        return 2
    state = KillState.FLATTEN if flatten else KillState.CLOSE_ONLY if close_only else KillState.HALT
    switch = KillSwitch(paths.state, os.environ)
    try:
        paths.make_state()
        switch.engage(state)
        note_act(paths, "kill", state=state.value)
    except OSError as error:
        message = f"{switch.path} cannot be written ({error.strerror}): stop the worker process to stop all orders"
        print_error(message, as_json=as_json)
        return 1
    if flatten and (failed := _flatten(paths, as_json=as_json)):
        return failed
    if as_json:
        print_json({"kill_switch": switch.look().value, "file": str(switch.path)})
    else:
        print(f"{switch.path}: {switch.look()}. No new {'entry' if close_only else 'order'} leaves.")
    return 0


def run_unkill(paths: Paths, *, place_exits: bool, as_json: bool) -> int:
    """Take the switch away, show the held exits, and place them if told to."""
    if not paths.state.exists():
        print_error(f"there is no folder {paths.state}, hence no switch to lift: name it with --state", as_json=as_json)
        return 1
    switch = KillSwitch(paths.state, os.environ)
    try:
        lifted = switch.lift()
    except OSError as error:
        print_error(f"{switch.path} cannot be removed: {error.strerror}", as_json=as_json)
        return 1
    note_act(paths, "unkill", place_exits=place_exits, was_on=lifted)
    if switch.look() is not KillState.OFF:
        print_error(
            f"orders are still stopped: the environment says {ENVIRONMENT_NAME}, or {paths.state} cannot be looked at",
            as_json=as_json,
        )
        return 1
    try:
        held = _held(paths)
    except LedgerError as error:
        print_error(f"the switch is lifted, but held exits cannot be looked up: {error}", as_json=as_json)
        return 1
    placed = 0
    if place_exits and held:
        answer = through_worker_or_alone(paths, {"do": "place_exits"}, _place_alone, timeout_s=_PLACE_TIMEOUT_S)
        if show_error(answer, as_json=as_json):
            return 1
        placed = answer["result"]["placed"]
    if as_json:
        print_json({"kill_switch": "off", "was_on": lifted, "held_exits": held, "placed": placed})
        return 0
    print("the kill switch is lifted" if lifted else "the kill switch was not on")
    for order in held:
        why = order["reason_text"]
        print(f"    held: {order['account']} {order['side']} {order['quantity']} {order['symbol']}: {why}")
    if placed:
        print(f"{placed} held exits are being placed")
    elif held:
        print("unkill --place-exits places them now; else drift repair does in its turn, unless it only reports")
    return 0


def _flatten(paths: Paths, *, as_json: bool) -> int:
    """The worker sees the file by itself. Without a worker this process closes everything."""

    async def alone(system: System) -> dict[str, Any]:
        return {"flattened": await system.engine.wait_flattened(FLATTEN_TIMEOUT_S)}

    timeout_s = FLATTEN_TIMEOUT_S + 10
    answer = through_worker_or_alone(paths, {"do": "wait_flattened"}, alone, timeout_s=timeout_s)
    if show_error(answer, as_json=as_json):
        return 1
    if not answer["result"]["flattened"]:
        print_error(f"not everything was closed within {FLATTEN_TIMEOUT_S:.0f} s: see positions", as_json=as_json)
        return 1
    return 0


async def _place_alone(system: System) -> dict[str, Any]:
    placed = system.engine.place_held_exits()
    await system.engine.quiesce(_PLACE_TIMEOUT_S)
    return {"placed": placed}


def _held(paths: Paths) -> list[dict[str, Any]]:
    if not paths.ledger.exists():
        return []
    with LedgerReader(paths.ledger) as ledger:
        return [{**order, "reason_text": Reason(order["reason"]).text} for order in ledger.held_exits()]
