"""Signed requests: python-binance stamps, builds and signs them; here it is kept from sending.

python-binance 1.0.37 has habits that this file ends: it forces a receive window of ten seconds, puts an id of its own
on an order that comes without one (from a generator that forked processes share), signs text that it then
percent-encodes differently, writes floats with exponents, follows redirects with the key in the headers, pings from its
constructor and keeps a session and two WebSocket clients for every key.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from binance.client import Client  # type: ignore[import-untyped]

from copytrade.domain.errors import CredentialsRejected

NEW_ORDER = "create_order"
NEW_LIST = "create_oco_order"
CANCEL_ORDER = "cancel_order"
CANCEL_LIST = "v3_delete_order_list"
GET_ORDER = "get_order"
GET_LIST = "v3_get_order_list"
OPEN_ORDERS = "get_open_orders"
ALL_ORDERS = "get_all_orders"
MY_TRADES = "get_my_trades"
ACCOUNT = "get_account"
KEY_PERMISSIONS = "get_account_api_permissions"
# The SDK's methods that this service uses, and the one request that each may make. None moves money.
ALLOWED_CALLS = {
    NEW_ORDER: ("POST", "/api/v3/order"),
    NEW_LIST: ("POST", "/api/v3/orderList/oco"),
    CANCEL_ORDER: ("DELETE", "/api/v3/order"),
    CANCEL_LIST: ("DELETE", "/api/v3/orderList"),
    GET_ORDER: ("GET", "/api/v3/order"),
    GET_LIST: ("GET", "/api/v3/orderList"),
    OPEN_ORDERS: ("GET", "/api/v3/openOrders"),
    ALL_ORDERS: ("GET", "/api/v3/allOrders"),
    MY_TRADES: ("GET", "/api/v3/myTrades"),
    ACCOUNT: ("GET", "/api/v3/account"),
    KEY_PERMISSIONS: ("GET", "/sapi/v1/account/apiRestrictions"),
}
_REQUESTS = frozenset(ALLOWED_CALLS.values())
# The SDK makes ids up for orders that come without.
_IDS_NEEDED = {
    NEW_ORDER: frozenset({"newClientOrderId"}),
    NEW_LIST: frozenset({"listClientOrderId", "aboveClientOrderId", "belowClientOrderId"}),
}
# Percent-encoding leaves these as they are (RFC 3986), so that what is signed is what is sent whoever encodes it.
_plain = re.compile(r"[A-Za-z0-9_.~-]+").fullmatch
_key_shape = re.compile(r"[A-Za-z0-9_-]{1,200}").fullmatch


class SignedRequest(NamedTuple):
    """Ready to send, byte for byte as signed. `headers` hold the key: never log them.

    `stamped_ms` is the timestamp inside, on the venue's clock.
    """

    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]
    stamped_ms: int

    def __repr__(self) -> str:
        return f"SignedRequest({self.method} {self.target.partition('?')[0]})"


class BinanceSigner(Client):  # type: ignore[misc]  # python-binance has no types
    """Signs for one API key with its secret (HMAC).

    Args:
        key, secret: as Binance shows them.
        venue_now: the time now on the venue's clock, UTC.

    Raises `CredentialsRejected` for a key or secret that cannot be one, without showing it.
    """

    session: None = None  # nothing is sent through it; the SDK looks for it when the object goes, however far it came

    def __init__(self, key: str, secret: str, venue_now: Callable[[], datetime]) -> None:
        _check_shape(key, secret)
        # Not the SDK's own constructor: that opens a session, two WebSocket clients and an event loop, and pings.
        self.API_KEY = key
        self.API_SECRET = secret
        self.PRIVATE_KEY = None
        self.API_URL = "/api"
        self.MARGIN_API_URL = "/sapi"
        self.TIME_UNIT = None
        self.testnet = False
        self.demo = False
        self.verbose = False
        self.response: None = None
        self.timestamp_offset: float = 0
        self._requests_params: None = None
        self._venue_now = venue_now
        self._headers = {"X-MBX-APIKEY": key, "Accept": "application/json"}

    def __repr__(self) -> str:
        return "BinanceSigner(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a secret and is not written anywhere")

    def sign(self, call: str, fields: Mapping[str, str], *, window_ms: int) -> SignedRequest:
        """Stamp and sign one of `ALLOWED_CALLS`.

        Raises `ValueError` for any other call, for an order without an id, and for a value that is not plain text of
        letters, digits and `_.~-`.
        """
        if call not in ALLOWED_CALLS or not fields.keys() >= _IDS_NEEDED.get(call, frozenset()):
            raise ValueError(f"{call} with {sorted(fields)} is not a call this service makes")
        for name, value in fields.items():
            if type(value) is not str or not _plain(value):
                raise ValueError(f"{call}: {name} is {value!r:.40}, expected letters, digits and _.~- alone")
        self.REQUEST_RECVWINDOW = window_ms
        # The SDK reads the machine's clock and adds this; what it stamped in the end is read back from the request.
        self.timestamp_offset = self._venue_now().timestamp() * 1000 - time.time() * 1000
        signed: SignedRequest = getattr(self, call)(**fields)
        if (signed.method, signed.target.partition("?")[0]) != ALLOWED_CALLS[call]:
            raise ValueError(
                f"{call} asked for {signed!r}: this version of python-binance is not the one that is known"
            )
        return signed

    def subscription(self, *, window_ms: int) -> dict[str, str | int]:
        """What asks the WebSocket API for the account's stream, signed. Holds the key: never log it."""
        stamp = round(self._venue_now().timestamp() * 1000)
        fields: dict[str, str | int] = {"apiKey": self.API_KEY, "recvWindow": window_ms, "timestamp": stamp}
        return {**fields, "signature": self._generate_signature(fields)}

    def _request(self, method: str, uri: str, signed: bool, force_params: bool = False, **kwargs: Any) -> SignedRequest:
        """What the SDK calls to send; it gets the request itself back."""
        verb = method.upper()
        if not signed or (verb, uri) not in _REQUESTS:
            raise ValueError(f"{verb} {uri} is not a call this service makes")
        built = self._get_request_kwargs(method, signed, force_params, **kwargs)
        if verb == "GET":
            text: str = built["params"]
            return SignedRequest(verb, f"{uri}?{text}", None, self._headers, _stamp(text))
        text = "&".join(f"{name}={value}" for name, value in built["data"])
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        return SignedRequest(verb, uri, text.encode(), headers, _stamp(text))


def _stamp(text: str) -> int:
    """The timestamp inside a signed text."""
    return int(f"&{text}".partition("&timestamp=")[2].partition("&")[0])


def _check_shape(key: str, secret: str) -> None:
    if not _key_shape(key):
        raise CredentialsRejected(
            "the Binance API key is empty or has other than letters and digits: copy it once more"
        )
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise CredentialsRejected("the Binance API secret is empty or has blanks or line breaks: copy it once more")
    if secret.startswith("-----BEGIN"):
        raise CredentialsRejected("the Binance API secret is a private key: make a key of the kind HMAC at binance.com")
