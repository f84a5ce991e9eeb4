"""No byte of a key or secret in anything that the service writes, whatever goes wrong."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
from console_scanner import found_in
from console_world import LiveVenue, World

from copytrade.simulator.server import ServerThread

# Made up, with every character that some writer escapes.
KEYS = {
    "master": "mK/8+odd=key%2Fwith&marks~QWERTZUIOP+asdfgh/yxcv",
    "alice_smith": "aK+plus//slash==amp&hash#Zz09Zz09Zz09Zz09Zz09Zz",
    "bob_jones": "bK~'quote\"double\\back`tick$dollar{brace}0123456789",
}
SECRETS = {
    name: base64.b64encode(bytes((17 * n + 31 * i * i + 251) % 256 for i in range(64))).decode()
    for n, name in enumerate(KEYS, start=1)
}
WRONG_SECRET = base64.b64encode(bytes((7 * i + 5) % 256 for i in range(64))).decode()
PLANTED = (*KEYS.values(), *SECRETS.values(), WRONG_SECRET)


@pytest.mark.slow
def test_nothing_of_a_key_or_secret_is_written_anywhere(tmp_path: Path) -> None:
    venue = LiveVenue({})
    for name, key in KEYS.items():
        venue.sim.add_account(name, {"USD": Decimal(1000)}, key=key, secret=SECRETS[name])
    with ServerThread([venue.sim]) as server:
        world = World(tmp_path, {
            "mode": "live", "master": {"strategy": "none"}, "log": {"level": "DEBUG"},
            "venues": {"kraken": {"order_deadline_s": 2, "absence_settle_s": 0, "request_timeout_s": 1}},
            "copy": {"max_user_risk": 0.5, "entry_ttl_s": 5},
        })  # fmt: skip
        world.environ |= {
            "KRAKEN_BASE_URL": server.url("kraken"), "PYTHONASYNCIODEBUG": "1",
            "KRAKEN_MASTER_API_KEY": KEYS["master"], "KRAKEN_MASTER_API_SECRET": SECRETS["master"],
            "KRAKEN_USER_BOB_API_KEY": KEYS["bob_jones"], "KRAKEN_USER_BOB_API_SECRET": SECRETS["bob_jones"],
        }  # fmt: skip
        dotenv = f"KRAKEN_USER_ALICE_API_KEY='{KEYS['alice_smith']}'\nKRAKEN_USER_ALICE_API_SECRET={WRONG_SECRET}\n"
        (world.root / ".env").write_text(dotenv)
        (world.root / ".env").chmod(0o600)
        written = list(_trouble(world, venue))
    text = "\n".join(written)
    # The trouble did come, so the silence about secrets means something.
    for words in ("EAPI:Invalid signature", "502", "kraken:alice_smith is not connected", "bob_jones"):
        assert words in text, words
    assert '"level": "debug"' in text
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in world.state.rglob("*") if path.is_file()}
    assert any(name.endswith("ledger.sqlite3") for name in files)
    assert found_in({"output": text.encode(), "file names": "\n".join(files).encode(), **files}, PLANTED) == []


def _trouble(world: World, venue: LiveVenue) -> Iterator[str]:
    """Run the worker and every command through bad signatures, HTML, cut answers and hung connections."""
    with world.start_worker() as worker:
        worker.line("copytrade is ready")
        trade = ("trade", "BTC/USD", "buy", "--usd", "20", "--json")
        faults = [
            {"kind": "status", "method": "AddOrder", "account": "bob_jones", "when": "after", "count": 1},
            {"kind": "truncated_json", "method": "AddOrder", "account": "master", "count": 1},
            {"kind": "error", "method": "AddOrder", "account": "bob_jones", "error": "EAPI:Invalid nonce", "count": 2},
        ]
        for fault in faults:
            venue.sim.add_fault(**fault)
            done = world.command(*trade)
            yield done.out + done.err
        venue.sim.add_fault("status", account="bob_jones")
        for command in (["check"], ["status"], ["copies"], ["users", "--json"], ["signals"], ["check", "--offline"]):
            done = world.command(*command)
            yield done.out + done.err
        venue.sim.clear_faults()
        replacement = json.dumps([{"user_id": "alice_smith", "broker_type": "kraken", "api_key": KEYS["alice_smith"]}])
        world.users_file.write_text(replacement)
        worker.line("api_key: is not a field")
        world.settle()
        done = worker.end()
        yield done.out + done.err
    for method in ("GetApiKeyInfo", "Balance", "BalanceEx"):
        venue.sim.add_fault("error", method=method, error="EAPI:Invalid key")
    world.users_file.write_text("[]")
    for command in (["check"], list(trade)):
        done = world.command(*command)
        yield done.out + done.err


UNHANDLED = """
import logging, sys
from copytrade.console.logs import set_up_logging
from copytrade.settings.redaction import Redactor
redactor = Redactor()
for value in sys.argv[1:]:
    redactor.add(value)
set_up_logging(redactor, "DEBUG", "json")
def fail(values):
    raise RuntimeError(f"a fault that quotes {values!r}")
try:
    fail(sys.argv[1:])
except RuntimeError:
    logging.getLogger("any").exception("with %s", sys.argv[1:])
fail(sys.argv[1:])
"""


def test_a_traceback_that_quotes_secrets_is_redacted(world: World) -> None:
    done = world.run(sys.executable, "-c", UNHANDLED, *PLANTED)
    assert done.code == 1
    assert done.err.count("a fault that quotes") == 2
    assert found_in({"errors": done.err.encode()}, PLANTED) == []


@pytest.mark.parametrize("place", ["plain", "quoted", "base64", "urlsafe", "half", "raw", "hex"])
def test_the_scanner_finds_what_is_written(tmp_path: Path, place: str) -> None:
    """The control: each form, written on purpose, is found."""
    secret = SECRETS["master"]
    text = {
        "plain": secret, "quoted": quote(secret, safe=""), "base64": base64.b64encode(secret.encode()).decode(),
        "urlsafe": base64.urlsafe_b64encode(base64.b64decode(secret)).decode(), "half": secret[44:],
        "raw": base64.b64decode(secret).decode("latin-1"), "hex": base64.b64decode(secret).hex(),
    }[place]  # fmt: skip
    assert found_in({"log": b"some words, " + text.encode("latin-1") + b", and more"}, PLANTED) == ["log"]
    assert found_in({"log": b"nothing here but ordinary words and 0123456789"}, PLANTED) == []
