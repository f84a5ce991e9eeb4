"""Which API key belongs to which account, by the names of environment variables.

The master's: `<VENUE>_API_KEY/_SECRET`, at Kraken also `KRAKEN_MASTER_API_KEY/_SECRET`, which wins. A
follower's: `<VENUE>_USER_<WHOLE ID>_…`, or, as long as only one follower could be meant,
`<VENUE>_USER_<NAME>_…` with the part of its id before the first underscore. No text of a secret is in any
message.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .faults import Fault
from .fields import VENUES, Venue
from .secret import Secret
from .users import User

_PLACE = "environment or .env"


@dataclass(frozen=True, slots=True)
class Credentials:
    """One account's key. `passphrase` is OKX's alone."""

    api_key: Secret
    api_secret: Secret
    passphrase: Secret | None = None

    def secrets(self) -> tuple[Secret, ...]:
        return tuple(part for part in (self.api_key, self.api_secret, self.passphrase) if part is not None)


@dataclass(frozen=True, slots=True)
class Missing:
    """What would have to be set. `begun` tells a half-set key from an account without one."""

    names: tuple[str, ...]
    begun: bool = False

    def __str__(self) -> str:
        return f"set {' and '.join(self.names)} in the environment or .env"


@dataclass(frozen=True, slots=True)
class CredentialSet:
    """Every account's credentials, or what is missing; and the faults that leave an account in doubt."""

    by_account: Mapping[str, Credentials | Missing]
    faults: tuple[Fault, ...] = ()

    def of(self, account: str) -> Credentials | Missing:
        return self.by_account[account]

    def secrets(self) -> tuple[Secret, ...]:
        """All of them, for the redactor."""
        return tuple(
            secret for found in self.by_account.values() if isinstance(found, Credentials) for secret in found.secrets()
        )


def whole_prefix(venue: Venue, user_id: str) -> str:
    """The prefix that always names this follower: `KRAKEN_USER_ALICE_SMITH`."""
    return f"{venue.upper()}_USER_{user_id.upper().replace('-', '_')}"


def short_prefix(venue: Venue, user_id: str) -> str:
    """The prefix by the part of the id before the first underscore: `KRAKEN_USER_ALICE`."""
    return whole_prefix(venue, user_id.split("_", 1)[0] or user_id)


def resolve(users: Iterable[User], secrets: Mapping[str, Secret]) -> CredentialSet:
    """Credentials of the five master accounts and of every follower's account.

    Disabled followers count when names clash: a key set for a follower who left must not go to one who came.
    """
    faults: list[Fault] = []
    by_account: dict[str, Credentials | Missing] = {}
    users = tuple(users)
    for venue in VENUES:
        prefixes = ("KRAKEN_MASTER", "KRAKEN") if venue == "kraken" else (venue.upper(),)
        chosen = next((prefix for prefix in prefixes if _begun(prefix, secrets)), prefixes[0])
        by_account[f"{venue}:master"] = _take(venue, chosen, secrets, faults)
        group = [user for user in users if user.broker_type == venue]
        for user, prefix in _prefixes(venue, group, secrets, faults):
            by_account[user.account] = _take(venue, prefix, secrets, faults)
    faults += _shared_keys(by_account)
    return CredentialSet(by_account, tuple(faults))


def _begun(prefix: str, secrets: Mapping[str, Secret]) -> bool:
    return any(f"{prefix}_API_{part}" in secrets for part in ("KEY", "SECRET", "PASSPHRASE"))


def _prefixes(
    venue: Venue, group: list[User], secrets: Mapping[str, Secret], faults: list[Fault]
) -> list[tuple[User, str]]:
    """The prefix that holds for each follower of a venue; a fault where one could mean two of them."""
    claims: dict[str, list[User]] = {}
    for user in group:
        for prefix in {whole_prefix(venue, user.user_id), short_prefix(venue, user.user_id)}:
            claims.setdefault(prefix, []).append(user)
    in_doubt: set[str] = set()
    for prefix, claimants in claims.items():
        if len(claimants) < 2 or not _begun(prefix, secrets):
            continue
        owners = [user for user in claimants if whole_prefix(venue, user.user_id) == prefix]
        settled = all(user in owners or _begun(whole_prefix(venue, user.user_id), secrets) for user in claimants)
        if not settled or len(owners) > 1:
            in_doubt.update(user.user_id for user in claimants)
            faults.append(_clash(venue, prefix, claimants, same_whole_id=len(owners) > 1))
    chosen = []
    for user in group:
        whole, short = whole_prefix(venue, user.user_id), short_prefix(venue, user.user_id)
        only_one = len(claims[short]) == 1
        prefix = short if only_one and _begun(short, secrets) and not _begun(whole, secrets) else whole
        if user.user_id in in_doubt:
            prefix = ""  # nothing is set under it: in doubt, an account has no key
        elif only_one and not _begun(whole, secrets):
            prefix = short
        chosen.append((user, prefix))
    return chosen


def _clash(venue: Venue, prefix: str, claimants: list[User], *, same_whole_id: bool) -> Fault:
    ids = " and ".join(sorted(f'"{user.user_id}"' for user in claimants))
    if same_whole_id:
        remedy = "Give one of them another user_id: their variables have the same name"
    else:
        wanted = sorted(f"{whole_prefix(venue, user.user_id)}_API_KEY" for user in claimants)
        remedy = f"Use whole ids for all of them: {', '.join(wanted)}, and the same with _SECRET"
    return Fault(_PLACE, 0, f"{prefix}_API_KEY", f"could belong to {ids}", remedy)


def _take(venue: Venue, prefix: str, secrets: Mapping[str, Secret], faults: list[Fault]) -> Credentials | Missing:
    parts = ("KEY", "SECRET", "PASSPHRASE") if venue == "okx" else ("KEY", "SECRET")
    names = [f"{prefix}_API_{part}" for part in parts]
    absent = tuple(name for name in names if name not in secrets)
    if absent:
        return Missing(absent, begun=len(absent) < len(names))
    found = []
    for name in names:
        value = clean(secrets[name].reveal())
        problem = _problem(venue, name, value)
        if problem:
            faults.append(Fault(_PLACE, 0, name, *problem))
        found.append(Secret(value))
    return Credentials(*found)


def clean(value: str) -> str:
    """Without the blanks and quotes that pasting leaves around it, and with a PEM block's lines."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()
    if value.startswith("-----BEGIN"):
        value = value.replace("\\r", "").replace("\\n", "\n").replace("\r", "")
    return value


def _problem(venue: Venue, name: str, value: str) -> tuple[str, str] | None:
    """(problem, remedy) of a value, without any of its text."""
    if not value:
        return "is empty once quotes are taken off", "Copy it from the venue again, or take the variable out"
    if value.startswith("-----BEGIN"):
        lines = value.splitlines()
        if len(lines) < 3 or not lines[-1].startswith("-----END"):
            return (
                "is not a complete PEM block",
                "Copy all lines from -----BEGIN to -----END, in double quotes",
            )
        return None
    if not value.isascii() or not value.isprintable() or " " in value:
        if name.endswith("_PASSPHRASE") and value.isprintable():
            return None  # the owner chose it
        return (
            "holds a blank, a line break or another character that no key has",
            "Copy it from the venue again",
        )
    if venue == "kraken" and name.endswith("_SECRET"):
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return (
                "is not base64, as every Kraken secret is",
                "Copy the private key from Kraken again, to its last =",
            )
    return None


def _shared_keys(by_account: Mapping[str, Credentials | Missing]) -> list[Fault]:
    """Two accounts with one key would trade twice on it and refuse each other's nonces."""
    first: dict[Secret, str] = {}
    faults = []
    for account, found in by_account.items():
        if isinstance(found, Credentials):
            other = first.setdefault(found.api_key, account)
            if other != account:
                remedy = "Give each account a key of its own"
                faults.append(Fault(_PLACE, 0, "", f"{other} and {account} have the same API key", remedy))
    return faults
