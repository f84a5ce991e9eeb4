"""What is open, found by account as well: no question about one account has to go through everybody's.

Both are dictionaries like any other, and each account's part is in the order of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, TypeVar

from copytrade.domain.account import AccountId
from copytrade.domain.money import Quantity

_NONE: Mapping[Any, Any] = MappingProxyType({})


class _Owned(Protocol):
    @property
    def account(self) -> AccountId: ...


R = TypeVar("R", bound=_Owned)


class _NoOtherWays:
    """The ways of changing a dictionary that would leave the accounts behind. The fold needs none of them."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is changed one entry at a time, by `[...] =`, `del` and `pop`")

    clear = popitem = setdefault = update = __ior__ = _refuse


class OpenOrders(_NoOtherWays, dict[str, R]):
    """Open orders by their id. The account of an order never changes."""

    __slots__ = ("_by_account",)

    def __init__(self) -> None:
        super().__init__()
        self._by_account: dict[AccountId, dict[str, R]] = {}

    def of(self, account: AccountId) -> Sequence[R]:
        """Those of one account."""
        return tuple(self._by_account.get(account, _NONE).values())

    def __setitem__(self, order_id: str, record: R) -> None:
        if order_id in self:
            del self[order_id]
        super().__setitem__(order_id, record)
        self._by_account.setdefault(record.account, {})[order_id] = record

    def __delitem__(self, order_id: str) -> None:
        record = self[order_id]
        super().__delitem__(order_id)
        mine = self._by_account[record.account]
        del mine[order_id]
        if not mine:
            del self._by_account[record.account]

    def pop(self, order_id: str, *default: Any) -> Any:
        if order_id not in self and default:
            return default[0]
        record = self[order_id]
        del self[order_id]
        return record


class Positions(_NoOtherWays, dict[tuple[AccountId, str], Quantity]):
    """Copied positions (the master's: what its orders here have built) by account and symbol."""

    __slots__ = ("_by_account",)

    def __init__(self) -> None:
        super().__init__()
        self._by_account: dict[AccountId, dict[str, Quantity]] = {}

    def of(self, account: AccountId) -> Mapping[str, Quantity]:
        """Those of one account by symbol. As they are now: copy them to keep them."""
        return self._by_account.get(account, _NONE)

    def __setitem__(self, key: tuple[AccountId, str], quantity: Quantity) -> None:
        super().__setitem__(key, quantity)
        account, symbol = key
        self._by_account.setdefault(account, {})[symbol] = quantity

    def __delitem__(self, key: tuple[AccountId, str]) -> None:
        super().__delitem__(key)
        account, symbol = key
        mine = self._by_account[account]
        del mine[symbol]
        if not mine:
            del self._by_account[account]

    def pop(self, key: tuple[AccountId, str], *default: Any) -> Any:
        if key not in self and default:
            return default[0]
        quantity = self[key]
        del self[key]
        return quantity
