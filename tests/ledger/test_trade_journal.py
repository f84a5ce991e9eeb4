"""The trade journal: each trade is one whole line, once, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal as signals
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledger_samples import accepted, filled, follower, intent, plan, signal

from copytrade.console.journal import NAME, JournalKeeper, TradeJournal
from copytrade.domain.alerts import Alert
from copytrade.domain.events import Event, OrderStopped, SignalEmitted
from copytrade.domain.money import NO_AMOUNT, Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import ExecutionStatus
from copytrade.ledger.store import Ledger

MB = 1_000_000


def _fan_out(request: str, followers: int = 3) -> list[Event]:
    """A master order and its copies, all filled."""
    order, planned = intent(request), plan(signal(request), followers)
    events: list[Event] = [order, accepted(order.order_id), SignalEmitted(signal(request)), planned]
    for copy in planned.copies:
        events += [accepted(copy.order_id), filled(copy.order_id)]
    return [*events, filled(order.order_id, "0.10")]


def _journal(folder: Path, max_bytes: int = MB, keep: int = 50) -> TradeJournal:
    return TradeJournal(folder, folder / "ledger.sqlite3", max_bytes, keep)


def _lines(folder: Path) -> list[dict[str, Any]]:
    """All files, the oldest first."""
    files = sorted(folder.glob("trade_journal.*.jsonl"), key=lambda path: -int(path.name.split(".")[1]))
    text = b"".join(path.read_bytes() for path in [*files, folder / NAME] if path.exists())
    assert not text or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_for_each_trade_and_no_other(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append_sync(_fan_out("one", 2))
        part, nothing, stopped = plan(signal("two"), 3).copies
        open_still = replace(filled(part.order_id, "0.004"), status=ExecutionStatus.OPEN)
        ledger.append_sync([SignalEmitted(signal("two")), plan(signal("two"), 3), accepted(part.order_id)])
        ledger.append_sync([open_still, accepted(nothing.order_id)])
        ledger.append_sync([
            replace(filled(nothing.order_id, "0.00000000"), status=ExecutionStatus.CANCELLED, cost=NO_AMOUNT),
            OrderStopped(stopped.order_id, Reason.KILL_SWITCH, "", signal("two").at),
            replace(filled(part.order_id, "0.005"), status=ExecutionStatus.CANCELLED),
        ])  # fmt: skip
        assert _journal(tmp_path).write_new() == 4
    lines = _lines(tmp_path)
    assert [(line["account"], line["role"], line["quantity"], line["state"]) for line in lines] == [
        (follower(0), "copy", "0.01", "filled"), (follower(1), "copy", "0.01", "filled"),
        ("kraken:master", "master", "0.1", "filled"), (follower(0), "copy", "0.005", "cancelled"),
    ]  # fmt: skip
    first = lines[0]
    assert (first["price"], first["cost"], first["fee"], first["currency"]) == ("10000", "100", "0.26", "USD")
    assert (first["reason"], first["signal_id"]) == ("sized_by_ratio", signal("one").signal_id)
    assert oct((tmp_path / NAME).stat().st_mode & 0o777) == "0o600"


def test_every_documented_field_is_there_and_no_other(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append_sync(_fan_out("one", 1))
        _journal(tmp_path).write_new()
    text = (Path(__file__).parents[2] / "docs/operating.md").read_text()
    table = text.partition("## The trade journal")[2].partition("| --- | --- |")[2].partition("\n\n")[0]
    named = {word.strip(" `") for row in table.splitlines() if row for word in row.split("|")[1].split(",")}
    assert named == set(_lines(tmp_path)[0])


def test_restarts_neither_miss_nor_double(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        for number in range(5):
            ledger.append_sync(_fan_out(str(number)))
            journal = _journal(tmp_path)
            assert journal.write_new() == 4
            assert journal.write_new() == 0
    lines = _lines(tmp_path)
    assert len({line["order_id"] for line in lines}) == len(lines) == 20
    assert [line["seq"] for line in lines] == sorted(line["seq"] for line in lines)


def test_a_line_torn_anywhere_is_made_whole(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append_sync(_fan_out("one"))
        _journal(tmp_path).write_new()
        whole = (tmp_path / NAME).read_bytes()
        last = whole.rstrip(b"\n").rfind(b"\n") + 1
        for cut in [*range(last, len(whole), 7), len(whole) - 1, 3, 0]:
            (tmp_path / NAME).write_bytes(whole[:cut])
            _journal(tmp_path).write_new()
            assert (tmp_path / NAME).read_bytes() == whole, cut
        (tmp_path / NAME).write_bytes(whole[:last] + b"\0" * 300)  # as a power cut leaves it
        _journal(tmp_path).write_new()
        assert (tmp_path / NAME).read_bytes() == whole


def test_without_the_repair_a_line_would_be_torn(tmp_path: Path) -> None:
    """The control: a journal that appends to what it finds."""

    class Careless(TradeJournal):
        def _repair(self) -> None:
            pass

    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append_sync(_fan_out("one"))
        _journal(tmp_path).write_new()
        whole = (tmp_path / NAME).read_bytes()
        (tmp_path / NAME).write_bytes(whole[:-20])
        Careless(tmp_path, tmp_path / "ledger.sqlite3", MB, 5).write_new()
    with pytest.raises(ValueError):
        _lines(tmp_path)


def test_files_are_put_aside_by_size_and_the_newest_are_kept(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        for number in range(12):
            ledger.append_sync(_fan_out(str(number)))
            _journal(tmp_path, 4000, 2).write_new()
    names = sorted(path.name for path in tmp_path.glob("trade_journal*"))
    assert names == ["trade_journal.1.jsonl", "trade_journal.2.jsonl", NAME]
    assert all(path.stat().st_size <= 4000 for path in tmp_path.glob("trade_journal*"))
    seqs = [line["seq"] for line in _lines(tmp_path)]
    assert seqs == sorted(set(seqs))


def test_a_stop_between_putting_aside_and_writing_loses_nothing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append_sync(_fan_out("one"))
        _journal(tmp_path).write_new()
        (tmp_path / NAME).rename(tmp_path / "trade_journal.1.jsonl")
        ledger.append_sync(_fan_out("two"))
        assert _journal(tmp_path).write_new() == 4
    assert len({line["order_id"] for line in _lines(tmp_path)}) == 8


def test_another_ledger_begins_anew(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
            ledger.append_sync(_fan_out(name))
            assert _journal(tmp_path).write_new() == 4
        for path in tmp_path.glob("ledger.sqlite3*"):
            path.unlink()
    lines = _lines(tmp_path)
    assert len({line["ledger"] for line in lines}) == 2
    assert len({line["order_id"] for line in lines}) == 8


def test_more_than_one_batch(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append_sync(_fan_out("one", 1200))
        assert _journal(tmp_path).write_new() == 1201
    assert len({line["order_id"] for line in _lines(tmp_path)}) == 1201


async def test_what_goes_wrong_is_said_once_and_made_up_for(tmp_path: Path) -> None:
    said: list[Alert] = []
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append_sync(_fan_out("one"))
        (tmp_path / NAME).mkdir()  # in its place
        keeper = JournalKeeper(_journal(tmp_path), 1.0, said.append)
        await keeper.write()
        await keeper.write()
        assert len(said) == 1
        assert NAME in said[0].text
        (tmp_path / NAME).rmdir()
        await keeper.write()
        assert len(_lines(tmp_path)) == 4


_WRITER = """
import sys
from pathlib import Path
from copytrade.console.journal import TradeJournal
folder = Path(sys.argv[1])
while True:
    TradeJournal(folder, folder / "ledger.sqlite3", 20_000, 500).write_new()
    print("round", flush=True)
"""


def test_kill_nine_in_the_midst_of_writing(tmp_path: Path) -> None:
    """A writer that is killed again and again while the ledger grows; the journal is then complete and exact."""
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        for kill in range(4):
            command = [sys.executable, "-c", _WRITER, str(tmp_path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                for number in range(6):
                    ledger.append_sync(_fan_out(f"{kill} {number}", 40))
                time.sleep(0.003 * kill)
                os.kill(writer.pid, signals.SIGKILL)
        _journal(tmp_path, 20_000, 500).write_new()
    lines = _lines(tmp_path)
    assert len({line["order_id"] for line in lines}) == len(lines) == 4 * 6 * 41


def test_quantities_are_exact(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        order = intent("one")
        exact = replace(filled(order.order_id), quantity=Quantity.of("0.000000000000000001"))
        ledger.append_sync([order, accepted(order.order_id), exact])
        _journal(tmp_path).write_new()
    assert _lines(tmp_path)[0]["quantity"] == "0.000000000000000001"
