"""`drift`, `reconcile` and `flatten USER`: how far followers are from the master, and putting them right."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from copytrade.console.auditing import operator_name
from copytrade.console.operations import order_json, summary
from copytrade.console.output import print_error, print_json, print_table
from copytrade.console.running import show_error, through_worker_or_alone
from copytrade.copying.drift import DriftRow, Repair
from copytrade.domain.account import AccountId, Mode, user_of, venue_of
from copytrade.domain.errors import BadRequest, CopyTradeError, VenueError
from copytrade.domain.instrument import base_of
from copytrade.domain.money import plain
from copytrade.engine.service import Engine
from copytrade.engine.writing_off import WriteOff
from copytrade.settings.faults import SettingsError
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System

Json = dict[str, Any]
_TIMEOUT_S = 300.0  # every follower's balances and orders are read, one after the other
_COPIES_WAIT_S = 60.0
_REPAIRS = {"exits": Repair.EXITS, "all": Repair.ALL}


def run_drift(paths: Paths, user: str | None, *, as_json: bool) -> int:
    """Look at everybody now, orders of others included. Changes nothing."""
    return _run(paths, {"do": "drift", "user": user}, drift, _show_drift, as_json=as_json)


def run_reconcile(paths: Paths, user: str | None, repair: str, *, write_off: bool, as_json: bool) -> int:
    if repair not in _REPAIRS:
        print_error(f"--repair is {repair!r}: give exits or all", as_json=as_json, kind="bad_request")
        return 2
    request = {"do": "reconcile", "user": user, "repair": repair, "write_off": write_off}
    return _run(paths, request, reconcile, _show_repairs, as_json=as_json)


def run_flatten(paths: Paths, user: str, instrument: str | None, *, as_json: bool) -> int:
    request: Json = {"do": "flatten", "user": user, "instrument": instrument, "occasion": uuid.uuid4().hex}
    if instrument is not None:  # first of all: whatever becomes of this command, no entry follows
        request["notes"] = close_only_in_files(paths, user, instrument, operator_name())
    return _run(paths, request, flatten, _show_repairs, as_json=as_json)


def _run(
    paths: Paths, request: Json, work: Callable[[Engine, Json], Awaitable[Json]], show: Callable[[Json], None], *,
    as_json: bool,
) -> int:  # fmt: skip
    async def alone(system: System) -> Json:
        return await work(system.engine, request)

    answer = through_worker_or_alone(paths, request, alone, timeout_s=_TIMEOUT_S)
    if show_error(answer, as_json=as_json):
        return 1
    result: Json = answer["result"]
    if as_json:
        print_json(result)
    else:
        show(result)
    return 1 if result.get("failed") else 0


# -- what is done, in the worker or without one ------------------------------------------------------------------------


async def drift(engine: Engine, body: Json) -> Json:
    """A look at each account: rows, orders that are not ours, and what could not be read. Raises `BadRequest`."""
    rows: list[Json] = []
    others: list[Json] = []
    problems: list[str] = []
    for account in accounts_of(engine, body.get("user")):
        rows += [row_json(row) for row in await engine.reconciler.look(account, fresh=True)]
        try:
            found = await engine.reconciler.not_ours(account)
        except VenueError as error:
            problems.append(f"{account}: orders cannot be listed: {error}")
            continue
        others += [
            {
                "account": account, "venue_order_id": o.venue_order_id, "client_order_id": o.client_order_id,
                "instrument": o.symbol, "side": o.side.value, "quantity": str(o.quantity), "filled": str(o.filled),
                "state": o.status.value, "created_at": o.created_at.isoformat(),
            }
            for o in found.orders
        ]  # fmt: skip
    return {"drift": rows, "not_ours": others, "problems": problems}


async def reconcile(engine: Engine, body: Json) -> Json:
    """Repair each account now, at the operator's word, and tell how it went; with `write_off`, which is for one user,
    what its owner has taken away is written off first. Raises `BadRequest`."""
    repair = _REPAIRS.get(str(body.get("repair")))
    if repair is None:
        raise BadRequest(f"repair is {body.get('repair')!r}: give exits or all")
    writes_off, user = body.get("write_off") is True, body.get("user")
    if writes_off and not user:
        raise BadRequest("writing off is for one follower at a time: name the user, or venue:user for one account")
    signals: list[str] = []
    waits: list[Json] = []
    gone: list[WriteOff] = []
    notes: list[str] = []
    for account in accounts_of(engine, user):
        if writes_off:
            done, problems = await engine.reconciler.write_off(account, "by the operator")
            gone, notes = gone + done, notes + problems
        emitted = await engine.reconciler.repair(account, repair)
        signals += emitted
        waits += [] if emitted else _waiting(engine, account)
    outcome = await _outcome(engine, signals)
    outcome["written_off"] = [
        {
            "account": each.account, "instrument": each.symbol, "quantity": plain(each.quantity),
            "left": plain(each.left), "ended_exits": each.exits,
        }
        for each in gone
    ]  # fmt: skip
    return {**outcome, "waiting": waits, "notes": notes, "failed": outcome["failed"] + len(notes)}


def _waiting(engine: Engine, account: AccountId) -> list[Json]:
    """The account's open orders in what it holds too much or too little of: no repair goes beside one of them."""
    off = set()
    for row in engine.reconciler.report(account):
        instrument = engine.services.instrument(venue_of(account), row.symbol)
        if instrument is not None and abs(row.error) >= instrument.lot_step:
            off.add(base_of(row.symbol))
    orders = engine.services.ledger.state.orders.of(account)
    return [
        {
            "account": account, "instrument": r.symbol, "order_id": r.order_id, "side": r.side.value,
            "state": r.state.value,
        }
        for r in orders if base_of(r.symbol) in off
    ]  # fmt: skip


def close_only_in_files(paths: Paths, user: str, instrument: str, by: str) -> list[str]:
    """Set the mode of one instrument to `close_only`. What keeps that from being written must not keep a position from
    being closed: it is returned in words."""
    from copytrade.console.enrolling import set_mode

    try:
        return set_mode(paths, user, Mode.CLOSE_ONLY, by, instrument=instrument).stands_in_the_way
    except (CopyTradeError, SettingsError, OSError) as error:
        return [f"that no entry follows could not be written into its file: {error}"]


async def flatten(engine: Engine, body: Json) -> Json:
    """Close the copied positions of one user, in one instrument or in all. One instrument is close-only from then on.
    Raises `BadRequest`."""
    user = body.get("user")
    if not user:
        raise BadRequest("flatten needs a user; kill --flatten takes everybody out, the master included")
    state, wanted = engine.services.ledger.state, body.get("instrument")
    signals: list[str] = []
    for account in accounts_of(engine, str(user)):
        held = set(state.positions.of(account))
        held |= {r.symbol for r in state.orders.of(account)}
        if wanted is not None:
            instrument = engine.services.instrument(venue_of(account), str(wanted))
            only = {instrument.symbol if instrument else str(wanted)}
            engine.close_only(account, only)  # the user files say so already, and are read only every second
            held &= only
        signals += await engine.mender.take_out(account, sorted(held), str(body.get("occasion") or uuid.uuid4().hex))
    outcome, notes = await _outcome(engine, signals), list(body.get("notes") or ())
    return {**outcome, "notes": notes, "failed": outcome["failed"] + len(notes)}


async def _outcome(engine: Engine, signals: list[str]) -> Json:
    copies = []
    for signal in signals:
        await engine.tracker.wait(signal, _COPIES_WAIT_S)
        copies += list(engine.services.ledger.copies_of(signal))
    counts = summary(copies)
    return {
        "signals": signals, "copies": [order_json(copy) for copy in copies], "summary": counts,
        "failed": counts["failed"],
    }  # fmt: skip


def accounts_of(engine: Engine, user: str | None) -> list[AccountId]:
    """The accounts of a user (by its id, or one account by `venue:id`), or everybody's. Raises `BadRequest`."""
    accounts = list(engine.services.roster.followers)
    if user is None:
        return accounts
    found = [account for account in accounts if user in (user_of(account), account)]
    if not found:
        raise BadRequest(f"there is no follower {user!r}; `users` lists them")
    return found


def row_json(row: DriftRow) -> Json:
    """A row for people and programs; figures as text."""
    return {
        "account": row.account, "instrument": row.symbol, "ideal": plain(row.ideal), "actual": plain(row.actual),
        "held": None if row.held is None else plain(row.held), "missing": plain(row.missing),
        "error": plain(row.error), "value": None if row.value is None else plain(row.value),
        "share": None if row.share is None else plain(row.share), "dust": row.dust,
        "causes": {cause: plain(part) for cause, part in row.causes},
    }  # fmt: skip


# -- for people --------------------------------------------------------------------------------------------------------


_DIGITS = Decimal("1E-10")  # no venue's lots are finer than nine decimals; `--json` has all digits
_CENTS = Decimal("0.01")
_MILLIS = Decimal("0.001")


def _figure(value: str | Decimal, step: Decimal = _DIGITS) -> str:
    """A figure that was reckoned, without the digits of the reckoning."""
    return plain(Decimal(value).quantize(step))


def _show_drift(result: Json) -> None:
    rows = [
        (
            r["account"], r["instrument"], _figure(r["ideal"]), r["actual"], r["held"], _figure(r["error"]),
            None if r["value"] is None else _figure(r["value"], _CENTS),
            "" if r["share"] is None else f"{_figure(Decimal(r['share']) * 100, _MILLIS)}%",
            "; ".join(f"{cause} {_figure(part)}" for cause, part in r["causes"].items())
            + (" (dust)" if r["dust"] else ""),
        )
        for r in result["drift"]
    ]  # fmt: skip
    columns = ("account", "instrument", "ideal", "copied", "at venue", "error", "value", "of equity", "causes")
    print_table("Drift", columns, rows, "no follower holds or lacks anything")
    if result["not_ours"]:
        others = [
            (o["account"], o["instrument"], o["side"], o["quantity"], o["filled"], o["state"], o["venue_order_id"])
            for o in result["not_ours"]
        ]
        columns_of = ("account", "instrument", "side", "quantity", "filled", "state", "order")
        print_table("Not ours: placed by hand or by another program, never touched", columns_of, others, "")
    for problem in result["problems"]:
        print(f"!! {problem}")


def _show_repairs(result: Json) -> None:
    for note in result.get("notes", ()):
        print(f"!! {note}")
    for gone in result.get("written_off", ()):
        ended = f"; {gone['ended_exits']} held exit(s) ended" if gone["ended_exits"] else ""
        print(f"    {gone['account']}: {gone['quantity']} {gone['instrument']} written off, {gone['left']} left{ended}")
    for order in result.get("waiting", ()):
        print(
            f"    {order['account']}: {order['instrument']} is left as it is while an order in it is open: "
            f"{order['side']} {order['order_id']} ({order['state']}); try again once it is over"
        )
    if not result["signals"] and not result.get("written_off"):
        print("nothing was sent" if result.get("waiting") else "there was nothing to do")
        return
    for copy in result["copies"]:
        why = copy["reason_text"] + (f" ({copy['detail']})" if copy["detail"] else "")
        print(f"    {copy['account']}: {copy['side']} {copy['quantity']} {copy['instrument']}: {copy['state']}; {why}")
