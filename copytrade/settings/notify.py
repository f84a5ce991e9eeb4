"""The settings of what the operator is told by itself: regular checks and notifications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from .fields import Seconds, Section, Switch, Whole

NOTIFY_PREFIX = "NOTIFY_"
_SECRET_WORDS = ("pass", "token", "key", "secret")
NotifyEvent = Literal[
    "fills", "failures", "parked", "held", "drift", "limits", "kill_switch", "venue", "check", "daily", "other"
]
FollowerName = Annotated[str, Field(strict=True, pattern=r"^([a-z]+:)?[a-z0-9][a-z0-9_-]{0,63}$")]


class CheckSettings(Section):
    """The check of all accounts that the running worker makes by itself. It tells only what is new."""

    at_start: Switch = Field(default=True, description="Check half a minute after a start.")
    every_hours: Seconds = Field(default=24.0, ge=0, le=720, description="And again in so many hours; 0: never.")


class NotifyTarget(Section):
    """Where messages go, and which. Written as a list: `notify: [{url_env: NOTIFY_OPS, level: warning}]`."""

    url_env: Annotated[str, Field(strict=True, pattern=r"^NOTIFY_[A-Z0-9_]{1,60}$")] = Field(
        description="The name of a variable in the environment or `.env` that holds the address, as Apprise writes it: "
        "`mailtos://…`, `jsons://…`, `tgram://…`, `discord://…`, `slack://…`. It holds a secret, so it is never here."
    )
    level: Literal["info", "warning", "error"] = Field(
        default="warning",
        description="The least that is told. Fills and the daily summary are `info`; to who names them in `events` "
        "they are told at any level.",
    )
    events: tuple[NotifyEvent, ...] = Field(
        default=(),
        description="Only these: `fills`, `failures`, `parked`, `held` (exits), `drift`, `limits`, `kill_switch`, "
        "`venue`, `check`, `daily`, `other`; empty for all.",
    )
    followers: tuple[FollowerName, ...] = Field(
        default=(),
        max_length=1000,
        description="What concerns one follower is told for these alone (`alice_smith` or `kraken:alice_smith`); empty "
        "for all. What concerns everybody is told anyway.",
    )
    fills: Literal["per_signal", "per_follower"] = Field(
        default="per_signal", description="One message a signal with the sum of its copies, or one for each fill."
    )
    digest_s: Seconds = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Messages are gathered for so long and sent as one; 0: at once, and gathered only when many come.",
    )
    daily_hour: Whole = Field(default=6, ge=0, le=23, description="When the daily summary is sent: the hour in UTC.")


def secret_parts(address: str) -> Iterator[str]:
    """The address, and each part of it that could be a token or a password, for the redactor.

    Which part is the secret differs by service: `discord://ID/TOKEN`, `tgram://TOKEN/CHAT`, `mailto://USER:PASSWORD@…`.
    """
    yield address
    parts = urlsplit(address)
    yield from (part for part in (parts.password, *parts.path.split("/")) if part)
    if "." not in parts.netloc:  # no host's name: then it is a token
        yield parts.netloc
    yield from (value for name, value in parse_qsl(parts.query) if any(word in name for word in _SECRET_WORDS))
