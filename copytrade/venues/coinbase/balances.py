"""An account's money at Coinbase: cash, holdings, equity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import ZERO, Amount, parse_decimal
from copytrade.domain.venue import Balances
from copytrade.venues.coinbase.names import PAR

# Vaults, perpetuals and the like are balances of their own that a spot order cannot use.
_SPOT_TYPES = ("ACCOUNT_TYPE_CRYPTO", "ACCOUNT_TYPE_FIAT")


class Wallet(NamedTuple):
    """What is free and what open orders hold, in units of the asset."""

    available: Decimal
    held: Decimal

    @property
    def total(self) -> Decimal:
        return self.available + self.held


def read_wallets(accounts: Iterable[Mapping[str, Any]]) -> dict[str, Wallet]:
    """The spot wallets by asset. Several of one asset are added up. Raises `VenueUnavailable`."""
    wallets: dict[str, Wallet] = {}
    for entry in accounts:
        if entry.get("type") not in _SPOT_TYPES:
            continue
        try:
            asset = entry["currency"]
            if not isinstance(asset, str) or not asset:
                raise ValueError("currency is missing")
            available = parse_decimal(entry["available_balance"]["value"])
            hold = entry.get("hold")
            held = parse_decimal(hold["value"]) if hold else ZERO
        except (KeyError, TypeError, ValueError) as error:
            raise VenueUnavailable(f"Coinbase's wallet of {entry.get('currency')!s:.20} cannot be read: {error!r:.100}"
                                   ) from None  # fmt: skip
        before = wallets.get(asset, Wallet(ZERO, ZERO))
        wallets[asset] = Wallet(before.available + available, before.held + held)
    return wallets


def read_bids(body: Mapping[str, Any]) -> dict[str, Decimal]:
    """Best bids by product id, from `best_bid_ask`; a product without one is left out."""
    books = body.get("pricebooks")
    if not isinstance(books, list):
        raise VenueUnavailable("Coinbase's answer about the best bids has no list of 'pricebooks'")
    bids: dict[str, Decimal] = {}
    for book in books:
        try:
            bid = parse_decimal(book["bids"][0]["price"])
            if bid > 0:
                bids[book["product_id"]] = bid
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    return bids


def as_balances(
    currency: str, wallets: Mapping[str, Wallet], prices: Mapping[str, Decimal], at: datetime
) -> tuple[Balances, tuple[str, ...]]:
    """Cash and every holding at `prices` (by asset, in `currency`), and the assets that have no price.

    USD and USDC are two wallets: an order in one cannot spend the other, so only `currency` is cash. For the equity
    they count one for one, as Coinbase changes them.
    """
    equity, unpriced = ZERO, []
    for asset, wallet in wallets.items():
        if asset == currency or PAR.get(asset) == currency:
            equity += wallet.total
        elif asset in prices:
            equity += wallet.total * prices[asset]
        elif wallet.total:
            unpriced.append(asset)
    cash = wallets.get(currency, Wallet(ZERO, ZERO))
    holdings = {asset: wallet.total for asset, wallet in wallets.items() if wallet.total}
    balances = Balances(currency, Amount(equity), Amount(cash.available), holdings, at, Amount(cash.held))
    return balances, tuple(sorted(unpriced))
