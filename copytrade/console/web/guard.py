"""The door: what every request passes before any page sees it.

In this order: the name that was asked for (against DNS rebinding), the size, the page that asks (against forged
requests from other sites), the route's rule, and who is asking. What comes out carries the headers that keep a browser
from doing anything but what our own files say.
"""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from copytrade.console.web.access import Brake, Sessions, TokenFile
from copytrade.console.web.rules import PROBES, RULES, Access
from copytrade.settings.console import ConsoleSettings

BODY_MAX_BYTES = 16 << 10  # the longest request is a sign-in or an action: a few hundred bytes
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
     b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and from where; `cookie` is empty for one who showed the token itself."""

    who: str
    where: str
    cookie: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """The names that the console answers to, and the origins that its own pages have."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, settings: ConsoleSettings, port: int) -> Names:
        """From the settings, and the port that was really taken."""
        scheme = "https" if settings.tls_cert is not None else "http"
        hosts = {name.lower() for name in settings.allowed_hosts}
        if settings.local:
            hosts |= {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", _bracketed(settings.host))}
        origins = {f"{scheme}://{host}" for host in hosts}
        if settings.public_url is not None:
            parts = urlsplit(settings.public_url)
            hosts.add(parts.netloc.lower())
            origins.add(f"{parts.scheme}://{parts.netloc.lower()}")
        if settings.behind_proxy:  # the proxy adds TLS; the names are the same
            origins |= {f"https://{host}" for host in hosts}
        standard = ":443" if scheme == "https" else ":80"  # browsers leave these out
        hosts |= {host.removesuffix(standard) for host in hosts}
        origins |= {origin.removesuffix(standard) for origin in origins}
        return cls(frozenset(hosts), frozenset(origins))


class Refusal(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, text: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s


class Guard:
    """The outermost layer of the application. `routes` are looked up as they are at each request."""

    def __init__(
        self, app: ASGIApp, routes: Sequence[BaseRoute], names: Names, settings: ConsoleSettings,
        tokens: TokenFile, sessions: Sessions, brake: Brake, cookie_name: str,
    ) -> None:  # fmt: skip
        self._app = app
        self._routes = routes
        self._names = names
        self._behind_proxy = settings.behind_proxy
        self._proxies = [ipaddress.ip_network(proxy) for proxy in settings.proxies]
        self._strict = settings.owns_its_name
        self._tokens = tokens
        self._sessions = sessions
        self._brake = brake
        self._cookie_name = cookie_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no web sockets here
        out = _Outgoing(send, self._strict, cached=scope["path"].startswith("/static/"))
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._by_the_way_that_is_meant(scope, headers)
            self._same_site(scope, headers)
            visitor = self._visitor(scope, headers)
            access = self._access(scope)
            if access is not Access.OPEN and visitor is None:
                raise Refusal(401, "sign in first")
            if access is None:
                raise Refusal(403, "this route has no rule, so nobody may use it")
        except Refusal as refusal:
            await _answer(refusal, scope, headers, out)
            return
        where = self._where(scope, headers)
        scope.setdefault("state", {})["visitor"] = visitor or Visitor("", where)
        await self._app(scope, _Bounded(receive), out)

    def _by_the_way_that_is_meant(self, scope: Scope, headers: dict[bytes, str]) -> None:
        """Past a proxy that adds TLS, or before it, the token would go over the wire for everybody to read."""
        if not self._behind_proxy or scope["path"] in PROBES:
            return
        if self._from_proxy(scope):
            if _last(headers.get(b"x-forwarded-proto", "https")).lower() != "https":
                raise Refusal(403, "the proxy was asked without TLS: open the console's https address")
        elif not _loopback(_peer(scope)):
            raise Refusal(403, "the console is reached through its proxy alone (console.proxies)")

    def _from_proxy(self, scope: Scope) -> bool:
        try:
            peer = ipaddress.ip_address(_peer(scope))
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in proxy for proxy in self._proxies)

    def _same_site(self, scope: Scope, headers: dict[bytes, str]) -> None:
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) != 1 or headers[b"host"].lower() not in self._names.hosts:
            raise Refusal(421, "the console does not answer to this name (console.allowed_hosts)")
        length = headers.get(b"content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:12]) > BODY_MAX_BYTES:
            raise Refusal(413, "the request is too long")
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in self._names.origins:
            raise Refusal(403, "this request comes from another site's page")
        if scope["method"] in _SAFE_METHODS:
            return
        if headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(403, "this request comes from another site's page")
        if origin is None and b"authorization" not in headers:
            raise Refusal(403, "this request does not say which page it comes from (Origin)")

    def _visitor(self, scope: Scope, headers: dict[bytes, str]) -> Visitor | None:
        where = self._where(scope, headers)
        if (shown := headers.get(b"authorization")) is not None:
            if (wait_s := self._brake.wait_s(where)) > 0:
                raise Refusal(429, "too many wrong tokens", retry_after_s=wait_s)
            scheme, _, token = shown.partition(" ")
            if scheme.lower() != "bearer" or not self._tokens.matches(token.strip()):
                self._brake.failed(where)
                raise Refusal(401, "this is not the console's token (python -m copytrade console-token --new)")
            return Visitor("token", where)
        value = cookie_of(headers.get(b"cookie", ""), self._cookie_name)
        session = self._sessions.find(value)
        return None if session is None else Visitor(session.who, where, value)

    def _access(self, scope: Scope) -> Access | None:
        partial = None
        for route in self._routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return RULES.get((scope["method"], getattr(route, "path", "")))
            if match is Match.PARTIAL:
                partial = Access.READ  # the path is known, the method is not: the application says so
        return partial or Access.READ  # an unknown path: whoever is signed in is told that it does not exist

    def _where(self, scope: Scope, headers: dict[bytes, str]) -> str:
        forwarded = headers.get(b"x-forwarded-for")
        if self._behind_proxy and forwarded and self._from_proxy(scope):
            # The last entry is the one that our own proxy has added; those before it are what the client claims.
            return _last(forwarded)[:64]
        return _peer(scope)


class _Outgoing:
    """Adds the headers to whatever is answered."""

    def __init__(self, send: Send, strict: bool, cached: bool) -> None:
        self._send = send
        self._more: list[tuple[bytes, bytes]] = list(_HEADERS)
        if not cached:
            self._more.append((b"cache-control", b"no-store"))
        if strict:
            self._more.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *self._more]}
        await self._send(message)


class _Bounded:
    """A body that nobody announced is bounded as well: past the bound the client counts as gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._read > BODY_MAX_BYTES else message


async def _answer(refusal: Refusal, scope: Scope, headers: dict[bytes, str], send: Any) -> None:
    """A page that wants a sign-in leads to it; everything else is told in JSON."""
    wants_page = scope["method"] == "GET" and "text/html" in headers.get(b"accept", "")
    if refusal.status == 401 and wants_page and not scope["path"].startswith("/api/"):
        await _plain(send, 303, b"", [(b"location", b"/sign-in")])
        return
    more = [(b"content-type", b"application/json")]
    if refusal.status == 401:
        more.append((b"www-authenticate", b'Bearer realm="copytrade"'))
    if refusal.retry_after_s:
        more.append((b"retry-after", str(math.ceil(refusal.retry_after_s)).encode()))
    await _plain(send, refusal.status, json.dumps({"error": refusal.text}).encode(), more)


async def _plain(send: Any, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _peer(scope: Scope) -> str:
    """The address that the connection comes from."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _last(header: str) -> str:
    return header.rpartition(",")[2].strip()


def cookie_of(header: str, name: str) -> str:
    """The value of one cookie; empty when it is not there."""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
