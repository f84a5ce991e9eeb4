"""Why an order was not placed, or ended as it did: the words an operator reads.

The value is what the ledger and `--json` carry and never changes once released; `text` is what a person reads.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One cause. `Reason.X.text` explains it; a detail with the figures goes beside it."""

    # The follower
    DISABLED = "disabled"
    NO_LONGER_ENROLLED = "no_longer_enrolled"
    MODE_CLOSE_ONLY = "mode_close_only"
    MODE_PAUSED = "mode_paused"
    MODE_DISARMED = "mode_disarmed"
    INSTRUMENT_MODE = "instrument_mode"
    NO_CREDENTIALS = "no_credentials"
    NOT_CONNECTED = "not_connected"
    SERVICE_FAULT = "service_fault"
    ACCOUNT_PARKED = "account_parked"
    INDEPENDENT = "independent"
    # The instrument
    NOT_LISTED = "not_listed"
    NOT_ALLOWED = "not_allowed"
    NOT_TRADABLE_NOW = "not_tradable_now"
    QUOTE_DIFFERS = "quote_differs"
    KIND_NOT_OFFERED = "kind_not_offered"
    # Size and money
    BELOW_MINIMUM = "below_minimum"
    NOTHING_TO_CLOSE = "nothing_to_close"
    NO_FREE_CASH = "no_free_cash"
    INSUFFICIENT_CASH = "insufficient_cash"
    BELOW_MIN_CASH = "below_min_cash"
    BELOW_MIN_BALANCE = "below_min_balance"
    AT_EXPOSURE_LIMIT = "at_exposure_limit"
    AT_POSITION_LIMIT = "at_position_limit"
    OVER_MAX_ORDER = "over_max_order"
    DAILY_LOSS_LIMIT = "daily_loss_limit"
    DRAWDOWN_LIMIT = "drawdown_limit"
    EQUITY_FLOOR = "equity_floor"
    CARRIED = "carried"
    EQUITY_UNKNOWN = "equity_unknown"
    MASTER_EQUITY_UNKNOWN = "master_equity_unknown"
    OVER_MASTER_LIMIT = "over_master_limit"
    # Time and price
    ENTRY_EXPIRED = "entry_expired"
    PRICE_MOVED = "price_moved"
    PRICE_UNKNOWN = "price_unknown"
    WAITS_FOR_MARKETS = "waits_for_markets"
    WAITS_FOR_EQUITY = "waits_for_equity"
    WAITS_FOR_FILLS = "waits_for_fills"
    FAILOVER = "failover"
    # The master changed its mind, or its order came to its end first
    MASTER_CANCELLED = "master_cancelled"
    MASTER_AMENDED = "master_amended"
    MASTER_FILLED = "master_filled"
    EXIT_FIRST = "exit_first"
    PROFIT_REACHED = "profit_reached"
    NOTHING_MISSING = "nothing_missing"
    MAKES_WAY = "makes_way"
    RESTS_AGAIN = "rests_again"
    # The owner of the account did something by itself
    GONE_BY_HAND = "gone_by_hand"
    # Stopped by hand or by the service
    KILL_SWITCH = "kill_switch"
    LEDGER_FAILED = "ledger_failed"
    LANE_FULL = "lane_full"
    SHUTTING_DOWN = "shutting_down"
    GAVE_UP = "gave_up"
    # What the venue said
    INSUFFICIENT_FUNDS = "insufficient_funds"
    INVALID_ORDER = "invalid_order"
    RATE_LIMITED = "rate_limited"
    MARKET_CLOSED = "market_closed"
    DEADLINE_ELAPSED = "deadline_elapsed"
    DUPLICATE_ID = "duplicate_id"
    POST_ONLY_WOULD_FILL = "post_only_would_fill"
    BAD_NONCE = "bad_nonce"
    BAD_KEY = "bad_key"
    NO_PERMISSION = "no_permission"
    LOCKED_OUT = "locked_out"
    VENUE_UNREACHABLE = "venue_unreachable"
    VENUE_REFUSED = "venue_refused"
    OPPOSITE_ORDER = "opposite_order"
    # What happened, when nothing went wrong
    SIZED_BY_RATIO = "sized_by_ratio"
    CAPPED_BY_RISK = "capped_by_risk"
    CAPPED_BY_CASH = "capped_by_cash"
    CAPPED_BY_MAX_ORDER = "capped_by_max_order"
    CAPPED_BY_EXPOSURE = "capped_by_exposure"
    ROUNDED_UP = "rounded_up"
    CATCHING_UP = "catching_up"
    FRACTION_OF_POSITION = "fraction_of_position"
    WHOLE_POSITION = "whole_position"
    BY_OPERATOR = "by_operator"
    MASTER_ORDER = "master_order"

    @property
    def text(self) -> str:
        """One line for a person, with what to do where something can be done."""
        return _TEXTS[self]


_TEXTS: dict[Reason, str] = {
    Reason.DISABLED: "the follower is not enabled (set enabled: true in its user file)",
    Reason.NO_LONGER_ENROLLED: "the follower is no longer in the user files",
    Reason.MODE_CLOSE_ONLY: "the follower is close-only: exits flow, entries do not (resume USER to end it)",
    Reason.MODE_PAUSED: "the follower is paused: exits flow, entries do not (resume USER to end it)",
    Reason.MODE_DISARMED: "the follower is disarmed: nothing flows (resume USER to end it)",
    Reason.INSTRUMENT_MODE: "the follower's instruments.modes stops this instrument (see its user file)",
    Reason.NO_CREDENTIALS: "no API key is set for this account",
    Reason.NOT_CONNECTED: "the account could not be connected (run check for the cause)",
    Reason.SERVICE_FAULT: "a fault in the service stopped the account's orders (report it with the log)",
    Reason.ACCOUNT_PARKED: "the account is parked until its fault is cleared (run check for the cause)",
    Reason.INDEPENDENT: "the account trades by itself and is not copied to",
    Reason.NOT_LISTED: "the follower's venue does not list this instrument",
    Reason.NOT_ALLOWED: "the follower's own list excludes this instrument",
    Reason.NOT_TRADABLE_NOW: "the venue does not take such orders for this instrument now",
    Reason.QUOTE_DIFFERS: "the instrument is not quoted in the currency that the account is measured in",
    Reason.KIND_NOT_OFFERED: "the venue has neither this kind of order nor a stand-in for it",
    Reason.BELOW_MINIMUM: "the size is under the venue's minimum",
    Reason.NOTHING_TO_CLOSE: "there is no copied position to close",
    Reason.NO_FREE_CASH: "there is no free cash",
    Reason.INSUFFICIENT_CASH: "the free cash does not suffice",
    Reason.BELOW_MIN_CASH: "free cash is under guards.min_cash_to_buy",
    Reason.BELOW_MIN_BALANCE: "equity is under guards.minimum_trading_balance",
    Reason.AT_EXPOSURE_LIMIT: "the follower's max_exposure is used up",
    Reason.AT_POSITION_LIMIT: "the follower holds as many instruments as its max_positions allows",
    Reason.OVER_MAX_ORDER: "the order is larger than the follower's max_order allows by now",
    Reason.DAILY_LOSS_LIMIT: "the follower's max_daily_loss is reached (limits USER shows it, rearm USER ends it)",
    Reason.DRAWDOWN_LIMIT: "the follower's max_drawdown is reached (limits USER shows it, rearm USER ends it)",
    Reason.EQUITY_FLOOR: "the follower's equity is under its min_equity (limits USER shows it, rearm USER ends it)",
    Reason.CARRIED: "the size is under the venue's minimum and kept for the next signal of the same instrument",
    Reason.OVER_MASTER_LIMIT: "the order is larger than guards.max_master_order_usd allows",
    Reason.EQUITY_UNKNOWN: "the follower's equity could not be read in time",
    Reason.MASTER_EQUITY_UNKNOWN: "the master's equity before its order is not known, so nothing can be scaled",
    Reason.ENTRY_EXPIRED: "the entry is older than copy.entry_ttl_s",
    Reason.PRICE_MOVED: "the price has moved further than copy.max_slippage from the master's",
    Reason.PRICE_UNKNOWN: "no fresh price to check copy.max_slippage against",
    Reason.WAITS_FOR_MARKETS: "waits for the list of markets of the follower's venue",
    Reason.WAITS_FOR_EQUITY: "waits for a fresh equity of the follower",
    Reason.WAITS_FOR_FILLS: "waits for the fills of the follower's earlier orders",
    Reason.FAILOVER: "the user's first account cannot take the entry now, so it goes to the next one",
    Reason.MASTER_CANCELLED: "the master has cancelled its order",
    Reason.MASTER_AMENDED: "the master has changed its order, and another copy takes this one's place",
    Reason.MASTER_FILLED: "the master's order has filled and this copy has not",
    Reason.EXIT_FIRST: "an exit needs what this order would have sold",
    Reason.PROFIT_REACHED: "the price is at the profit: the stop is taken back and the rest sold",
    Reason.NOTHING_MISSING: "the copy has filled as far as the master's order has",
    Reason.MAKES_WAY: "the venue refuses an entry beside this order; it is placed again behind the entry",
    Reason.RESTS_AGAIN: "placed again: the venue had ended it, or it made way, and the master's order rests on",
    Reason.GONE_BY_HAND: "what was copied is no longer at the venue: its owner has sold it or taken it away",
    Reason.KILL_SWITCH: "the kill switch is on",
    Reason.LEDGER_FAILED: "the ledger cannot be written, so nothing may be sent",
    Reason.LANE_FULL: "too many orders are waiting for this account",
    Reason.SHUTTING_DOWN: "the service is stopping",
    Reason.GAVE_UP: "given up by the operator",
    Reason.INSUFFICIENT_FUNDS: "the venue says the funds do not suffice",
    Reason.INVALID_ORDER: "the venue says the order is not valid",
    Reason.RATE_LIMITED: "the venue's rate limit is reached",
    Reason.MARKET_CLOSED: "the market does not take such orders now",
    Reason.DEADLINE_ELAPSED: "the order arrived after its deadline, and the venue dropped it",
    Reason.DUPLICATE_ID: "the venue already has an order under this id",
    Reason.POST_ONLY_WOULD_FILL: "the post-only order would have filled at once",
    Reason.BAD_NONCE: "the venue keeps refusing our nonces (is another program using this API key?)",
    Reason.BAD_KEY: "the venue rejects the API key or its signature",
    Reason.NO_PERMISSION: "the API key lacks a permission",
    Reason.LOCKED_OUT: "the venue has locked this key out for a while",
    Reason.VENUE_UNREACHABLE: "the venue cannot be reached; nothing was sent",
    Reason.VENUE_REFUSED: "the venue refused the order",
    Reason.OPPOSITE_ORDER: "the venue does not take it beside an open order on the other side of the same market",
    Reason.SIZED_BY_RATIO: "scaled by the ratio of equities",
    Reason.CAPPED_BY_RISK: "capped by max_user_risk",
    Reason.CAPPED_BY_CASH: "capped by free cash",
    Reason.CAPPED_BY_MAX_ORDER: "capped by max_order",
    Reason.CAPPED_BY_EXPOSURE: "capped by max_exposure",
    Reason.ROUNDED_UP: "rounded up to the venue's minimum, within the cap",
    Reason.CATCHING_UP: "what a resting copy lacked when the master's order had come to its end",
    Reason.FRACTION_OF_POSITION: "the master's share of its position, applied to the copied one",
    Reason.WHOLE_POSITION: "the whole copied position",
    Reason.BY_OPERATOR: "asked for by the operator",
    Reason.MASTER_ORDER: "the master's own order",
}

if missing := set(Reason) - set(_TEXTS):  # a reason without words would reach an operator as a riddle
    raise AssertionError(f"reasons without a text: {sorted(missing)}")
