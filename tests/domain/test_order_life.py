"""The one table of order life: what is in it, what is not, and where every order can still get to."""

from __future__ import annotations

import itertools

import pytest

from copytrade.domain.order import MOVES, IllegalMove, Move, OrderState, next_state

EVERY_STATE = [None, *OrderState]
ILLEGAL = [pair for pair in itertools.product(EVERY_STATE, Move) if pair not in MOVES]


@pytest.mark.parametrize(("state", "move"), ILLEGAL)
def test_a_move_that_is_not_in_the_table_raises(state: OrderState | None, move: Move) -> None:
    with pytest.raises(IllegalMove, match=str(move)):
        next_state(state, move)


@pytest.mark.parametrize(("state", "move"), list(MOVES))
def test_a_move_in_the_table_leads_where_it_says(state: OrderState | None, move: Move) -> None:
    assert next_state(state, move) is MOVES[state, move]


def reachable(start: OrderState | None, without: frozenset[Move] = frozenset()) -> set[OrderState]:
    found: set[OrderState] = set()
    edge: list[OrderState | None] = [start]
    while edge:
        here = edge.pop()
        for (state, move), after in MOVES.items():
            if state is here and move not in without and after not in found:
                found.add(after)
                edge.append(after)
    return found


def test_nothing_leaves_a_final_state() -> None:
    assert {state for state, _ in MOVES if state is not None and state.final} == set()


def test_every_state_can_be_reached() -> None:
    assert reachable(None) == set(OrderState)


@pytest.mark.parametrize("state", [state for state in OrderState if not state.final])
def test_every_open_order_can_come_to_an_end(state: OrderState) -> None:
    assert any(after.final for after in reachable(state))


def test_an_unknown_order_is_sent_again_only_after_a_proof_of_absence() -> None:
    # APPROVED is the only state from which an order is sent.
    assert OrderState.APPROVED in reachable(OrderState.UNKNOWN)
    assert OrderState.APPROVED not in reachable(OrderState.UNKNOWN, without=frozenset({Move.PROVE_ABSENT}))


def test_an_order_at_the_venue_ends_at_the_venues_word_alone() -> None:
    leaving = {move for (state, move), after in MOVES.items() if state is OrderState.ACCEPTED and after is not state}
    assert leaving == {Move.FILL, Move.CANCEL}
    assert OrderState.APPROVED not in reachable(OrderState.ACCEPTED)


def test_an_unknown_order_is_never_written_off() -> None:
    direct = {after for (state, _), after in MOVES.items() if state is OrderState.UNKNOWN}
    assert direct == {OrderState.ACCEPTED, OrderState.APPROVED}
