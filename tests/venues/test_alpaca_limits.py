"""Requests a minute: never more than the limit in any sixty seconds, and the venue's own count where it is lower."""

from __future__ import annotations

import random

import pytest
from kraken_lab import Time

from copytrade.venues.alpaca.limits import MinuteBudget

NOW_S = 1_700_000_000.0


def budget(time: Time, limit: int = 10) -> MinuteBudget:
    return MinuteBudget(limit, time, lambda: NOW_S + time.now_s - 1_000.0)


def headers(left: int, reset_in_s: int, limit: int = 10) -> dict[str, str]:
    return {
        "X-Ratelimit-Limit": str(limit), "X-Ratelimit-Remaining": str(left),
        "X-Ratelimit-Reset": str(int(NOW_S) + reset_in_s),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_no_sixty_seconds_hold_more_than_the_limit(seed):
    rng, time = random.Random(seed), Time()
    counted, sent = budget(time), []
    for _ in range(200):
        time.now_s += rng.choice([0, 0, 0, 0.3, 2, 7])
        if (wait_s := counted.wait_s(1.0)) > 0:
            time.now_s += wait_s
            assert counted.wait_s(1.0) == 0
        counted.charge()
        sent.append(time.now_s)
    assert max(sum(1 for other in sent if at <= other < at + 60) for at in sent) == 10


def test_shares_leave_room_for_what_matters_more():
    time = Time()
    counted = budget(time)
    for _ in range(6):
        counted.charge()
    assert counted.wait_s(0.6) > 0
    assert counted.wait_s(0.8) == counted.wait_s(0.95) == 0
    for _ in range(3):
        counted.charge()
    assert counted.wait_s(0.8) > 0
    assert 60 <= counted.wait_s(0.95) <= 61
    time.now_s += 61
    assert counted.wait_s(0.6) == 0


def test_venues_count_knows_of_other_programs():
    time = Time()
    counted = budget(time)
    counted.observe(headers(left=1, reset_in_s=30))
    assert counted.wait_s(0.8) == pytest.approx(30)
    assert counted.wait_s(0.95) == pytest.approx(30)  # one left of ten is the half that nobody may use
    assert counted.wait_s(1.0) == 0
    counted.charge()
    assert counted.wait_s(1.0) == pytest.approx(30)
    time.now_s += 30
    assert counted.wait_s(0.8) == 0


def test_paid_plans_limit_is_taken_over():
    counted = budget(Time())
    counted.observe(headers(left=990, reset_in_s=30, limit=1_000))
    for _ in range(500):
        counted.charge()
    assert counted.wait_s(0.6) == 0


@pytest.mark.parametrize("broken", [{}, {"X-Ratelimit-Limit": "many"}, {"X-Ratelimit-Limit": "-5"}])
def test_broken_headers_change_nothing(broken):
    counted = budget(Time())
    counted.observe({**headers(0, 30), **broken} if broken else {})
    assert counted.wait_s(0.6) == 0


def test_refusal_holds_everything_back():
    counted = budget(Time())
    counted.refused(12)
    assert counted.wait_s(1.0) == pytest.approx(12)
