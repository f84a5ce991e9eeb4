"""A disk that fails under a running ledger: it says so, once and for all, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_samples import intent, plan, signal

from copytrade.domain.errors import LedgerCorrupt, LedgerError, LedgerUnwritable
from copytrade.domain.events import OrderStopped, SignalEmitted
from copytrade.domain.reasons import Reason
from copytrade.ledger.replay import replay, verify
from copytrade.ledger.store import Ledger
from copytrade.ledger.writer import CHECKPOINT_BYTES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


async def fill_up(ledger: Ledger) -> tuple[int, LedgerError]:
    """Append plans until the ledger fails; returns how many events were acknowledged, and the error."""
    acknowledged = 0
    for number in range(1000):
        of = signal(str(number))
        try:
            await ledger.append([SignalEmitted(of)])
            acknowledged += 1
            await ledger.append([plan(of, 50)])
            acknowledged += 1
        except LedgerError as error:
            return acknowledged, error
    raise AssertionError("it never failed")


async def test_a_full_disk(path: Path) -> None:
    with Ledger.open(path, max_pages=60) as ledger:
        acknowledged, error = await fill_up(ledger)
        assert isinstance(error, LedgerUnwritable)
        assert "free some space" in str(error)
        assert str(path) in str(error)
        assert isinstance(ledger.failed, LedgerUnwritable)
        with pytest.raises(LedgerUnwritable, match="free some space"):
            ledger.append([intent("later")])
        ledger.observe({})
        assert ledger.find(intent("nobody").order_id) is None  # what can be read is still read
    assert replay(path).signals_count >= 1
    with Ledger.open(path) as ledger:
        verdict = verify(path, ledger.state)
        assert verdict.ok, verdict.problems
        assert verdict.events == acknowledged
        await ledger.append([intent("there is room again")])


async def test_everybody_who_waits_for_a_write_that_fails_is_told(path: Path) -> None:
    with Ledger.open(path, group_ms=60_000) as ledger:
        of = signal("one")
        await ledger.append([SignalEmitted(of)], hurry=True)
        path.unlink()
        receipts = [ledger.append([intent(str(number))]) for number in range(5)]

        async def wait(number: int) -> None:
            await receipts[number]

        tasks = [asyncio.create_task(wait(number % 5)) for number in range(10)]
        await asyncio.sleep(0)
        ledger.append([plan(of, 2)], hurry=True)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LedgerUnwritable] * 10
        assert len({id(outcome) for outcome in outcomes}) == 10  # nobody shares a traceback
        with pytest.raises(LedgerUnwritable):
            await receipts[0]
        # In memory everything can still be asked for.
        assert ledger.find(intent("1").order_id) is not None
        assert len(ledger.copies_of(of.signal_id)) == 2


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("how", ["deleted", "replaced", "moved"])
async def test_a_file_that_is_taken_away_while_in_use(path: Path, suffix: str, how: str) -> None:
    with Ledger.open(path) as ledger:
        await ledger.append([intent("a")], hurry=True)
        victim = Path(f"{path}{suffix}")
        if how == "deleted":
            victim.unlink()
        elif how == "moved":
            victim.rename(f"{victim}.away")
        else:
            shutil.copy(victim, f"{victim}.copy")
            os.replace(f"{victim}.copy", victim)
        with pytest.raises(LedgerUnwritable, match="deleted, moved or replaced"):
            await ledger.append([intent("b")], hurry=True)
        assert isinstance(ledger.failed, LedgerUnwritable)


async def test_a_second_writer_after_the_lock_was_deleted_shuts_the_first_one_out(path: Path) -> None:
    with Ledger.open(path) as first:
        await first.append([intent("a")], hurry=True)
        Path(f"{path}.lock").unlink()
        with Ledger.open(path) as second:
            with pytest.raises(LedgerUnwritable, match="taken over"):
                await first.append([intent("b")], hurry=True)
            await second.append([intent("c")], hurry=True)
            assert verify(path, second.state).ok
    assert len(replay(path).orders) == 2


async def test_a_page_that_goes_bad_while_in_use(path: Path) -> None:
    of = signal("one")
    with Ledger.open(path) as ledger:
        await ledger.append([SignalEmitted(of), plan(of, 3000)], hurry=True)
    with Ledger.open(path) as ledger:
        size = path.stat().st_size
        with path.open("r+b") as file:  # everything but the first page, which holds the list of tables
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
        stops = [OrderStopped(copy.order_id, Reason.KILL_SWITCH, "", of.at) for copy in plan(of, 3000).copies]
        with pytest.raises(LedgerCorrupt, match="backup"):
            await ledger.append(stops, hurry=True)
        assert isinstance(ledger.failed, LedgerCorrupt)


FILL_UNDER_A_LIMIT = """
import asyncio, resource, signal, sys
from pathlib import Path
from test_ledger_faults import fill_up
from copytrade.ledger.store import Ledger

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit is an error, as on a bad disk
ledger = Ledger.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
acknowledged, error = asyncio.run(fill_up(ledger))
print(acknowledged, type(error).__name__, error)
ledger.close()
"""


def test_a_disk_that_refuses_a_write(path: Path) -> None:
    folders = [str(Path(__file__).parent), os.getcwd()]
    done = subprocess.run(
        [sys.executable, "-c", FILL_UNDER_A_LIMIT, str(path)],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    acknowledged, kind, message = done.stdout.split(" ", 2)
    assert kind == "LedgerUnwritable"
    assert "disk" in message
    assert str(path) in message
    with Ledger.open(path) as ledger:
        verdict = verify(path, ledger.state)
        assert verdict.ok, verdict.problems
        assert verdict.events >= int(acknowledged) >= 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.getuid() != 0 or mount is None or unmount is None:
        pytest.skip("only root can mount a small file system")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a file system")
    yield folder
    subprocess.run([unmount, str(folder)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path, tmp_path: Path) -> None:
    with Ledger.open(small_disk / "ledger.sqlite3") as ledger:
        acknowledged, error = asyncio.run(fill_up(ledger))
    assert isinstance(error, LedgerUnwritable)
    assert "free some space" in str(error)
    shutil.copytree(small_disk, tmp_path / "larger")
    path = tmp_path / "larger" / "ledger.sqlite3"
    with Ledger.open(path) as ledger:
        verdict = verify(path, ledger.state)
        assert verdict.ok, verdict.problems
        assert verdict.events == acknowledged


def test_a_ledger_cannot_begin_on_a_full_disk(small_disk: Path) -> None:
    (small_disk / "state").mkdir()
    with (small_disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(LedgerUnwritable, match="free some space"):
        Ledger.open(small_disk / "state" / "ledger.sqlite3")
    (small_disk / "filler").unlink()
    Ledger.open(small_disk / "state" / "ledger.sqlite3").close()


async def test_an_unwritable_value_fails_loudly_rather_than_hang(path: Path) -> None:
    # A programming error on the writer's side of the fence: whoever waits is told all the same.
    with Ledger.open(path) as ledger:
        broken = intent("a")
        object.__setattr__(broken, "source", {1, 2})  # no JSON for a set, and no column
        with pytest.raises((LedgerError, AttributeError)):
            await ledger.append([broken], hurry=True)


async def test_a_wal_that_grows_is_copied_back(path: Path) -> None:
    with Ledger.open(path) as ledger:
        written = 0
        for number in range(12):
            of = signal(str(number))
            before = Path(f"{path}-wal").stat().st_size
            await ledger.append([SignalEmitted(of), plan(of, 1000)], hurry=True)
            written += max(0, Path(f"{path}-wal").stat().st_size - before)
        assert written > CHECKPOINT_BYTES
        assert path.stat().st_size > CHECKPOINT_BYTES
        assert Path(f"{path}-wal").stat().st_size < 2 * CHECKPOINT_BYTES
        assert verify(path, ledger.state).ok
