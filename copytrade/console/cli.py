"""The commands: `python -m copytrade COMMAND`. Each imports what it needs when it runs, so that `--help` is quick.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. With `--json`, standard output holds one JSON value and nothing
else, errors included.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from copytrade.console.cli_followers import followers
from copytrade.console.cli_options import CONFIG, STATE, USERS, AsJson, Config, Limit, State, Users
from copytrade.console.cli_records import records
from copytrade.wiring.paths import Paths

app = typer.Typer(
    name="copytrade",
    help="Copies a master account's trades to its followers' own accounts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and those may hold a secret
    rich_markup_mode=None,
)

LimitPrice = Annotated[str | None, typer.Option("--limit", help="The limit price.")]
StopPrice = Annotated[str | None, typer.Option("--stop", help="Triggers when the price has moved against you.")]
ProfitPrice = Annotated[str | None, typer.Option("--take-profit", help="Triggers when it has moved in your favour.")]


@app.command()
def trade(
    instrument: Annotated[str, typer.Argument(help="BTC/USD, or the venue's spelling: XXBTZUSD.")],
    side: Annotated[str, typer.Argument(help="buy or sell.")],
    usd: Annotated[str | None, typer.Option("--usd", help="For so much of the quote currency.")] = None,
    quantity: Annotated[str | None, typer.Option("--quantity", help="So much of the base asset.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Sell the whole position.")] = False,
    venue: Annotated[str | None, typer.Option("--venue", help="Must be the master's venue.")] = None,
    request_id: Annotated[
        str, typer.Option("--request-id", help="The same id again is the same order, not another one.")
    ] = "",
    limit: LimitPrice = None,
    stop: StopPrice = None,
    take_profit: ProfitPrice = None,
    ioc: Annotated[bool, typer.Option("--ioc", help="The limit fills at once or not at all.")] = False,
    post_only: Annotated[bool, typer.Option("--post-only", help="The limit is refused if it would fill.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Place one master order and copy it. Exit code 1 if the master's order or any copy failed.

    Without prices at market; --stop and --take-profit together are a bracket.
    """
    from copytrade.console.operations import TradeOrder
    from copytrade.console.trading import run_trade

    order = TradeOrder(
        instrument, side, usd, quantity, whole, request_id, limit, stop, take_profit, ioc, post_only
    )  # fmt: skip
    raise typer.Exit(run_trade(_paths(config, users, state), order, venue, as_json=as_json))


@app.command()
def cancel(
    order_id: Annotated[str, typer.Argument(help="Of the master's order, as trade and orders show it.")],
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Take a resting master order back, and every follower's copy of it."""
    from copytrade.console.trading import run_change

    request = {"do": "cancel", "order_id": order_id}
    raise typer.Exit(run_change(_paths(config, users, state), request, as_json=as_json))


@app.command()
def amend(
    order_id: Annotated[str, typer.Argument(help="Of the master's order, as trade and orders show it.")],
    quantity: Annotated[str | None, typer.Option("--quantity", help="In all, what has filled included.")] = None,
    limit: LimitPrice = None,
    stop: StopPrice = None,
    take_profit: ProfitPrice = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Change a resting master order, and every follower's copy of it: both are taken back and placed anew."""
    from copytrade.console.trading import run_change

    request = {
        "do": "amend", "order_id": order_id, "quantity": quantity, "limit": limit, "stop": stop,
        "take_profit": take_profit,
    }  # fmt: skip
    raise typer.Exit(run_change(_paths(config, users, state), request, as_json=as_json))


@app.command()
def orders(
    limit: Limit = 50, config: Config = CONFIG, users: Users = USERS, state: State = STATE, as_json: AsJson = False
) -> None:
    """The master's own orders, newest first, with their ids for cancel and amend."""
    from copytrade.console.reading import run_orders

    raise typer.Exit(run_orders(_paths(config, users, state), limit, as_json=as_json))


@app.command()
def check(
    venue: Annotated[str | None, typer.Option("--venue", help="Only accounts at this venue.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only this user's accounts, or master.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look at files only.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Check files, credentials, permissions, clock and balances. Exit code 1 if the worker would refuse to start."""
    from copytrade.console.checking import run_check

    raise typer.Exit(run_check(_paths(config, users, state), venue, user, offline=offline, as_json=as_json))


@app.command()
def status(config: Config = CONFIG, users: Users = USERS, state: State = STATE, as_json: AsJson = False) -> None:
    """Where everything stands: kill switch, worker, orders on their way, held exits, parked accounts."""
    from copytrade.console.reading import run_status

    raise typer.Exit(run_status(_paths(config, users, state), as_json=as_json))


@app.command()
def signals(
    limit: Limit = 20, config: Config = CONFIG, users: Users = USERS, state: State = STATE, as_json: AsJson = False
) -> None:
    """What the master did, newest first, with how its copies fared."""
    from copytrade.console.reading import run_signals

    raise typer.Exit(run_signals(_paths(config, users, state), limit, as_json=as_json))


@app.command()
def copies(
    signal: Annotated[
        str | None, typer.Option("--signal", help="Of this signal; `last` for the newest with copies.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Of this user.")] = None,
    order_state: Annotated[str | None, typer.Option("--in", help="In this state: filled, skipped, held, ...")] = None,
    times: Annotated[bool, typer.Option("--times", help="When each came how far, in milliseconds.")] = False,
    limit: Limit = 50,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Every follower's answer to the master's signals, with its reason."""
    from copytrade.console.reading import run_copies

    paths = _paths(config, users, state)
    raise typer.Exit(run_copies(paths, signal, user, order_state, limit, times=times, as_json=as_json))


@app.command()
def positions(
    user: Annotated[str | None, typer.Option("--user", help="Of this user, or master.")] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """What each account holds by its copies."""
    from copytrade.console.reading import run_positions

    raise typer.Exit(run_positions(_paths(config, users, state), user, as_json=as_json))


@app.command()
def top(
    every: Annotated[float, typer.Option("--every", min=0.2, max=60, help="Seconds between looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as it does when piped.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Followers and lanes, live in the terminal; those that need a look come first."""
    from copytrade.console.top import run_top

    raise typer.Exit(run_top(_paths(config, users, state), every, once=once, as_json=as_json))


@app.command("users")
def list_users(config: Config = CONFIG, users: Users = USERS, state: State = STATE, as_json: AsJson = False) -> None:
    """The followers: mode, limits, last known equity."""
    from copytrade.console.reading import run_users

    raise typer.Exit(run_users(_paths(config, users, state), as_json=as_json))


@app.command()
def limits(
    user: Annotated[str | None, typer.Argument(help="Only this user's accounts.")] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """How much of each follower's limits is used, and which have tripped."""
    from copytrade.console.limiting import run_limits

    raise typer.Exit(run_limits(_paths(config, users, state), user, as_json=as_json))


@app.command()
def rearm(
    user: Annotated[str, typer.Argument(help="The user whose limits have tripped.")],
    limit: Annotated[str | None, typer.Argument(help="Only this one, like max_drawdown.")] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Let a follower's entries through again that a limit stops. Losses count anew from now on."""
    from copytrade.console.limiting import run_rearm

    raise typer.Exit(run_rearm(_paths(config, users, state), user, limit, as_json=as_json))


UserOrAll = Annotated[str | None, typer.Argument(help="A user, or venue:user for one account; else everybody.")]


@app.command()
def drift(
    user: UserOrAll = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """How far followers are from what the master's positions imply, and why; orders that are not ours."""
    from copytrade.console.drifting import run_drift

    raise typer.Exit(run_drift(_paths(config, users, state), user, as_json=as_json))


@app.command()
def reconcile(
    user: UserOrAll = None,
    repair: Annotated[str, typer.Option("--repair", help="exits: sell what the master left; all: also buy.")] = "exits",
    write_off: Annotated[
        bool, typer.Option("--write-off", help="Of one USER: count what its owner took away as copied no more.")
    ] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Repair drift now, and place held exits."""
    from copytrade.console.drifting import run_reconcile

    paths = _paths(config, users, state)
    raise typer.Exit(run_reconcile(paths, user, repair, write_off=write_off, as_json=as_json))


@app.command()
def flatten(
    user: Annotated[str, typer.Argument(help="A user, or venue:user for one account.")],
    instrument: Annotated[
        str | None, typer.Option("--instrument", help="Only this one, which is close-only from then on: BTC/USD.")
    ] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Close the copied positions of one follower; the master and all others keep theirs."""
    from copytrade.console.drifting import run_flatten

    raise typer.Exit(run_flatten(_paths(config, users, state), user, instrument, as_json=as_json))


@app.command()
def kill(
    close_only: Annotated[bool, typer.Option("--close-only", help="Let exits flow.")] = False,
    flatten: Annotated[bool, typer.Option("--flatten", help="Close copied positions, then halt.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Throw the kill switch: no new order of any account leaves."""
    from copytrade.console.switching import run_kill

    paths = _paths(config, users, state)
    raise typer.Exit(run_kill(paths, close_only=close_only, flatten=flatten, as_json=as_json))


@app.command()
def unkill(
    place_exits: Annotated[bool, typer.Option("--place-exits", help="Place the exits that were held.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Lift the kill switch. Shows the exits that it held; entries that it stopped are never sent later."""
    from copytrade.console.switching import run_unkill

    raise typer.Exit(run_unkill(_paths(config, users, state), place_exits=place_exits, as_json=as_json))


@app.command("console-token")
def console_token(
    new: Annotated[bool, typer.Option("--new", help="Make a new token; sign-ins with the old one end.")] = False,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """The web console's token: whether there is one, and `--new` to make one, which is shown this once."""
    from copytrade.console.web.tokens import run_console_token

    raise typer.Exit(run_console_token(_paths(config, users, state), new=new, as_json=as_json))


@app.command()
def independent(
    config: Config = CONFIG, users: Users = USERS, state: State = STATE, as_json: AsJson = False
) -> None:
    """The accounts that trade by themselves, how their loops fare, and which markets are being scanned."""
    from copytrade.console.independents import run_independent

    raise typer.Exit(run_independent(_paths(config, users, state), as_json=as_json))


@app.command()
def backtest(
    candles: Annotated[Path, typer.Option("--candles", help="CSV or Parquet: time, open, high, low, close, volume.")],
    followers_dir: Annotated[Path | None, typer.Option("--followers", help="Follower files; as --users.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="The market, like BTC/USD.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="In the stead of master.strategy.")] = None,
    cash: Annotated[str | None, typer.Option("--cash", help="What the master starts with.")] = None,
    fee: Annotated[str | None, typer.Option("--fee", help="Share of each order; else the venue's taker fee.")] = None,
    slippage: Annotated[str, typer.Option("--slippage", help="Share by which each fill is worse.")] = "0.0005",
    follower_slippage: Annotated[
        str, typer.Option("--follower-slippage", help="Up to so much worse again for each copy.")
    ] = "0.0005",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same result.")] = 7,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the curves to this file: png, svg or pdf.")] = None,
    config: Config = CONFIG,
    users: Users = USERS,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Replay the strategy and everybody's copies over past candles. Needs no worker, no key and no ledger."""
    from copytrade.console.backtesting import Wanted, run_backtest

    wanted = Wanted(
        candles, symbol, strategy, None if cash is None else _number("--cash", cash),
        None if fee is None else _number("--fee", fee), _number("--slippage", slippage),
        _number("--follower-slippage", follower_slippage), seed, plot,
    )  # fmt: skip
    raise typer.Exit(run_backtest(_paths(config, followers_dir or users, state), wanted, as_json=as_json))


@app.command()
def simulator(
    venues: Annotated[str, typer.Option("--venues", help="Comma-separated, or all.")] = "kraken",
    host: Annotated[str, typer.Option("--host", help="Loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes a free one.")] = 0,
    accounts: Annotated[int, typer.Option("--accounts", min=1, help="A master and so many less one followers.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same keys and prices.")] = 7,
    reply_delay_ms: Annotated[int, typer.Option("--reply-delay-ms", min=0, help="Answers take this long.")] = 0,
    fill_delay_ms: Annotated[int, typer.Option("--fill-delay-ms", min=0, help="Market orders fill after this.")] = 0,
    store: Annotated[Path | None, typer.Option("--store", help="Folder to carry on from after a restart.")] = None,
    rate_limits: Annotated[bool, typer.Option(help="Keep the venue's rate limits.")] = True,
    volatility: Annotated[float, typer.Option("--volatility", min=0, help="Per second; 0 freezes prices.")] = 0.0001,
    tier: Annotated[str, typer.Option("--tier", help="Kraken's: starter, intermediate or pro.")] = "intermediate",
) -> None:
    """Run the simulated venues alone: prints their URLs and keys as one line of JSON, then serves until stopped."""
    from copytrade.simulator.command import run

    try:
        run(
            [name.strip() for name in venues.split(",") if name.strip()], host, port, accounts, seed, reply_delay_ms,
            store, fill_delay_ms=fill_delay_ms, rate_limits=rate_limits, volatility=volatility, tier=tier,
        )  # fmt: skip
    except (ValueError, OSError) as error:
        typer.echo(f"the simulator cannot start: {error}", err=True)
        raise typer.Exit(2) from None


app.add_typer(followers)
app.add_typer(records)

# Typer exports only the heirs of the class that all errors of usage have in common.
_UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit code; a program that asked for JSON gets its wrong usage as JSON, too."""
    try:
        done = typer.main.get_command(app).main(list(arguments), prog_name="python -m copytrade", standalone_mode=False)
    except _UsageError as error:
        if "--json" in arguments:
            from copytrade.console.output import print_error

            print_error(error.format_message(), as_json=True, kind="usage")
        else:
            error.show()
        return 2
    except typer.Abort:
        sys.stderr.write("interrupted: what had been sent by then is in the ledger, see status\n")
        return 1
    return done if isinstance(done, int) else 0


def _number(option: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise typer.BadParameter(f"{option} is {text!r}: give a number like 0.001")
    return value


def _paths(config: Path, users: Path, state: Path) -> Paths:
    return Paths(config, users, state)
