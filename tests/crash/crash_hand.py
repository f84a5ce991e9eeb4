"""The master's hand: somebody with a key of their own who trades on the master's account, as on the venue's own page.

It goes on while the worker lives, while it is dead, and while it starts. What it does is a list of acts, each a JSON
object with `act`; the orders that an act is about go by names of the hand's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from crash_cast import MASTER
from crash_resting_stories import Market
from crash_watch import DONE, WATCHING
from crash_world import World

from copytrade.simulator.binance.listing import MARKETS as AT_BINANCE
from copytrade.simulator.kraken.listing import MARKETS as AT_KRAKEN

Act = dict[str, Any]
USD = Decimal(900)
_KINDS = ("limit", "stop", "take_profit")
_LEAST = Decimal(20)  # dollars; above every venue's smallest order
_BEGIN_MAX_S = 120.0
_MARKETS = {
    (venue, market.symbol): market
    for venue, markets in (("kraken", AT_KRAKEN), ("binance", AT_BINANCE)) for market in markets
}  # fmt: skip


class Refusal(Exception):
    """The venue says no: what the hand wanted to change is over already."""


class KrakenPage:
    """Orders at Kraken, with a key of the hand's own."""

    _nonces = itertools.count(time.time_ns() // 1_000)
    _TYPES: ClassVar = {"stop": "stop-loss", "take_profit": "take-profit"}

    def __init__(self, url: str, keys: dict[str, str], symbol: str) -> None:
        self._url, self._keys = urlsplit(url), keys
        self._pair = symbol.replace("BTC", "XBT").replace("/", "")

    def place(self, side: str, quantity: Decimal, **prices: str) -> str:
        """A market order, or the kind that has these prices (`limit`, `stop`, `take_profit`)."""
        fields = {"pair": self._pair, "type": side, "volume": str(quantity), "ordertype": "market", "oflags": "fciq"}
        for kind, price in prices.items():
            fields |= {"ordertype": self._TYPES.get(kind, kind), "price": price}
        return str(self._call("AddOrder", fields)["txid"][0])

    def amend(self, order_id: str, quantity: Decimal, **prices: str) -> str:
        names = {"limit": "limit_price", "stop": "trigger_price", "take_profit": "trigger_price"}
        changes = {names[kind]: price for kind, price in prices.items()}
        self._call("AmendOrder", {"txid": order_id, "order_qty": str(quantity), **changes})
        return order_id

    def replace(self, order_id: str, side: str, quantity: Decimal, **prices: str) -> str:
        """What EditOrder does: the old order is cancelled, and a new one has another id."""
        self.cancel(order_id)
        return self.place(side, quantity, **prices)

    def cancel(self, order_id: str) -> None:
        self._call("CancelOrder", {"txid": order_id})

    def _call(self, method: str, fields: dict[str, str]) -> Any:
        path, nonce = f"/0/private/{method}", next(self._nonces)
        body = urlencode({"nonce": nonce, **fields})
        message = path.encode() + hashlib.sha256(f"{nonce}{body}".encode()).digest()
        made = hmac.new(base64.b64decode(self._keys["secret"]), message, hashlib.sha512).digest()
        headers = {"API-Key": self._keys["key"], "API-Sign": base64.b64encode(made).decode()}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        status, answer = _ask(self._url, "POST", path, body, headers)
        assert status == 200, answer
        if answer["error"]:
            raise Refusal(f"{method} {fields}: {answer['error']}")
        return answer["result"]


class BinancePage:
    """Orders at Binance, with a key of the hand's own."""

    _TYPES: ClassVar = {"stop": "STOP_LOSS", "take_profit": "TAKE_PROFIT"}

    def __init__(self, url: str, keys: dict[str, str], symbol: str) -> None:
        self._url, self._keys = urlsplit(url), keys
        self._symbol = symbol.replace("/", "")

    def place(self, side: str, quantity: Decimal, **prices: str) -> str:
        """A market order, the kind that has these prices, or with a limit and a stop an OCO."""
        if "limit" in prices and "stop" in prices:
            legs = {"aboveType": "LIMIT_MAKER", "abovePrice": prices["limit"], "belowType": "STOP_LOSS"}
            fields = {"side": side.upper(), "quantity": str(quantity), **legs, "belowStopPrice": prices["stop"]}
            return f"list {self._call('POST', '/api/v3/orderList/oco', fields)['orderListId']}"
        return str(self._call("POST", "/api/v3/order", self._fields(side, quantity, prices))["orderId"])

    def amend(self, order_id: str, quantity: Decimal, **prices: str) -> str:
        """There it is but less of an order that can be asked for in place."""
        fields = {"orderId": order_id, "newQty": str(quantity)}
        self._call("PUT", "/api/v3/order/amend/keepPriority", fields)
        return order_id

    def replace(self, order_id: str, side: str, quantity: Decimal, **prices: str) -> str:
        fields = {**self._fields(side, quantity, prices), "cancelReplaceMode": "STOP_ON_FAILURE"}
        answer = self._call("POST", "/api/v3/order/cancelReplace", {**fields, "cancelOrderId": order_id})
        return str(answer["newOrderResponse"]["orderId"])

    def cancel(self, order_id: str) -> None:
        if order_id.startswith("list "):
            self._call("DELETE", "/api/v3/orderList", {"orderListId": order_id.removeprefix("list ")})
        else:
            self._call("DELETE", "/api/v3/order", {"orderId": order_id})

    def _fields(self, side: str, quantity: Decimal, prices: dict[str, str]) -> dict[str, str]:
        fields = {"side": side.upper(), "quantity": str(quantity), "type": "MARKET"}
        for kind, price in prices.items():
            if kind == "limit":
                fields |= {"type": "LIMIT", "timeInForce": "GTC", "price": price}
            else:
                fields |= {"type": self._TYPES[kind], "stopPrice": price}
        return fields

    def _call(self, verb: str, path: str, fields: dict[str, str]) -> Any:
        body = urlencode({"symbol": self._symbol, **fields, "timestamp": time.time_ns() // 1_000_000})
        made = hmac.new(self._keys["secret"].encode(), body.encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": self._keys["key"], "Content-Type": "application/x-www-form-urlencoded"}
        status, answer = _ask(self._url, verb, path, f"{body}&signature={made}", headers)
        if status != 200:
            raise Refusal(f"{verb} {path} {fields}: {answer}")
        return answer


_PAGES: dict[str, type[KrakenPage] | type[BinancePage]] = {"kraken": KrakenPage, "binance": BinancePage}


class Hand:
    """Does the acts of one world, in a thread of its own."""

    def __init__(self, world: World, market: Market, acts: Sequence[Act], seed: int, pause_max_s: float = 0.2) -> None:
        drawn = hashlib.sha512(world.name.encode())  # a key beside the worker's, as nonces are counted by key
        keys = {"key": drawn.hexdigest()[:56], "secret": base64.b64encode(drawn.digest()).decode()}
        if market.venue == "binance":
            keys = {"key": drawn.hexdigest()[:64], "secret": drawn.hexdigest()[64:]}
        world.venue.call("POST", "accounts", {"name": world.at_venue(MASTER), **keys}, market.venue)
        self._page = _PAGES[market.venue](world.venue.urls[market.venue], keys, market.symbol)
        self._world, self._market, self._acts = world, market, acts
        self._rules = _MARKETS[market.venue, market.symbol]
        self._chance, self._pause_max_s = random.Random(seed), pause_max_s
        self._ids: dict[str, str] = {}
        self._terms: dict[str, tuple[str, Decimal, dict[str, str]]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failed: BaseException | None = None
        self.began_s = 0.0

    def before(self) -> None:
        """What the account had done before anybody watched: a position, and a bid that nobody ever meets."""
        self._page.place("buy", self._of(USD))
        self._ids["old"] = self._page.place("buy", self._of(USD), limit=self._price("-30"))

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Wait until all is done; raises what went wrong."""
        self._thread.join(_BEGIN_MAX_S + 60.0)
        assert not self._thread.is_alive(), "the hand never came to an end"
        if self.failed is not None:
            raise self.failed

    # -- inside ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            until = time.monotonic() + _BEGIN_MAX_S
            while not (self._world.folder / WATCHING).exists():
                assert time.monotonic() < until, "nobody ever watched"
                time.sleep(0.01)
            self.began_s = time.time()
            for act in self._acts:
                time.sleep(self._chance.uniform(0, self._pause_max_s))
                try:
                    getattr(self, f"_{act['act']}")(act)
                except Refusal as refusal:
                    self._note(f"{act}: {refusal}")
                else:
                    self._note(f"{act}")
            self._leave()
        except BaseException as error:
            self.failed = error
        Path(self._world.folder / DONE).touch()

    def _place(self, act: Act) -> None:
        quantity = self._of(USD) if act["side"] == "buy" else self._share(Decimal(act.get("share", "1")))
        prices: dict[str, str] = {kind: self._price(act[kind]) for kind in _KINDS if kind in act}
        if quantity <= 0:
            return
        self._ids[act["id"]] = self._page.place(act["side"], quantity, **prices)
        self._terms[act["id"]] = (act["side"], quantity, prices)

    def _amend(self, act: Act) -> None:
        self._change(act, "amend")

    def _replace(self, act: Act) -> None:
        self._change(act, "replace")

    def _change(self, act: Act, how: str) -> None:
        name = act["id"]
        if name not in self._ids:
            return
        side, quantity, prices = self._terms[name]
        prices |= {kind: self._price(act[kind]) for kind in prices if kind in act}
        step = self._rules.lot_step
        quantity = (quantity * Decimal(act.get("times", "1"))).quantize(step)
        if how == "amend":
            self._page.amend(self._ids[name], quantity, **prices)
        else:
            self._ids[name] = self._page.replace(self._ids[name], side, quantity, **prices)
        self._terms[name] = (side, quantity, prices)

    def _cancel(self, act: Act) -> None:
        if act["id"] in self._ids:
            self._page.cancel(self._ids.pop(act["id"]))

    def _fill(self, act: Act) -> None:
        """So that `share` of the order is filled in all."""
        order = next((o for o in self._orders() if o["order_id"] == self._ids.get(act["id"])), None)
        if order is None or order["status"] != "open":
            return
        volume = (Decimal(order["volume"]) * Decimal(act["share"])).quantize(self._rules.lot_step)
        if (more := volume - Decimal(order["filled"])) > 0:
            body = {"order_id": order["order_id"], "volume": str(more)}
            try:
                self._world.venue.call("POST", "fill", body, self._market.venue)
            except RuntimeError as error:  # it does not rest in the book: it waits for its price, or is over
                raise Refusal(str(error)) from error

    def _go(self, act: Act) -> None:
        """The market goes there and back."""
        for percent in (act["percent"], "0"):
            body = {"symbol": self._market.symbol, "price": self._price(percent)}
            self._world.venue.call("POST", "price", body, self._market.venue)
            self._orders()  # whoever asks brings the market up to now

    def _leave(self) -> None:
        """Take back all that rests, and sell all."""
        for name in list(self._ids):
            try:
                self._page.cancel(self._ids.pop(name))
            except Refusal as refusal:
                self._note(f"leaving: {refusal}")
        left = self._share(Decimal(1))
        if 0 < left < self._of(_LEAST):  # too little to be sold: with some more it can be
            self._page.place("buy", self._of(USD))
            left = self._share(Decimal(1))
        if left > 0:
            self._page.place("sell", left)
        self._note(f"sold {left}")

    def _orders(self) -> list[dict[str, Any]]:
        name = self._world.at_venue(MASTER)
        found = self._world.venue.call("GET", f"orders?account={name}", venue=self._market.venue)["orders"]
        return list(found)

    def _share(self, share: Decimal) -> Decimal:
        """So much of what is held and not asked for by an order to sell."""
        name, base = self._world.at_venue(MASTER), self._market.symbol.partition("/")[0]
        accounts = self._world.venue.call("GET", "accounts", venue=self._market.venue)["accounts"]
        account = next(each for each in accounts if each["name"] == name)
        free = Decimal(account["balances"].get(base, "0")) - Decimal(account.get("holds", {}).get(base, "0"))
        step = self._rules.lot_step
        return (free * share / step).to_integral_value("ROUND_FLOOR") * step

    def _of(self, usd: Decimal) -> Decimal:
        return (usd / self._market.price).quantize(self._rules.lot_step)

    def _price(self, percent: str) -> str:
        price = self._market.price * (1 + Decimal(percent) / 100)
        return str(price.quantize(self._rules.tick_size))

    def _note(self, words: str) -> None:
        with (self._world.folder / "hand.log").open("a") as log:
            log.write(f"{time.time():.3f} {words}\n")


def _ask(place: Any, verb: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30.0)
    try:
        connection.request(verb, path, body, headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


# -- stories -----------------------------------------------------------------------------------------------------------


def buy(name: str, **more: str) -> Act:
    return {"act": "place", "id": name, "side": "buy", **more}


def sell(name: str, share: str, **more: str) -> Act:
    return {"act": "place", "id": name, "side": "sell", "share": share, **more}


def full_story(venue: str) -> list[Act]:
    """Every kind of act once."""
    amended: list[Act] = [{"act": "amend", "id": "bid", "limit": "-0.1", "times": "1.2"}]
    if venue == "binance":
        amended = [{"act": "amend", "id": "bid", "times": "0.8"}]
    return [
        buy("in"), buy("bid", limit="-0.3"), *amended, {"act": "fill", "id": "bid", "share": "0.4"},
        sell("stop", "0.5", stop="-2"), {"act": "replace", "id": "stop", "stop": "-2.5"},
        {"act": "cancel", "id": "bid"}, buy("two", limit="-0.3"), {"act": "replace", "id": "two", "limit": "-0.2"},
        {"act": "fill", "id": "two", "share": "1"}, {"act": "cancel", "id": "stop"},
        sell("ask", "0.5", limit="0.3"), {"act": "fill", "id": "ask", "share": "0.5"}, {"act": "cancel", "id": "ask"},
        sell("out", "0.3", stop="-2"), {"act": "go", "percent": "-2.3"}, sell("part", "0.5"),
        sell("high", "0.5", take_profit="2"),
    ]  # fmt: skip


def short_story() -> list[Act]:
    """A bid that is changed, met in part and taken back, and a stop in another's place."""
    return [
        buy("in"), buy("bid", limit="-0.3"), {"act": "amend", "id": "bid", "limit": "-0.1", "times": "1.2"},
        {"act": "fill", "id": "bid", "share": "0.4"}, sell("stop", "0.5", stop="-2"),
        {"act": "replace", "id": "stop", "stop": "-2.5"}, {"act": "cancel", "id": "bid"},
    ]  # fmt: skip


def random_story(chance: random.Random, venue: str) -> list[Act]:
    """Whatever a hand may do, in any order; the venue refuses what is impossible."""
    acts: list[Act] = [buy("in-0")]
    names = ["in-0"]
    for number in range(1, chance.randint(8, 18)):
        how = chance.random()
        if how < 0.5:
            names.append(f"o-{number}")
            acts.append(_placed(chance, venue, names[-1]))
        elif how < 0.62:
            acts.append({"act": "cancel", "id": chance.choice(names)})
        elif how < 0.75:
            change = {"limit": chance.choice(["-0.4", "-0.1", "0.4"]), "stop": "-1.7", "take_profit": "1.7"}
            times = chance.choice(["0.7", "1", "0.9"])
            acts.append({"act": "amend", "id": chance.choice(names), "times": times, **change})
        elif how < 0.84:
            change = {"limit": chance.choice(["-0.4", "-0.1"]), "stop": "-2.1", "take_profit": "2.1"}
            acts.append({"act": "replace", "id": chance.choice(names), **change})
        elif how < 0.95:
            acts.append({"act": "fill", "id": chance.choice(names), "share": chance.choice(["0.3", "0.6", "1"])})
        else:
            acts.append({"act": "go", "percent": chance.choice(["-2.6", "2.6"])})
    return acts


def _placed(chance: random.Random, venue: str, name: str) -> Act:
    share = chance.choice(["0.3", "0.5", "1"])
    kinds = [
        buy(name), buy(name), buy(name, limit=chance.choice(["-0.3", "-0.2"])), buy(name, limit="-0.3"),
        sell(name, share), sell(name, share, limit="0.3"), sell(name, share, stop="-2"),
        sell(name, share, take_profit="2"),
    ]  # fmt: skip
    if venue == "binance":
        kinds.append(sell(name, share, limit="2", stop="-2"))
    return chance.choice(kinds)
