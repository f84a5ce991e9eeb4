"""Reads the followers in `config/users/*.json`, strictly."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from .faults import Fault, faults_of, shown, suggestion
from .fields import VENUES, Amount, PositiveAmount, Share, Venue, exact
from .json_file import JsonList, NotANumber, read_json_list
from .limits import DAILY_LOSS, DRAWDOWN, FLOOR, DailyLoss, Drawdown, Floor, Mode, Positions

# Ids become file names, variable names and labels, so they keep to what all of those can carry.
_ID_PATTERN = r"[a-z0-9][a-z0-9_-]{0,63}"


def _user_id(value: str) -> str:
    if value == "master":
        raise ValueError("is reserved for the master account | Choose another user_id")
    return value


def _printable(value: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in value):
        raise ValueError("holds a control character | Remove it")
    return value


def _decimal(value: Any) -> Any:
    if isinstance(value, NotANumber):
        raise ValueError("must be a number that can be counted with | Write it like 0.10")
    return exact(value)


def _tuple(value: Any) -> Any:
    if not isinstance(value, list):
        raise ValueError('must be a list | Write it like ["BTC/USD", "ETH/USD"]')
    return tuple(value)


Text = Annotated[str, Field(strict=True, max_length=500), AfterValidator(_printable)]
Instrument = Annotated[str, Field(strict=True, pattern=r"^[A-Z0-9.]{1,24}(/[A-Z0-9.]{1,24})?$")]
Instruments = Annotated[tuple[Instrument, ...], BeforeValidator(_tuple), Field(max_length=5000)]
Modes = Annotated[Mapping[Instrument, Mode], Field(max_length=5000)]
_MULTIPLIER_MAX = Decimal(100)


class InstrumentLists(BaseModel):
    """Which instruments a follower copies. Blocked wins; an empty `allow` allows all that is not blocked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    allow: Instruments = Field(default=(), description="Only these are copied; empty for all.")
    block: Instruments = Field(default=(), description="These are never copied.")
    modes: Modes = Field(
        default={}, description='The `mode` of an instrument, like `{"BTC/USD": "close_only"}`; the stricter counts.'
    )

    @model_validator(mode="after")
    def _not_both(self) -> InstrumentLists:
        if both := sorted(set(self.allow) & set(self.block)):
            raise ValueError(f"{both[0]} is both allowed and blocked | Keep it in one list")
        return self


class User(BaseModel):
    """One account of one follower. `None`: the settings' figure, or no limit where they have none."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    user_id: Annotated[str, Field(strict=True, pattern=f"^{_ID_PATTERN}$"), AfterValidator(_user_id)] = Field(
        description="1 to 64 of a-z, 0-9, `_`, `-`, starting with a letter or digit; not `master`."
    )
    name: Text = Field(default="", description="The follower's name, for people.")
    account_type: Text = Field(default="retail", description="For people; the service treats all alike.")
    broker_type: Venue = Field(description="The venue of this account.")
    enabled: Annotated[bool, Field(strict=True)] = Field(
        default=True,
        description="`false`: no entries; a position copied before still follows the master out.",
    )
    description: Text = Field(default="", description="For people.")
    mode: Literal["active", "close_only", "paused", "disarmed", "independent"] = Field(
        default="active",
        description="`active`; `close_only` and `paused` take exits only; `disarmed` takes nothing; `independent` "
        "is not copied to and runs a strategy of its own.",
    )
    multiplier: Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, le=_MULTIPLIER_MAX, allow_inf_nan=False)] = (
        Field(
            default=Decimal(1),
            description="Entries are this many times the proportional size, still within every cap.",
        )
    )
    max_user_risk: Annotated[Share, BeforeValidator(_decimal)] | None = Field(
        default=None,
        description="An entry costs at most this share of equity; none means `copy.max_user_risk`.",
    )
    max_order: Annotated[PositiveAmount, BeforeValidator(_decimal)] | None = Field(
        default=None, description="An entry costs at most this."
    )
    max_exposure: Annotated[PositiveAmount, BeforeValidator(_decimal)] | None = Field(
        default=None, description="Copied positions are worth at most this together."
    )
    max_positions: Positions | None = Field(
        default=None, description="At most so many instruments are held at once; a new one is not begun."
    )
    max_daily_loss: DailyLoss | None = Field(default=None, description=f"{DAILY_LOSS} As in `limits`.")
    max_drawdown: Drawdown | None = Field(default=None, description=f"{DRAWDOWN} As in `limits`.")
    min_equity: Floor | None = Field(default=None, description=f"{FLOOR} As in `limits`.")
    instruments: InstrumentLists = Field(
        default=InstrumentLists(), description='Like `{"allow": ["BTC/USD"], "block": []}`; blocked wins.'
    )
    prefer: tuple[Venue, ...] = Field(
        default=(),
        description="For a user with accounts at several venues: which venue an entry goes to when none of them is "
        "the master's, the best liked first.",
    )
    failover: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="An entry may go to the user's next account while this one cannot be reached. Exits go only to "
        "where the position is.",
    )
    late_join: Literal["none", "better_price_only", "full"] | None = Field(
        default=None, description="As `copy.late_join`, which none means."
    )
    on_leave: Literal["keep", "close"] | None = Field(
        default=None, description="As `copy.on_leave`, which none means."
    )
    paper_cash: Annotated[Amount, BeforeValidator(_decimal)] | None = Field(
        default=None,
        description="What the account starts with in paper mode; none means `paper.follower_cash`.",
    )

    @property
    def account(self) -> str:
        return f"{self.broker_type}:{self.user_id}"


@dataclass(frozen=True, slots=True)
class Placed:
    """A user and where it is written."""

    user: User
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class UsersFile:
    """What one file says. With faults, nothing of it may be used."""

    name: str
    users: tuple[Placed, ...]
    faults: tuple[Fault, ...]


def users_files(directory: Path) -> list[Path]:
    """The files that count, in order: `*.json`, neither hidden nor symbolic links.

    A link is ignored because what it points to can change outside of this directory's permissions.

    Raises:
        OSError: the directory cannot be listed.
    """
    return sorted(
        entry
        for entry in directory.iterdir()
        if entry.name.endswith(".json") and not entry.name.startswith(".") and not entry.is_symlink()
    )


def read_users_file(path: Path) -> UsersFile:
    """All users of a file, or all its faults. Never raises for what is in the file."""
    return users_of(read_json_list(path))


def users_of(listed: JsonList) -> UsersFile:
    """All users of a list, or all its faults."""
    faults = list(listed.faults)
    placed: list[Placed] = []
    for value, start in listed.objects:
        user = _user(listed, value, start, faults)
        if user is not None:
            placed.append(Placed(user, listed.name, listed.line_at(start)))
    faults += repeated_accounts(placed)
    return UsersFile(listed.name, () if faults else tuple(placed), tuple(sorted(faults, key=lambda f: f.line)))


def _user(listed: JsonList, value: Any, start: int, faults: list[Fault]) -> User | None:
    if not isinstance(value, dict):
        line = listed.line_at(start)
        faults.append(Fault(listed.name, line, "", f"{shown(value)} is not a user", 'Write {"user_id": ...}'))
        return None
    try:
        return User.model_validate(value)
    except ValidationError as error:
        found = faults_of(error, listed.name, lambda place: listed.line_of(start, place), _fields_at)
    for fault in found:
        if fault.field == "broker_type" and "missing" not in fault.problem:
            name = value["broker_type"]
            close = suggestion(name, VENUES) if isinstance(name, str) else f"Known here: {', '.join(VENUES)}"
            fault = Fault(
                fault.file,
                fault.line,
                fault.field,
                f"{shown(name)} is not one of the venues {', '.join(VENUES)}",
                close,
            )
        elif fault.field == "user_id" and "pattern" in fault.problem:
            problem = f"{shown(value['user_id'])} cannot be an id"
            remedy = "Use 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit, like alice_smith"
            fault = Fault(fault.file, fault.line, fault.field, problem, remedy)
        faults.append(fault)
    return None


def _fields_at(place: tuple[Any, ...]) -> list[str]:
    return list((InstrumentLists if place[:1] == ("instruments",) else User).model_fields)


def repeated_accounts(placed: Iterable[Placed]) -> list[Fault]:
    """A fault for every account that is written more than once, naming both places."""
    first: dict[str, Placed] = {}
    faults = []
    for each in placed:
        other = first.setdefault(each.user.account, each)
        if other is not each:
            faults.append(
                Fault(
                    each.file,
                    each.line,
                    "user_id",
                    f"{each.user.account} is in {other.file}:{other.line} already",
                    "Keep one of the two; a second account of a user has another broker_type",
                )
            )
    return faults
