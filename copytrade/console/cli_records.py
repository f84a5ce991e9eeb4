"""Commands about the record: whether it is whole, what it comes to, and copies of it. Part of `cli.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from copytrade.console.cli_options import CONFIG, STATE, USERS, AsJson, Config, State, Users
from copytrade.wiring.paths import Paths

records = typer.Typer()


@records.command()
def audit(
    expect: Annotated[
        str | None, typer.Option("--expect", help="A head that an earlier audit printed, noted down elsewhere.")
    ] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Verify that the ledger and the operators' record are what was written. Exit code 1 tells where they are not."""
    from copytrade.console.auditing import run_audit

    raise typer.Exit(run_audit(Paths(config, users, state), expect, as_json=as_json))
