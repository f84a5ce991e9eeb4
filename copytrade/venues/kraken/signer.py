"""Signed requests: krakenex draws the nonce, builds the body and signs it; here it is kept from sending.

krakenex 2.2.2 has four habits that this file ends: `query_private` puts its own clock-made nonce over any that it is
given (and repeats it within a millisecond), follows redirects with the signed headers, has no time limit, and keeps
one `requests` session for every key.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn, Protocol

import krakenex

from copytrade.domain.errors import CredentialsRejected, NonceUnavailable

# The private calls this service makes. None moves money: `WithdrawMethods` lists withdrawal methods, and a key that
# is answered is a key that is refused.
ALLOWED_METHODS = frozenset(
    {
        "AddOrder",
        "Balance",
        "BalanceEx",
        "CancelOrder",
        "ClosedOrders",
        "GetApiKeyInfo",
        "GetWebSocketsToken",
        "OpenOrders",
        "QueryOrders",
        "QueryTrades",
        "TradeBalance",
        "TradesHistory",
        "WithdrawMethods",
    }
)
# `fullmatch` on what stays as it is in a form (RFC 3986, unreserved characters); names of fields are ours and plain.
_needs_no_quoting = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_PATHS = frozenset(f"/0/private/{method}" for method in ALLOWED_METHODS)


class NonceSource(Protocol):
    """Where nonces come from: strictly rising milliseconds, for one API key."""

    def next(self) -> int: ...

    def jump(self, ahead_ms: int) -> int:
        """Leave a gap after a refusal."""
        ...

    def raise_to(self, nonce: int) -> None:
        """Never hand out this nonce or a lower one."""
        ...


class SignedRequest(NamedTuple):
    """Ready to send. The signature covers exactly these bytes of `body`; `headers` hold the key: never log them."""

    path: str
    body: bytes
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"SignedRequest({self.path!r}, {len(self.body)} bytes)"


class KrakenSigner(krakenex.API):  # type: ignore[misc]  # krakenex has no types
    """Signs for one API key.

    Raises `CredentialsRejected` for a key or secret that cannot be one, without showing it.
    """

    def __init__(self, key: str, secret: str, nonces: NonceSource) -> None:
        _check_shape(key, secret)
        super().__init__(key, secret)
        self.close()
        self.session: None = None  # nothing is sent through it, and ten thousand of them would weigh a lot
        self._nonces = nonces
        self.jumps = 0  # since the start; for monitors

    def __repr__(self) -> str:
        return "KrakenSigner(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a secret and is not written anywhere")

    def sign(self, method: str, fields: Mapping[str, str]) -> SignedRequest:
        """Draw the next nonce and sign.

        Raises `NonceUnavailable` (nothing was signed), and `ValueError` for a method that this service never calls
        and for a dry run.
        """
        if method not in ALLOWED_METHODS or "validate" in fields:
            raise ValueError(f"{method} with {sorted(fields)} is not a call this service makes")
        signed: SignedRequest = self.query_private(method, dict(fields))  # krakenex writes the nonce into its dict
        return signed

    def jump(self, ahead_ms: int) -> None:
        """Leave a gap before the next nonce. Raises `NonceUnavailable`."""
        with _as_unavailable():
            self._nonces.jump(ahead_ms)
        self.jumps += 1

    def raise_to(self, nonce: int) -> None:
        """Sign with no nonce up to this one any more. Raises `NonceUnavailable`."""
        with _as_unavailable():
            self._nonces.raise_to(nonce)

    def _nonce(self) -> int:
        with _as_unavailable():
            return self._nonces.next()

    def _query(
        self, urlpath: str, data: Mapping[str, Any], headers: Mapping[str, str] | None = None, timeout: object = None
    ) -> SignedRequest:
        """What krakenex calls to send; it gets the request itself back. `_sign` encoded the fields the same way."""
        if urlpath not in _PATHS or headers is None:
            raise ValueError(f"{urlpath} is not a call this service makes")
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return SignedRequest(urlpath, encode_form(data), headers)


def encode_form(fields: Mapping[str, Any]) -> bytes:
    """The bytes of `urllib.parse.urlencode`, which krakenex has just signed, at a third of its price."""
    pairs = []
    for name, value in fields.items():
        text = str(value)
        pairs.append(f"{name}={text if _needs_no_quoting(text) else urllib.parse.quote_plus(text)}")
    return "&".join(pairs).encode()


class _as_unavailable:  # noqa: N801  (used as a statement, like `contextlib.suppress`)
    """Whatever the nonce source raises, no nonce was handed out: one error says so."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, NonceUnavailable):
            raise NonceUnavailable(str(error)) from error


def _check_shape(key: str, secret: str) -> None:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialsRejected("the Kraken API key is empty or has blanks or line breaks in it: copy it once more")
    try:
        good = len(base64.b64decode(secret, validate=True)) > 0
    except (binascii.Error, ValueError):
        good = False
    if not good:  # raised out here: the decoder's own error would show parts of the secret in a traceback's context
        raise CredentialsRejected("the Kraken API secret is not base64 text: copy the whole private key once more")
