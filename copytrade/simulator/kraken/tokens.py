"""Tokens of GetWebSocketsToken: whose they are and how long they may still be used.

Source: docs.kraken.com, "WebSocket authentication": a token has to be used within 15 minutes; a connection that
has subscribed with it goes on for as long as it lasts.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from copytrade.simulator.ids import bytes_for
from copytrade.simulator.kraken.keys import ApiKey

TOKEN_EXPIRES_S = 900
TOKENS_MAX = 20_000  # two for each of ten thousand keys; then the oldest is forgotten


@dataclass(frozen=True, slots=True)
class Token:
    """One token."""

    api_key: ApiKey
    issued_s: float


class Tokens:
    """The tokens a venue gave out. They do not survive a restart of the venue."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._given = 0
        self._tokens: dict[str, Token] = {}

    def issue(self, api_key: ApiKey, now_s: float) -> str:
        """A new token for a key."""
        self._given += 1
        text = base64.b64encode(bytes_for(self._seed, "token", self._given, size=32)).decode()
        self._tokens[text] = Token(api_key, now_s)
        if len(self._tokens) > TOKENS_MAX:
            del self._tokens[next(iter(self._tokens))]
        return text

    def find(self, text: str, now_s: float) -> Token | None:
        """The token, unless it is unknown or too old."""
        token = self._tokens.get(text)
        return None if token is None or now_s - token.issued_s > TOKEN_EXPIRES_S else token
