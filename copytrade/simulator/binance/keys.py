"""API keys: who a request is from, whether its signature and timestamp hold, and what it may do.

Source: Binance's REST page, "Request Security": the signature covers the query and the body as they are on the wire,
joined without anything between them, less the signature itself; a request is taken while
`timestamp < now + 1 s` and `now - timestamp <= recvWindow`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote

from copytrade.simulator.binance import errors, params
from copytrade.simulator.binance.errors import BinanceError, illegal, missing

# As `apiRestrictions` names them; `ipRestrict` follows from the key's list of addresses.
PERMISSIONS = (
    "enableReading", "enableSpotAndMarginTrading", "enableWithdrawals", "enableInternalTransfer",
    "permitsUniversalTransfer", "enableMargin", "enableFutures", "enableVanillaOptions", "enableFixApiTrade",
    "enableFixReadOnly", "enablePortfolioMarginTrading",
)  # fmt: skip
READING, TRADING = "enableReading", "enableSpotAndMarginTrading"
DEFAULT_PERMISSIONS = (READING, TRADING)
RECV_WINDOW_MS = Decimal(5_000)
RECV_WINDOW_MAX_MS = Decimal(60_000)
AHEAD_MAX_MS = Decimal(1_000)
_MICROSECONDS_FROM = 10**14  # milliseconds do not get there before the year 5138
_key = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII).fullmatch
_SIGNATURE = re.compile(r"(^|&)signature=([^&]*)")


@dataclass(slots=True)
class ApiKey:
    """One key of one account: with a secret (HMAC), or with the public half of an Ed25519 or RSA pair (PEM)."""

    key: str
    secret: str = field(repr=False)
    account: str
    permissions: frozenset[str]
    created_at_s: float
    ip_allowlist: tuple[str, ...] = ()
    public_key: str | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature covers, and the signature as it was sent, still percent-encoded."""

    payload: str
    signature: str | None


def sign(secret: str, payload: str) -> str:
    """Binance's signature with a secret: HMAC-SHA256 in hexadecimal digits."""
    return hmac.digest(secret.encode(), payload.encode("utf-8", "surrogateescape"), "sha256").hex()


def split_signature(query: str, body: str) -> Signed:
    """Take the signature out of query and body, wherever it stands; the rest is joined without a separator."""
    found: str | None = None
    parts = []
    for part in (query, body):
        if match := _SIGNATURE.search(part):
            found = found or match[2]
            part = (part[: match.start()] + part[match.end() :]).removeprefix("&")
        parts.append(part)
    return Signed("".join(parts), found)


def known_key(keys: dict[str, ApiKey], header: str | None, remote: str) -> ApiKey:
    """The key of the header `X-MBX-APIKEY`, used from an address it allows. Raises BinanceError."""
    if header is None or not _key(header):
        raise BinanceError(*errors.BAD_KEY_FORMAT)
    api_key = keys.get(header)
    if api_key is None or (api_key.ip_allowlist and remote not in api_key.ip_allowlist):
        raise BinanceError(*errors.BAD_KEY)
    return api_key


def check_time(values: params.Params, arrived_s: float, now_s: float, window_code: int) -> None:
    """Raise BinanceError unless the timestamp holds when the request comes in, and still does at the engine."""
    stamp = params.integer(values, "timestamp")
    if stamp is None:
        raise missing("timestamp")
    stamp_ms = Decimal(stamp) / 1000 if stamp >= _MICROSECONDS_FROM else Decimal(stamp)
    window_ms = RECV_WINDOW_MS
    if (asked := params.text(values, "recvWindow")) is not None:
        try:
            window_ms = Decimal(asked) if asked.replace(".", "", 1).isdigit() else Decimal("NaN")
        except InvalidOperation:
            window_ms = Decimal("NaN")
        if window_ms.is_nan() or window_ms != round(window_ms, 3):
            raise illegal("recvWindow", r"^[0-9]{1,5}(\.[0-9]{1,3})?$")
        if window_ms > RECV_WINDOW_MAX_MS:
            raise BinanceError(window_code, "recvWindow must be less than 60000")
    if stamp_ms >= Decimal(str(arrived_s)) * 1000 + AHEAD_MAX_MS:
        raise BinanceError(*errors.TOO_EARLY)
    if Decimal(str(max(now_s, arrived_s))) * 1000 - stamp_ms > window_ms:
        raise BinanceError(*errors.TOO_OLD)


def check_signature(api_key: ApiKey, signed: Signed) -> None:
    """Raise BinanceError unless the signature is that of the key over the payload."""
    if not signed.signature:
        raise missing("signature")
    if api_key.public_key is not None:
        good = _pair_holds(api_key.public_key, signed)
    else:
        given = signed.signature.lower().encode("utf-8", "surrogateescape")
        good = hmac.compare_digest(sign(api_key.secret, signed.payload).encode(), given)
    if not good:
        raise BinanceError(*errors.BAD_SIGNATURE)


def require(api_key: ApiKey, permission: str | None) -> None:
    """Raise BinanceError unless the key has this permission."""
    if permission is not None and permission not in api_key.permissions:
        raise BinanceError(*errors.BAD_KEY)


def _pair_holds(pem: str, signed: Signed) -> bool:
    """Whether an Ed25519 or RSA signature (base64, PKCS#1 v1.5 with SHA-256) holds."""
    from cryptography.exceptions import InvalidSignature  # heavy, and few clients sign like this
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    public = load_pem_public_key(pem.encode())
    try:
        given = base64.b64decode(unquote(signed.signature or ""), validate=True)
        if isinstance(public, Ed25519PublicKey):
            public.verify(given, signed.payload.encode())
        elif isinstance(public, RSAPublicKey):
            public.verify(given, signed.payload.encode(), PKCS1v15(), SHA256())
        else:
            return False
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
