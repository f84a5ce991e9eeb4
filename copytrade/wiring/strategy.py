"""Makes the master's strategy from the settings, and what runs it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.errors import CopyTradeError
from copytrade.domain.money import Amount
from copytrade.settings.model import Settings
from copytrade.settings.strategy import ScanSettings
from copytrade.strategy.guards import EntryGuards
from copytrade.strategy.loading import load_strategy
from copytrade.strategy.port import Strategy
from copytrade.wiring.strategy_runner import Seat, StrategyRunner

if TYPE_CHECKING:
    from copytrade.strategy.apex.figures import Figures
    from copytrade.wiring.system import System


def make_strategy(settings: Settings) -> Strategy | None:
    """The strategy that the settings name; None for `none`. Raises `CopyTradeError` for one there is not."""
    master = settings.master
    if master.strategy == "none":
        return None
    if master.strategy == "sample":
        if settings.mode == "live":
            raise CopyTradeError(
                "master.strategy is sample, which trades without reason and is for paper mode only: set it to none"
            )
        from copytrade.strategy.sample import SampleStrategy

        return SampleStrategy(master.sample_instrument, Amount(master.sample_usd), float(master.sample_every_s))
    if master.strategy == "apex":
        return make_apex(settings)
    return load_strategy(master.strategy)


def make_apex(settings: Settings) -> Strategy:
    """APEX with the operator's figures. Raises `CopyTradeError` for ones that do not fit, or without TA-Lib."""
    try:
        from copytrade.strategy import indicators
        from copytrade.strategy.apex.apex import Apex

        indicators.load()
    except ImportError as error:
        raise CopyTradeError(
            f"master.strategy is apex, which needs numpy and TA-Lib ({error}): .venv/bin/pip install -r "
            "requirements.txt"
        ) from error
    try:
        return Apex(apex_figures(settings), settings.apex.markets)
    except ValueError as error:
        raise CopyTradeError(f"the settings under apex do not fit together: {error}") from error


def apex_figures(settings: Settings) -> Figures:
    """The section `apex` in the strategy's own words."""
    from copytrade.strategy.apex.figures import Figures

    given = settings.apex
    values = {name: getattr(given, name) for name in Figures.__slots__ if name in type(given).model_fields}
    values = {name: float(value) if name in _FLOATS else value for name, value in values.items()}
    values["sizes"] = tuple(zip(given.size_at_adx, given.sizes, strict=True))
    return Figures(**values)


# Compared with indicators, which are floats; all other figures that are not whole stay exact.
_FLOATS = frozenset(
    {
        "settle_s", "adx_min", "volume_filter", "volume_floor", "near", "rsi_low", "rsi_high", "entry_volume",
        "hammer_wick",
    }
)  # fmt: skip


def entry_guards(settings: Settings) -> EntryGuards:
    """What keeps an entry of the strategy from being placed."""
    g = settings.guards
    least = max(g.minimum_trading_balance, g.funded_min, Decimal(0))
    return EntryGuards(
        g.max_positions, Amount(g.min_cash_to_buy), Amount(least), frozenset(settings.master.blocked)
    )


def scan_settings(settings: Settings) -> ScanSettings:
    """The section `scan`. The volumes of simulated markets say nothing, so in paper mode none is passed by for its
    volume unless the settings say so."""
    if settings.mode == "paper" and "min_day_volume" not in settings.scan.model_fields_set:
        return settings.scan.model_copy(update={"min_day_volume": Decimal(0)})
    return settings.scan


def make_runner(system: System, tell: Tell) -> StrategyRunner | None:
    """What runs the master's strategy on a system that has started; None without a strategy.

    Raises `CopyTradeError`, as `make_strategy` does.
    """
    strategy = make_strategy(system.settings)
    if strategy is None:
        return None
    from copytrade.wiring.market_data import MarketData  # aiohttp and adapters are there already; numpy is not

    engine = system.engine
    services = engine.services
    seat = Seat(services.roster.master.terms.account, services, engine.desk.place, engine.refresher.now)
    others = sorted(
        {f"{symbol} (of {name})" for (account, symbol), (name, _) in services.ledger.state.notes.items()
         if account == seat.account and name != strategy.name and services.ledger.state.position(account, symbol)}
    )  # fmt: skip
    if others:
        tell(
            Alert(
                AlertKind.STRATEGY,
                f"nobody looks after {', '.join(others)}: the strategy that opened it does not run now; set "
                "master.strategy back to it, or sell with python -m copytrade trade",
            )
        )
    data = MarketData(system.ground.venues)
    return StrategyRunner(
        seat, strategy, lambda: entry_guards(system.settings), data, lambda: scan_settings(system.settings), tell
    )
