"""A self-hosted service that copies a master account's trades to its followers' own accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from copytrade.console.trading import execute_master_trade

__all__ = ["execute_master_trade"]


def __getattr__(name: str) -> object:
    """`from copytrade import execute_master_trade`, without making every import of the package pay for it."""
    if name == "execute_master_trade":
        from copytrade.console.trading import execute_master_trade

        return execute_master_trade
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
