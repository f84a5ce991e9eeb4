"""No byte of a key or secret of any venue in anything that the service writes, whatever the venues answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from console_scanner import found_in
from console_world import World

from copytrade.simulator.coinbase import CoinbaseSimulator
from copytrade.simulator.command import VENUES, make_venue
from copytrade.simulator.server import ServerThread
from copytrade.simulator.venue import SimulatedVenue

SEED, OTHER_SEED = 11, 12
PLACE = {
    "kraken": "AddOrder", "okx": "POST /trade/order", "binance": "POST /api/v3/order", "alpaca": "POST /v2/orders",
    "coinbase": "create_order",
}  # fmt: skip
# A follower at each venue whose secret is right, and one whose secret is somebody else's.
RIGHT, WRONG = "alice_smith", "bob_jones"
PASSPHRASE = "Pass+phrase of/alice=77 & \"more\" of 'it'"


class Planted:
    """Five simulated venues with their accounts, and every word that must not be seen."""

    def __init__(self) -> None:
        self.venues = {name: make_venue(name, SEED, None, 0.0, 0, rate_limits=False) for name in VENUES}
        self.words: list[str] = []
        self.variables: dict[str, str] = {}
        for name, venue in self.venues.items():
            other = make_venue(name, OTHER_SEED, None, 0.0, 0, rate_limits=False)
            self._add(venue, RIGHT, f"{name.upper()}_USER_ALICE", venue)
            self._add(venue, WRONG, f"{name.upper()}_USER_BOB", other)
        self._add(self.venues["kraken"], "master", "KRAKEN_MASTER", self.venues["kraken"])

    def _add(self, venue: SimulatedVenue, user: str, prefix: str, secrets_from: SimulatedVenue) -> None:
        money = {venue.currency: Decimal(10_000 if user == "master" else 1_000)}
        more: dict[str, Any] = {}
        if isinstance(venue, CoinbaseSimulator):
            more["kind"] = "ecdsa" if user == RIGHT else "ed25519"
        if venue.name == "okx":
            more["passphrase"] = PASSPHRASE
        made = venue.add_account(user, money, **more)
        secret = secrets_from.add_account(user, money, **more).secret
        given = {"KEY": made.key, "SECRET": secret, "PASSPHRASE": made.passphrase}
        self.variables |= {f"{prefix}_API_{part}": word for part, word in given.items() if word is not None}
        self.words += [made.key, made.secret, secret, *([made.passphrase] if made.passphrase else [])]


@pytest.mark.slow
def test_no_secret_of_any_venue_is_written_anywhere(tmp_path: Path) -> None:
    planted = Planted()
    with ServerThread(list(planted.venues.values())) as server:
        world = World(tmp_path, {
            "mode": "live", "master": {"strategy": "none"}, "log": {"level": "DEBUG"},
            "copy": {"max_user_risk": 0.5, "entry_ttl_s": 5, "stand_ins": {"USD": ["USDT"]}},
            "venues": {
                "kraken": {"order_deadline_s": 2, "absence_settle_s": 0, "request_timeout_s": 1},
                "okx": {"order_deadline_s": 1, "absence_settle_s": 0, "request_timeout_s": 1},
                "binance": {"order_deadline_s": 1, "absence_settle_s": 0, "request_timeout_s": 1},
                "coinbase": {"token_life_s": 2, "absence_settle_s": 0, "request_timeout_s": 1},
                "alpaca": {"late_order_s": 1, "late_exit_s": 1, "request_timeout_s": 1},
            },
        })  # fmt: skip
        # People of their own at each venue: one user with accounts at all would be served by one.
        users = [{"user_id": f"{who}_{name}", "broker_type": name} for name in VENUES for who in ("alice", "bob")]
        world.users_file.write_text(json.dumps(users))
        world.environ |= {f"{name.upper()}_BASE_URL": server.url(name) for name in VENUES}
        in_file = {name for name in planted.variables if name.startswith("COINBASE")}
        world.environ |= {n: word for n, word in planted.variables.items() if n not in in_file}
        dotenv = "".join(f'{name}="{planted.variables[name]}"\n' for name in sorted(in_file))
        (world.root / ".env").write_text(dotenv)
        (world.root / ".env").chmod(0o600)
        text = "\n".join(_trouble(world, planted.venues))
    # The trouble did come, at every venue, so the silence about secrets means something.
    for name in VENUES:
        assert f"{name}:bob_{name} is not connected" in text, text
        assert any(order["account"] == RIGHT for order in planted.venues[name].orders()), f"{name}: {text}"
    assert "502" in text
    assert '"level": "debug"' in text
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in world.state.rglob("*") if path.is_file()}
    assert any(name.endswith("ledger.sqlite3") for name in files)
    assert found_in({"output": text.encode(), "names": "\n".join(files).encode(), **files}, planted.words) == []


def _trouble(world: World, venues: dict[str, SimulatedVenue]) -> Iterator[str]:
    """Orders and every command through bad signatures, HTML, cut answers and dropped connections."""
    with world.start_worker() as worker:
        worker.line("copytrade is ready")
        for kind in ("status", "truncated_json", "drop"):
            for name, venue in venues.items():
                venue.add_fault(kind, method=PLACE[name], account=RIGHT, count=1)
            done = world.command("trade", "BTC/USD", "buy", "--usd", "300", "--json")
            yield done.out + done.err
        for venue in venues.values():
            venue.add_fault("status", account=RIGHT)
        for command in (["check"], ["status"], ["copies"], ["users", "--json"], ["check", "--offline"]):
            done = world.command(*command)
            yield done.out + done.err
        for venue in venues.values():
            venue.clear_faults()
        world.settle()
        done = worker.end()
        yield done.out + done.err
    done = world.command("check")
    yield done.out + done.err


@pytest.mark.parametrize("place", ["a line", "the number", "hex", "decimal"])
def test_the_scanner_finds_pieces_of_a_pem_block(place: str) -> None:
    """The control for what is unlike every other secret."""
    venue = CoinbaseSimulator(seed=SEED)
    pem = venue.add_account(RIGHT, {}, kind="ecdsa").secret
    number = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))[7:39]
    written = {
        "a line": pem.splitlines()[2].encode(), "the number": number, "hex": number.hex().encode(),
        "decimal": str(int.from_bytes(number)).encode(),
    }[place]  # fmt: skip
    assert found_in({"log": b"some words, " + written + b", and more"}, [pem]) == ["log"]
    assert found_in({"log": b"-----BEGIN EC PRIVATE KEY----- and nothing else"}, [pem]) == []
