"""Whatever happens, no money appears or is lost, nothing is negative, and every hold is accounted for."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_client import FakeClock, MemoryClient, quiet_kraken

from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.orders import NewOrder

PAIRS = {"XBTUSD": "60000", "ETHXBT": "0.05", "XDGUSD": "0.15", "ETHUSDC": "3000"}
actions = st.one_of(
    st.tuples(
        st.just("order"),
        st.sampled_from(sorted(PAIRS)),
        st.sampled_from(["buy", "sell"]),
        st.sampled_from(["market", "limit"]),
        st.decimals("0.0001", "3000", places=8),
        st.integers(-200, 200),
        st.sampled_from(["", "fcib", "fciq", "post", "viqc"]),
        st.sampled_from(["GTC", "IOC", "FOK"]),
    ),
    st.tuples(st.just("wait"), st.integers(1, 500)),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("amend"), st.decimals("0.0001", "10", places=8), st.integers(-200, 200)),
    st.tuples(st.just("fault"), st.sampled_from(["partial_cancel", "hide", "cancel_pending"])),
    st.tuples(
        st.just("trigger"),
        st.sampled_from(["buy", "sell"]),
        st.sampled_from(["stop", "take_profit", "bracket"]),
        st.decimals("0.0001", "0.02", places=8),
        st.integers(-200, 200),
        st.one_of(st.none(), st.integers(-200, 200)),
        st.booleans(),
    ),
)


def price(pair: str, offset: int) -> str:
    """The start price moved by `offset` tenths of a per cent, on the pair's tick."""
    exact = Decimal(PAIRS[pair]) * (1000 + offset) / 1000
    return format(
        exact.quantize({"XBTUSD": Decimal("0.1"), "ETHUSDC": Decimal("0.01")}.get(pair, Decimal("0.00001"))),
        "f",
    )


def act(client: MemoryClient, clock: FakeClock, action: tuple[Any, ...]) -> None:
    if action[0] == "order":
        _, pair, side, kind, volume, offset, flags, tif = action
        values = {
            "pair": pair,
            "type": side,
            "ordertype": kind,
            "volume": str(volume),
            "oflags": flags,
            "timeinforce": tif,
        }
        client.envelope("AddOrder", **values, **({"price": price(pair, offset)} if kind == "limit" else {}))
    elif action[0] == "wait":
        clock.now_s += action[1] / 10
        client.ok("Balance")
    elif action[0] == "cancel":
        client.ok("CancelAll")
    elif action[0] == "trigger":
        trigger(client.simulator, *action[1:])
    elif action[0] == "fault":
        client.simulator.add_fault(action[1], count=1)
    else:
        for txid in list(client.ok("OpenOrders")["open"])[:1]:
            client.envelope(
                "AmendOrder", txid=txid, order_qty=str(action[1]), limit_price=price("XBTUSD", action[2])
            )


def trigger(
    simulator: KrakenSimulator, side: str, kind: str, volume: Decimal, stop: int, limit: int | None, late: bool
) -> None:
    """An order that waits for a price, of any kind that some venue has; the money may be held at the trigger only."""
    stop_price = Decimal(price("XBTUSD", stop))
    limit_price = None if limit is None else Decimal(price("XBTUSD", limit))
    prices = {"trigger": kind, "stop_price": stop_price, "limit_price": limit_price, "holds_at_trigger": late}
    if kind == "bracket":
        prices = {"bracket_stop": stop_price, "limit_price": limit_price or Decimal(price("XBTUSD", -stop))}
    simulator.exchange.advance(simulator.clock())
    with contextlib.suppress(OrderRefused):
        simulator.exchange.submit(NewOrder("alice_smith", "BTC/USD", side, volume, **prices))


def check(simulator: KrakenSimulator) -> None:
    money = simulator.money()
    for asset, deposited in money["deposited"].items():
        parts = (Decimal(money[part].get(asset, "0")) for part in ("held", "house", "fees"))
        assert sum(parts) == Decimal(deposited), (asset, money)
    for account in simulator.books.accounts.values():
        held: dict[str, Decimal] = {}
        for order in account.open_orders.values():
            held[order.hold_asset] = held.get(order.hold_asset, Decimal(0)) + order.hold
        for asset, amount in account.balances.items():
            assert amount >= account.holds.get(asset, Decimal(0)) >= 0
            assert account.holds.get(asset, Decimal(0)) == held.get(asset, Decimal(0))
    for order in simulator.books.orders:
        fills = [simulator.books.fills[number - 1] for number in order.fills]
        assert sum((fill.volume for fill in fills), Decimal(0)) == order.filled
        assert sum((fill.cost for fill in fills), Decimal(0)) == order.cost
        assert order.filled <= order.volume or order.request.volume_in_quote


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(actions, max_size=25), st.integers(1, 3), st.sampled_from([0, 300]))
def test_money_is_conserved(steps: list[tuple[Any, ...]], fill_parts: int, fill_delay_ms: int) -> None:
    clock = FakeClock()
    simulator = quiet_kraken(
        clock,
        volatility=0.003,
        spread=Decimal("0.001"),
        fill_parts=fill_parts,
        fill_delay_ms=fill_delay_ms,
        rate_limits=False,
    )
    balances = {
        "USD": Decimal("500.12345"),
        "BTC": Decimal("0.012345678"),
        "DOGE": Decimal(3000),
        "USDC": Decimal(70),
    }
    client = MemoryClient(simulator, simulator.add_account("alice_smith", balances))
    for symbol in ("BTC/USD", "ETH/BTC", "DOGE/USD", "ETH/USDC"):  # the actions' prices are about these
        simulator.set_price(symbol, simulator.exchange.markets[symbol].start_price)
    for step in steps:
        act(client, clock, step)
        check(simulator)
    clock.now_s += 100
    check(simulator)


def test_all_the_money_can_be_spent(clock: FakeClock) -> None:
    simulator = quiet_kraken(clock)
    client = MemoryClient(simulator, simulator.add_account("alice_smith", {"USD": Decimal("602.4")}))
    client.buy("0.01")  # 600 and 2.40 of fee
    assert client.ok("Balance") == {"XXBT": "0.0100000000", "ZUSD": "0.0000"}
    assert client.ok("ClosedOrders")["count"] == 1


def test_a_price_that_rises_before_the_fill_leaves_a_part_unfilled(clock: FakeClock) -> None:
    simulator = quiet_kraken(clock, fill_delay_ms=1000)
    client = MemoryClient(simulator, simulator.add_account("alice_smith", {"USD": Decimal("602.4")}))
    txid = client.buy("0.01")
    simulator.set_price("BTC/USD", Decimal(66_000))
    clock.now_s += 1
    order = client.ok("QueryOrders", txid=txid)[txid]
    assert (order["status"], order["reason"]) == ("canceled", "Insufficient funds")
    assert Decimal("0.0090") < Decimal(order["vol_exec"]) < Decimal("0.0091")
    check(simulator)
