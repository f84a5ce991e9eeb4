"""OKX's rate limits: so many requests in two seconds, by user, by user and instrument, or by address.

Source: the "Rate Limit" line of each call's page of the v5 documentation.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 2.0
SCOPES_MAX = 100_000  # then the counts begin afresh: a client that invents addresses cannot fill the memory

USER = "user"
USER_INSTRUMENT = "user and instrument"
ADDRESS = "address"

CANCEL_ALGOS = "POST /trade/cancel-algos"  # a list that counts as one request
# method: (requests in two seconds, counted by)
LIMITS: dict[str, tuple[int, str]] = {
    "POST /trade/order": (60, USER_INSTRUMENT),
    "POST /trade/batch-orders": (300, USER_INSTRUMENT),
    "POST /trade/cancel-order": (60, USER_INSTRUMENT),
    "POST /trade/cancel-batch-orders": (300, USER_INSTRUMENT),
    "POST /trade/amend-order": (60, USER_INSTRUMENT),
    "POST /trade/cancel-all-after": (2, USER),
    "POST /trade/order-algo": (20, USER_INSTRUMENT),
    CANCEL_ALGOS: (20, USER_INSTRUMENT),
    "POST /trade/amend-algos": (20, USER_INSTRUMENT),
    "GET /trade/order-algo": (20, USER),
    "GET /trade/orders-algo-pending": (20, USER),
    "GET /trade/orders-algo-history": (20, USER),
    "GET /trade/order": (60, USER_INSTRUMENT),
    "GET /trade/orders-pending": (60, USER),
    "GET /trade/orders-history": (40, USER),
    "GET /trade/orders-history-archive": (20, USER),
    "GET /trade/fills": (60, USER),
    "GET /trade/fills-history": (10, USER),
    "GET /account/balance": (10, USER),
    "GET /account/config": (5, USER),
    "GET /account/instruments": (20, USER),
    "GET /account/trade-fee": (5, USER),
    "GET /asset/balances": (12, USER),
    "GET /asset/currencies": (12, USER),
    "GET /public/time": (20, ADDRESS),
    "GET /public/instruments": (20, ADDRESS),
    "GET /market/ticker": (20, ADDRESS),
    "GET /market/tickers": (20, ADDRESS),
    "GET /market/candles": (40, ADDRESS),
    "GET /market/history-candles": (20, ADDRESS),
    "GET /market/books": (40, ADDRESS),
    "GET /market/trades": (100, ADDRESS),
}
# New and amended orders of one (sub-)account in two seconds; over it the code is 50061.
ACCOUNT_ORDERS = 1_000


class Windows:
    """Requests of the last two seconds, by scope."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], deque[float]] = {}

    def allows(self, scope: tuple[str, ...], most: int, now_s: float, count: int = 1) -> bool:
        """Count `count` requests and say True, or say False and count nothing."""
        if len(self._seen) >= SCOPES_MAX:
            self._seen.clear()
        seen = self._seen.setdefault(scope, deque())
        while seen and now_s - seen[0] >= WINDOW_S:
            seen.popleft()
        if len(seen) + count > most:
            return False
        seen.extend([now_s] * count)
        return True
