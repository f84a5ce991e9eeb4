"""API keys: who a request is from, whether its signature and nonce hold, and what it may do.

Sources: Kraken's authentication page (signature over the raw body), its nonce article (per key, unsigned 64
bit, never reset; window) and its error page (lockout after many `EAPI:Invalid key` in a row).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

from copytrade.simulator.kraken.errors import (
    INVALID_KEY,
    INVALID_NONCE,
    INVALID_SIGNATURE,
    PERMISSION_DENIED,
    TEMPORARY_LOCKOUT,
    KrakenError,
)
from copytrade.simulator.kraken.limits import DecayingCounter, Tier

PERMISSIONS = (
    "query-funds",
    "add-funds",
    "withdraw-funds",
    "earn-funds",
    "query-open-trades",
    "query-closed-trades",
    "modify-trades",
    "close-trades",
    "query-ledger",
    "export-data",
    "create-ws-token",
    "add-withdraw-address",
    "update-withdraw-address",
)
DEFAULT_PERMISSIONS = (
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "modify-trades",
    "close-trades",
    "create-ws-token",
)
NONCE_MAX = (1 << 64) - 1
LOCKOUT_S = 900.0  # "a few minutes" to a quarter of an hour, by source; the longer teaches clients to stop
INVALID_KEYS_MAX = 10
UNKNOWN_KEYS_MAX = 1_000  # strangers remembered for the lockout; the oldest is forgotten first
WINDOW_NONCES_MAX = 10_000  # nonces remembered per key with a window, to refuse a repeat inside it


@dataclass(slots=True)
class ApiKey:
    """One key of one account."""

    key: str
    secret: bytes = field(repr=False)
    account: str
    permissions: frozenset[str]
    counter: DecayingCounter
    created_at_s: float
    nonce: int = 0
    nonce_window: int = 0
    recent_nonces: set[int] = field(default_factory=set, repr=False)
    ip_allowlist: tuple[str, ...] = ()
    last_used_s: float | None = None


def sign(secret: bytes, path: str, nonce: str, body: bytes) -> str:
    """Kraken's `API-Sign`: base64 of HMAC-SHA512, keyed with `secret`, of path + SHA-256(nonce + raw body)."""
    digest = hashlib.sha256(nonce.encode("utf-8", "surrogatepass") + body).digest()
    return base64.b64encode(hmac.digest(secret, path.encode() + digest, "sha512")).decode()


def decode_secret(secret: str) -> bytes:
    """The bytes of a secret. Raises ValueError without showing it."""
    try:
        return base64.b64decode(secret, validate=True)
    except binascii.Error:
        raise ValueError("the secret is not base64: give one in the form Kraken does") from None


class KeyRing:
    """All keys of the venue, the accounts' tiers, and who is locked out."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._strangers: dict[str, tuple[int, float]] = {}
        self.tiers: dict[str, Tier] = {}

    def get(self, key: str | None) -> ApiKey | None:
        """The key, if it exists."""
        return None if key is None else self._keys.get(key)

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        return list(self._keys.values())

    def put(self, api_key: ApiKey) -> None:
        """Add a key or replace the one of that name; its nonce memory stays, as Kraken never resets it."""
        old = self._keys.get(api_key.key)
        if old is not None and old.account != api_key.account:
            raise ValueError(f"key {api_key.key[:8]}... already belongs to {old.account}: give another")
        if old is not None:
            api_key.nonce, api_key.recent_nonces = old.nonce, old.recent_nonces
        self._keys[api_key.key] = api_key

    def authenticate(
        self, path: str, headers_key: str | None, signature: str | None, nonce: str, body: bytes, now_s: float
    ) -> ApiKey:
        """The key a request is from, its nonce used up.

        Raises KrakenError; only what is signed can use up a nonce.
        """
        api_key = self.get(headers_key)
        if api_key is None:
            raise KrakenError(self._stranger(headers_key or "", now_s))
        if not signature:
            raise KrakenError(INVALID_KEY)
        expected = sign(api_key.secret, path, nonce, body)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
            raise KrakenError(INVALID_SIGNATURE)
        api_key.last_used_s = now_s
        self._use_nonce(api_key, nonce)
        return api_key

    def _use_nonce(self, api_key: ApiKey, text: str) -> None:
        if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > NONCE_MAX:
            raise KrakenError(INVALID_NONCE)
        nonce = int(text)
        window = api_key.nonce_window
        if nonce > api_key.nonce:
            api_key.nonce = nonce
        elif window == 0 or nonce <= api_key.nonce - window or nonce in api_key.recent_nonces:
            raise KrakenError(INVALID_NONCE)
        if window:
            if len(api_key.recent_nonces) >= WINDOW_NONCES_MAX:
                api_key.recent_nonces = {seen for seen in api_key.recent_nonces if seen > api_key.nonce - window}
            api_key.recent_nonces.add(nonce)

    def _stranger(self, key: str, now_s: float) -> str:
        count, until_s = self._strangers.pop(key, (0, 0.0))
        if now_s < until_s:
            self._strangers[key] = (count, until_s)
            return TEMPORARY_LOCKOUT
        count = 1 if until_s else count + 1
        locked_s = now_s + LOCKOUT_S if count >= INVALID_KEYS_MAX else 0.0
        if len(self._strangers) >= UNKNOWN_KEYS_MAX:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[key] = (count, locked_s)
        return INVALID_KEY


def require(api_key: ApiKey, *permissions: str) -> None:
    """Raise KrakenError unless the key has at least one of these permissions."""
    if permissions and api_key.permissions.isdisjoint(permissions):
        raise KrakenError(PERMISSION_DENIED)
