"""The five venues by name: their adapters and simulators, imported only where an account needs them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.errors import NonceUnavailable, Refused
from copytrade.domain.reasons import Reason
from copytrade.engine.ports import AccountClient, Clock, Venue
from copytrade.ledger.nonces import NonceStore, NonceStoreError
from copytrade.settings.model import Settings
from copytrade.settings.venues import VenueSettings

_CLASSES = {
    "kraken": ("KrakenVenue", "KrakenOptions"),
    "coinbase": ("CoinbaseVenue", "CoinbaseOptions"),
    "alpaca": ("AlpacaVenue", "AlpacaOptions"),
    "okx": ("OkxVenue", "OkxOptions"),
    "binance": ("BinanceVenue", "BinanceOptions"),
}
PAPER_TIER = "pro"  # paper traders try things out: the widest of Kraken's own limits


class Keys(Protocol):
    """An account's credentials, revealed."""

    @property
    def key(self) -> str: ...

    @property
    def secret(self) -> str: ...

    @property
    def passphrase(self) -> str | None: ...


FindKeys = Callable[[AccountId], "Keys | str"]
"""The keys of an account, or a sentence that says what is missing."""


class ConnectingVenue(Venue, Protocol):
    """A venue's adapter: the engine's port, and the maker of its accounts' clients."""

    def connect_account(self, account: AccountId, key: str, secret: str, *more: Any) -> AccountClient: ...


def make_venue(name: str, base_url: str, settings: Settings, clock: Clock, *, paper: bool) -> ConnectingVenue:
    """The adapter of one venue. What the settings do not say keeps the adapter's own default."""
    venue_class, options_class = _CLASSES[name]
    public = importlib.import_module(f"copytrade.venues.{name}.public")
    options = getattr(importlib.import_module(f"copytrade.venues.{name}.options"), options_class)
    values = _options(settings.venues.of(name), options)  # type: ignore[arg-type]
    known = {field.name for field in fields(options)}
    if "nonce_jumps_max" in known:
        values["nonce_jumps_max"] = settings.engine.nonce_jumps_max
    if paper:
        if "tier" in known:
            values["tier"] = PAPER_TIER
        if "public_calls_per_s" in known:
            values["public_calls_per_s"] = None
    made: ConnectingVenue = getattr(public, venue_class)(base_url, options(**values), clock=clock)
    return made


def _options(section: VenueSettings, options: Any) -> dict[str, Any]:
    """The settings that were written down, as the adapter's options."""
    kinds = {field.name: field.type for field in fields(options)}
    values: dict[str, Any] = {}
    for name in section.model_fields_set & kinds.keys():
        value = getattr(section, name)
        wants_float = "float" in str(kinds[name]) and value is not None
        values[name] = float(value) if wants_float else value
    return values


class Accounts:
    """Makes the clients of one venue's accounts, each with its credentials.

    At Kraken each key also needs a nonce store, which belongs to this process for as long as the system runs.
    """

    def __init__(
        self, venue: ConnectingVenue, nonces_dir: Path, find_keys: FindKeys, register: Callable[[str], None]
    ) -> None:
        self._venue = venue
        self._nonces_dir = nonces_dir
        self._find_keys = find_keys
        self._register = register
        self._stores: dict[Path, NonceStore] = {}

    def __call__(self, account: AccountId) -> AccountClient:
        """Raises `Refused` when there are no credentials, `NonceUnavailable` when another process has the key."""
        keys = self._find_keys(account)
        if isinstance(keys, str):
            raise Refused(Reason.NO_CREDENTIALS, keys)
        more: tuple[Any, ...] = ()
        for word in (keys.key, keys.secret, keys.passphrase):
            if word is not None:
                self._register(word)  # before anything can log it
        if keys.passphrase is not None:
            more = (keys.passphrase,)
        if venue_of(account) == "kraken":
            more = (self._store(account, keys.key),)
        return self._venue.connect_account(account, keys.key, keys.secret, *more)

    def close(self) -> None:
        """Give all keys back."""
        for store in self._stores.values():
            store.release()
        self._stores.clear()

    def _store(self, account: AccountId, key: str) -> NonceStore:
        store = NonceStore(self._nonces_dir, account, key)
        known = self._stores.get(store.path)
        if known is not None:
            return known  # the client before this one was closed; its lease goes on
        try:
            store.acquire()
        except NonceStoreError as error:
            raise NonceUnavailable(str(error)) from error
        self._stores[store.path] = store
        return store
