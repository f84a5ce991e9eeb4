"""How drift is watched and repaired. Part of `copytrade.settings.model`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .fields import Seconds, Section


class DriftSettings(Section):
    """Drift: how far followers are from what the master's positions imply, and what is done about it."""

    every_s: Seconds = Field(
        default=300.0,
        ge=5,
        le=86_400,
        description="Every follower is looked at once in this time, evenly spread, and after each of the master's "
        "orders.",
    )
    repair: Literal["report", "repair_exits", "repair_all"] = Field(
        default="repair_exits",
        description="`repair_exits` sells what a follower still holds of a position the master has left, and places "
        "exits that a kill switch had held once it is lifted; `repair_all` also buys what is missing, within all caps "
        "and `copy.max_slippage`, except where it is missing by the operator's will; `report` does neither.",
    )
