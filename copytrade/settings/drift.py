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
    by_hand: Literal["report", "write_off"] = Field(
        default="report",
        description="A follower's owner has sold or taken away what was copied: `report` tells it, and "
        "`reconcile USER --write-off` writes it off; `write_off` does that by itself once two readings of the balances "
        "at least a minute apart lack it. What is written off follows the master out no more, should it come back.",
    )
