"""The limits of a follower: their forms, and the section with what everybody has who says nothing else.

A limit that trips is written as a figure, or as a block with what happens then:

    max_drawdown: 20%
    max_drawdown: {limit: 20%, action: flatten, rearm: by_hand}
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .fields import PositiveAmount, Section, Whole, exact

_PARTS = ("limit", "action", "rearm")
_ACTIONS = ("block", "flatten")
_REARMS = ("next_day", "by_hand")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
# No account of this service's size holds a trillion; a figure above it is a slip of the keyboard (as in fields.py).
_AMOUNT_MAX = Decimal(10) ** 12

Mode = Literal["active", "close_only", "paused", "disarmed"]


class LimitForm(BaseModel):
    """A limit that trips: an amount or a share, and what follows; None where the settings or the default say it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    amount: Decimal | None = None
    share: Decimal | None = None
    action: Literal["block", "flatten"] | None = None
    rearm: Literal["next_day", "by_hand"] | None = None


def _figure(value: Any, shares: bool, amounts: bool) -> tuple[Decimal | None, Decimal | None]:
    """Amount and share, one of them None. Raises `ValueError`."""
    example = "5%" if shares else "500"
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value)):
        if not shares:
            raise ValueError("must be an amount, not a share | Write it like 500")
        share = Decimal(found.group(1)) / 100
        if not 0 < share <= 1:
            raise ValueError(f"must be above 0 and at most 100 % | Write it like {example}")
        return None, share
    try:
        number = Decimal(exact(value))
    except ValueError:
        raise ValueError(f"must be a number | Write it like {example}") from None
    if not number.is_finite() or number <= 0 or number > _AMOUNT_MAX:
        raise ValueError(f"must be above 0 | Write it like {example}")
    if amounts:
        return number, None
    if number > 1:
        raise ValueError("must be a share of at most 1 | Write it like 0.20 or 20%")
    return None, number


def _whole(value: Any) -> Any:
    """User files are read with exact numbers, whole ones too."""
    if isinstance(value, Decimal) and value.is_finite() and abs(value) < 10_000 and value == int(value):
        return int(value)
    return value


def _form(value: Any, *, shares: bool, amounts: bool) -> Any:
    """Read a limit in either form. Raises `ValueError` with what to write instead."""
    if value is None or isinstance(value, LimitForm):
        return value
    if not isinstance(value, dict):
        amount, share = _figure(value, shares, amounts)
        return LimitForm(amount=amount, share=share)
    if unknown := sorted(str(key) for key in value.keys() - set(_PARTS)):
        raise ValueError(f"has no part {unknown[0]!r:.40} | Its parts are {', '.join(_PARTS)}")
    if "limit" not in value:
        raise ValueError("has no limit | Write it like {limit: 500, action: block, rearm: next_day}")
    amount, share = _figure(value["limit"], shares, amounts)
    for part, choices in (("action", _ACTIONS), ("rearm", _REARMS)):
        if value.get(part) is not None and value[part] not in choices:
            raise ValueError(f"{part} is {value[part]!r:.40} | Give one of {', '.join(choices)}")
    return LimitForm(amount=amount, share=share, action=value.get("action"), rearm=value.get("rearm"))


DailyLoss = Annotated[LimitForm, BeforeValidator(lambda value: _form(value, shares=True, amounts=True))]
Drawdown = Annotated[LimitForm, BeforeValidator(lambda value: _form(value, shares=True, amounts=False))]
Floor = Annotated[LimitForm, BeforeValidator(lambda value: _form(value, shares=False, amounts=True))]
Positions = Annotated[Whole, BeforeValidator(_whole), Field(ge=1, le=1000)]

DAILY_LOSS = "Lost since the day's first equity (UTC): an amount, or a share like `5%`."
DRAWDOWN = "Lost from the highest equity, payments in and out left aside: a share like `20%` or `0.20`."
FLOOR = "Equity under this amount."


class LimitSettings(Section):
    """What holds for every follower whose file says nothing else, in the account's quote currency. The last three trip:
    `block` stops entries, `flatten` also closes what was copied, until the next day (UTC) or `rearm USER`. They are
    written as a figure or as `{limit: 5%, action: block, rearm: next_day}`; what is left out is `block`, and `next_day`
    (for the drawdown `by_hand`)."""

    max_order: PositiveAmount | None = Field(default=None, description="An entry costs at most this.")
    max_exposure: PositiveAmount | None = Field(
        default=None, description="Copied positions are worth at most this together."
    )
    max_positions: Positions | None = Field(
        default=None, description="At most so many instruments are held at once; a new one is not begun."
    )
    max_daily_loss: DailyLoss | None = Field(default=None, description=DAILY_LOSS)
    max_drawdown: Drawdown | None = Field(default=None, description=DRAWDOWN)
    min_equity: Floor | None = Field(default=None, description=FLOOR)
