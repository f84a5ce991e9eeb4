"""What Alpaca's errors mean: by message, since one code stands for many things."""

from __future__ import annotations

import pytest

from copytrade.domain.reasons import Reason
from copytrade.venues.alpaca.envelope import Problem
from copytrade.venues.alpaca.errors import Ambiguous, Known, Refusal, classify, reset_wait_s

NOW_S = 1_700_000_000.0
FUNDS, SMALL, DENIED = Reason.INSUFFICIENT_FUNDS, Reason.BELOW_MINIMUM, Reason.NO_PERMISSION


@pytest.mark.parametrize(
    ("status", "code", "message", "reason"),
    [
        (403, 40310000, "insufficient buying power", FUNDS),
        (403, 40310000, "insufficient balance for BTC (requested: 2, available: 1)", FUNDS),
        (403, 40310000, "insufficient qty available for order (requested: 2, available: 1)", FUNDS),
        (403, 40310000, "cost basis must be >= minimal amount of order 10", SMALL),
        (403, 40310000, "qty must be >= minimal qty of order 0.0000166", SMALL),
        (403, 40310000, "new orders are rejected by user request", DENIED),
        (403, 40310000, "account is not allowed to trade", DENIED),
        (403, 40310000, "potential wash trade detected. use complex orders", Reason.OPPOSITE_ORDER),
        (403, 40310100, "trade denied due to pattern day trading protection", Reason.VENUE_REFUSED),
        (403, 40310000, "a sentence nobody has seen before", Reason.VENUE_REFUSED),
        (422, 40010001, "crypto orders not allowed for account", DENIED),
        (422, 40010001, "qty is required", Reason.INVALID_ORDER),
        (400, 40010001, "qty must be integer", Reason.INVALID_ORDER),
        (422, 42210000, "fractional orders must be DAY orders", Reason.INVALID_ORDER),
        (422, 42210000, "invalid limit_price 290.123. sub-penny increment does not fulfill ...", Reason.INVALID_ORDER),
        (422, 42210000, 'asset "NOPE" not found', Reason.NOT_LISTED),
        (422, 42210000, "asset TWTR is not active", Reason.MARKET_CLOSED),
        (422, 42210000, "ioc orders are only accepted during market hours", Reason.MARKET_CLOSED),
        (404, 40410000, "asset not found for NOPE", Reason.NOT_LISTED),
        (401, 40110000, "request is not authorized", Reason.BAD_KEY),
        (401, 0, "unauthorized.", Reason.BAD_KEY),
        (403, 0, "forbidden.", Reason.BAD_KEY),
        (403, 0, "access key verification failed : access key not found (Code = 40310000)", Reason.BAD_KEY),
    ],
)
def test_refusals(status, code, message, reason):
    verdict = classify(Problem(status, code, message), NOW_S)
    assert isinstance(verdict, Refusal)
    assert verdict.reason is reason
    assert message in verdict.detail


@pytest.mark.parametrize(
    ("message", "parks"),
    [
        ("insufficient buying power", False), ("new orders are rejected by user request", True),
        ("account is not allowed to trade", True), ("request is not authorized: insufficient scope", True),
        ("crypto orders not allowed for account", False),
    ],
)  # fmt: skip
def test_only_what_stops_the_whole_account_parks_it(message, parks):
    assert classify(Problem(403, 40310000, message), NOW_S).parks_account is parks


def test_closed_market_is_tried_again():
    assert classify(Problem(422, 42210000, "market is closed"), NOW_S).retry_after_s == 60


@pytest.mark.parametrize("status", [400, 403, 409, 422, 503])
def test_taken_id_is_no_refusal_whatever_its_status(status):
    assert isinstance(classify(Problem(status, 40010001, "client_order_id must be unique"), NOW_S), Known)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, 0, "blocked by the firewall"), (404, 0, "page not found"), (409, 40910000, "conflict"),
        (410, 0, "gone"), (422, 42210000, "upstream timeout"), (403, 40310000, "service unavailable, try again"),
        (418, 41810000, "insufficient balance for USD"), (429, 42910000, "rate limit exceeded"),
        (400, 0, "bad request"),
    ],
)  # fmt: skip
def test_everything_else_is_open(status, code, message):
    assert isinstance(classify(Problem(status, code, message), NOW_S), Ambiguous)


@pytest.mark.parametrize(("left", "verdict"), [("0", Refusal), ("1", Ambiguous), ("", Ambiguous)])
def test_rate_limit_is_a_refusal_where_the_limiter_says_so_itself(left, verdict):
    headers = {"X-Ratelimit-Remaining": left, "X-Ratelimit-Reset": str(int(NOW_S) + 12)}
    assert isinstance(classify(Problem(429, 42910000, "rate limit exceeded", headers), NOW_S), verdict)


@pytest.mark.parametrize(("reset", "wait_s"), [("1700000012", 12), ("1699999999", 1), ("9999999999", 60), ("soon", 5)])
def test_reset_is_a_moment_of_the_venues_within_bounds(reset, wait_s):
    assert reset_wait_s({"X-Ratelimit-Reset": reset}, NOW_S) == wait_s
