"""Changes of orders on their way to whoever listens: the hub, and what a venue says to one listener.

The books publish every change under the venue's lock. A `Subscription` keeps copies of what it was told until the
server takes them, so that a change shows the order as it was then, not as it is by the time it is sent.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from copytrade.simulator.orders import Fill, Order

# An account that trades as fast as its venue allows makes some tens of changes a second; a listener that is this
# many behind has stopped reading.
WAITING_MAX = 1_000


class Ping(bytes):
    """A ping frame, for a venue that asks whether the client is still there."""


Message = str | bytes
"""One WebSocket message: text, or binary where the venue sends binary frames."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to an order, with a copy of it right after.

    `event` is `new` (accepted), `triggered` (the price reached its stop), `fill` (one trade; with the last one the
    order shows as closed already), `amended` or `closed` (filled, cancelled or expired: its status says which; after
    the last fill it comes as well).
    """

    event: str
    order: Order
    fill: Fill | None
    time_s: float


class Subscription:
    """The changes of one account that its listener has not taken yet. Full, it is `overflowed` and takes no more."""

    def __init__(self, account: str, waiting_max: int = WAITING_MAX) -> None:
        self.account = account
        self.overflowed = False
        self._waiting: deque[Change] = deque()
        self._waiting_max = waiting_max

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, change: Change) -> None:
        """Keep a change for the listener."""
        if len(self._waiting) >= self._waiting_max:
            self.overflowed = True
        else:
            self._waiting.append(change)

    def take(self) -> list[Change]:
        """Everything since the last time, the oldest first."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


class Streams:
    """Who listens to which account. Used under the venue's lock."""

    def __init__(self) -> None:
        self._by_account: dict[str, list[Subscription]] = {}

    def subscribe(self, account_name: str) -> Subscription:
        """Listen to an account from now on, until `unsubscribe`."""
        subscription = Subscription(account_name)
        self._by_account.setdefault(account_name, []).append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Listen no more; twice does no harm."""
        listeners = self._by_account.get(subscription.account, [])
        if subscription in listeners:
            listeners.remove(subscription)
        if not listeners:
            self._by_account.pop(subscription.account, None)

    def listeners(self) -> dict[str, int]:
        """How many listen, by account."""
        return {account: len(listeners) for account, listeners in self._by_account.items()}

    def publish(
        self, event: str, order: Order, time_s: float, fill: Fill | None = None, status: str | None = None
    ) -> None:
        """Tell the listeners of an order's account, unless the order is hidden; `status` stands in for its own."""
        listeners = self._by_account.get(order.request.account)
        if not listeners or order.visible_at_s > time_s:
            return
        shown = copy.copy(order)
        shown.fills = list(order.fills)
        if status is not None:
            shown.status = status
        change = Change(event, shown, fill, time_s)
        for subscription in listeners:
            subscription.put(change)


class StreamEnd(Exception):
    """The venue closes the connection: first it sends `messages`, then it closes with this code and reason."""

    def __init__(self, code: int, reason: str = "", messages: Sequence[Message] = ()) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
        self.messages = messages


class StreamSession(ABC):
    """One connection to a venue's private stream, as the venue's protocol sees it: no socket, no waiting.

    The server calls it under the venue's lock, after `advance`. Setting `account` subscribes the connection to that
    account's changes from that moment on, so a snapshot given in the same answer has no gap; None ends it. Any call
    may raise `StreamEnd`.
    """

    account: str | None = None

    def opened(self, now_s: float) -> Sequence[Message]:
        """What the venue says first."""
        return ()

    @abstractmethod
    def received(self, message: Message, now_s: float) -> Sequence[Message]:
        """The venue's answer to what the client said."""

    @abstractmethod
    def changed(self, change: Change) -> Sequence[Message]:
        """How the venue tells of a change of an order of the account."""

    def tick(self, now_s: float) -> Sequence[Message]:
        """What is due without a cause (a heartbeat); called some twenty times a second."""
        return ()
