"""Stories of orders that rest, told step by step to a worker that may be killed; each step can be done again.

A step is a JSON object with `act`: `place`, `cancel`, `amend` (of the master's order with the id `of`), `fill` (the
resting order of one account alone is met), `price` (the market moves for everybody). A run that follows a killed one
carries on with the step that the killed one was at.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from crash_boundaries import Killer

from copytrade.copying.drift import Cause, Repair
from copytrade.domain.account import venue_of
from copytrade.domain.errors import BadRequest, Refused, VenueError
from copytrade.domain.ids import master_order_id
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Wiring
from copytrade.wiring.system import System

Step = dict[str, Any]
TRIES_MAX = 20
CALM_MAX_S = 90.0  # several look-ups of 3 s each behind one another, on a machine that is busy
REACHED_MAX_S = 30.0  # a stop that triggers as a limit may rest on; the checker tells whether that was right

# Beside what every world of kills has. Drift repair is off: what is lost must stay lost for the checker to see.
SETTINGS = "drift: {repair: report}\n"
_GRACE_S = 0.1


def quickly(wiring: Wiring) -> Wiring:
    """The same wiring, with the engine's waits for prices and fills shortened."""
    limits = replace(
        wiring.limits, resting_delays_s=(0.05, 0.1, 0.3), fill_delays_s=(0.05, 0.1, 0.3, 1.0), price_keep_every_s=0.2
    )
    # Caps would make every share another one; they have proofs of their own.
    followers = {
        account: replace(terms, max_user_risk=Decimal(1)) for account, terms in wiring.followers.items()
    }
    rules = replace(wiring.rules, master_fill_grace_s=_GRACE_S)
    return replace(wiring, limits=limits, rules=rules, followers=followers)


async def tell(system: System, steps: list[Step], job: dict[str, Any], killer: Killer) -> bool:
    """Do every step that is not done yet. False when things do not come to rest in time, or wait for a person."""
    progress = Path(job["world"]) / "step"
    first = int(progress.read_text()) if progress.exists() else 0
    for number in range(first, len(steps)):
        step = steps[number]
        await _ACTS[step["act"]](system, step, job, killer)
        if step.get("calm", True) and not await calm(system):
            return False
        building = progress.with_suffix(".new")
        building.write_text(str(number + 1))
        building.replace(progress)
    return await calm(system)


async def calm(system: System) -> bool:
    """Wait until nothing moves by itself any more: what is open rests at a venue, and nobody wants it back."""
    state, give_up_at = system.ledger.state, time.monotonic() + CALM_MAX_S

    def moving(record: OrderRecord) -> bool:
        return record.state is not OrderState.ACCEPTED or not record.kind.rests or record.cancel is not None

    while state.unplanned or any(moving(record) for record in state.orders.values()):
        held = any(record.state is OrderState.HELD for record in state.orders.values())
        if held or state.parked or time.monotonic() > give_up_at:
            return False
        await asyncio.sleep(0.02)
    return True


async def put_right(system: System, world: Path) -> list[str]:
    """In the end: note what followers hold though the master is out, have it repaired, and tell what nothing explains.

    A follower's copy may fill where the master's own order is taken back without a fill. No exit of the master's will
    ever tell of that, so selling it is the work of drift repair; the checker judges whether there was more than that.
    """
    left = {account: str(held) for (account, _), held in system.ledger.state.positions.items()}
    note = world / "left"
    if not note.exists():
        note.write_text(json.dumps(left))
    for account in system.engine.services.roster.followers:
        await system.engine.reconciler.repair(account, Repair.EXITS)
    await calm(system)
    return await unexplained(system)


async def unexplained(system: System) -> list[str]:
    """Every difference between what a follower has and its share of the master's that has no cause by its name."""
    found = []
    for account in system.engine.services.roster.followers:
        for row in await system.engine.reconciler.look(account, fresh=True):
            nameless = [part for cause, part in row.causes if cause.startswith(Cause.UNEXPLAINED) and part]
            if nameless or not row.explained or row.missing:
                found.append(f"drift that nothing explains: {row}")
    return found


# -- the acts ----------------------------------------------------------------------------------------------------------


async def _place(system: System, step: Step, job: dict[str, Any], killer: Killer) -> None:
    limit, stop = (Price(Decimal(step[name])) if name in step else None for name in ("limit", "stop"))
    part = None
    if "share" in step:
        held = system.ledger.state.position(_master(system), step["symbol"])
        part = Quantity((held.value * Decimal(step["share"])).quantize(Decimal("1E-8")))
    request = TradeRequest(
        step["id"], step["symbol"], Side(step["side"]), kind=OrderKind(step.get("kind", "market")), quantity=part,
        usd=Amount(Decimal(step["usd"])) if "usd" in step else None, whole=step.get("whole", False), limit=limit,
        stop=stop,
    )  # fmt: skip
    leaves = request.side is Side.SELL
    if leaves and not _known(system, step["id"]) and not _held(system, step["symbol"]):
        await calm(system)  # what was bought just before may not be known yet
    if leaves and not _known(system, step["id"]) and not _held(system, step["symbol"]):
        return  # an order that was to be amended is gone when the worker dies in between: then nothing was bought
    for attempt in range(TRIES_MAX):
        try:
            await system.engine.desk.place(request)
            return
        except BadRequest as error:
            if leaves and "above zero" in str(error):
                return  # half of next to nothing
            raise
        except (Refused, VenueError) as error:
            if leaves and isinstance(error, Refused) and error.reason is Reason.BELOW_MINIMUM:
                return  # what is left is less than a lot step
            logging.warning("attempt %d of %s: %s", attempt, step["id"], error)
            await asyncio.sleep(0.3)
    raise SystemExit(f"{step['id']} was refused {TRIES_MAX} times")


async def _cancel(system: System, step: Step, job: dict[str, Any], killer: Killer) -> None:
    order_id = _latest(system, step["of"])
    for _ in range(TRIES_MAX):
        if order_id not in system.ledger.state.orders:
            return
        try:
            await system.engine.changes.cancel(order_id)
        except BadRequest as error:  # it is over meanwhile
            logging.warning("%s", error)


async def _amend(system: System, step: Step, job: dict[str, Any], killer: Killer) -> None:
    order_id = _latest(system, step["of"], step.get("turn", 0))
    if _known_id(system, _changed(system, order_id)) or order_id not in system.ledger.state.orders:
        return  # done by an earlier run, or half done: then the master and all others are without the order
    limit = Price(Decimal(step["limit"])) if "limit" in step else None
    quantity = None
    if "share" in step:
        old = system.ledger.state.orders[order_id]
        quantity = Quantity((old.quantity.value * Decimal(step["share"])).quantize(Decimal("1E-5")))
    try:
        await system.engine.changes.amend(order_id, limit=limit, quantity=quantity)
    except (Refused, BadRequest, VenueError) as error:
        logging.warning("not amended: %s", error)


async def _fill(system: System, step: Step, job: dict[str, Any], killer: Killer) -> None:
    """So that `share` of the account's resting order is filled in all; nothing if nothing rests there."""
    for order in await _open_orders(system, job, step):
        waits = order["stop_price"] is not None and order["triggered_at_s"] is None and order["type"] != "bracket"
        if order["limit_price"] is None or waits:
            continue
        wanted = Decimal(order["volume"]) * Decimal(step["share"]) - Decimal(order["filled"])
        wanted = wanted.quantize(Decimal("1E-5")) if step["share"] != "1" else wanted
        if wanted > 0:
            body = {"order_id": order["order_id"], "volume": str(wanted)}
            await _venue(system, job, "POST", "fill", body, who=step["who"])
        killer.boundary("market: an order was met")
        await _seen(system, order["client_id"], Decimal(order["filled"]) + max(wanted, Decimal(0)))


async def _price(system: System, step: Step, job: dict[str, Any], killer: Killer) -> None:
    for venue in job["admin"]:
        await _ask(f"{job['admin'][venue]}/sim/price", "POST", {"symbol": step["symbol"], "price": step["price"]})
    killer.boundary("market: the price has moved")
    if not step.get("ends", True):
        return
    orders, until = system.ledger.state.orders, time.monotonic() + REACHED_MAX_S
    while any(r.role is Role.MASTER for r in orders.values()) and time.monotonic() < until:
        await asyncio.sleep(0.02)


async def _expire(system: System, step: Step, job: dict[str, Any], killer: Killer) -> None:
    """The venue ends the account's resting order, as its time is up."""
    for order in await _open_orders(system, job, step):
        await _venue(system, job, "POST", "expire", {"order_id": order["order_id"]}, who=step["who"])
        killer.boundary("market: an order's time was up")
        until = time.monotonic() + CALM_MAX_S
        while order["client_id"] in system.ledger.state.orders and time.monotonic() < until:
            await asyncio.sleep(0.02)


async def _stands(system: System, step: Step, job: dict[str, Any], killer: Killer) -> None:
    """Note which followers do not have the one order of this side at their venue that the master's asks for, once the
    ledger knows of everything that has ended there."""
    def known() -> set[tuple[str, str]]:
        orders = system.ledger.state.orders.values()
        return {(r.account, r.order_id) for r in orders if r.side == step["side"] and r.role is not Role.MASTER}

    until = time.monotonic() + CALM_MAX_S
    while True:
        await calm(system)
        before = known()
        there = await _all_open(system, job, step)
        ended = [order_id for account, order_id in before if order_id not in there.get(account, ())]
        if (before == known() and not ended) or time.monotonic() > until:
            break
        await asyncio.sleep(0.02)
    note = Path(job["world"]) / "missing"
    missing = json.loads(note.read_text()) if note.exists() else []
    if any(r.role is Role.MASTER and r.side == step["side"] for r in system.ledger.state.orders.values()):
        missing += [
            f"{account} has {len(orders)} resting orders to {step['side']} and the master one"
            for account, orders in there.items() if len(orders) != 1
        ]  # fmt: skip
    note.write_text(json.dumps(missing))


_ACTS = {
    "place": _place, "cancel": _cancel, "amend": _amend, "fill": _fill, "price": _price, "expire": _expire,
    "stands": _stands,
}  # fmt: skip


# -- what they stand on ------------------------------------------------------------------------------------------------


async def _seen(system: System, order_id: str, filled: Decimal) -> None:
    """Wait until the ledger knows what the venue has filled of an order."""
    until = time.monotonic() + CALM_MAX_S
    while time.monotonic() < until:
        record = system.ledger.state.orders.get(order_id)
        if record is None or record.filled.value >= filled:
            return
        await asyncio.sleep(0.02)


async def _open_orders(system: System, job: dict[str, Any], step: Step) -> list[dict[str, Any]]:
    """What `who` has open in the market at its venue."""
    answer = await _venue(system, job, "GET", f"orders?account={job['name']}.{step['who']}", who=step["who"])
    return [o for o in answer["orders"] if o["status"] == "open" and o["symbol"] == step["symbol"]]


async def _all_open(system: System, job: dict[str, Any], step: Step) -> dict[str, list[str]]:
    """The client ids of what each enabled follower has open on this side."""
    found = {}
    for account, member in system.engine.services.roster.followers.items():
        if member.terms.enabled:
            orders = await _open_orders(system, job, {**step, "who": account.partition(":")[2]})
            found[account] = [order["client_id"] for order in orders if order["side"] == step["side"]]
    return {str(account): orders for account, orders in found.items()}


async def _venue(
    system: System, job: dict[str, Any], verb: str, call: str, body: dict[str, Any] | None = None, *, who: str
) -> dict[str, Any]:
    """One admin call of the simulated venue that this user is at."""
    accounts = [_master(system), *system.engine.services.roster.followers]
    venue = next(venue_of(account) for account in accounts if account.partition(":")[2] == who)
    return await _ask(f"{job['admin'][venue]}/sim/{call}", verb, body)


async def _ask(url: str, verb: str, body: dict[str, Any] | None) -> dict[str, Any]:
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), method=verb)

    def ask() -> dict[str, Any]:
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    return await asyncio.to_thread(ask)


def _master(system: System) -> Any:
    return system.engine.services.roster.master.terms.account


def _known_id(system: System, order_id: str) -> bool:
    return system.engine.services.ledger.find(order_id) is not None


def _known(system: System, request_id: str) -> bool:
    return _known_id(system, master_order_id(_master(system), request_id))


def _held(system: System, symbol: str) -> bool:
    return bool(system.ledger.state.position(_master(system), symbol))


def _changed(system: System, order_id: str) -> str:
    """The id of the order that takes an order's place when that is amended."""
    return master_order_id(_master(system), f"amend {order_id}")


def _latest(system: System, request_id: str, turns: int | None = None) -> str:
    """The master's order as it stands after `turns` amendments; after all of them by default."""
    order_id = master_order_id(_master(system), request_id)
    turn = 0
    while turns is None or turn < turns:
        after = _changed(system, order_id)
        if not _known_id(system, after):
            break
        order_id, turn = after, turn + 1
    return order_id
