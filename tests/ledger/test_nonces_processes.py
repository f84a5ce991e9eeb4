"""Nonces of one key shared by several processes, some of which are killed."""

import itertools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import pytest

from copytrade.ledger.nonces import NonceStore, NonceStoreBusy

THREADS, PER_THREAD = 8, 10_000
REPOSITORY = Path(__file__).resolve().parents[2]
spawn = multiprocessing.get_context("spawn")


def make(directory: Path) -> NonceStore:
    return NonceStore(directory, "kraken:alice_smith", "made-up-key-1", shared_wait_s=60.0)


def _take(directory: Path, newest: "Synchronized[int]", results: Any) -> None:
    """Takes nonces in threads.

    `newest` is a plain word of shared memory without a lock: a value read from it was returned to somebody
    before this call of `next` began, so `next` must return a higher one.
    """
    store = make(directory)
    taken: list[list[int]] = [[] for _ in range(THREADS)]
    faults: list[str] = []

    def run(mine: list[int]) -> None:
        for _ in range(PER_THREAD):
            before = newest.value
            nonce = store.next()
            if nonce <= before:
                faults.append(f"{nonce} after {before} had been handed out")
            newest.value = nonce
            mine.append(nonce)

    threads = [threading.Thread(target=run, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.release()
    results.send((taken, faults))
    results.close()


def test_eight_threads_in_two_processes_never_share_a_nonce_and_rise_in_order(tmp_path: Path) -> None:
    newest = spawn.Value("Q", 0, lock=False)
    pipes, processes = [], []
    for _ in range(2):
        receiving, sending = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_take, args=(tmp_path, newest, sending))
        process.start()
        sending.close()
        pipes.append(receiving)
        processes.append(process)
    every: list[int] = []
    for receiving, process in zip(pipes, processes, strict=True):
        taken, faults = receiving.recv()
        process.join()
        receiving.close()
        process.close()
        assert faults == []
        for mine in taken:
            assert all(later > earlier for earlier, later in itertools.pairwise(mine))
            every.extend(mine)
    assert len(every) == len(set(every)) == 2 * THREADS * PER_THREAD
    assert make(tmp_path).next() > max(every)


PRINT_FOREVER = """
import sys
from pathlib import Path
from copytrade.ledger.nonces import NonceStore
store = NonceStore(Path(sys.argv[1]), "kraken:alice_smith", "made-up-key-1")
if sys.argv[2] == "leased":
    store.acquire()
while True:
    sys.stdout.write(f"{store.next()}\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def printing(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", PRINT_FOREVER, str(tmp_path), request.param],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("printing", ["leased", "shared"], indirect=True)
def test_kill_in_the_middle_then_restart_goes_on_higher(
    tmp_path: Path, printing: "subprocess.Popen[str]"
) -> None:
    assert printing.stdout is not None
    used = [int(printing.stdout.readline()) for _ in range(2_000)]
    os.kill(printing.pid, signal.SIGKILL)
    rest = printing.stdout.read().split("\n")
    used += [int(line) for line in rest[:-1]]  # the last line may be half a number
    printing.wait()
    with make(tmp_path).lease() as store:  # the kernel has given the lock of the dead back
        assert store.next() > max(used)


@pytest.mark.parametrize("printing", ["leased"], indirect=True)
def test_a_living_owner_is_named(tmp_path: Path, printing: "subprocess.Popen[str]") -> None:
    assert printing.stdout is not None
    printing.stdout.readline()
    with pytest.raises(NonceStoreBusy, match=f"by process {printing.pid}:"):
        make(tmp_path).acquire()


def test_a_forked_child_does_not_own_its_parents_lease(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.acquire()
    first = store.next()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"raised something else"
        try:
            store.acquire()
            answer = b"owns it as well"
        except NonceStoreBusy:
            answer = b"busy"
        finally:
            os.write(writing, answer)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"busy"
    os.waitpid(child, 0)
    assert store.next() > first
    with pytest.raises(NonceStoreBusy):  # the child's end did not unlock the parent's file
        make(tmp_path).acquire()
    store.release()


def test_a_forked_child_does_not_use_numbers_that_its_parent_reserved(tmp_path: Path) -> None:
    standing = 1_763_683_200_000_000_000
    store = NonceStore(tmp_path, "kraken:alice_smith", "made-up-key-1", clock=lambda: standing)
    store.acquire()
    used = [store.next()]
    waiting, starting = os.pipe()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(starting)
            os.read(waiting, 1)  # until the parent has used more of them and has released the key
            os.write(writing, str(store.next()).encode())
        finally:
            os._exit(0)
    os.close(waiting)
    os.close(writing)
    used += [store.next() for _ in range(100)]
    store.release()
    os.close(starting)
    with os.fdopen(reading, "rb") as pipe:
        assert int(pipe.read()) > max(used)
    os.waitpid(child, 0)


LIMITED = """
import resource, signal, sys
from pathlib import Path
from copytrade.ledger.nonces import NonceStore, NonceStoreError
clock = [1_763_683_200_000]
ticking = lambda: clock[0] * 1_000_000
store = NonceStore(Path(sys.argv[1]), "kraken:alice_smith", "made-up-key-1", clock=ticking)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
used = [store.next()]
store.acquire()
used.append(store.next())
for limit in (0, 20):   # nothing fits; a part of the record fits, which leaves a torn file
    clock[0] += 600_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for attempt in range(3):
        try:
            print("handed out", store.next())
        except NonceStoreError as error:
            assert sys.argv[1] in str(error), error
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    clock[0] -= 590_000
    used.append(store.next())
assert used == sorted(set(used)), used
print("done")
"""


def test_a_write_that_fits_half_hands_out_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


SMALL_DISK = """
import subprocess, sys
from pathlib import Path
from copytrade.ledger.nonces import NonceStore, NonceStoreError
disk = Path(sys.argv[1])
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4096,nr_inodes=8", "tmpfs", disk]).returncode:
    sys.exit(77)
(disk / "filler").write_bytes(b"x" * 4096)
store = NonceStore(disk, "kraken:alice_smith", "made-up-key-1")
def refused(why):
    try:
        print("handed out", store.next())
    except NonceStoreError as error:
        assert why in str(error), error
refused("No space left")
(disk / "filler").unlink()
used = store.next()
store.release()
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
refused("Read-only file system")
subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
assert store.next() > used
print("done")
"""


def test_a_file_system_that_is_full_or_read_only(tmp_path: Path) -> None:
    # In a mount namespace of its own: the disk is gone with the process, and nobody else ever sees it.
    namespace = ["unshare", "--mount"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*namespace, "true"], capture_output=True).returncode
    ):
        pytest.skip("only root may mount a small disk")
    done = subprocess.run(
        [*namespace, sys.executable, "-c", SMALL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("only root may mount a small disk")
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
