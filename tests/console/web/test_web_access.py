"""Tokens, sessions, the brake, the names that are answered to, and the chain of the audit trail."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from copytrade.console.web.access import SESSIONS_MAX, Brake, Sessions, TokenFile
from copytrade.console.web.audit import AuditFile, first_break
from copytrade.console.web.guard import Names, cookie_of
from copytrade.settings.console import ConsoleSettings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_kept_as_a_hash_for_this_user_alone(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    assert not tokens.exists()
    assert not tokens.matches("")
    token = tokens.renew()
    assert tokens.path.stat().st_mode & 0o777 == 0o600
    assert token.encode() not in tokens.path.read_bytes()
    assert tokens.matches(token)
    assert not tokens.matches(token[:-1])
    assert not tokens.matches(token + "x")
    assert [path.name for path in tmp_path.iterdir()] == [tokens.path.name]


def test_a_new_token_ends_the_old_one_and_its_sessions(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    old = tokens.renew()
    sessions = Sessions(tokens, 60, Clock())
    cookie = sessions.open("olga", "here")
    found = sessions.find(cookie)
    assert found is not None
    assert found.who == "olga"
    new = tokens.renew()
    assert new != old
    assert not tokens.matches(old)
    assert sessions.find(cookie) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": 5}', '{"sha256": "short"}', "null"])
def test_a_spoiled_token_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    tokens = TokenFile(tmp_path)
    token = tokens.renew()
    tokens.path.write_text(content)
    assert not tokens.matches(token)
    assert not tokens.matches("")


def test_a_session_ends_in_time_and_by_signing_out(tmp_path: Path) -> None:
    clock, tokens = Clock(), TokenFile(tmp_path)
    tokens.renew()
    sessions = Sessions(tokens, 60, clock)
    first, second = sessions.open("a", "x"), sessions.open("b", "y")
    sessions.close(second)
    assert sessions.find(second) is None
    clock.now += 59.9
    assert sessions.find(first) is not None
    clock.now += 0.2
    assert sessions.find(first) is None
    for nonsense in ("", "x" * 5000, "é"):
        assert sessions.find(nonsense) is None


def test_there_are_only_so_many_sessions(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    tokens.renew()
    sessions = Sessions(tokens, 60, Clock())
    cookies = [sessions.open(str(n), "x") for n in range(SESSIONS_MAX + 2)]
    assert [sessions.find(cookie) is not None for cookie in cookies[:3]] == [False, False, True]


def test_wrong_tokens_are_slowed_down_each_by_itself_and_all_together() -> None:
    clock = Clock()
    brake = Brake(clock, each_max=3, all_max=6, window_s=100)
    for _ in range(3):
        assert brake.wait_s("one") == 0
        brake.failed("one")
        clock.now += 1
    assert brake.wait_s("one") == 97
    assert brake.wait_s("two") == 0
    for name in ("two", "three", "four"):
        brake.failed(name)
    assert brake.wait_s("five") == 97
    clock.now += 97
    assert brake.wait_s("five") == 0


@pytest.mark.parametrize(
    ("settings", "hosts", "origins"),
    [
        ({}, {"127.0.0.1:81", "localhost:81", "[::1]:81"}, {"http://localhost:81"}),
        ({"public_url": "https://desk.example"}, {"desk.example"}, {"https://desk.example"}),
        ({"allowed_hosts": ["Desk.lan:9"]}, {"desk.lan:9"}, {"http://desk.lan:9"}),
        ({"behind_proxy": True, "allowed_hosts": ["desk.lan"]}, {"desk.lan"}, {"https://desk.lan"}),
    ],
)
def test_names_and_origins(settings: dict[str, object], hosts: set[str], origins: set[str]) -> None:
    names = Names.of(ConsoleSettings.model_validate(settings), 81)
    assert hosts <= names.hosts
    assert origins <= names.origins
    assert not any("evil" in name for name in names.hosts)


def test_the_standard_port_may_be_left_out() -> None:
    names = Names.of(ConsoleSettings(port=80), 80)
    assert {"127.0.0.1", "127.0.0.1:80"} <= names.hosts
    assert {"http://127.0.0.1", "http://127.0.0.1:80"} <= names.origins


@pytest.mark.parametrize(
    ("header", "value"),
    [("a=1; c=2", "2"), ("c=2", "2"), ("", ""), ("c", ""), ("cc=2", ""), ("\x00;;=;", ""), ("d=1; c=2; c=3", "3")],
)
def test_one_cookie_out_of_many(header: str, value: str) -> None:
    assert cookie_of(header, "c") == value


async def test_the_audit_trail_is_a_chain(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path, lambda: datetime(2026, 3, 1, tzinfo=UTC), lambda text: text.replace("hush", "***"))
    for what in ("kill", "unkill", "mode"):
        await audit.record("olga", "127.0.0.1", what, asked={"note": "hush", "n": 1})
    again = AuditFile(tmp_path, lambda: datetime(2026, 3, 2, tzinfo=UTC), str)  # a restart carries the chain on
    await again.record("paul", "10.0.0.9", "flatten")
    assert first_break(audit.path) is None
    assert [record["what"] for record in await again.latest(3)] == ["flatten", "mode", "unkill"]
    assert "hush" not in audit.path.read_text()
    assert audit.path.stat().st_mode & 0o777 == 0o600
    lines = audit.path.read_text().splitlines()
    for spoiled, broken_at in (
        ([lines[0], lines[2], lines[3]], 2),
        ([lines[0], lines[1].replace("olga", "ola"), *lines[2:]], 2),
        ([*lines[:3], lines[2], lines[3]], 4),
        (["{}", *lines], 1),
        ([lines[0], "not json"], 2),
    ):
        audit.path.write_text("\n".join(spoiled) + "\n")
        assert first_break(audit.path) == broken_at


async def test_a_long_trail_shows_its_end(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path, lambda: datetime(2026, 3, 1, tzinfo=UTC), str)
    filler = "".join(json.dumps({"what": "x" * 1000, "hash": "0"}) + "\n" for _ in range(400))
    audit.path.write_text(filler)
    await audit.record("olga", "here", "last")
    latest = await audit.latest(5)
    assert latest[0]["what"] == "last"
    assert len(latest) == 5
