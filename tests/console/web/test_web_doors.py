"""Every route of the console, and everybody who must not get through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from web_world import Seat, seated, small_desk

from copytrade.console.web.access import Brake, Sessions, TokenFile
from copytrade.console.web.guard import BODY_MAX_BYTES, Guard, Names, Visitor
from copytrade.console.web.rules import RULES, Access
from copytrade.settings.console import ConsoleSettings

OPEN = {
    ("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/static/{name}"), ("GET", "/healthz"), ("GET", "/readyz"),
}  # fmt: skip
VALUES = {"{account}": "kraken:alice_smith", "{signal_id}": "nosuch", "{name}": "console.css"}
BODIES: dict[str, Any] = {
    "/api/kill": {"state": "halt", "confirm": "halt"},
    "/api/unkill": {"confirm": "unkill"},
    "/api/followers/{account}/mode": {"mode": "paused", "confirm": "kraken:alice_smith"},
    "/api/followers/{account}/flatten": {"confirm": "kraken:alice_smith"},
    "/api/reconcile": {"confirm": "all"},
}


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every route, however it was added."""
    for route in app.routes:
        methods = getattr(route, "methods", None) or {"ANY"}
        for method in methods:
            yield method, getattr(route, "path", repr(route))


def filled(path: str) -> str:
    for name, value in VALUES.items():
        path = path.replace(name, value)
    return path


@pytest.fixture
async def seat(tmp_path: Path) -> AsyncIterator[Seat]:
    async with small_desk(tmp_path) as desk, seated(desk) as made:
        yield made


def app_of(seat: Seat) -> FastAPI:
    console = seat.server._app()
    return console.inner


async def test_every_route_has_a_rule_and_every_rule_a_route(seat: Seat) -> None:
    found = set(routes_of(app_of(seat)))
    assert found == set(RULES)
    assert {key for key, access in RULES.items() if access is Access.OPEN} == OPEN
    acting = {key for key in RULES if key[0] != "GET"} - OPEN
    assert acting == {key for key, access in RULES.items() if access is Access.ACT}
    assert len(found) > 25


async def ask(client: httpx.AsyncClient, method: str, path: str, **headers: str) -> httpx.Response:
    """One request as a page of ours would make it, but for the headers given."""
    body = BODIES.get(path, {})
    origin = {"origin": str(client.base_url).rstrip("/")} if method == "POST" else {}
    given = {**origin, **headers}
    params = {"topic": "health"} if path == "/api/stream" else None
    more: dict[str, Any] = {"json": body} if method == "POST" else {}
    async with client.stream(method, filled(path), headers=given, params=params, **more) as answer:
        if path != "/api/stream" or answer.status_code != 200:  # the stream has no end
            await answer.aread()
    return answer


def refused(answer: httpx.Response) -> bool:
    to_the_door = answer.status_code == 303 and answer.headers["location"] == "/sign-in"
    return to_the_door or answer.status_code in (401, 403, 421)


async def intruders(seat: Seat) -> list[str]:
    """Who gets through where: every route x {no session, wrong session, foreign Origin, foreign Host}."""
    cookie = next(iter(seat.client.cookies.jar))
    good = {"cookie": f"{cookie.name}={cookie.value}"}
    strangers: dict[str, dict[str, str]] = {
        "no session": {},
        "no session, asks for a page": {"accept": "text/html"},
        "wrong session": {"cookie": f"{cookie.name}={'A' * 43}"},
        "the token as a session": {"cookie": f"{cookie.name}={seat.token}"},
        "foreign origin": {**good, "origin": "https://evil.example"},
        "no origin at all": {**good, "origin": "null"},
        "the same host, another port": {**good, "origin": "http://127.0.0.1:1"},
        "foreign host": {**good, "host": "evil.example"},
        "rebound host": {**good, "host": f"evil.example:{seat.server.port}"},
        "our name at another port": {**good, "host": "127.0.0.1:1"},
    }
    let_in: list[str] = []
    async with seat.stranger() as client:
        for method, path in sorted(RULES):
            for who, headers in strangers.items():
                about_access = "session" in who
                if about_access and (method, path) in OPEN:
                    continue  # these are for everybody, by name and origin they are refused like all others
                if not refused(await ask(client, method, path, **headers)):
                    let_in.append(f"{method} {path}: {who}")
    return let_in


async def test_nobody_gets_in_who_should_not(seat: Seat) -> None:
    assert await intruders(seat) == []
    assert not seat.desk.kill.path.exists()
    assert {record["what"] for record in await seat.audit()} == {"signed in"}


@pytest.mark.parametrize("opened", ["hosts", "origins", "sessions"])
async def test_that_the_walk_finds_an_open_door(seat: Seat, opened: str) -> None:
    """The control: each check, taken out, is missed at every route that it guards."""
    assert seat.server._server is not None
    guard: Any = seat.server._server.config.app
    if opened == "sessions":
        guard._visitor = lambda scope, headers: Visitor("anybody", "anywhere")
        words, at_least = "session", len(RULES) - len(OPEN)
    else:
        everything = type("Everything", (frozenset,), {"__contains__": lambda self, name: True})()
        guard._names = replace(guard._names, **{opened: everything})
        words, at_least = ("host", "origin")[opened == "origins"], len(RULES)
    found = {line.partition(": ")[0] for line in await intruders(seat) if words in line}
    # Signing out ends the session that the rest of the walk has, and signing in answers with a refusal of its own.
    assert len(found) >= at_least - 2


async def test_a_wrong_bearer_is_refused_everywhere(seat: Seat) -> None:
    guarded = [key for key in sorted(RULES) if key not in OPEN]
    async with seat.stranger(authorization="Bearer ct_wrong") as client:
        answers = [(await ask(client, method, path)).status_code for method, path in guarded]
    assert set(answers) == {401, 429}
    assert answers[:5] == [401] * 5
    async with seat.stranger(authorization=f"Basic {seat.token}") as client:
        assert (await client.get("/api/overview")).status_code == 429  # the brake is on


async def test_that_the_walk_lets_the_operator_through(seat: Seat) -> None:
    """The control: with the right session or token, the same requests are not refused."""
    for key in sorted(RULES):
        method, path = key
        if path in ("/sign-out", "/sign-in", "/api/stream"):
            continue
        answer = await ask(seat.client, method, path)
        assert not refused(answer), (key, answer.status_code, answer.text)
    async with seat.stranger(authorization=f"Bearer {seat.token}") as client:
        for method, path in (("GET", "/api/overview"), ("GET", "/metrics"), ("POST", "/api/kill")):
            assert not refused(await ask(client, method, path)), path


async def test_a_route_without_a_rule_is_for_nobody(tmp_path: Path) -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/forgotten")
    async def forgotten() -> dict[str, str]:
        return {"secret": "of the house"}

    settings, tokens = ConsoleSettings(), TokenFile(tmp_path)
    token = tokens.renew()
    clock = asyncio.get_running_loop().time
    guard = Guard(
        app, app.routes, Names.of(settings, 80), settings, tokens, Sessions(tokens, 60, clock), Brake(clock), "c"
    )
    transport = httpx.ASGITransport(app=guard)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for headers in ({}, {"authorization": f"Bearer {token}"}):
            answer = await client.get("/forgotten", headers=headers)
            assert answer.status_code == (403 if headers else 401)
            assert "of the house" not in answer.text
        assert set(routes_of(app)) != set(RULES)


async def test_actions_need_our_own_page_or_the_token(seat: Seat) -> None:
    """What another site's page could send with the operator's cookie, were it sent: still refused."""
    cookie = next(iter(seat.client.cookies.jar))
    good = {"cookie": f"{cookie.name}={cookie.value}"}
    body = BODIES["/api/kill"]
    async with seat.stranger() as client:
        for more in ({}, {"origin": seat.url, "sec-fetch-site": "cross-site"}, {"referer": seat.url}):
            answer = await client.post("/api/kill", json=body, headers={**good, **more})
            assert answer.status_code == 403, more
        assert not seat.desk.kill.path.exists()
        answer = await client.post("/api/kill", json=body, headers={**good, "origin": seat.url})
        assert answer.status_code == 200
    assert seat.desk.kill.path.exists()


async def test_the_cookie_and_the_headers(seat: Seat) -> None:
    async with seat.stranger() as client:
        answer = await seat.sign_in(client)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
    for path in ("/", "/sign-in", "/api/overview", "/static/console.css", "/nothing", "/healthz"):
        headers = (await seat.client.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers
        assert ("no-store" in headers["cache-control"]) is not path.startswith("/static/")


async def test_over_tls_cookies_are_for_tls_alone(tmp_path: Path) -> None:
    settings = ConsoleSettings.model_validate({"port": 0, "public_url": "https://desk.example", "behind_proxy": True})
    async with small_desk(tmp_path) as desk, seated(desk, settings=settings) as seat, seat.stranger() as client:
        form = {"name": "olga", "token": seat.token}
        headers = {"host": "desk.example", "origin": "https://desk.example", "x-forwarded-for": "6.6.6.6, 203.0.113.9"}
        answer = await client.post("/sign-in", data=form, headers=headers)
        assert answer.status_code == 303
        assert answer.headers["set-cookie"].startswith("__Host-copytrade")
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "strict-transport-security" in answer.headers
        # What the client claims of itself does not count; what the proxy saw does.
        records = await seat.desk_audit()
        assert records[0]["where"] == "203.0.113.9"


async def test_guessing_is_slowed_down_and_noted(seat: Seat) -> None:
    async with seat.stranger() as client:
        answers = [await seat.sign_in(client, token=f"ct_guess{n}") for n in range(6)]
        assert [a.status_code for a in answers] == [403] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 200
        right = await seat.sign_in(client)
        assert right.status_code == 429  # a right one is not told apart meanwhile
        assert "set-cookie" not in right.headers
    assert [r["what"] for r in await seat.audit()].count("sign-in refused") == 5
    assert (await seat.client.get("/api/overview")).status_code == 200  # who is in stays in


async def test_long_bodies_are_not_read(seat: Seat) -> None:
    long = b"x" * (BODY_MAX_BYTES + 1)
    answer = await seat.client.post("/api/kill", content=long, headers={"content-type": "application/json"})
    assert answer.status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (BODY_MAX_BYTES // 2)

    with pytest.raises(httpx.HTTPError):  # cut off, or an error: in no case an answer that it was done
        (await seat.client.post("/api/kill", content=pieces())).raise_for_status()
    assert not seat.desk.kill.path.exists()


async def test_signing_out_and_a_new_token_end_what_was_open(seat: Seat) -> None:
    async with seat.stranger(origin=seat.url) as client:
        assert (await seat.sign_in(client)).status_code == 303
        assert (await client.get("/api/health")).status_code == 200
        assert (await client.post("/sign-out")).status_code == 303
        assert (await client.get("/api/health")).status_code == 401
    TokenFile(seat.state).renew()
    assert (await seat.client.get("/api/health")).status_code == 401


async def test_without_a_token_nobody_signs_in(seat: Seat) -> None:
    TokenFile(seat.state).path.unlink()
    async with seat.stranger() as client:
        assert "console-token --new" in (await client.get("/sign-in")).text
        assert (await seat.sign_in(client, token="")).status_code == 403
        assert (await client.get("/api/overview", headers={"authorization": "Bearer x"})).status_code == 401
