"""Rate budgets by a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kraken_lab import Time

from copytrade.venues.budget import DecayCounter, Pace


def test_counter_fills_and_decays():
    time = Time()
    counter = DecayCounter(3, 0.5, time)
    assert [counter.take(1) for _ in range(4)] == [True, True, True, False]
    assert counter.wait_s(1) == pytest.approx(2)
    time.now_s += 2
    assert counter.wait_s(1) == 0
    assert counter.take(1)
    time.now_s += 1_000
    assert counter.level == 0


def test_entries_leave_a_reserve_to_exits():
    counter = DecayCounter(4, 1, Time(), reserve=1)
    while counter.take(1):
        pass
    assert counter.level == 3
    assert counter.wait_s(1) == pytest.approx(1)
    assert counter.wait_s(1, urgent=True) == 0
    assert counter.take(1, urgent=True)
    assert not counter.take(1, urgent=True)


def test_the_venues_word_corrects_the_count():
    time = Time()
    counter = DecayCounter(10, 2, time)
    counter.saturate()
    assert counter.wait_s(1) == pytest.approx(0.5)
    time.now_s += 0.5
    assert counter.wait_s(1) == 0


def test_a_call_dearer_than_the_maximum_waits_for_an_empty_counter_and_no_longer():
    time = Time()
    counter = DecayCounter(2, 1, time)
    counter.charge(1)
    assert counter.wait_s(5) == pytest.approx(1)


def test_clock_that_goes_back_gives_nothing():
    time = Time()
    counter = DecayCounter(2, 1, time)
    counter.charge(2)
    time.now_s -= 100
    assert counter.level == 2


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 5), st.booleans()), max_size=60))
def test_whoever_waits_as_told_never_exceeds_the_limit(calls):
    time = Time()
    counter = DecayCounter(10, 0.5, time, reserve=2)
    for pause_s, cost, urgent in calls:
        time.now_s += pause_s + counter.wait_s(cost, urgent=urgent) + 1e-6
        assert counter.take(cost, urgent=urgent)
        assert counter.level <= 10


@pytest.mark.parametrize("figures", [(0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 1, -1)])
def test_counters_that_make_no_sense_are_refused(figures):
    with pytest.raises(ValueError, match="counter"):
        DecayCounter(figures[0], figures[1], Time(), reserve=figures[2])


def test_pace_spaces_calls_after_a_burst_and_keeps_their_order():
    time = Time()
    pace = Pace(2, time, burst=3)
    assert [pace.reserve_s() for _ in range(5)] == pytest.approx([0, 0, 0, 0.5, 1.0])
    time.now_s += 100
    assert [pace.reserve_s() for _ in range(4)] == pytest.approx([0, 0, 0, 0.5])
