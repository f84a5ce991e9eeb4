"""Every event turns into JSON and back without loss, whatever is in it."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain.copy import Approved, Deferred, Skipped
from copytrade.domain.events import CopyDecided, Event, event_from_json, event_name, event_to_json
from copytrade.domain.money import Amount, Price, Quantity

numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e12"), max_value=Decimal("1e12"))
st.register_type_strategy(Decimal, numbers)
st.register_type_strategy(Quantity, st.builds(Quantity, numbers))
st.register_type_strategy(Amount, st.builds(Amount, numbers))
st.register_type_strategy(Price, st.builds(Price, numbers))
moments = st.datetimes(timezones=st.just(UTC))
ANY_TEXT = st.text(st.characters())  # half surrogate pairs and NUL among them: a venue's message may hold anything


def times(cls: type[Any]) -> dict[str, Any]:
    given_by_name: dict[str, Any] = {}
    for name in cls.__slots__:
        if name == "at":
            given_by_name[name] = moments
        elif name == "sent_at":
            given_by_name[name] = moments if cls.__name__ == "OrderUnknown" else st.none() | moments
        elif name == "detail":
            given_by_name[name] = ANY_TEXT
        elif name == "signal":
            given_by_name[name] = built(cls.__annotations__[name])
        elif name == "copies":
            one = st.one_of(*[built(kind) for kind in (Approved, Skipped, Deferred)])
            given_by_name[name] = st.lists(one, max_size=5).map(tuple)
        elif name == "copy":
            given_by_name[name] = st.one_of(built(Approved), built(Skipped))
    return given_by_name


def built(cls: Any) -> st.SearchStrategy[Any]:
    if isinstance(cls, str):
        from copytrade.domain.signal import Signal

        cls = {"Signal": Signal}[cls]
    return st.builds(cls, **times(cls))


@pytest.mark.parametrize("cls", get_args(Event), ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_an_event_survives_json(cls: type[Any], data: st.DataObject) -> None:
    event = data.draw(built(cls))
    text = json.dumps(event_to_json(event))
    again = event_from_json(event_name(event), json.loads(text))
    assert again == event
    # Equality of decimals forgets trailing zeros; the record does not.
    assert json.dumps(event_to_json(again)) == text


@given(built(CopyDecided))
def test_a_field_of_another_event_is_no_event(event: CopyDecided) -> None:
    body = event_to_json(event)
    body["unheard_of"] = "1"
    body["copy"]["unheard_of"] = "1"
    with pytest.raises(TypeError):
        event_from_json("CopyDecided", body)


def test_an_unheard_of_event_is_refused() -> None:
    with pytest.raises(KeyError):
        event_from_json("OrderDreamt", {})


def test_a_decision_to_defer_is_refused() -> None:
    copy = {
        "is": "deferred", "order_id": "a", "signal_id": "s", "account": "kraken:alice_smith", "symbol": "BTC/USD",
        "side": "buy", "effect": "entry", "reason": "waits_for_equity", "detail": "", "leg": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="defer"):
        event_from_json("CopyDecided", {"copy": copy, "at": "2025-03-01T12:00:00+00:00"})
