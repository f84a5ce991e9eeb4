"""Random trading at five venues with rejects and partial fills, and what the report on drift must then say of all.

The master's acts come from a seed: orders at market, and orders that rest, which are moved, taken back, or filled in
part or whole when the price comes to them. Everybody's money is topped up now and then, or fees would end the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from drift_venues import VENUES, Json, Link
from world import QUICK, Desk, until

from copytrade.domain.account import AccountId, account_id, venue_of
from copytrade.domain.alerts import Alert
from copytrade.domain.errors import CopyTradeError, Refused
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Wiring
from copytrade.settings.redaction import Redactor
from copytrade.venues.kraken import options as kraken_options
from copytrade.venues.okx import options as okx_options
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

BASES = ("BTC", "ETH", "SOL")
CURRENCY = {"kraken": "USD", "coinbase": "USD", "alpaca": "USD", "okx": "USDT", "binance": "USDT"}
PLACE = {
    "kraken": "AddOrder", "coinbase": "create_order", "alpaca": "POST /v2/orders", "okx": "POST /trade/order",
    "binance": "POST /api/v3/order",
}  # fmt: skip
"""The simulators' names of the call that places an order."""
NEW_RULE = {  # refused for a reason that nobody here has heard of
    "kraken": "EOrder:Some new rule", "coinbase": "SOME_NEW_RULE", "alpaca": "403 40310000 some new rule",
    "okx": "1:51999:some new rule", "binance": "-2010 Some new rule.",
}  # fmt: skip
SIZES = (40, 100, 333, 1_000, 2_500, 10_000, 77_777)
MASTER_CASH = 10_000
_NO_LIMIT = 1_000_000.0
_VENUES: dict[str, Json] = {
    "kraken": {"tier": "pro", "absence_settle_s": 0},
    "coinbase": {"calls_per_s": 1_000, "public_calls_per_s": None, "absence_settle_s": 0},
    "alpaca": {
        "requests_per_minute": 100_000, "public_calls_per_s": None, "stocks": False, "late_order_s": 0.5,
        "late_exit_s": 0.5,
    },
    "okx": {"absence_settle_s": 0},
    "binance": {"order_deadline_s": 5, "absence_settle_s": 0},
}  # fmt: skip
_LONG_S = 5.0
_CALM_WAIT_S = 300.0  # a venue that refuses an order of the other side has it tried again for as long as an entry lives


def mixed_followers(count: int, seed: int) -> dict[str, dict[str, Json]]:
    """By venue, in turn: of all sizes, some with caps, some paused."""
    chance = random.Random(f"followers {seed}")
    found: dict[str, dict[str, Json]] = {venue: {} for venue in VENUES}
    for number in range(count):
        terms: Json = {"cash": chance.choice(SIZES) + number}
        if chance.random() < 0.15:
            terms["max_order"] = chance.choice([15, 60, 200])
        if chance.random() < 0.15:
            terms["multiplier"] = chance.choice([0.5, 2])
        if chance.random() < 0.05:
            terms["mode"] = "paused"
        found[VENUES[number % len(VENUES)]][f"user_{number:04}"] = terms
    return found


def cash_of(followers: Mapping[str, Mapping[str, Json]], master: str) -> dict[str, dict[str, str]]:
    """What everybody begins with, by venue and account: `drift_venues` is told this."""
    found = {venue: {name: str(terms["cash"]) for name, terms in users.items()} for venue, users in followers.items()}
    found[master]["master"] = str(MASTER_CASH)
    return found


def lift_limits() -> None:
    """Thousands of orders in minutes: neither side keeps rate limits here, it is the sums that are tried. For a process
    of its own; a test puts the tables back."""
    kraken_options.TIERS["pro"] = kraken_options.Tier(_NO_LIMIT, _NO_LIMIT, _NO_LIMIT, _NO_LIMIT)
    for table in (okx_options.READS_PER_2_S, okx_options.PUBLIC_PER_2_S):
        table.update(dict.fromkeys(table, int(_NO_LIMIT)))


@dataclass(frozen=True)
class Quote:
    bid: Decimal
    ask: Decimal


class DriftWorld:
    """The operator's files, and the venues by their links."""

    def __init__(
        self, root: Path, links: Mapping[str, Link], followers: Mapping[str, Mapping[str, Json]], *,
        master: str = "kraken", copy: Json | None = None,
    ) -> None:  # fmt: skip
        self.links = links
        self.followers = followers
        self.master = account_id(master, "master")
        self.alerts: Counter[str] = Counter()
        self.slow: list[str] = []  # what took long to come to rest
        self.cash = {venue: {n: Decimal(c) for n, c in of.items()} for venue, of in cash_of(followers, master).items()}
        self.quotes: dict[tuple[str, str], Quote] = {}
        self.paths = Paths(root / "copytrade.yaml", root / "users", root / "state", root / ".env")
        self.paths.users.mkdir()
        self.environ: dict[str, str] = {f"{name.upper()}_BASE_URL": link.url for name, link in links.items()}
        for name, link in links.items():
            for user, keys in link.keys.items():
                self._add_keys(name, user, keys)
        settings = {
            "mode": "live", "master": {"venue": master, "strategy": "none"},
            "copy": {
                "stand_ins": {"USD": ["USDT"], "USDT": ["USD"]}, "master_fill_grace_s": 0, **(copy or {}),
            },
            "venues": {name: {**_VENUES[name], "clock_skew_max_s": 0.1, "request_timeout_s": 10} for name in links},
        }  # fmt: skip
        self.paths.config.write_text(json.dumps(settings))  # JSON is YAML
        for venue, users in followers.items():
            lines = [{"user_id": user, "broker_type": venue, **_without_cash(terms)} for user, terms in users.items()]
            (self.paths.users / f"retail_{venue}.json").write_text(json.dumps(lines))
        self.start_price = {base: self.quote(self.master, base).ask for base in BASES}

    # -- the venues' side --------------------------------------------------------------------------------------------

    def quote(self, account: AccountId, base: str) -> Quote:
        """What the account's venue asks and bids for the base."""
        venue = venue_of(account)
        if (venue, base) not in self.quotes:
            shown = self.links[venue].ask("GET", "price")
            for each in BASES:
                found = shown[market(venue, each)]
                self.quotes[venue, each] = Quote(Decimal(found["bid"]), Decimal(found["ask"]))
        return self.quotes[venue, base]

    def set_price(self, base: str, price: Decimal) -> None:
        """The same everywhere, on each venue's tick."""
        for venue, link in self.links.items():
            link.ask("POST", "price", {"symbol": market(venue, base), "price": str(price)})
        self.quotes.clear()

    def set_faults(self) -> None:
        """Venues that now and then end an order early, refuse it, or lose its answer; the master's, too."""
        for venue, link in self.links.items():
            place = PLACE[venue]
            link.fault("partial_cancel", method=place, fraction="0.37", probability=0.06)
            link.fault("reject_funds", method=place, probability=0.03)
            link.fault("error", method=place, error=NEW_RULE[venue], when="before", probability=0.02)
            link.fault("drop", method=place, when="after", probability=0.001)

    def clear_faults(self) -> None:
        for link in self.links.values():
            link.ask("DELETE", "faults")

    def top_up(self) -> None:
        """Bring everybody back to about what they began with."""
        for venue, link in self.links.items():
            for account in link.ask("GET", "accounts")["accounts"]:
                balances = {asset: Decimal(amount) for asset, amount in account["balances"].items()}
                currency = CURRENCY[venue]
                worth = balances.get(currency, Decimal(0))
                for base in BASES:
                    worth += balances.get(base, Decimal(0)) * self.quote(AccountId(f"{venue}:"), base).bid
                change = (self.cash[venue][account["name"]] - worth).quantize(Decimal("0.01"))
                if abs(change) * 50 < self.cash[venue][account["name"]]:
                    continue
                free = balances.get(currency, Decimal(0)) - Decimal(account["holds"].get(currency, "0"))
                if change + free > 0:
                    body = {"account": account["name"], "asset": currency, "amount": str(change)}
                    link.ask("POST", "deposit", body)

    def orders(self) -> int:
        """How many orders all venues have ever taken."""
        found = [account for link in self.links.values() for account in link.ask("GET", "accounts")["accounts"]]
        return sum(account["open_orders"] + account["closed_orders"] for account in found)

    def doubled(self) -> list[str]:
        """Client ids under which one account has more than one order."""
        found = [(name, row) for name, link in self.links.items() for row in link.ask("GET", "doubles")["doubles"]]
        return [f"{name}:{row['account']} {row['client_id']}" for name, row in found]

    # -- the system --------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def trading(self) -> AsyncIterator[Desk]:
        def adjusted(wiring: Wiring) -> Wiring:
            waits = {**QUICK, "resting_delays_s": (0.5, 2.0, 10.0), "master_equity_max_age_s": 2.0}
            return replace(wiring, limits=replace(wiring.limits, **waits))

        hooks = Hooks(self._alert, lambda signal, copies: None, adjusted)
        async with System(self.paths, self.environ, hooks, Redactor()) as system:
            desk = Desk(self, system)  # type: ignore[arg-type]  # it asks for nothing that this world lacks
            members = list(desk.engine.services.roster)
            await until(lambda: all(member.client is not None for member in members), "everybody is connected")
            yield desk

    def _alert(self, alert: Alert) -> None:
        self.alerts[alert.kind] += 1

    def _add_keys(self, venue: str, user: str, keys: Mapping[str, str]) -> None:
        name = f"{venue.upper()}_USER_{user.upper()}" if user != "master" else venue.upper()
        for part, text in keys.items():
            self.environ[f"{name}_API_PASSPHRASE" if part == "passphrase" else f"{name}_API_{part.upper()}"] = text


def market(venue: str, base: str) -> str:
    return f"{base}/{CURRENCY[venue]}"


def _without_cash(terms: Json) -> Json:
    return {name: value for name, value in terms.items() if name != "cash"}


# -- the master's acts -------------------------------------------------------------------------------------------------


@dataclass
class Master:
    """The master's hand: one random act after the other."""

    desk: Desk
    world: DriftWorld
    chance: random.Random
    acts: Counter[str]
    number: int = 0
    orders: Counter[str] = field(default_factory=Counter)  # by base
    orders_since_flat: Counter[str] = field(default_factory=Counter)

    async def act(self) -> None:
        """One act. One that a guard or the venue refuses is counted as that."""
        self.number += 1
        base = self.chance.choice(BASES)
        if self.chance.random() < 0.15:
            await self._move_price(self.chance.choice(BASES))
        symbol = market(venue_of(self.world.master), base)
        if not self.desk.ledger.state.position(self.world.master, symbol):
            self.orders_since_flat[base] = 0
        resting = self._resting(symbol)
        roll = self.chance.random()
        try:
            if resting and roll < 0.3:
                kind = await self._change(self.chance.choice(resting), base)
            else:
                kind = await self._place(base, symbol, resting, rests=not resting and roll > 0.85)
        except CopyTradeError as error:
            kind = f"refused: {error.reason if isinstance(error, Refused) else type(error).__name__}"
        except TimeoutError:  # an answer of the venue's was lost, and looking it up takes its time
            kind = "answered later"
        self.orders[base] += 1
        self.orders_since_flat[base] += 1
        self.acts[kind] += 1

    def _resting(self, symbol: str) -> list[OrderRecord]:
        orders = self.desk.ledger.state.orders.values()
        return [r for r in orders if r.account == self.world.master and r.symbol == symbol and r.kind.rests]

    async def _place(self, base: str, symbol: str, resting: list[OrderRecord], *, rests: bool) -> str:
        held = self.desk.ledger.state.position(self.world.master, symbol).value
        spoken_for = sum((r.quantity.value - r.filled.value for r in resting if r.side is Side.SELL), Decimal(0))
        worth = held * self.world.quote(self.world.master, base).bid
        # What rests decides the side of what comes next, or one venue would refuse most of it.
        sells = bool(held) and self.chance.random() < (0.8 if worth > MASTER_CASH * Decimal("0.25") else 0.4)
        if resting:
            sells = resting[0].side is Side.SELL
        side = Side.SELL if sells else Side.BUY
        limit = self._away(base, side) if rests else None
        shape: dict[str, Any] = {} if limit is None else {"kind": OrderKind.LIMIT, "limit": limit}
        name = f"act {self.number}"
        if sells:
            whole = limit is None and not spoken_for and self.chance.random() < 0.4
            share = Decimal(self.chance.randint(5, 95)) / 100
            quantity = None if whole else Quantity((held - spoken_for) * share)
            request = TradeRequest(name, symbol, side, quantity=quantity, whole=whole, **shape)
        else:
            usd = self.chance.choice([self.chance.randint(20, 300), self.chance.randint(20, 1_500)])
            request = TradeRequest(name, symbol, side, usd=Amount.of(usd), **shape)
        record = await self.desk.place(request)
        if record.state is OrderState.REFUSED:
            return f"refused: {record.reason}"
        return f"{side} {'limit' if rests else 'market'}"

    async def _change(self, record: OrderRecord, base: str) -> str:
        """Take it back, move it, or have a part of it filled by somebody (which is not the master's act)."""
        roll, changes = self.chance.random(), self.desk.engine.changes
        if roll < 0.3:
            await changes.cancel(record.order_id)
            return "cancel"
        if roll < 0.45:
            await fill_some(self.desk, self.world, self.chance, record)
        limit = self._away(base, record.side)
        quantity = None
        if self.chance.random() < 0.3:
            quantity = Quantity(record.quantity.value * Decimal(self.chance.randint(60, 140)) / 100)
        await changes.amend(record.order_id, quantity=quantity, limit=limit)
        return "amend"

    def _away(self, base: str, side: Side) -> Price:
        """A price that the market has not come to, within 2 %."""
        quote = self.world.quote(self.world.master, base)
        off = Decimal(self.chance.randint(10, 200)) / 10_000
        price = quote.bid * (1 - off) if side is Side.BUY else quote.ask * (1 + off)
        return Price(price.quantize(Decimal("0.1")))

    async def _move_price(self, base: str) -> None:
        start = self.world.start_price[base]
        step = 1 + Decimal(self.chance.randint(-80, 80)) / 10_000
        price = self.world.quote(self.world.master, base).ask * step
        price = min(max(price, start * Decimal("0.7")), start * Decimal("1.4"))  # minimums of venues stay what they are
        self.world.set_price(base, price.quantize(Decimal("0.01")))
        self.look_at_crossed()

    def look_at_crossed(self) -> None:
        """Nobody looks at orders that rest more than every few seconds."""
        for record in list(self.desk.ledger.state.orders.values()):
            if record.state is OrderState.ACCEPTED and record.kind.rests and crossed(self.world, record):
                self.desk.engine.services.fills.look_at(record.order_id)


async def fill_some(desk: Desk, world: DriftWorld, chance: random.Random, record: OrderRecord) -> None:
    """Parts of a resting order, and of some copies of it, meet somebody. Waits until that is known."""
    orders = desk.ledger.state.orders
    copies = [r for r in orders.values() if r.signal_id and r.kind.rests and r.symbol.startswith(record.symbol[:3])]
    chosen = [record, *chance.sample(copies, min(5, len(copies)))]
    known: list[tuple[str, Decimal]] = []
    for order in chosen:
        instrument = desk.engine.services.instrument_of(order)
        if order.state is not OrderState.ACCEPTED or instrument is None or order.venue_order_id is None:
            continue
        part = ((order.quantity - order.filled).scaled(Decimal("0.3"))).rounded_down(instrument.lot_step)
        if not part:
            continue
        with contextlib.suppress(OSError):  # over at the venue meanwhile
            world.links[venue_of(order.account)].ask(
                "POST", "fill", {"order_id": order.venue_order_id, "volume": str(part)}
            )
            known.append((order.order_id, (order.filled + part).value))
    for order_id, _ in known:
        desk.engine.services.fills.look_at(order_id)

    def seen() -> bool:
        return all(order_id not in orders or orders[order_id].filled.value >= least for order_id, least in known)

    try:
        await until(seen, "what has filled in part is known")
    except AssertionError:
        world.slow.append(f"fills of {[order_id for order_id, _ in known if order_id in orders]} are not known")


def crossed(world: DriftWorld, record: OrderRecord) -> bool:
    """Whether the market has come to the order's limit: then its venue has filled it, or ended it."""
    if record.limit_price is None:
        return False
    quote = world.quote(record.account, record.symbol.partition("/")[0])
    limit = record.limit_price.value
    return limit >= quote.ask if record.side is Side.BUY else limit <= quote.bid


async def calm(desk: Desk, world: DriftWorld) -> None:
    """Wait until nothing moves: every order is at its end, or held, or rests with the market away from it."""
    state = desk.ledger.state

    def still(record: OrderRecord) -> bool:
        if record.state is OrderState.HELD:
            return True
        rests = record.kind.rests and record.state is OrderState.ACCEPTED and record.cancel is None
        return rests and not crossed(world, record)

    def settled() -> bool:
        return not state.unplanned and all(still(record) for record in state.orders.values())

    def moving() -> list[str]:
        return [
            f"{r.account} {r.symbol} {r.side} {r.effect} {r.kind} {r.state} {r.reason} {r.detail} "
            f"limit {r.limit_price} cancel {r.cancel} {world.quote(r.account, r.symbol.partition('/')[0])}"
            for r in state.orders.values() if not still(r)
        ]  # fmt: skip

    loop = asyncio.get_running_loop()
    began, told = loop.time(), False
    while not settled():
        waited_s = loop.time() - began
        if waited_s > _CALM_WAIT_S:
            signals = list(state.unplanned.values())
            raise AssertionError(f"not calm after {_CALM_WAIT_S} s: {moving()[:20]} {signals[:3]}")
        if waited_s > _LONG_S and not told:
            told = True
            world.slow.append(f"{len(moving())} orders, the first {moving()[:1]}, {len(state.unplanned)} signals")
        await asyncio.sleep(0.005)
