"""Which order a task is about, for every line that is logged on its behalf, whoever writes it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

_NOTHING: Mapping[str, str] = {}
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)


def concerning(account: str, order_id: str, signal_id: str = "") -> None:
    """From here on this task is about this order. Each lane is a task, so no other's lines are touched."""
    _about.set({"account": account, "order_id": order_id, "signal_id": signal_id})


def ids() -> Mapping[str, str]:
    """`account`, `order_id` and `signal_id` of what the present task is about; empty values are left out."""
    return {name: value for name, value in _about.get().items() if value}
