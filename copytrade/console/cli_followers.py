"""Commands that change follower files. Part of the command line in `cli.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from copytrade.console.cli_options import CONFIG, STATE, USERS, AsJson, Config, State, Users
from copytrade.wiring.paths import Paths

if TYPE_CHECKING:
    from copytrade.console.enrolling import Changed

followers = typer.Typer()

Who = Annotated[str, typer.Argument(help="A user (alice_smith), or one account of it (kraken:alice_smith).")]
Instrument = Annotated[str | None, typer.Option("--instrument", help="Only this one: BTC/USD.")]


@followers.command()
def enrol(
    user: Annotated[str | None, typer.Argument(help="The new user's id: a-z, 0-9, _ and -.")] = None,
    venue: Annotated[str | None, typer.Option("--venue", help="Where the account is.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The follower's name, for people.")] = None,
    multiplier: Annotated[str | None, typer.Option("--multiplier", help="Times the proportional size.")] = None,
    max_user_risk: Annotated[str | None, typer.Option("--max-user-risk", help="Share of equity, like 0.05.")] = None,
    max_order: Annotated[str | None, typer.Option("--max-order", help="An entry costs at most this.")] = None,
    max_exposure: Annotated[str | None, typer.Option("--max-exposure", help="All positions together.")] = None,
    fields: Annotated[
        list[str] | None, typer.Option("--set", help="Any other field of a user file, like --set failover=true.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", help="In this file of the folder; else retail_VENUE.json.")
    ] = None,
    import_file: Annotated[
        Path | None, typer.Option("--import", help="Enrol all users of a CSV file, or none if one has a fault.")
    ] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Add a follower, or all of a CSV file. It takes effect within two seconds."""
    from copytrade.console.enrolling import enrol as add_one
    from copytrade.console.enrolling import enrol_all, run_change
    from copytrade.console.importing import read_rows, typed

    paths = Paths(config, users, state)
    given = {
        "user_id": user, "name": name, "broker_type": venue, "multiplier": multiplier,
        "max_user_risk": max_user_risk, "max_order": max_order, "max_exposure": max_exposure,
    }  # fmt: skip
    words = [f"{key}={value}" for key, value in given.items() if value is not None]
    if import_file is not None and (words or fields):
        raise typer.BadParameter("--import takes everything from the file: leave the user and its fields out")
    if import_file is None and (user is None or venue is None):
        raise typer.BadParameter("say who and where, like: enrol alice_smith --venue kraken (or --import users.csv)")

    def change(by: str) -> Changed:
        if import_file is not None:
            target = file or f"{import_file.stem}.json"
            return enrol_all(paths, read_rows(import_file), str(import_file), target, by)
        values = typed([*words, *(fields or ())])
        return add_one(paths, {**values, "enabled": values.get("enabled", True)}, file, by)

    raise typer.Exit(run_change(change, "enrolled", as_json=as_json))


@followers.command()
def pause(
    user: Who,
    instrument: Instrument = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """No entries for a follower until resume; its exits still flow."""
    _set_mode(Paths(config, users, state), user, "paused", as_json, instrument=instrument)


@followers.command("close-only")
def close_only(
    user: Who,
    instrument: Instrument = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """A follower only follows the master out of what it holds."""
    _set_mode(Paths(config, users, state), user, "close_only", as_json, instrument=instrument)


@followers.command()
def disarm(
    user: Who,
    instrument: Instrument = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Nothing flows to a follower, exits neither: those are held for the operator."""
    _set_mode(Paths(config, users, state), user, "disarmed", as_json, instrument=instrument)


@followers.command()
def resume(
    user: Who,
    enable: Annotated[bool, typer.Option("--enable", help="Also one that is not enabled.")] = False,
    instrument: Instrument = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Copy everything to a follower again."""
    _set_mode(Paths(config, users, state), user, "active", as_json, enable=enable, instrument=instrument)


@followers.command()
def remove(
    user: Who,
    though_it_holds: Annotated[
        bool, typer.Option("--though-it-holds", help="Also one that still holds a copied position.")
    ] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Take a follower out of the files."""
    from copytrade.console.enrolling import remove as take_out
    from copytrade.console.enrolling import run_change

    paths = Paths(config, users, state)

    def change(by: str) -> Changed:
        return take_out(paths, user, by, though_it_holds=though_it_holds)

    raise typer.Exit(run_change(change, "removed", as_json=as_json))


def _set_mode(
    paths: Paths, user: str, mode: Any, as_json: bool, *, enable: bool = False, instrument: str | None = None
) -> None:
    from copytrade.console.enrolling import run_change, set_mode

    def change(by: str) -> Changed:
        return set_mode(paths, user, mode, by, enable=enable, instrument=instrument or "")

    said = f"mode of {instrument} is {mode}" if instrument else f"mode is {mode}"
    raise typer.Exit(run_change(change, said, as_json=as_json))
