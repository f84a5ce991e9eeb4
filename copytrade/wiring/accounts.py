"""Makes the clients of accounts: credentials, a nonce store that this process owns, and the venue's adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from copytrade.domain.account import AccountId
from copytrade.domain.errors import NonceUnavailable, Refused
from copytrade.domain.reasons import Reason
from copytrade.engine.ports import AccountClient
from copytrade.ledger.nonces import NonceStore, NonceStoreError
from copytrade.venues.kraken.public import KrakenVenue

KeyPair = tuple[str, str]
FindKeys = Callable[[AccountId], KeyPair | str]
"""The key and secret of an account, or a sentence that says what is missing."""


class KrakenAccounts:
    """One client per account; the nonce store of its key belongs to this process for as long as the client lives."""

    def __init__(
        self, venue: KrakenVenue, nonces_dir: Path, find_keys: FindKeys, register: Callable[[str], None]
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
        key, secret = keys
        for word in keys:
            self._register(word)  # before anything can log it
        return self._venue.connect_account(account, key, secret, self._store(account, key))

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
