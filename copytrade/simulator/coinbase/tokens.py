"""API keys and the tokens (JWT) that they sign: whom a request is from.

Sources: Coinbase's "JWT authentication" page and the token builder of the official SDK: header `alg`, `kid`, `nonce`,
`typ`; claims `sub`, `iss` = `cdp`, `nbf`, `exp` at most 120 s later, `uri` = `METHOD host/path` without the query.
The nonce is random and not compared.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from copytrade.simulator.coinbase.errors import unauthorized
from copytrade.simulator.ids import bytes_for

PERMISSIONS = ("view", "trade", "transfer")
DEFAULT_PERMISSIONS = ("view", "trade")
TOKEN_LIFE_MAX_S = 120
VENUE_HOST = "api.coinbase.com"
TOKEN_MAX_BYTES = 8_192  # a real one is some 500 bytes
# Order of the group of P-256 (NIST SP 800-186): a private key is a number from 1 to one below it.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(slots=True)
class ApiKey:
    """One key of one account. Only the public half is kept."""

    name: str
    account: str
    permissions: frozenset[str]
    public: Any = field(repr=False)
    kind: str
    created_at_s: float


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What Coinbase does not publish about tokens. `leeway_s` widens `nbf` and `exp`; 0 is the strictest."""

    leeway_s: float = 0.0
    life_max_s: float = TOKEN_LIFE_MAX_S


def made_private_key(seed: int, account: str, kind: str) -> PrivateKey:
    """The private key of an account, from the seed; `kind` is `ed25519` or `ecdsa`."""
    raw = bytes_for(seed, "coinbase secret", kind, account, size=40)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32])
    return ec.derive_private_key(int.from_bytes(raw, "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1())


def secret_text(private: PrivateKey) -> str:
    """The secret as the venue hands it out: base64 of seed and public half, or a SEC1 PEM block."""
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return base64.b64encode(private.private_bytes_raw() + private.public_key().public_bytes_raw()).decode()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return pem.decode()


def read_secret(secret: str) -> PrivateKey:
    """A private key from its text. Raises ValueError without showing it."""
    private: Any = None
    try:
        if "-----BEGIN" in secret:
            private = serialization.load_pem_private_key(secret.replace("\\n", "\n").encode(), password=None)
        else:
            raw = base64.b64decode("".join(secret.split()), validate=True)
            if len(raw) in (32, 64):
                private = ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32])
    except (ValueError, TypeError, binascii.Error):
        private = None
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        return private
    raise ValueError("the secret is neither a PEM block of a P-256 or Ed25519 key nor base64 of 32 or 64 bytes")


class KeyRing:
    """All keys of the venue."""

    def __init__(self, rules: TokenRules) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._rules = rules

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        return list(self._keys.values())

    def put(self, key: ApiKey) -> None:
        """Add a key or replace the one of that name. Raises ValueError when it is another account's."""
        old = self._keys.get(key.name)
        if old is not None and old.account != key.account:
            raise ValueError(f"key {key.name[:40]} already belongs to {old.account}: give another")
        self._keys[key.name] = key

    def claimed(self, authorization: str | None) -> ApiKey | None:
        """The key a request names, nothing being checked; for faults and counts."""
        try:
            header, _, _, _ = _parts(authorization)
        except ValueError:
            return None
        return self._keys.get(str(header.get("kid")))

    def authenticate(self, authorization: str | None, verb: str, path: str, host: str, now_s: float) -> ApiKey:
        """The key a request is from. Raises CoinbaseError (401) unless every part of its token holds."""
        key, claims = self._signed(authorization, now_s)
        if not _meant_for(claims, {f"{verb} {VENUE_HOST}{path}", f"{verb} {host}{path}"}):
            raise unauthorized()
        return key

    def authenticate_stream(self, token: str | None, now_s: float) -> ApiKey:
        """The key a message to the stream is from; its token names no request. Raises CoinbaseError (401)."""
        key, claims = self._signed(f"Bearer {token}", now_s)
        if not _issued(claims) or "uri" in claims or "uris" in claims:
            raise unauthorized()
        return key

    def _signed(self, authorization: str | None, now_s: float) -> tuple[ApiKey, dict[str, Any]]:
        """The key of a token that holds now, and its claims."""
        try:
            header, claims, signed, signature = _parts(authorization)
        except ValueError:
            raise unauthorized() from None
        key = self._keys.get(str(header.get("kid")))
        if key is None or header.get("typ", "JWT") != "JWT" or not _signed_by(key, header, signed, signature):
            raise unauthorized()
        if claims.get("sub") != key.name or not self._timely(claims, now_s):
            raise unauthorized()
        return key, claims

    def _timely(self, claims: dict[str, Any], now_s: float) -> bool:
        begin, end = claims.get("nbf"), claims.get("exp")
        if isinstance(begin, bool) or isinstance(end, bool):
            return False
        if not isinstance(begin, int | float) or not isinstance(end, int | float):
            return False
        leeway_s = self._rules.leeway_s
        # The documented token of 120 s is good up to and including its last second.
        return begin - leeway_s <= now_s < end + 1 + leeway_s and 0 < end - begin <= self._rules.life_max_s


def _meant_for(claims: dict[str, Any], uris: set[str]) -> bool:
    """Issuer and request of today's token, or of the two older forms that clients in use still make (ccxt 4.5.90):
    `coinbase-cloud` for the audience `retail_rest_api_proxy`, and a list `uris` for the audience `cdp_service`."""
    if "uris" in claims:
        named = claims["uris"]
        newer = claims.get("iss") == "cdp" and claims.get("aud") == ["cdp_service"]
        return newer and isinstance(named, list) and bool(uris & set(named))
    return _issued(claims) and claims.get("uri") in uris


def _issued(claims: dict[str, Any]) -> bool:
    """Whether the issuer is today's, or the older one with its audience."""
    older = claims.get("iss") == "coinbase-cloud" and claims.get("aud") == ["retail_rest_api_proxy"]
    return claims.get("iss") == "cdp" or older


def _parts(authorization: str | None) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, signed bytes and signature of a bearer token. Raises ValueError."""
    scheme, _, token = (authorization or "").partition(" ")
    pieces = token.strip().split(".")
    if scheme.lower() != "bearer" or len(pieces) != 3 or len(token) > TOKEN_MAX_BYTES or not token.isascii():
        raise ValueError("no bearer token of three parts")
    header, claims = (json.loads(_decode(piece)) for piece in pieces[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("header and claims are not objects")
    return header, claims, f"{pieces[0]}.{pieces[1]}".encode(), _decode(pieces[2])


def _decode(piece: str) -> bytes:
    """Base64url without padding; anything else is refused."""
    if not piece.replace("-", "").replace("_", "").isalnum():
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4))


def _signed_by(key: ApiKey, header: dict[str, Any], signed: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's, under the one algorithm of its kind: `none` and HS256 never are."""
    try:
        if key.kind == "ed25519" and header.get("alg") == "EdDSA":
            key.public.verify(signature, signed)
            return True
        if key.kind == "ecdsa" and header.get("alg") == "ES256" and len(signature) == 64:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        return False
    return False
