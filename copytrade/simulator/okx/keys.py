"""API keys: who a request is from, whether its signature, passphrase and timestamp hold, and what it may do.

Source: OKX's "REST authentication" page. There is no nonce: inside the timestamp's window the same request may be
sent again, and OKX does not notice.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from copytrade.simulator.okx.errors import OkxError

PERMISSIONS = ("read_only", "trade", "withdraw")
DEFAULT_PERMISSIONS = ("read_only", "trade")
_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


@dataclass(slots=True)
class ApiKey:
    """One key of one account. `demo` keys work with the header `x-simulated-trading: 1` and no others do."""

    key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    account: str
    permissions: tuple[str, ...]
    ip_allowlist: tuple[str, ...] = ()
    demo: bool = False


def sign(secret: str, timestamp: str, verb: str, target: str, body: str) -> str:
    """`OK-ACCESS-SIGN`: base64 of HMAC-SHA256, keyed with `secret`, of timestamp + VERB + path with query + body."""
    message = f"{timestamp}{verb}{target}{body}".encode("utf-8", "surrogateescape")
    return base64.b64encode(hmac.digest(secret.encode(), message, "sha256")).decode()


class KeyRing:
    """All keys of the venue. `window_s` is how far a timestamp may be from the venue's clock, either way."""

    def __init__(self, window_s: float) -> None:
        self._keys: dict[str, ApiKey] = {}
        self.window_s = window_s

    def get(self, key: str | None) -> ApiKey | None:
        """The key, if it exists."""
        return None if key is None else self._keys.get(key)

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        return list(self._keys.values())

    def put(self, api_key: ApiKey) -> None:
        """Add a key or replace the one of that name. Raises ValueError if it is another account's."""
        old = self._keys.get(api_key.key)
        if old is not None and old.account != api_key.account:
            raise ValueError(f"key {api_key.key[:8]}... already belongs to {old.account}: give another")
        self._keys[api_key.key] = api_key

    def authenticate(
        self, headers: Mapping[str, str], verb: str, target: str, body: bytes, remote: str, now_s: float
    ) -> ApiKey:
        """The key a request is from; `target` is the path with its query as it came. Raises OkxError."""
        for name, code in (("key", "50103"), ("passphrase", "50104"), ("sign", "50106"), ("timestamp", "50107")):
            if not headers.get(f"ok-access-{name}"):
                raise OkxError(code)
        name, timestamp = headers["ok-access-key"], headers["ok-access-timestamp"]
        if not _KEY.fullmatch(name) and name not in self._keys:
            raise OkxError("50111")
        self._check_time(timestamp, now_s)
        api_key = self._keys.get(name)
        if api_key is None:
            raise OkxError("50119")
        if (headers.get("x-simulated-trading") == "1") is not api_key.demo:
            raise OkxError("50101")
        if api_key.ip_allowlist and remote not in api_key.ip_allowlist:
            raise OkxError("50110", remote)
        # The body of a GET is no part of the message.
        signed_body = "" if verb == "GET" else body.decode("utf-8", "surrogateescape")
        expected = sign(api_key.secret, timestamp, verb, target, signed_body)
        if not _same(expected, headers["ok-access-sign"]):
            raise OkxError("50113")
        if not _same(api_key.passphrase, headers["ok-access-passphrase"]):
            raise OkxError("50105")
        return api_key

    def signed_login(self, api_key: ApiKey, timestamp: str, given: str) -> bool:
        """Whether the signature of a login to a WebSocket holds."""
        return _same(sign(api_key.secret, timestamp, "GET", "/users/self/verify", ""), given)

    def _check_time(self, timestamp: str, now_s: float) -> None:
        if not _TIMESTAMP.fullmatch(timestamp):
            raise OkxError("50112")
        try:
            at_s = datetime.fromisoformat(timestamp).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            raise OkxError("50112") from None
        if abs(now_s - at_s) > self.window_s:
            raise OkxError("50102")


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))
