"""Signed requests: python-okx builds the call and signs it; here it is kept from sending.

python-okx 0.4.4 has habits that this file ends: it trades on the demo venue unless told otherwise, stamps requests with
this machine's clock, sends every parameter that was left out as empty text, signs a query as it is and lets the HTTP
client change it afterwards, knows no order deadline, prints key and passphrase when debugging, follows proxies of the
environment, and gives back whatever came, `401` and `503` alike, as if it were a result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, NoReturn

from copytrade.domain.errors import CredentialsRejected

# What this service signs, by the SDK's names: nothing in it moves money, and `/asset/` (the wallet) is not among it.
CALLS = {
    "place_order": ("POST", "/api/v5/trade/order"),
    "cancel_order": ("POST", "/api/v5/trade/cancel-order"),
    "get_order": ("GET", "/api/v5/trade/order"),
    "get_order_list": ("GET", "/api/v5/trade/orders-pending"),
    "get_orders_history": ("GET", "/api/v5/trade/orders-history"),
    "get_orders_history_archive": ("GET", "/api/v5/trade/orders-history-archive"),
    "get_fills": ("GET", "/api/v5/trade/fills"),
    "get_fills_history": ("GET", "/api/v5/trade/fills-history"),
    "place_algo_order": ("POST", "/api/v5/trade/order-algo"),
    "cancel_algo_order": ("POST", "/api/v5/trade/cancel-algos"),
    "get_algo_order_details": ("GET", "/api/v5/trade/order-algo"),
    "order_algos_list": ("GET", "/api/v5/trade/orders-algo-pending"),
    "order_algos_history": ("GET", "/api/v5/trade/orders-algo-history"),
    "get_account_balance": ("GET", "/api/v5/account/balance"),
    "get_account_config": ("GET", "/api/v5/account/config"),
    "get_instruments": ("GET", "/api/v5/account/instruments"),
}
ALLOWED = frozenset(CALLS.values())
# What goes into a query unchanged by any HTTP client. OKX's own ids and names, and lists of them, need no more.
_plain_in_query = re.compile(r"[A-Za-z0-9._,-]*").fullmatch
# What the signature of a login to the WebSocket covers, after the time in seconds ("WebSocket, Login").
_LOGIN = "GET/users/self/verify"


class SignedRequest(NamedTuple):
    """Ready to send. The signature covers `target` and `body` byte by byte; `headers` hold the key: never log them."""

    target: str
    body: bytes
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"SignedRequest({self.target!r}, {len(self.body)} bytes)"


class _Prepared:
    """What the SDK takes for an answer; it asks for its JSON and gets the request."""

    __slots__ = ("_request",)

    def __init__(self, target: str, body: str, headers: Mapping[str, str | bytes]) -> None:
        # The SDK leaves the signature as bytes, which only its own HTTP client takes.
        words = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
        self._request = SignedRequest(target, body.encode(), words)

    def json(self) -> SignedRequest:
        return self._request


@cache
def _sdk_class() -> Any:
    """The SDK's client without its way to the network; imported only when an account of OKX is made."""
    from okx import utils  # type: ignore[import-untyped]
    from okx.Account import AccountAPI  # type: ignore[import-untyped]
    from okx.Trade import TradeAPI  # type: ignore[import-untyped]

    class UnsentClient(TradeAPI, AccountAPI):  # type: ignore[misc]  # the SDK has no types
        """Builds and signs.

        The HTTP client it inherits from is never set up: each would load a set of certificates, and there may be
        ten thousand accounts.
        """

        def __init__(self, key: str, secret: str, passphrase: str, flag: str) -> None:
            self.API_KEY = key
            self.API_SECRET_KEY = secret
            self.PASSPHRASE = passphrase
            self.flag = flag
            self.debug = False
            self.use_server_time = True  # makes the SDK ask `_get_timestamp` for the time
            self.stamp = ""

        def __repr__(self) -> str:
            return "UnsentClient(***)"

        def _get_timestamp(self) -> str:
            return self.stamp

        def sign_text(self, text: str) -> str:
            return str(utils.sign(text, self.API_SECRET_KEY).decode())

        def _request(self, method: str, request_path: str, params: Any) -> Any:
            if (method, request_path) not in ALLOWED:
                raise ValueError(f"{method} {request_path} is not a call this service makes")
            given = [_given(method, row) for row in params] if isinstance(params, list) else _given(method, params)
            return super()._request(method, request_path, given)

        def get(self, request_path: str, headers: Mapping[str, str | bytes]) -> _Prepared:
            return _Prepared(request_path, "", headers)

        def post(self, request_path: str, data: str, headers: Mapping[str, str | bytes]) -> _Prepared:
            return _Prepared(request_path, data, headers)

    return UnsentClient


class OkxSigner:
    """Signs for one API key. Raises `CredentialsRejected` for a key that cannot be one, without showing it."""

    def __init__(self, key: str, secret: str, passphrase: str, *, demo: bool = False) -> None:
        for what, word in (("API key", key), ("API secret", secret), ("API passphrase", passphrase)):
            if not word or not word.isascii() or not word.isprintable() or word != word.strip():
                raise CredentialsRejected(
                    f"the OKX {what} is empty or has line breaks or other odd characters in it: copy it once more"
                )
        self._sdk = _sdk_class()(key, secret, passphrase, "1" if demo else "0")

    def __repr__(self) -> str:
        return "OkxSigner(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a secret and is not written anywhere")

    def sign(
        self, call: str, fields: Mapping[str, Any], at: datetime, *, expires: datetime | None = None
    ) -> SignedRequest:
        """Sign one call of the SDK (`place_order`, `get_order`...). `at` and `expires` are on OKX's clock, UTC.

        Raises `ValueError` for a call that this service never makes and for a value that could change on its way.
        """
        if call not in CALLS:
            raise ValueError(f"{call} is not a call this service makes")
        self._sdk.stamp = at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        request: SignedRequest = getattr(self._sdk, call)(**fields)
        if expires is not None:  # no part of the signature, and unknown to the SDK
            request.headers["expTime"] = str(int(expires.timestamp() * 1000))
        return request

    def login(self, at: datetime) -> dict[str, Any]:
        """The message that logs in to a private WebSocket; `at` is on OKX's clock. It holds key and passphrase."""
        stamp = str(int(at.timestamp()))
        words = {
            "apiKey": self._sdk.API_KEY,
            "passphrase": self._sdk.PASSPHRASE,
            "timestamp": stamp,
            "sign": self._sdk.sign_text(stamp + _LOGIN),
        }
        return {"op": "login", "args": [words]}


def _given(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given: the SDK fills in empty text, null and `[]` for the rest. Raises `ValueError`."""
    if not isinstance(params, Mapping):
        raise ValueError(f"{params!r:.40} is no set of parameters: OKX takes names and values")
    given = {name: value for name, value in params.items() if value is not None and value not in ("", [])}
    for name, value in given.items():
        if not isinstance(value, str | bool):
            raise ValueError(f"{name} is a {type(value).__name__}: OKX takes text, and a float would lose digits")
        if method == "GET" and not (isinstance(value, str) and _plain_in_query(value)):
            raise ValueError(f"{name} is {value!r}: an HTTP client would change it after it was signed")
    return given
