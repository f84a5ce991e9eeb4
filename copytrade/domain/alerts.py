"""What the operator is told without having asked: each alert says what kind it is, so that no rule reads its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from copytrade.domain.account import AccountId


class AlertKind(StrEnum):
    """What an alert is about. How each is told to whom is in `console/notify/notices.py`."""

    # The system
    KILL_SWITCH_ON = "kill_switch_on"
    KILL_SWITCH_OFF = "kill_switch_off"
    FLATTENED = "flattened"
    LEDGER_FAILED = "ledger_failed"
    TASK_FAILED = "task_failed"
    RECORD_NOT_KEPT = "record_not_kept"  # the trade journal, or the operators' trail
    CANNOT_TELL = "cannot_tell"  # an address for messages that is none
    # An account
    PARKED = "parked"
    WORKS_AGAIN = "works_again"
    NOT_CONNECTED = "not_connected"
    LIMIT_TRIPPED = "limit_tripped"
    LIMIT_ARMED = "limit_armed"
    JOINED = "joined"
    LEFT_HOLDING = "left_holding"
    CHECK_NEWS = "check_news"
    CHECK_OVER = "check_over"
    # A venue
    VENUE_DOWN = "venue_down"
    OUTCOME_UNKNOWN = "outcome_unknown"
    STREAM_DOWN = "stream_down"
    STREAM_UP = "stream_up"
    ORDERS_UNSEEN = "orders_unseen"
    ORDERS_SEEN = "orders_seen"
    # Orders
    EXIT_HELD = "exit_held"
    EXIT_TRIED_AGAIN = "exit_tried_again"
    EXIT_IMPOSSIBLE = "exit_impossible"  # a position that nothing here can close
    ORDER_REFUSED = "order_refused"
    CANCEL_FAILED = "cancel_failed"
    FILLS_UNREADABLE = "fills_unreadable"
    ORDER_STILL_OPEN = "order_still_open"
    NOT_PLANNED = "not_planned"  # a signal that no follower has answered
    NOT_COPIED = "not_copied"  # an order by hand that is not taken in
    SIZED_BY_SHARE = "sized_by_share"
    # Positions
    REPAIRED = "repaired"
    POSITION_GONE = "position_gone"
    WRITTEN_OFF = "written_off"
    TAKEN_BACK = "taken_back"  # entries that rest at a venue, of an account that takes none any more
    # Whoever decides
    STRATEGY = "strategy"
    SCAN_STOPPED = "scan_stopped"
    INDEPENDENT = "independent"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that needs a look. `account` is the one that it concerns; None: it concerns everybody."""

    kind: AlertKind
    text: str
    account: AccountId | None = None

    def __str__(self) -> str:
        return self.text


Tell = Callable[[Alert], None]
"""Tells the operator. Must not block and must not raise."""
