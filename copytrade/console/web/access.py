"""Who may come in: the console's token, the sessions it opens, and the brake on guessing.

The token is 256 random bits, so its SHA-256 is all that is kept and all that is needed: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

TOKEN_FILE = "console_token.json"  # noqa: S105  (a file's name; the token itself is in no file)
_PREFIX = "ct_"  # lets people and scanners of leaked secrets tell what it is
_TOKEN_BYTES = 32
_TOKEN_CHARACTERS_MAX = 200
SESSIONS_MAX = 100  # a handful of operators with a few browsers each; the oldest makes room

Seconds = Callable[[], float]


class TokenFile:
    """`state/console_token.json`: the hash of the token, for this user's eyes alone."""

    def __init__(self, state: Path) -> None:
        self.path = state / TOKEN_FILE

    def exists(self) -> bool:
        return self.path.exists()

    def renew(self) -> str:
        """Make a new token, keep its hash, and return the token: this is the only time anybody sees it.

        Sign-ins and sessions of the token before are over. Raises `OSError`.
        """
        token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        body = json.dumps({"sha256": _hash(token), "created_at": datetime.now(UTC).isoformat(timespec="seconds")})
        spare = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, body.encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(spare, self.path)
        return token

    def fingerprint(self) -> str | None:
        """The hash of the token in force; None when there is none, and then nobody can sign in."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) and len(found) == 64 else None

    def matches(self, token: str) -> bool:
        known = self.fingerprint()
        if known is None or not token or len(token) > _TOKEN_CHARACTERS_MAX:
            return False
        return hmac.compare_digest(_hash(token), known)


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. `fingerprint` is of the token that it was made with: a new token ends it."""

    who: str
    where: str
    ends_at_s: float
    fingerprint: str


class Sessions:
    """Open sign-ins, in memory: a restart of the worker ends them all."""

    def __init__(self, tokens: TokenFile, length_s: float, clock: Seconds) -> None:
        self._tokens = tokens
        self._length_s = length_s
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()

    def open(self, who: str, where: str) -> str:
        """A new session; returns what its cookie holds. The caller has checked the token."""
        value = secrets.token_urlsafe(_TOKEN_BYTES)
        fingerprint = self._tokens.fingerprint() or ""
        self._open[_hash(value)] = Session(who, where, self._clock() + self._length_s, fingerprint)
        while len(self._open) > SESSIONS_MAX:
            self._open.popitem(last=False)
        return value

    def find(self, value: str) -> Session | None:
        """The session of a cookie, unless it is over."""
        if not value or len(value) > _TOKEN_CHARACTERS_MAX:
            return None
        key = _hash(value)
        session = self._open.get(key)
        if session is None:
            return None
        if self._clock() >= session.ends_at_s or session.fingerprint != self._tokens.fingerprint():
            del self._open[key]
            return None
        return session

    def close(self, value: str) -> None:
        self._open.pop(_hash(value), None)


class Brake:
    """Slows down whoever gives wrong tokens: so many in so many seconds, by client and by all together.

    A right token is refused as well while the brake is on, or it would tell a guesser that it was right.
    """

    def __init__(self, clock: Seconds, each_max: int = 5, all_max: int = 50, window_s: float = 300.0) -> None:
        self._clock = clock
        self._each_max = each_max
        self._all_max = all_max
        self._window_s = window_s
        self._failures: deque[tuple[float, str]] = deque(maxlen=all_max)

    def wait_s(self, client: str) -> float:
        """How long this client has to wait; 0 when it may try."""
        now = self._clock()
        while self._failures and now - self._failures[0][0] >= self._window_s:
            self._failures.popleft()
        own = [at for at, who in self._failures if who == client]
        if len(own) >= self._each_max:
            return own[-self._each_max] + self._window_s - now
        if len(self._failures) >= self._all_max:
            return self._failures[0][0] + self._window_s - now
        return 0.0

    def failed(self, client: str) -> None:
        self._failures.append((self._clock(), client))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
