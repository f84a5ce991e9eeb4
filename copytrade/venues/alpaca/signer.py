"""Requests with an account's credentials: alpaca-py builds them; here it is kept from sending.

alpaca-py 0.44.0 has habits that this file ends: it sends a request again after 429 and 504, orders included (four
times in all, with pauses of 3 s in the calling thread), has no time limit, turns quantities and prices into floats and
so into JSON like `1e-08`, lets the venue make up a client order id where none is given, and keeps one `requests`
session for each key. Its typed requests and answers are not used: the answers refuse an order with a status that is new
to them after it was taken. `alpaca.common.rest` is imported without the clients, which would bring pandas along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote, urlencode

from alpaca.common.rest import RESTClient

from copytrade.domain.errors import CredentialsRejected

_ID = r"[0-9a-fA-F-]{1,64}"
# Everything this service asks of Alpaca. No wallet, no transfer, no setting of the account, no "close all positions".
ALLOWED_REQUESTS = (
    ("POST", re.compile(r"/v2/orders")),
    ("GET", re.compile(r"/v2/orders")),
    ("GET", re.compile(r"/v2/orders:by_client_order_id")),
    ("GET", re.compile(rf"/v2/orders/{_ID}")),
    ("DELETE", re.compile(rf"/v2/orders/{_ID}")),
    ("GET", re.compile(r"/v2/account")),
    ("GET", re.compile(r"/v2/account/activities/FILL")),
    ("GET", re.compile(r"/v2/positions")),
    ("GET", re.compile(r"/v2/assets")),
    ("GET", re.compile(r"/v2/clock")),
    ("GET", re.compile(r"/v2/stocks/quotes/latest")),
    ("GET", re.compile(r"/v1beta3/crypto/us/latest/quotes")),
    ("GET", re.compile(r"/v2/stocks/(bars|snapshots)")),
    ("GET", re.compile(r"/v1beta3/crypto/us/(bars|snapshots)")),
)
_client_id = re.compile(r"[a-z0-9]{1,48}").fullmatch
_header_text = re.compile(r"[\x21-\x7e]{1,200}").fullmatch


def _is_text(value: Any) -> bool:
    return type(value) is str or (type(value) is dict and all(type(each) is str for each in value.values()))


class SignedRequest(NamedTuple):
    """Ready to send. `headers` hold key and secret themselves: never log them."""

    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"SignedRequest({self.method} {self.target.partition('?')[0]})"


class AlpacaSigner(RESTClient):
    """Builds the requests of one API key.

    Raises `CredentialsRejected` for a key or secret that cannot be one, without showing it.
    """

    _session: Any

    def __init__(self, key: str, secret: str) -> None:
        for what, text in (("key", key), ("secret", secret)):
            if not _header_text(text):
                raise CredentialsRejected(
                    f"the Alpaca API {what} is empty or has blanks or line breaks in it: copy it once more"
                )
        super().__init__(base_url="", api_key=key, secret_key=secret)
        self._session.close()
        self._session = None  # nothing is sent through it, and ten thousand of them would weigh a lot
        self._retry = 0
        self._retry_codes = []

    def __repr__(self) -> str:
        return "AlpacaSigner(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a secret and is not written anywhere")

    def sign(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> SignedRequest:
        """A request as the SDK builds it. `query` and `body` are text only, so that no number loses a digit; in a body
        there may be objects of text (the legs of a list).

        Raises `ValueError` for a call that this service never makes, and for an order without an id of ours.
        """
        if not any(method == known and pattern.fullmatch(path) for known, pattern in ALLOWED_REQUESTS):
            raise ValueError(f"{method} {path} is not a call this service makes")
        fields = dict(body or query or {})
        if not all(_is_text(value) for value in fields.values()):
            raise ValueError(f"{method} {path} has fields that are not text: {sorted(fields)}")
        if method == "POST" and not _client_id(fields.get("client_order_id", "")):
            raise ValueError("an order without a client order id of ours: the venue would make one up")
        version, _, rest = path.removeprefix("/").partition("/")
        signed = self._request(method, f"/{rest}", fields or None, api_version=version)
        if not isinstance(signed, SignedRequest):
            raise ValueError("the SDK made no request")
        return signed

    def stream_login(self) -> dict[str, str]:
        """What logs the stream of orders in. Holds key and secret themselves: never log it."""
        return {"key_id": str(self._api_key), "secret_key": str(self._secret_key)}

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> SignedRequest:  # type: ignore[override]
        """What the SDK calls to send; it gets the request itself back."""
        headers = dict(opts["headers"])
        if (fields := opts.get("json")) is not None:
            headers["Content-Type"] = "application/json"
            return SignedRequest(method, url, json.dumps(fields, separators=(",", ":")).encode(), headers)
        query = urlencode(opts.get("params") or {}, quote_via=quote, safe="")
        return SignedRequest(method, f"{url}?{query}" if query else url, None, headers)
