"""Who takes part in a world of kills: a master, its followers, their accounts; and what their venues are like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

MASTER = "master"
MASTER_USD = "10000"


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """What a test has to know of a venue.

    `step`: the lot step of the market; less than that cannot be sold and may be left over. `fees_in_base`: a purchase
    brings less than it bought. `once_only`: a client order id that was used is never taken for a second order, so a
    repeat without a look-up is answered as the same order. `dust_steps`: fewer lot steps than that may be left over
    where fees are not told and are reckoned too high. `buy_min`: what a purchase must cost at
    least. `settings`: the shortest waits that prove absence.
    """

    symbol: str
    currency: str
    step: Decimal
    place: str
    settings: str
    fees_in_base: bool = False
    once_only: bool = False
    dust_steps: int = 1
    buy_min: Decimal = Decimal(0)


# Kraken: a look-up proves absence 2.5 + 0.1 + 0.3 s after the worker's start.
VENUES = {
    "kraken": VenueFacts(
        "BTC/USD", "USD", Decimal("1E-8"), "AddOrder",
        "tier: pro, order_deadline_s: 2, clock_skew_max_s: 0.1, absence_settle_s: 0.3, request_timeout_s: 2",
    ),
    "okx": VenueFacts(
        "BTC/USDT", "USDT", Decimal("1E-8"), "POST /trade/order",
        "order_deadline_s: 1, clock_skew_max_s: 0.1, absence_settle_s: 0.3, request_timeout_s: 2",
        fees_in_base=True,
    ),
    "binance": VenueFacts(
        "BTC/USDT", "USDT", Decimal("1E-5"), "POST /api/v3/order",
        "order_deadline_s: 1, clock_skew_max_s: 0.1, absence_settle_s: 0.3, request_timeout_s: 2",
        fees_in_base=True,
    ),
    "coinbase": VenueFacts(
        "BTC/USD", "USD", Decimal("1E-8"), "create_order",
        "token_life_s: 2, clock_skew_max_s: 0.1, absence_settle_s: 0.3, request_timeout_s: 2",
        once_only=True,
    ),
    "alpaca": VenueFacts(
        "BTC/USD", "USD", Decimal("1E-9"), "POST /v2/orders",
        "late_order_s: 2, late_exit_s: 1, clock_skew_max_s: 0.1, request_timeout_s: 2",
        fees_in_base=True, once_only=True, dust_steps=8, buy_min=Decimal(10),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seat:
    """One account: a user's (or the master's) at one venue."""

    user: str
    venue: str
    money: str

    @property
    def account(self) -> str:
        return f"{self.venue}:{self.user}"

    @property
    def facts(self) -> VenueFacts:
        return VENUES[self.venue]

    @property
    def variables(self) -> str:
        """How the environment variables with its credentials begin."""
        if self.user == MASTER:
            return "KRAKEN_MASTER" if self.venue == "kraken" else self.venue.upper()
        return f"{self.venue.upper()}_USER_{self.user.upper()}"


@dataclass(frozen=True, slots=True)
class Member:
    """One follower, with an account of `money` at each of `venues`."""

    user: str
    money: str
    venues: tuple[str, ...]
    enabled: bool = True
    failover: bool = False

    @property
    def seats(self) -> list[Seat]:
        return [Seat(self.user, venue, self.money) for venue in self.venues]

    def entries(self) -> list[dict[str, Any]]:
        """Its lines in a user file."""
        more = {"prefer": list(self.venues), "failover": self.failover} if len(self.venues) > 1 else {}
        return [
            {
                "user_id": self.user, "name": self.user, "account_type": "retail", "broker_type": venue,
                "enabled": self.enabled, "description": "", **more,
            }
            for venue in self.venues
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody in a world."""

    master: str
    members: tuple[Member, ...]

    @property
    def seats(self) -> list[Seat]:
        return [Seat(MASTER, self.master, MASTER_USD), *(seat for member in self.members for seat in member.seats)]

    @property
    def venues(self) -> list[str]:
        return sorted({seat.venue for seat in self.seats})

    @property
    def symbol(self) -> str:
        """What the master trades."""
        return VENUES[self.master].symbol

    def seat(self, user: str, venue: str | None = None) -> Seat:
        """A user's account; the first, unless a venue is named."""
        return next(seat for seat in self.seats if seat.user == user and venue in (None, seat.venue))

    def settings(self) -> str:
        """The settings file."""
        lines = ["mode: live", f"master: {{strategy: none, venue: {self.master}}}", "copy:", "  entry_ttl_s: 600"]
        if len({VENUES[venue].currency for venue in self.venues}) > 1:
            lines.append("  stand_ins: {USD: [USDC, USDT], USDT: [USDC, USD]}")
        return "\n".join([*lines, "venues:", *(f"  {v}: {{{VENUES[v].settings}}}" for v in self.venues)]) + "\n"


# The smallest is about the least that makes an order at every venue: Alpaca wants ten dollars.
FOLLOWERS = {"alice_smith": "1000", "bob_jones": "500", "carol_white": "150"}
NOT_ENABLED = "dave_brown"


def all_at(venue: str) -> Cast:
    """A master and three followers at one venue, and one follower who is not enabled."""
    members = [Member(user, money, (venue,)) for user, money in FOLLOWERS.items()]
    return Cast(venue, (*members, Member(NOT_ENABLED, "1000", (venue,), enabled=False)))


def mixed(master: str) -> Cast:
    """A master with one follower at every venue, its own among them, and one who is not enabled."""
    users = ("alice_smith", "bob_jones", "carol_white", "erin_black", "frank_green")
    money = ("1000", "500", "100", "2000", "750")
    members = [Member(user, amount, (venue,)) for user, amount, venue in zip(users, money, VENUES, strict=True)]
    return Cast(master, (*members, Member(NOT_ENABLED, "1000", ("okx",), enabled=False)))


def with_two_accounts(master: str, *venues: str) -> Cast:
    """Alice has an account at each of `venues` and wants failover; Bob has one where the master is."""
    alice = Member("alice_smith", "1000", venues, failover=True)
    bob = replace(alice, user="bob_jones", venues=(master,), failover=False)
    return Cast(master, (alice, bob, Member(NOT_ENABLED, "1000", (master,), enabled=False)))


KRAKEN = all_at("kraken")
