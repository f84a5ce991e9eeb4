"""The master's hand at each venue, by that venue's own calls: what its page, or another program, would ask for.

`place` takes a kind and its prices, `change` moves a resting order the way the venue has for it (Kraken, OKX and
Coinbase in place, Alpaca and Binance with a new id), `cancel` takes it back.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any, ClassVar

from copytrade.domain.order import OrderKind

sys.path.insert(0, str(Path(__file__).parents[1] / "simulator"))

from alpaca_client import AlpacaClient
from binance_client import BinanceClient
from coinbase_client import CoinbaseClient
from okx_client import OkxClient
from simulator_client import MemoryClient

K = OrderKind
Prices = dict[str, str]  # `limit`, `stop`: of a bracket the profit and the loss


class KrakenPage:
    kinds: ClassVar = (K.LIMIT, K.STOP, K.STOP_LIMIT, K.TAKE_PROFIT, K.TAKE_PROFIT_LIMIT)
    in_place = True
    _types: ClassVar = {
        K.LIMIT: "limit", K.STOP: "stop-loss", K.STOP_LIMIT: "stop-loss-limit", K.TAKE_PROFIT: "take-profit",
        K.TAKE_PROFIT_LIMIT: "take-profit-limit",
    }  # fmt: skip

    def __init__(self, sim: Any) -> None:
        # A key beside the worker's: nonces are counted by key.
        self._client = MemoryClient(sim, sim.add_account("master", key="hand" * 14, secret="aGFuZA=="))

    def buy(self, quantity: str) -> None:
        self._client.buy(quantity)

    def place(self, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        fields = {"pair": "XBTUSD", "type": side, "volume": quantity, "ordertype": self._types[kind]}
        if "stop" in prices:
            fields["price"] = prices["stop"]
        if "limit" in prices:
            fields["price2" if "stop" in prices else "price"] = prices["limit"]
        return str(self._client.ok("AddOrder", **fields)["txid"][0])

    def change(self, order_id: str, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        names = {"limit": "limit_price", "stop": "trigger_price"}
        self._client.ok(
            "AmendOrder", txid=order_id, order_qty=quantity, **{names[name]: price for name, price in prices.items()}
        )
        return order_id

    def cancel(self, order_id: str) -> None:
        self._client.ok("CancelOrder", txid=order_id)


class CoinbasePage:
    kinds: ClassVar = (K.LIMIT, K.STOP_LIMIT, K.TAKE_PROFIT_LIMIT, K.BRACKET)
    in_place = True

    def __init__(self, sim: Any) -> None:
        self._client = CoinbaseClient(sim, sim.add_account("master"))
        self._ids = map("by-hand-{}".format, itertools.count())

    def buy(self, quantity: str) -> None:
        self._client.id_of(self._client.market(next(self._ids), base_size=quantity))

    def place(self, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        values: dict[str, Any] = {"base_size": quantity, "limit_price": prices["limit"]}
        name = "limit_limit_gtc"
        if kind is K.BRACKET:
            name, values["stop_trigger_price"] = "trigger_bracket_gtc", prices["stop"]
        elif "stop" in prices:
            up = (side == "buy") == (kind is K.STOP_LIMIT)
            way = "STOP_DIRECTION_STOP_UP" if up else "STOP_DIRECTION_STOP_DOWN"
            name = "stop_limit_stop_limit_gtc"
            values |= {"stop_price": prices["stop"], "stop_direction": way}
        return self._client.id_of(self._client.order(next(self._ids), side=side.upper(), **{name: values}))

    def change(self, order_id: str, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        edit = {"order_id": order_id, "price": prices["limit"], "size": quantity}
        status, answer = self._client.call("POST", "/orders/edit", edit)
        assert (status, answer["success"]) == (200, True), answer
        return order_id

    def cancel(self, order_id: str) -> None:
        self._client.call("POST", "/orders/batch_cancel", {"order_ids": [order_id]})


class AlpacaPage:
    kinds: ClassVar = (K.LIMIT, K.STOP_LIMIT)
    in_place = True  # by a new order at Alpaca, which names the old one: one order to everybody
    _types: ClassVar = {K.LIMIT: "limit", K.STOP_LIMIT: "stop_limit"}

    def __init__(self, sim: Any) -> None:
        self._client = AlpacaClient(sim, sim.add_account("master"))

    def buy(self, quantity: str) -> None:
        self._client.buy(qty=quantity)

    def place(self, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        fields = {f"{name}_price": price for name, price in prices.items()}
        return str(self._client.buy(side=side, qty=quantity, type=self._types[kind], **fields)["id"])

    def change(self, order_id: str, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        fields = {f"{name}_price": price for name, price in prices.items()}
        return str(self._client.ok("PATCH", f"/v2/orders/{order_id}", {"qty": quantity, **fields})["id"])

    def cancel(self, order_id: str) -> None:
        self._client.ok("DELETE", f"/v2/orders/{order_id}")


class OkxPage:
    kinds: ClassVar = (K.LIMIT, K.STOP, K.STOP_LIMIT, K.TAKE_PROFIT, K.TAKE_PROFIT_LIMIT, K.BRACKET)
    in_place = True

    def __init__(self, sim: Any) -> None:
        self._client = OkxClient(sim, sim.add_account("master"))

    def buy(self, quantity: str) -> None:
        self._client.placed(sz=quantity)

    def place(self, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        if kind is K.LIMIT:
            return self._client.limit(side, prices["limit"], sz=quantity)
        fields = {"instId": "BTC-USDT", "tdMode": "cash", "side": side, "sz": quantity, "ordType": "conditional"}
        after = prices.get("limit", "-1")
        if kind is K.BRACKET:
            fields |= {"ordType": "oco", "tpTriggerPx": after, "tpOrdPx": "-1", "slTriggerPx": prices["stop"]}
            fields["slOrdPx"] = "-1"
        else:
            word = "sl" if kind in (K.STOP, K.STOP_LIMIT) else "tp"
            fields |= {f"{word}TriggerPx": prices["stop"], f"{word}OrdPx": after}
        return f"algo {self._done('/trade/order-algo', fields)['algoId']}"

    def change(self, order_id: str, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        about = {"instId": "BTC-USDT", "newSz": quantity}
        if kind is K.LIMIT:
            self._done("/trade/amend-order", {**about, "ordId": order_id, "newPx": prices["limit"]})
            return order_id
        about["algoId"] = order_id.removeprefix("algo ")
        if kind is K.BRACKET:
            about |= {"newTpTriggerPx": prices["limit"], "newSlTriggerPx": prices["stop"]}
        else:
            word = "Sl" if kind in (K.STOP, K.STOP_LIMIT) else "Tp"
            about[f"new{word}TriggerPx"] = prices["stop"]
            if "limit" in prices:
                about[f"new{word}OrdPx"] = prices["limit"]
        self._done("/trade/amend-algos", about)
        return order_id

    def cancel(self, order_id: str) -> None:
        if order_id.startswith("algo "):
            algo_id = order_id.removeprefix("algo ")
            self._done("/trade/cancel-algos", [{"instId": "BTC-USDT", "algoId": algo_id}])
        else:
            self._done("/trade/cancel-order", {"instId": "BTC-USDT", "ordId": order_id})

    def _done(self, path: str, values: Any) -> dict[str, Any]:
        status, answer = self._client.post(path, values)
        row = answer["data"][0] if answer["data"] else answer
        assert (status, row.get("sCode")) == (200, "0"), answer
        return dict(row)


class BinancePage:
    kinds: ClassVar = (K.LIMIT, K.STOP, K.STOP_LIMIT, K.TAKE_PROFIT, K.TAKE_PROFIT_LIMIT, K.BRACKET)
    in_place = False
    _types: ClassVar = {
        K.LIMIT: "LIMIT", K.STOP: "STOP_LOSS", K.STOP_LIMIT: "STOP_LOSS_LIMIT", K.TAKE_PROFIT: "TAKE_PROFIT",
        K.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
    }  # fmt: skip

    def __init__(self, sim: Any) -> None:
        self._client = BinanceClient(sim, sim.add_account("master"))

    def buy(self, quantity: str) -> None:
        self._client.market("BUY", quantity)

    def sell(self, quantity: str) -> None:
        self._client.market("SELL", quantity)

    def place(self, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        if kind is K.BRACKET:
            fields = {"symbol": "BTCUSDT", "side": side.upper(), "quantity": quantity, "aboveType": "LIMIT_MAKER",
                      "abovePrice": prices["limit"], "belowType": "STOP_LOSS", "belowStopPrice": prices["stop"]}
            return f"list {self._client.ok('POST', '/api/v3/orderList/oco', **fields)['orderListId']}"  # fmt: skip
        return str(self._client.ok("POST", "/api/v3/order", **self._fields(kind, side, quantity, prices))["orderId"])

    def change(self, order_id: str, kind: OrderKind, side: str, quantity: str, prices: Prices) -> str:
        if kind is K.BRACKET:  # there is no call that changes a list
            self.cancel(order_id)
            return self.place(kind, side, quantity, prices)
        fields = {**self._fields(kind, side, quantity, prices), "cancelReplaceMode": "STOP_ON_FAILURE"}
        answer = self._client.ok("POST", "/api/v3/order/cancelReplace", **fields, cancelOrderId=order_id)
        return str(answer["newOrderResponse"]["orderId"])

    def cancel(self, order_id: str) -> None:
        if order_id.startswith("list "):
            list_id = order_id.removeprefix("list ")
            self._client.ok("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=list_id)
        else:
            self._client.ok("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)

    def _fields(self, kind: OrderKind, side: str, quantity: str, prices: Prices) -> dict[str, str]:
        fields = {"symbol": "BTCUSDT", "side": side.upper(), "type": self._types[kind], "quantity": quantity}
        if "limit" in prices:
            fields |= {"price": prices["limit"], "timeInForce": "GTC"}
        return fields | ({"stopPrice": prices["stop"]} if "stop" in prices else {})


PAGES: dict[str, Any] = {
    "kraken": KrakenPage, "coinbase": CoinbasePage, "alpaca": AlpacaPage, "okx": OkxPage, "binance": BinancePage,
}  # fmt: skip
