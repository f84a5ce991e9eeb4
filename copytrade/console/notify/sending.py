"""Sends notices to one address, in a thread of its own: whoever has something to tell never waits for it."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

from copytrade.console.notify.notices import Level, Notice

log = logging.getLogger("copytrade.notify")

WAITING_MAX = 2_000  # a night of a venue's trouble; the oldest are dropped, and counted
DIGEST_OVER = 5  # so many that wait are sent as one message
LINES_MAX = 60  # of one message; chats refuse long ones
LINE_CHARACTERS_MAX = 400
# Six minutes in all: over a mail server's restart, not over its end.
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 120.0)
_CLOSE_S = 5.0  # at a stop, for what has just happened to go out

Deliver = Callable[[str, str, Level], bool]
"""Title, text, level: True when the other side has taken it. May block; raises nothing but what is a fault."""


class Outbox:
    """The queue of one address, and the thread that empties it. `name` is for logs: the address itself is a secret."""

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        digest_s: float = 0.0,
        retry_s: tuple[float, ...] = RETRY_S,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._digest_s = digest_s
        self._retry_s = retry_s
        self._redact = redact
        self._waiting: deque[Notice] = deque()
        self._news = threading.Condition()
        self._closing = False
        self.sent = self.failed = self.dropped = 0
        self._unseen = 0  # dropped since the last message
        self._thread = threading.Thread(target=self._run, name=f"notify {name}", daemon=True)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        self._thread.start()

    def put(self, notice: Notice) -> None:
        """Queue it; never waits for the address. When the queue is full the oldest one makes room."""
        with self._news:
            if len(self._waiting) >= WAITING_MAX:
                self._waiting.popleft()
                self.dropped += 1
                self._unseen += 1
            self._waiting.append(notice)
            self._news.notify()

    def close(self) -> None:
        """Send what waits, without further attempts, for a few seconds at most."""
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            notices, unseen = self._next()
            if not notices:
                return
            if self._send(*_message(notices, unseen)):
                self.sent += len(notices)
            else:
                self.failed += len(notices)
                log.error("%s: %d messages could not be delivered and are given up", self._name, len(notices))

    def _next(self) -> tuple[list[Notice], int]:
        """What goes into the next message: one notice, or many when they are gathered or have piled up."""
        with self._news:
            while not self._waiting and not self._closing:
                self._news.wait()
            if self._waiting and self._digest_s:
                until = time.monotonic() + self._digest_s
                while not self._closing and (left_s := until - time.monotonic()) > 0:
                    self._news.wait(left_s)
            together = bool(self._digest_s) or len(self._waiting) > DIGEST_OVER or self._closing
            notices = [self._waiting.popleft() for _ in range(len(self._waiting) if together else 1) if self._waiting]
            unseen, self._unseen = self._unseen, 0
        return notices, unseen

    def _send(self, title: str, text: str, level: Level) -> bool:
        for pause_s in (*self._retry_s, None):
            try:
                if self._deliver(self._redact(title), self._redact(text), level):
                    return True
                trouble = "it was not taken"
            except Exception as error:  # whatever a library for a hundred services may raise
                trouble = f"{type(error).__name__}: {error}"
            if pause_s is None or self._closing:
                break
            log.warning("%s: a message could not be delivered (%s); again in %g s", self._name, trouble, pause_s)
            with self._news:
                self._news.wait_for(lambda: self._closing, pause_s)
        return False


def _message(notices: list[Notice], unseen: int) -> tuple[str, str, Level]:
    """Title, text and level of one message."""
    level = max(notice.level for notice in notices)
    longest = LINE_CHARACTERS_MAX if len(notices) > 1 else 10 * LINE_CHARACTERS_MAX
    lines = [notice.text[:longest] for notice in notices[:LINES_MAX]]
    if len(notices) > LINES_MAX:
        lines.append(f"... and {len(notices) - LINES_MAX} more; see the console or the log")
    if unseen:
        lines.append(f"{unseen} older messages were dropped: too many were waiting")
    title = f"copytrade: {notices[0].event.replace('_', ' ')}"
    if len(notices) > 1:
        title = f"copytrade: {len(notices)} messages"
    return title, "\n".join(lines), level


def apprise_delivery(url: str) -> Deliver | None:
    """What sends to an address in Apprise's spelling; None for one that Apprise does not know."""
    # With the first address Apprise imports a hundred services: 0.4 s and 25 MB, for those who are told anything. What
    # some of them say of their own imports concerns nobody here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise

        asset = apprise.AppriseAsset(app_id="copytrade", app_desc="copytrade", app_url="", secure_logging=True)
        service = apprise.Apprise(asset=asset)
        if not service.add(url):
            return None
    kinds: dict[Level, Any] = {
        Level.INFO: apprise.NotifyType.INFO, Level.WARNING: apprise.NotifyType.WARNING,
        Level.ERROR: apprise.NotifyType.FAILURE,
    }  # fmt: skip

    def deliver(title: str, text: str, level: Level) -> bool:
        return bool(
            service.notify(title=title, body=text, notify_type=kinds[level], body_format=apprise.NotifyFormat.TEXT)
        )

    return deliver
