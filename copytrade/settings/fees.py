"""How statements are reckoned."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .fields import Section, exact


class FeeSettings(Section):
    """What `statement` charges and how it counts. Nothing is booked or paid anywhere: a statement is a reckoning."""

    performance: Annotated[Decimal, BeforeValidator(exact), Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        default=Decimal(0),
        description="Share of the gain above the high-water mark that is due as a fee (0.20 is 20 %); 0: none.",
    )
    period: Literal["month", "quarter", "year"] = Field(default="month", description="How often it falls due.")
    cost_method: Literal["average", "fifo"] = Field(
        default="average", description="What a sale sells: every unit at average cost, or the oldest first."
    )
