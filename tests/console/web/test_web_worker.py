"""The console as the worker serves it: where it is, what it says, and that it never stands in the way."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from console_world import PAPER, REPOSITORY, Program, World

from copytrade.console.web.access import TokenFile
from copytrade.settings.console import ConsoleSettings
from copytrade.settings.faults import SettingsError
from copytrade.settings.model import Settings
from copytrade.settings.yaml_file import read_settings


def with_console(root: Path, **console: Any) -> World:
    return World(root, {**PAPER, "console": {"enabled": True, "port": 0, **console}})


def url_of(worker: Program) -> str:
    return worker.line("console: ").partition("console: ")[2].split()[0]


def fetch(url: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_worker_says_where_and_a_token_made_by_the_command_opens_it(tmp_path: Path) -> None:
    world = with_console(tmp_path)
    with world.worker() as worker:
        url = url_of(worker)
        worker.line("console-token --new")  # no terminal here, so nothing that a log would keep
        assert not (world.state / "console_token.json").exists()
        assert fetch(f"{url}/healthz") == (200, b"healthy\n")
        assert fetch(f"{url}/readyz") == (200, b"ready\n")
        assert fetch(f"{url}/api/overview")[0] == 401
        assert world.json("console-token") == {"token": "none", "file": "state/console_token.json"}
        token = world.json("console-token", "--new")["token"]
        status, body = fetch(f"{url}/api/overview", Authorization=f"Bearer {token}")
        assert (status, json.loads(body)["mode"]) == (200, "paper")
        assert world.json("console-token")["token"] == "set"
        world.command("kill", "--close-only")
        assert json.loads(fetch(f"{url}/api/health", Authorization=f"Bearer {token}")[1])["kill"] == "close_only"
        assert token not in "\n".join([*worker.out, *worker.err])
    text = world.command("console-token").out
    assert "cannot be shown again" in text
    for path in world.state.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes()


def test_the_first_token_is_shown_on_a_terminal_and_only_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from copytrade.settings.redaction import Redactor\n"
        "from copytrade.console.web.access import TokenFile\n"
        "from copytrade.console.web.starting import show_first_token\n"
        "redactor = Redactor()\n"
        "for _ in range(2): show_first_token(TokenFile(Path(sys.argv[1])), redactor, print)\n"
    )
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, stdout=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    (token,) = re.findall(r"ct_[\w-]+", shown)
    assert "shown only now" in shown
    assert TokenFile(tmp_path).matches(token)


def test_an_open_page_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    world = with_console(tmp_path)
    token = world.json("console-token", "--new")["token"]
    with world.worker() as worker:
        url = f"{url_of(worker)}/api/stream?topic=overview&topic=health"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as page:
            assert page.readline() == b"event: update\n"
            done = worker.end()
            page.read()
    assert done.code == 0, done
    assert "Traceback" not in done.err


def test_a_port_that_is_taken_stops_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with with_console(tmp_path, port=port).worker() as worker:
            line = worker.line("console: ")
            assert f"port {port} is taken" in line
            assert fetch(f"{url_of(worker)}/healthz")[0] == 200


def test_a_certificate_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    world = with_console(tmp_path, tls_cert="no.pem", tls_key="no.key")
    with world.worker() as worker:
        assert "trading goes on without the console" in worker.line("console cannot start")
        assert world.json("trade", "BTC/USD", "buy", "--usd", "100")["master"]["state"] in ("accepted", "filled")


def test_a_public_bind_without_tls_is_refused_at_the_start(tmp_path: Path) -> None:
    world = with_console(tmp_path, host="0.0.0.0", public_url="https://desk.example")
    with world.start_worker() as worker:
        done = worker.wait()
    assert done.code == 1
    assert "no TLS" in done.err
    assert "behind_proxy" in done.err


def test_a_worker_without_console_imports_nothing_of_it() -> None:
    program = (
        "import sys, copytrade.console.worker, copytrade.console.cli\n"
        "print([m for m in ('fastapi', 'uvicorn', 'jinja2', 'starlette') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("console", "words"),
    [
        ("{host: 0.0.0.0}", "no TLS"),
        ("{host: 192.168.1.5, behind_proxy: true}", "public_url"),
        ('{host: "::"}', "no TLS"),
        ("{tls_cert: a.pem}", "go together"),
        ("{allowed_hosts: ['https://desk.example']}", "allowed_hosts"),
        ("{allowed_hosts: ['*']}", "allowed_hosts"),
        ("{public_url: http://desk.example}", "https"),
        ("{port: 70000}", "port"),
        ("{session_hours: 0}", "session_hours"),
        ("{token: hush}", "is not a field"),
    ],
)
def test_unsafe_or_mistaken_settings_are_refused(tmp_path: Path, console: str, words: str) -> None:
    path = tmp_path / "copytrade.yaml"
    path.write_text(f"console: {console}\n")
    with pytest.raises(SettingsError) as error:
        read_settings(path, {})
    assert words in str(error.value)
    assert "console" in str(error.value)


@pytest.mark.parametrize(
    "console",
    [
        {}, {"host": "::1"}, {"host": "localhost"},
        {"host": "0.0.0.0", "behind_proxy": True, "public_url": "https://desk.example"},
        {"host": "10.0.0.5", "tls_cert": "a.pem", "tls_key": "b.pem", "allowed_hosts": ["10.0.0.5:8787"]},
    ],
)  # fmt: skip
def test_safe_settings_are_taken(console: dict[str, Any]) -> None:
    assert isinstance(Settings.model_validate({"console": console}).console, ConsoleSettings)


def act(url: str, token: str, path: str, **body: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", "Origin": url, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_follower_is_reconciled_flattened_and_paused_from_the_page(tmp_path: Path) -> None:
    world = with_console(tmp_path)
    with world.worker() as worker:
        url = url_of(worker)
        token = world.json("console-token", "--new")["token"]
        world.command("trade", "BTC/USD", "buy", "--usd", "1000")
        alice = "kraken:alice_smith"
        while not world.json("positions", "--user", "alice_smith"):
            pass  # until the fill is seen
        assert act(url, token, "/api/reconcile", confirm=alice, account=alice)[0] == 200
        done = act(url, token, "/api/reconcile", confirm=alice, account=alice, write_off=True)[1]
        assert (done["written_off"], done["notes"]) == ([], [])
        assert act(url, token, "/api/reconcile", confirm="all", write_off=True)[0] == 400

        def modes() -> object:
            return world.users()[0].get("instruments", {}).get("modes")

        mode = f"/api/followers/{alice}/mode"
        status, done = act(url, token, mode, confirm=alice, mode="paused", instrument="ETH/USD")
        assert (status, done, modes()) == (
            200, {"account": alice, "instrument": "ETH/USD", "mode": "paused"}, {"ETH/USD": "paused"},
        )  # fmt: skip
        status, done = act(url, token, f"/api/followers/{alice}/flatten", confirm=alice, instrument="BTC/USD")
        assert (status, done["summary"]["placed"], done["notes"]) == (200, 1, []), done
        assert modes() == {"ETH/USD": "paused", "BTC/USD": "close_only"}
        assert act(url, token, f"/api/followers/{alice}/flatten", confirm=alice)[0] == 200
        assert act(url, token, f"/api/followers/{alice}/mode", confirm=alice, mode="paused")[0] == 200
        (user,) = [u for u in world.json("users") if u["user_id"] == "alice_smith"]
        assert user["mode"] == "paused"
