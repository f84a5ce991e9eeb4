"""Nonces of one key in one process: always up, whatever happens to the file, the clock or the disk."""

import itertools
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrade.ledger.nonces import NONCE_MAX, RESERVE_AHEAD, NonceStore, NonceStoreBusy, NonceStoreError

NOW_MS = 1_763_683_200_000


class Clock:
    """Milliseconds that a test sets, in the shape of `time.time_ns`."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms * 1_000_000 + 999_999


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(directory: Path, clock: Clock, key_id: str = "made-up-key-1") -> NonceStore:
    return NonceStore(directory, "kraken:alice_smith", key_id, clock=clock, shared_wait_s=0.01)


def ceiling_in(store: NonceStore) -> int:
    return int(store.path.read_bytes().split()[1])


def test_nonces_are_milliseconds_and_rise_while_the_clock_stands(tmp_path: Path, clock: Clock) -> None:
    store = make(tmp_path, clock)
    assert [store.next() for _ in range(3)] == [NOW_MS, NOW_MS + 1, NOW_MS + 2]
    clock.now_ms += 50
    assert store.next() == NOW_MS + 50


def test_file_is_private_readable_and_does_not_show_the_key(tmp_path: Path, clock: Clock) -> None:
    store = make(tmp_path / "state" / "nonces", clock)
    store.next()
    assert store.path.name.startswith("kraken.alice_smith.")
    assert store.path.read_bytes().startswith(b"nonce-ceiling 0000000%d check " % NOW_MS)
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in store.path.parent.iterdir()} == {0o600}
    assert "made-up-key-1" not in repr(store) + " ".join(file.name for file in store.path.parent.iterdir())


def test_every_key_has_a_file_of_its_own(tmp_path: Path, clock: Clock) -> None:
    first, rotated = make(tmp_path, clock), make(tmp_path, clock, "made-up-key-2")
    assert first.path != rotated.path
    first.jump(10_000)
    assert rotated.next() == NOW_MS


@pytest.mark.parametrize("account", ["kraken:../../etc/x", "kraken:a\0b", "a/b", "kraken:" + "x" * 300])
def test_an_odd_account_name_stays_inside_the_directory(tmp_path: Path, clock: Clock, account: str) -> None:
    store = NonceStore(tmp_path, account, "made-up-key-1", clock=clock)
    store.next()
    assert store.path.resolve().parent == tmp_path.resolve()


def test_lease_reserves_ahead_and_writes_only_when_the_ceiling_is_passed(
    tmp_path: Path, clock: Clock
) -> None:
    store = make(tmp_path, clock)
    with store.lease():
        first = store.next()
        reserved = ceiling_in(store)
        assert reserved == first + RESERVE_AHEAD
        before = store.path.stat().st_mtime_ns
        assert [store.next() for _ in range(RESERVE_AHEAD)] == list(range(first + 1, reserved + 1))
        assert store.path.stat().st_mtime_ns == before
        assert store.next() == reserved + 1
        assert ceiling_in(store) == reserved + 1 + RESERVE_AHEAD


def test_second_owner_is_refused_with_file_and_remedy(tmp_path: Path, clock: Clock) -> None:
    owner, other = make(tmp_path, clock), make(tmp_path, clock)
    with owner.lease():
        for attempt in (other.acquire, other.next, lambda: other.jump(5)):
            with pytest.raises(NonceStoreBusy) as refusal:
                attempt()
            assert str(owner.lock_path) in str(refusal.value)
            assert f"process {os.getpid()}" in str(refusal.value)
            assert "Stop that one" in str(refusal.value)
        used = [owner.next() for _ in range(10)]
    with other.lease():
        assert other.next() > max(used)


def test_waiting_for_a_lease_succeeds_once_it_is_released(tmp_path: Path, clock: Clock) -> None:
    owner, other = make(tmp_path, clock), make(tmp_path, clock)
    owner.acquire()
    waiting = threading.Thread(target=other.acquire, args=(60.0,))
    waiting.start()
    owner.release()
    waiting.join()
    assert other.next() > NOW_MS
    other.release()


def test_a_lease_is_not_taken_twice_by_mistake(tmp_path: Path, clock: Clock) -> None:
    store = make(tmp_path, clock)
    with store.lease(), pytest.raises(RuntimeError, match="leased already"):
        store.acquire()
    store.release()  # harmless without a lease
    assert store.next() > NOW_MS


def test_a_restart_goes_on_above_everything(tmp_path: Path, clock: Clock) -> None:
    with make(tmp_path, clock).lease() as store:
        used = [store.next() for _ in range(20)]
        clock.now_ms -= 3_600_000
    with make(tmp_path, clock).lease() as again:
        assert again.next() > max(used)
    assert make(tmp_path, clock).next() > max(used)


def test_clock_set_back_under_freezegun(tmp_path: Path) -> None:
    with freeze_time("2026-03-29 03:00:00"):
        store = NonceStore(tmp_path, "kraken:bob_jones", "made-up-key-1", clock=lambda: time.time_ns())
        first = store.next()
    with freeze_time("2026-03-29 02:00:00"):
        assert store.next() == first + 1
        again = NonceStore(tmp_path, "kraken:bob_jones", "made-up-key-1", clock=lambda: time.time_ns())
        assert again.next() == first + 2


@pytest.mark.parametrize("leased", [False, True])
def test_jump_and_raise_only_go_up(tmp_path: Path, clock: Clock, leased: bool) -> None:
    store = make(tmp_path, clock)
    if leased:
        store.acquire()
    last = store.next()
    assert store.jump(1_000) == last + 1_000 == store.next()
    store.raise_to(last)
    assert store.next() == last + 1_001
    store.raise_to(last + 9_000)
    assert store.next() == last + 9_001
    clock.now_ms = last + 50_000
    assert store.jump(10) == last + 50_010 == store.next()
    with pytest.raises(ValueError, match="upwards"):
        store.jump(0)
    with pytest.raises(ValueError, match="64-bit"):
        store.raise_to(-1)
    store.release()


def test_a_jump_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    floor = make(tmp_path, clock).jump(3_600_000)
    assert make(tmp_path, clock).next() == floor


def test_finer_scale_of_another_client_is_followed_and_told(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = make(tmp_path, clock)
    nanoseconds = NOW_MS * 1_000_000
    store.raise_to(nanoseconds)
    assert store.next() == nanoseconds + 1
    assert "counts finer" in caplog.text


def test_the_end_of_64_bits_is_an_error_not_a_wrap(tmp_path: Path, clock: Clock) -> None:
    store = make(tmp_path, clock)
    with pytest.raises(NonceStoreError, match="Make a new key"):
        store.raise_to(NONCE_MAX - 1)
    assert store.next() == NOW_MS


@pytest.mark.parametrize("leased", [False, True])
@pytest.mark.parametrize("victims", ["nonce", "lock", "both", "directory"])
def test_files_deleted_while_running_come_back_from_memory(
    tmp_path: Path, clock: Clock, leased: bool, victims: str
) -> None:
    store = make(tmp_path / "nonces", clock)
    if leased:
        store.acquire()
    floor = store.jump(100_000)
    used = [store.next() for _ in range(3)]
    assert used[0] == floor
    if victims == "directory":
        shutil.rmtree(tmp_path / "nonces")
    else:
        for path, kind in ((store.path, "nonce"), (store.lock_path, "lock")):
            if victims in (kind, "both"):
                path.unlink()
    for _ in range(RESERVE_AHEAD + 2):
        used.append(store.next())
    assert used == sorted(set(used))
    assert ceiling_in(store) >= used[-1]
    store.release()
    assert make(tmp_path / "nonces", clock).next() > used[-1]


def test_files_deleted_between_runs_start_from_the_clock(tmp_path: Path, clock: Clock) -> None:
    used = make(tmp_path / "nonces", clock).next()
    shutil.rmtree(tmp_path / "nonces")
    clock.now_ms += 5
    assert make(tmp_path / "nonces", clock).next() == used + 5


def test_owner_whose_lock_file_was_deleted_yields_to_the_one_who_took_the_new_file(
    tmp_path: Path, clock: Clock
) -> None:
    first, second = make(tmp_path, clock), make(tmp_path, clock)
    first.acquire()
    used = [first.next()]
    first.lock_path.unlink()
    second.acquire()
    second_used = [second.next() for _ in range(3)]
    clock.now_ms = ceiling_in(second) + 1  # beyond what `first` had reserved
    for _ in range(2):  # and it stays refused: an open lock file is not a lock
        with pytest.raises(NonceStoreBusy):
            first.next()
    second_used.append(second.next())
    second.release()
    used.append(first.next())
    assert len(set(used + second_used)) == len(used + second_used)
    assert used[-1] > second_used[-1]
    first.release()


RECORD_BYTES = len(b"nonce-ceiling 00000000000000000000 check 00000000\n")


@pytest.mark.parametrize("keep", range(RECORD_BYTES))
def test_truncated_at_every_byte(
    tmp_path: Path, clock: Clock, keep: int, caplog: pytest.LogCaptureFixture
) -> None:
    store = make(tmp_path, clock)
    used = store.jump(7_000)
    store.path.write_bytes(store.path.read_bytes()[:keep])
    assert make(tmp_path, clock).next() == NOW_MS  # nobody remembers: the clock
    assert ("damaged" in caplog.text) == (keep > 0)
    store.path.write_bytes(store.path.read_bytes()[:keep])
    assert store.next() == used  # the one that remembers does not go down
    assert make(tmp_path, clock).next() == used + 1


@pytest.mark.parametrize("position", range(RECORD_BYTES))
def test_one_wrong_byte_anywhere(tmp_path: Path, clock: Clock, position: int) -> None:
    store = make(tmp_path, clock)
    store.jump(7_000)
    raw = bytearray(store.path.read_bytes())
    for wrong in {0, raw[position] ^ 1, 255}:
        damaged = bytearray(raw)
        damaged[position] = wrong
        store.path.write_bytes(damaged)
        assert make(tmp_path, clock).next() == NOW_MS
        assert make(tmp_path, clock).next() == NOW_MS + 1  # mended


def test_garbage_behind_the_record_does_not_hide_it(tmp_path: Path, clock: Clock) -> None:
    store = make(tmp_path, clock)
    floor = store.jump(7_000)
    store.path.write_bytes(store.path.read_bytes() + b"\0" * 5_000)
    assert make(tmp_path, clock).next() == floor


def refuse(store: NonceStore, *words: str) -> None:
    with pytest.raises(NonceStoreError) as refusal:
        store.next()
    for word in (str(store.path), "Do not delete the file", *words):
        assert word in str(refusal.value)


@pytest.mark.parametrize("leased", [False, True])
def test_full_disk_hands_out_nothing_and_heals(tmp_path: Path, clock: Clock, leased: bool) -> None:
    store = make(tmp_path, clock)
    if leased:
        store.acquire()
        clock.now_ms += 1
    used = store.next()
    kept = store.path.with_suffix(".kept")
    store.path.rename(kept)
    store.path.symlink_to("/dev/full")
    clock.now_ms += 2 * RESERVE_AHEAD
    for _ in range(3):
        refuse(store, "No space left", "free disk space")
    with pytest.raises(NonceStoreError):
        store.jump(10)
    with pytest.raises(NonceStoreError):
        make(tmp_path, clock, "made-up-key-1").acquire()
    store.path.unlink()
    kept.rename(store.path)
    assert store.next() > used
    store.release()


def test_a_failed_acquire_leaves_the_key_free(tmp_path: Path, clock: Clock) -> None:
    store, other = make(tmp_path, clock), make(tmp_path, clock)
    store.path.symlink_to("/dev/full")
    with pytest.raises(NonceStoreError):
        store.acquire()
    store.path.unlink()
    with other.lease():
        assert other.next() > NOW_MS


def test_paths_that_cannot_be_written_name_themselves(tmp_path: Path, clock: Clock) -> None:
    in_the_way = tmp_path / "nonces"
    in_the_way.write_text("a file where the directory should be")
    with pytest.raises(NonceStoreError, match=r"nonces.*writable"):
        make(in_the_way, clock).next()
    store = make(tmp_path, clock)
    store.path.mkdir()
    refuse(store, "directory")


def test_threads_of_a_lease_get_each_number_once(tmp_path: Path, clock: Clock) -> None:
    taken: list[list[int]] = [[] for _ in range(8)]
    with make(tmp_path, clock).lease() as store:

        def take(mine: list[int]) -> None:
            mine.extend(store.next() for _ in range(2_000))

        threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(mine == sorted(mine) for mine in taken)
    assert len({nonce for mine in taken for nonce in mine}) == 16_000


STEPS = st.one_of(
    st.tuples(st.just("next"), st.integers(1, 30)),
    st.tuples(st.just("jump"), st.integers(1, 10**7)),
    st.tuples(st.just("raise_to"), st.integers(0, NOW_MS + 10**9)),
    st.tuples(st.just("clock"), st.integers(-(10**10), 10**8)),
    st.tuples(st.sampled_from(["restart", "toggle_lease", "other_process", "delete"]), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=40))
def test_strictly_rising_through_anything(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        clock = Clock()
        store = make(Path(directory), clock)
        used = [0]
        leased = False
        for step, amount in steps:
            if step == "next":
                used.extend(store.next() for _ in range(amount))
            elif step == "jump":
                floor = store.jump(amount)
                assert floor >= max(used[-1], clock.now_ms) + amount
                used.append(store.next())
                assert used[-1] >= floor
            elif step == "raise_to":
                store.raise_to(amount)
                used.append(store.next())
                assert used[-1] > amount
            elif step == "clock":
                clock.now_ms = max(0, clock.now_ms + amount)
            elif step == "delete":
                used.append(store.next())  # so that this process remembers, which is the promise
                store.path.unlink()
                store.jump(1)  # a write, so that the file is there again for whoever comes next
            elif step == "restart":
                store.release()
                store, leased = make(Path(directory), clock), False
            elif step == "toggle_lease":
                store.release() if leased else store.acquire()
                leased = not leased
            elif not leased:
                used.append(make(Path(directory), clock).next())
        store.release()
        assert all(later > earlier for earlier, later in itertools.pairwise(used))
