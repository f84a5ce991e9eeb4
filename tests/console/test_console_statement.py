"""`statement` from a real ledger: what the copies came to, in every form; and what it says when it cannot tell."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from console_world import PAPER, World

from copytrade.ledger.reader import LedgerReader


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A round trip and a position that is kept, copied to the sample followers."""
    world = World(tmp_path_factory.mktemp("traded"), {**PAPER, "fees": {"performance": "0.2"}})
    with world.worker():
        world.json("trade", "BTC/USD", "buy", "--usd", "2000")
        world.settle()
        world.json("trade", "BTC/USD", "sell", "--all")
        world.settle()
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        world.settle()
    with world.worker():  # which reads every balance as it starts
        pass
    return world


def fills(world: World, account: str) -> list[dict[str, Any]]:
    with LedgerReader(world.state / "ledger.sqlite3") as ledger:
        return ledger.fills(account)


def test_the_figures_are_those_of_the_copies(traded: World) -> None:
    (statement,) = traded.json("statement", "alice_smith")
    rows = fills(traded, "kraken:alice_smith")
    assert len(statement["trades"]) == len(rows) == 3
    (bitcoin,) = statement["instruments"]
    bought = sum(Decimal(row["cost"]) for row in rows if row["side"] == "buy")
    assert Decimal(bitcoin["bought"]) == bought
    first, sale, last = rows
    realised = Decimal(sale["cost"]) - Decimal(sale["fee"]) - Decimal(first["cost"]) - Decimal(first["fee"])
    assert abs(Decimal(bitcoin["realised"]) - realised) < Decimal("1e-9")
    assert Decimal(bitcoin["quantity"]) == Decimal(last["filled"])
    assert bitcoin["unmatched"] == "0"
    assert statement["fee"]["rate"] == "0.2"
    assert statement["currency"] == "USD"
    assert any("not over" in note for note in statement["notes"])


def test_causes_add_up_to_what_is_held_too_little(traded: World) -> None:
    """Bob is capped at a small share of his equity in the sample files."""
    (statement,) = traded.json("statement", "bob_jones")
    assert statement["causes"]
    assert all(cause["cause"] and Decimal(cause["quantity"]) for cause in statement["causes"])


def test_the_latest_reading_counts_although_no_quarter_of_an_hour_is_over(traded: World) -> None:
    (statement,) = traded.json("statement", "alice_smith")
    assert statement["equity"]["opening"]["at"] < statement["equity"]["closing"]["at"]
    assert Decimal(statement["return"]["own"]) < 0  # the fees
    assert statement["return"]["master"] is not None


def test_a_price_can_be_given(traded: World) -> None:
    (statement,) = traded.json("statement", "kraken:alice_smith", "--price", "BTC/USD=1")
    (bitcoin,) = statement["instruments"]
    assert bitcoin["price"] == "1"
    assert abs(Decimal(bitcoin["unrealised"]) - (Decimal(bitcoin["quantity"]) - Decimal(bitcoin["cost"]))) < 1


def test_payments_can_be_listed(traded: World, tmp_path: Path) -> None:
    listing = tmp_path / "payments.csv"
    listing.write_text(f"account,at,amount\nkraken:alice_smith,{datetime.now(UTC):%Y-%m-%d},25\n")
    (statement,) = traded.json("statement", "alice_smith", "--payments", str(listing))
    assert statement["payments"]["source"] == "listed"
    listing.write_text("nonsense\n")
    done = traded.command("statement", "alice_smith", "--payments", str(listing), "--json")
    assert (done.code, "line 1" in done.json["message"]) == (2, True)


def test_every_form(traded: World) -> None:
    page = traded.command("statement", "all", "--html")
    assert page.code == 0
    assert page.out.startswith("<!doctype html>")
    assert "Alice" in page.out
    assert "Bob" in page.out
    rows = list(csv.DictReader(io.StringIO(traded.command("statement", "all", "--csv").out)))
    assert {row["section"] for row in rows} >= {"trade", "instrument", "total", "return"}
    text = traded.command("statement", "alice_smith")
    assert (text.code, "BTC/USD" in text.out, "performance fee" in text.out) == (0, True, True)
    assert traded.command("statement", "alice_smith", "--html", "--csv").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["zoe"], 1, "alice_smith"),
        (["master"], 1, "alice_smith"),
        (["alice_smith", "--month", "November"], 2, "2026-11"),
        (["alice_smith", "--price", "BTC/USD"], 2, "BTC/USD=60000"),
        (["alice_smith", "--payments", "nowhere.csv"], 2, "nowhere.csv cannot be read"),
    ],
)
def test_what_cannot_be_told(traded: World, arguments: list[str], code: int, words: str) -> None:
    done = traded.command("statement", *arguments, "--json")
    assert done.code == code
    assert words in done.json["message"]


def test_a_month_before_anything_is_empty(traded: World) -> None:
    (statement,) = traded.json("statement", "alice_smith", "--month", "2020-01")
    assert (statement["trades"], statement["instruments"], statement["fee"]) == ([], [], None)
    assert any("no equity was read" in note for note in statement["notes"])


def test_no_ledger_yet(tmp_path: Path) -> None:
    done = World(tmp_path).command("statement", "alice_smith", "--json")
    assert done.code == 1
    assert "no ledger" in json.loads(done.out)["message"]
