"""The table of errors: each text Kraken is known to send, and what may be believed of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain.reasons import Reason
from copytrade.venues.kraken.errors import LOCKOUT_S, Ambiguous, Limit, Refusal, classify, split

NOW = 1_700_000_000.0

REFUSALS = {
    "EGeneral:Invalid arguments": Reason.INVALID_ORDER,
    "EGeneral:Invalid arguments:volume": Reason.INVALID_ORDER,
    "EGeneral:Permission denied": Reason.NO_PERMISSION,
    "EGeneral:Unknown method": Reason.VENUE_REFUSED,
    "EGeneral:Temporary lockout": Reason.LOCKED_OUT,
    "EAPI:Invalid key": Reason.BAD_KEY,
    "EAPI:Invalid signature": Reason.BAD_KEY,
    "EAPI:Invalid nonce": Reason.BAD_NONCE,
    "EAPI:Rate limit exceeded": Reason.RATE_LIMITED,
    "EAPI:Feature disabled": Reason.VENUE_REFUSED,
    "EAccount:Invalid permissions:STBL trading restricted for NL.": Reason.VENUE_REFUSED,
    "EService:Market in cancel_only mode": Reason.MARKET_CLOSED,
    "EService:Market in post_only mode": Reason.MARKET_CLOSED,
    "EService:Deadline elapsed": Reason.DEADLINE_ELAPSED,
    "EGeneral:Invalid arguments:deadline": Reason.DEADLINE_ELAPSED,
    "EService: Throttled: 1700000007": Reason.RATE_LIMITED,
    "EService:Throttled:1700000007": Reason.RATE_LIMITED,
    "EService: Throttled": Reason.RATE_LIMITED,
    "EQuery:Unknown asset pair": Reason.NOT_LISTED,
    "EQuery:Unknown asset": Reason.NOT_LISTED,
    "EQuery:Something new": Reason.VENUE_REFUSED,
    "EOrder:Insufficient funds": Reason.INSUFFICIENT_FUNDS,
    "EOrder:Order minimum not met": Reason.BELOW_MINIMUM,
    "EOrder:Cost minimum not met": Reason.BELOW_MINIMUM,
    "EOrder:Tick size check failed": Reason.INVALID_ORDER,
    "EOrder:Invalid price:XXBTZEUR price can only be specified up to 1 decimals.": Reason.INVALID_ORDER,
    "EOrder:Rate limit exceeded": Reason.RATE_LIMITED,
    "EOrder:Domain rate limit exceeded": Reason.RATE_LIMITED,
    "EOrder:Orders limit exceeded": Reason.VENUE_REFUSED,
    "EOrder:Scheduled orders limit exceeded": Reason.VENUE_REFUSED,
    "EOrder:Unknown order": Reason.VENUE_REFUSED,
    "EOrder:Post only order": Reason.POST_ONLY_WOULD_FILL,
    "EOrder:Something new": Reason.VENUE_REFUSED,
}
DOUBTFUL = [
    "EService:Unavailable", "EService:Busy", "EService:Timeout", "EGeneral:Internal error", "EService:Something new",
    "EGeneral:Something new", "EAPI:Something new", "ENew:Thing", "EFunding:Invalid amount", "", "nonsense",
    "EOrder:Duplicate order", "EOrder:duplicate cl_ord_id", "EGeneral:Invalid arguments:cl_ord_id",
    "EOrder:Internal error", "EOrder:Timeout", "eorder:insufficient funds",
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSALS.items())
def test_refusals(text, reason):
    verdict = classify([text], NOW)
    assert isinstance(verdict, Refusal)
    assert (verdict.reason, verdict.detail) == (reason, text)
    parks = reason in (Reason.NO_PERMISSION, Reason.LOCKED_OUT, Reason.BAD_KEY)
    assert verdict.parks_account == parks
    assert verdict.parks_for_s == (LOCKOUT_S if reason is Reason.LOCKED_OUT else None)
    may_come_again = reason in (Reason.RATE_LIMITED, Reason.MARKET_CLOSED, Reason.DEADLINE_ELAPSED)
    assert (verdict.retry_after_s is not None) == may_come_again


@pytest.mark.parametrize("text", DOUBTFUL)
def test_everything_else_leaves_the_order_unknown(text):
    assert isinstance(classify([text], NOW), Ambiguous)


def test_throttled_waits_until_the_moment_it_names_within_bounds():
    assert classify(["EService: Throttled: 1700000007"], NOW).retry_after_s == 7
    assert classify(["EService: Throttled: 1800000000"], NOW).retry_after_s == 60
    assert classify(["EService: Throttled: 1"], NOW).retry_after_s == 1


def test_limits_name_their_counter():
    assert classify(["EAPI:Rate limit exceeded"], NOW).limit is Limit.REST
    assert classify(["EOrder:Rate limit exceeded"], NOW).limit is Limit.TRADING


def test_one_doubtful_text_makes_a_list_doubtful():
    assert isinstance(classify(["EOrder:Insufficient funds", "EService:Busy"], NOW), Ambiguous)


def test_of_several_refusals_the_one_that_parks_counts():
    assert classify(["EOrder:Insufficient funds", "EAPI:Invalid key"], NOW).reason is Reason.BAD_KEY


def test_warnings_are_no_errors():
    assert split(["WGeneral:Danger", "EOrder:x", "odd"]) == (["EOrder:x", "odd"], ["WGeneral:Danger"])


@given(st.lists(st.text(max_size=60) | st.sampled_from([*REFUSALS, *DOUBTFUL]), min_size=1, max_size=4))
def test_no_text_breaks_the_table_and_no_unknown_family_is_a_refusal(texts):
    verdict = classify(texts, NOW)
    families = ("EOrder", "EQuery", "EAPI", "EGeneral", "EService", "EAccount")
    if any(not text.strip().startswith(families) for text in texts):
        assert isinstance(verdict, Ambiguous)
