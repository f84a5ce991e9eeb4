"""Payments in and out of an account, inferred from its balances. Pure.

No venue of ours is asked for deposits: most want a permission for that which a trading key should not have. So a
payment is what our own orders do not explain: the holdings as read, less those that there ought to be, each at the
current price. What the owner trades by hand comes to nothing but its fees that way, since one asset goes and another
comes.

What this cannot see: a payment in an asset without a market against the account's currency, one that is smaller than
the threshold (it counts as a gain or loss), and the difference between a payment and a gain where both fall between
two looks at the venue: the whole change of an asset's quantity is valued at the later price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from copytrade.domain.money import NO_AMOUNT, Amount, Price

DUST = Decimal("1e-9")
"""Differences of a quantity below this are rounding of the venue's."""

THRESHOLD_SHARE = Decimal("0.002")
"""Of equity: more than the fees of our own largest order come to, less than a payment that anybody makes."""

THRESHOLD_MIN = Decimal(1)
"""In the account's currency."""

_ONE = Price(Decimal(1))
_DOLLARS = frozenset({"USD", "USDC", "USDT"})


@dataclass(frozen=True, slots=True)
class Flow:
    """What the balances say: the payment (negative when money left), and whether the holdings differ so much from what
    they ought to be that they are to be taken as they are."""

    paid: Amount
    differs: bool


def unexplained(expected: Mapping[str, Decimal], holdings: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """By asset, how much more there is than our own orders explain."""
    found = {}
    for asset in expected.keys() | holdings.keys():
        more = holdings.get(asset, Decimal(0)) - expected.get(asset, Decimal(0))
        if abs(more) > DUST:
            found[asset] = more
    return found


def price_known(asset: str, currency: str) -> Price | None:
    """The price of an asset that needs no market: the currency itself, and dollars among each other."""
    if asset == currency or (asset in _DOLLARS and currency in _DOLLARS):
        return _ONE
    return None


def flow_of(changes: Mapping[str, Decimal], prices: Mapping[str, Price], equity: Amount) -> Flow:
    """The payment that these unexplained changes come to. Assets without a price count as nothing."""
    values = [more * prices[asset].value for asset, more in changes.items() if asset in prices]
    net, gross = sum(values, Decimal(0)), sum(map(abs, values), Decimal(0))
    threshold = max(THRESHOLD_MIN, THRESHOLD_SHARE * equity.value)
    return Flow(Amount(net) if abs(net) > threshold else NO_AMOUNT, gross > threshold)
