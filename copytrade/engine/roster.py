"""Who is served: the master and the followers, each with terms, a client and a lane."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from copytrade.domain.account import AccountId, FollowerTerms, user_of
from copytrade.domain.reasons import Reason
from copytrade.engine.ports import AccountClient

AccountFactory = Callable[[AccountId], AccountClient]
"""Makes the client of an account from its credentials. Raises `Refused` when there are none."""


@dataclass(slots=True)
class Member:
    """One account that the service knows. `client` is set once it is connected, else `unreachable` says why not."""

    terms: FollowerTerms
    client: AccountClient | None = None
    unreachable: tuple[Reason, str] | None = (Reason.NOT_CONNECTED, "not connected yet")
    connecting: bool = True  # until the first attempt has ended; its lane waits for that
    left: bool = False  # no longer in the user files; kept while it holds a copied position


@dataclass(slots=True)
class Roster:
    """The master and every follower, in the order of the user files."""

    master: Member
    followers: dict[AccountId, Member] = field(default_factory=dict)
    _of_user: dict[str, list[AccountId]] = field(default_factory=dict, repr=False)
    _counted: int = 0

    def get(self, account: AccountId) -> Member | None:
        if account == self.master.terms.account:
            return self.master
        return self.followers.get(account)

    def of_user(self, user: str) -> Sequence[AccountId]:
        """A user's accounts, in the order of the user files."""
        if self._counted != len(self.followers):  # nobody is ever taken off the roster
            self._of_user.clear()
            for account in self.followers:
                self._of_user.setdefault(user_of(account), []).append(account)
            self._counted = len(self.followers)
        return self._of_user.get(user, ())

    def __iter__(self) -> Iterator[Member]:
        yield self.master
        yield from self.followers.values()
