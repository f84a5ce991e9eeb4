"""Commands about the record: whether it is whole, what it comes to, and copies of it. Part of `cli.py`."""

from __future__ import annotations

from pathlib import Path
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
    quick: Annotated[bool, typer.Option("--quick", help="Follow the hashes only, replay nothing.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Verify that the ledger and the operators' record are what was written. Exit code 1 tells where they are not."""
    from copytrade.console.auditing import run_audit

    raise typer.Exit(run_audit(Paths(config, users, state), expect, quick=quick, as_json=as_json))


@records.command()
def statement(
    user: Annotated[str, typer.Argument(help="A user (alice_smith), one account (kraken:alice_smith), or all.")],
    month: Annotated[str | None, typer.Option("--month", help="Like 2026-11; else this one (UTC).")] = None,
    payments: Annotated[
        Path | None, typer.Option("--payments", help="CSV of money in and out: account,at,amount. Else inferred.")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option("--price", help="For what is held, like BTC/USD=60000; else the last known.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_html: Annotated[bool, typer.Option("--html", help="Print one page of HTML.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """What a month came to: trades, fees, profit, return against the master, performance fee."""
    from copytrade.console.statement import Asked, run_statement

    forms = [form for form, wanted in (("json", as_json), ("csv", as_csv), ("html", as_html)) if wanted]
    if len(forms) > 1:
        raise typer.BadParameter("give one of --json, --csv and --html")
    asked = Asked(user, month, forms[0] if forms else "text", payments, price or ())
    raise typer.Exit(run_statement(Paths(config, users, state), asked))


@records.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where backups are kept; each is a new folder in it.")],
    keep: Annotated[int | None, typer.Option("--keep", min=1, help="Remove the oldest beyond so many.")] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Copy state/ while the worker runs, and check the copy. API keys are not in it."""
    from copytrade.console.backing_up import run_backup

    raise typer.Exit(run_backup(Paths(config, users, state), folder, keep, as_json=as_json))


@records.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="One backup: a folder that the command backup made.")],
    replace: Annotated[bool, typer.Option("--replace", help="Set aside what is in state/ now.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Put a backup in place, with the kill switch on. The worker must be stopped."""
    from copytrade.console.backing_up import run_restore

    raise typer.Exit(run_restore(Paths(config, users, state), folder, replace=replace, as_json=as_json))
