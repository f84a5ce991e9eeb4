"""Signed requests: Coinbase's SDK builds path, query, body and headers; here it is kept from sending.

coinbase-advanced-py 1.8.4 has habits that this file ends: it sends `{}` as the body of every GET, follows redirects
(an order that was answered with one looks done), has no time limit, keeps one `requests` session for each key, reads
keys from the environment when none are given, makes up a client id where one is empty, loads the private key anew for
every request, stamps tokens with this machine's clock whatever the venue's says, and logs answers on a handler of its
own that no redaction reaches.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlencode

import jwt
from coinbase import jwt_generator  # type: ignore[import-untyped]
from coinbase.rest import RESTClient  # type: ignore[import-untyped]
from coinbase.rest.rest_base import logger as _sdk_logger  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from copytrade.domain.errors import CredentialsRejected
from copytrade.domain.venue import OrderTicket
from copytrade.venues.coinbase.kinds import order_call

_PREFIX = "/api/v3/brokerage"
# Calls of the SDK that this service makes. None moves money out of an account; `get_api_key_permissions` says
# whether the key could.
ALLOWED_CALLS = frozenset(
    {
        "cancel_orders",
        "get_accounts",
        "get_api_key_permissions",
        "get_best_bid_ask",
        "get_fills",
        "get_order",
        "limit_order_gtc",
        "limit_order_ioc",
        "list_orders",
        "market_order",
        "preview_order",
        "stop_limit_order_gtc",
        "trigger_bracket_order_gtc",
    }
)
# And the requests that these calls are: whatever the SDK were to make of a call, nothing else is signed.
ALLOWED_REQUESTS = (
    ("POST", re.compile(rf"{_PREFIX}/orders")),
    ("POST", re.compile(rf"{_PREFIX}/orders/(batch_cancel|preview)")),
    ("GET", re.compile(rf"{_PREFIX}/orders/historical/[A-Za-z0-9_-]+")),
    ("GET", re.compile(rf"{_PREFIX}/(accounts|best_bid_ask|key_permissions)")),
)
_client_id = re.compile(r"[a-z0-9]{1,36}").fullmatch

for _handler in list(_sdk_logger.handlers):  # what the SDK has to say goes the way of every other message
    _sdk_logger.removeHandler(_handler)
_sdk_logger.setLevel(logging.WARNING)

_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class SignedRequest(NamedTuple):
    """Ready to send. The token covers method, host and path, and only these; never log `headers`."""

    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"SignedRequest({self.method} {self.target.partition('?')[0]})"


class CoinbaseSigner(RESTClient):  # type: ignore[misc]  # the SDK has no types
    """Signs for one API key.

    Args:
        key: the key's name, `organizations/{id}/apiKeys/{id}` or a bare id.
        secret: a PEM block (line breaks or `\\n`), or base64 of an Ed25519 key.
        host: host (and port) that requests go to; it is part of what is signed.
        venue_unix_s: the venue's time now, in seconds since 1970.
        life_s: how long a token is good from now; it is dated back by `early_s`, lest the venue's clock, a little
            behind, take it for one of the future.

    Raises `CredentialsRejected` for a key or secret that cannot be one, without showing it.
    """

    session: Any

    def __init__(
        self, key: str, secret: str, host: str, venue_unix_s: Callable[[], float], *, life_s: float, early_s: float
    ) -> None:
        self._private, self._algorithm = _load(key, secret)
        # The SDK keeps the secret as text for as long as it lives; it never needs it, since tokens are made below.
        super().__init__(api_key=key, api_secret="unused", base_url=host, timeout=1)  # noqa: S106  (no secret at all)
        self.session.close()
        self.session = None  # nothing is sent through it, and ten thousand of them would weigh a lot
        self._venue_unix_s = venue_unix_s
        self._life_s = life_s
        self._early_s = early_s
        self._built: SignedRequest | None = None

    def __repr__(self) -> str:
        return "CoinbaseSigner(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a secret and is not written anywhere")

    def sign(self, call: str, **arguments: Any) -> SignedRequest:
        """What the SDK would send for one of its calls, with a token that begins its life now.

        Raises `ValueError` for a call that this service never makes.
        """
        if call not in ALLOWED_CALLS:
            raise ValueError(f"{call} is not a call this service makes")
        self._built = None
        getattr(self, call)(**arguments)
        built, self._built = self._built, None
        if built is None:
            raise ValueError(f"the SDK made no request of {call}")
        return built

    def sign_order(self, ticket: OrderTicket) -> SignedRequest:
        """An order in units of the base asset, sizes and prices as plain decimal text.

        Raises `ValueError` for an id that the SDK or the venue would replace or refuse, for a kind that Coinbase does
        not have, and for prices that are missing or off the tick.
        """
        if not _client_id(ticket.order_id):
            raise ValueError(f"order id {ticket.order_id!r} is none of ours: with an empty one the SDK makes one up")
        call, arguments = order_call(ticket)
        return self.sign(call, **arguments)

    def stream_token(self) -> str:
        """A token for one message to the stream; it names no request. Never log it."""
        return self._token(None)

    # -- what the SDK calls on its way -------------------------------------------------------------------------

    def set_headers(self, method: str, path: str) -> dict[str, str]:
        """The SDK's headers, with a token on the venue's clock and of the life that is wanted."""
        token = self._token(f"{method} {self.base_url}{path}")
        return {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    def _token(self, uri: str | None) -> str:
        begin = int(self._venue_unix_s())
        claims: dict[str, Any] = {
            "sub": self.api_key,
            "iss": "cdp",
            "nbf": int(begin - self._early_s),
            "exp": int(begin + self._life_s),
        }
        if uri is not None:
            claims["uri"] = uri
        extra = {"kid": self.api_key, "nonce": secrets.token_hex()}
        return jwt.encode(claims, self._private, algorithm=self._algorithm, headers=extra)

    def send_request(
        self, http_method: str, url_path: str, params: Any, headers: Mapping[str, str], data: Any = None
    ) -> dict[str, Any]:
        """Keep the request instead of sending it; the SDK gets an empty answer, which it wraps and we drop."""
        if not any(http_method == method and path.fullmatch(url_path) for method, path in ALLOWED_REQUESTS):
            raise ValueError(f"{http_method} {url_path} is not a request this service makes")
        query = urlencode(params, doseq=True) if params else ""
        body = json.dumps(data, allow_nan=False).encode() if http_method == "POST" else None
        self._built = SignedRequest(http_method, f"{url_path}?{query}" if query else url_path, body, headers)
        return {}


def _load(key: str, secret: str) -> tuple[_PrivateKey, str]:
    """The private key and the algorithm it signs by, as the SDK would choose them."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialsRejected("the Coinbase API key is empty or has blanks or line breaks in it: copy it once more")
    private: Any = None
    algorithm = ""
    try:
        private = jwt_generator._load_private_key(secret.replace("\\n", "\n"))
        algorithm = jwt_generator._algorithm_for(private)
    except (ValueError, TypeError, AttributeError):
        private = None
    if isinstance(private, ec.EllipticCurvePrivateKey) and not isinstance(private.curve, ec.SECP256R1):
        private = None
    if private is None:  # raised out here: the parser's own error could show parts of the secret
        raise CredentialsRejected(
            "the Coinbase API secret is neither a PEM block of a P-256 key nor base64 of an Ed25519 key: copy it once "
            "more, with its line breaks or with \\n in their place"
        )
    return private, algorithm
