"""Every setting with its default, its range and its meaning. `docs/settings.md` is printed from this file.

Amounts and fractions are `Decimal`, durations are seconds or milliseconds as their names say.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from .console import ConsoleSettings
from .drift import DriftSettings
from .fees import FeeSettings
from .fields import (
    VENUES,
    Amount,
    CurrencyName,
    PositiveAmount,
    Seconds,
    Section,
    Share,
    Switch,
    Venue,
    Whole,
    exact,
    is_loopback,
)
from .limits import LimitSettings
from .notify import CheckSettings, NotifyTarget
from .strategy import ApexSettings, ScanSettings, Symbol
from .venues import VenuesSettings


class MasterSettings(Section):
    """The account that is copied, and what trades on it."""

    venue: Venue = Field(default="kraken", description="Where the master account trades.")
    strategy: Annotated[
        str,
        Field(strict=True, pattern=r"^(none|sample|apex|[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)*:[A-Za-z_]\w*)$"),
    ] = Field(
        default="none",
        description="What places the master's orders: `none`, `sample` (paper mode only), `apex`, or a class of your "
        "own as `package.module:Class` (docs/strategy.md).",
    )
    watch: Switch = Field(
        default=False,
        description="Also copy orders placed on the master account by hand, or by another program "
        "(docs/operating.md).",
    )
    watch_gap: Literal["exits", "report", "copy"] = Field(
        default="exits",
        description="Orders placed by hand while the worker was down: exits copied and entries as long as they are "
        "younger than `copy.entry_ttl_s`, or all only reported, or all copied as if placed just now.",
    )
    watch_poll_s: Seconds = Field(
        default=2.0, ge=0.2, le=600, description="How often orders by hand are looked up while the stream is down."
    )
    watch_check_s: Seconds = Field(
        default=30.0, ge=1, le=3600, description="How often they are looked up beside the stream, to be certain."
    )
    blocked: tuple[Symbol, ...] = Field(
        default=(), max_length=1000, description="Markets that no strategy buys. What it holds there it may still sell."
    )
    sample_every_s: Seconds = Field(default=6.0, ge=0.1, le=86_400, description="How often the sample strategy trades.")
    sample_instrument: Annotated[str, Field(strict=True, pattern=r"^[A-Z0-9.]{1,16}/[A-Z0-9.]{1,16}$")] = Field(
        default="BTC/USD", description="What the sample strategy trades."
    )
    sample_usd: PositiveAmount = Field(default=Decimal(1000), description="Size of each order of the sample strategy.")


class CopySettings(Section):
    """How a follower's order is sized, and when it is not sent. A follower may have stricter limits."""

    basis: Literal["equity", "cash"] = Field(
        default="equity",
        description="What the ratio of follower to master is taken from: all they own, or cash alone.",
    )
    max_user_risk: Share = Field(
        default=Decimal("0.10"),
        description="An entry costs at most this share of the follower's equity (0.10 is 10 %).",
    )
    entry_ttl_s: Seconds = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="An entry that could not be sent for this long is dropped. Exits never expire.",
    )
    max_slippage: Annotated[Decimal, BeforeValidator(exact), Field(gt=0, le=Decimal("0.5"), allow_inf_nan=False)] = (
        Field(
            default=Decimal("0.005"),
            description="An entry is dropped when the price is worse than the master's by more than this.",
        )
    )
    below_minimum: Literal["skip", "round_up", "carry"] = Field(
        default="skip",
        description="A size under the venue's minimum: skipped, rounded up to it where the cap allows, or kept for the "
        "master's next order at market on the same side.",
    )
    carry_price_bound: Annotated[Decimal, BeforeValidator(exact), Field(gt=0, le=1, allow_inf_nan=False)] = Field(
        default=Decimal("0.02"),
        description="What is kept is taken up while the price is within this share of the one it was kept at.",
    )
    carry_max_age_s: Seconds = Field(default=86_400.0, ge=1, le=31_536_000, description="And for so long.")
    stand_ins: Mapping[CurrencyName, tuple[CurrencyName, ...]] = Field(
        default={},
        description="Quote currencies that may stand for another at a follower's venue, best liked first, like "
        "`{USD: [USDC, USDT]}`. Without it a master's BTC/USD is copied to BTC/USD only.",
    )
    entry_order: Literal["same", "ioc_limit"] = Field(
        default="same",
        description="Entries: the master's kind of order, or limits at `max_slippage` filled at once or not.",
    )
    equity_max_age_s: Seconds = Field(
        default=600.0, ge=1, le=86_400, description="No copy is sized on a balance older than this."
    )
    price_max_age_s: Seconds = Field(
        default=5.0, ge=0.1, le=300, description="No entry is checked against a price older than this."
    )
    on_master_fill: Literal["leave", "chase", "cancel"] = Field(
        default="chase",
        description="An entry that still rests when the master's has filled: left to rest, cancelled, or cancelled and "
        "what is missing bought at once within `max_slippage` of the master's fill. An exit is always chased.",
    )
    master_fill_grace_s: Seconds = Field(
        default=5.0, ge=0, le=3600, description="How long such a copy is given to fill by itself first."
    )
    late_join: Literal["none", "better_price_only", "full"] = Field(
        default="none",
        description="A follower that is first enabled while the master holds positions: takes up none of them, each "
        "one only at or below what the master has paid on average, or all at once, within `max_slippage` of the price "
        "at the master's venue.",
    )
    late_join_window_s: Seconds = Field(
        default=3600.0, ge=0, le=30 * 86_400, description="How long `better_price_only` waits for such a price."
    )
    on_leave: Literal["keep", "close"] = Field(
        default="keep",
        description="Copied positions of a follower that is disabled or taken out of the user files: they follow the "
        "master out, or are closed at once.",
    )
    stop_limit_gap: Annotated[Decimal, BeforeValidator(exact), Field(gt=0, le=Decimal("0.5"), allow_inf_nan=False)] = (
        Field(
            default=Decimal("0.01"),
            description="At venues without stop orders a stop-limit order stands for one, its limit so far beyond.",
        )
    )
    fee_rate: Annotated[Decimal, BeforeValidator(exact), Field(ge=0, le=Decimal("0.1"), allow_inf_nan=False)] = Field(
        default=Decimal("0.004"),
        description="Allowance for fees when an entry is checked against free cash (0.004 is 0.4 %).",
    )


class GuardSettings(Section):
    """Figures below or above which nothing is traded, in the account's quote currency."""

    connect_min: Amount = Field(default=Decimal("1.00"), description="An account with less is not connected.")
    funded_min: Amount = Field(default=Decimal("2.00"), description="An account with less does not trade.")
    min_cash_to_buy: Amount = Field(default=Decimal("5.00"), description="No entry of an account with less free cash.")
    minimum_trading_balance: Amount = Field(
        default=Decimal("25.00"), description="No entry of an account with less equity."
    )
    max_positions: Whole = Field(
        default=8, ge=1, le=1000, description="The strategy opens at most this many positions."
    )
    max_master_order_usd: PositiveAmount | None = Field(
        default=Decimal(1_000_000),
        description="A master order above this is refused as a slip of the keyboard; `null`: no limit.",
    )
    suppress_single_exchange_warning: Switch = Field(
        default=False,
        description="No warning when only one venue is connected.",
    )


class PaperSettings(Section):
    """The simulated venues of `mode: paper`. No request leaves this machine."""

    seed: Whole = Field(default=7, ge=0, le=2**63 - 1, description="The same seed gives the same prices.")
    volatility: Annotated[Decimal, BeforeValidator(exact), Field(ge=0, le=Decimal("0.1"), allow_inf_nan=False)] = Field(
        default=Decimal("0.0001"),
        description="Standard deviation of a price's change in one second (0.0001 is about 3 % a day).",
    )
    fill_delay_ms: Whole = Field(default=50, ge=0, le=60_000, description="A simulated market order fills after this.")
    reply_delay_ms: Whole = Field(default=20, ge=0, le=60_000, description="A simulated venue answers after this.")
    master_cash: Amount = Field(default=Decimal(10_000), description="What the simulated master account starts with.")
    follower_cash: Amount = Field(
        default=Decimal(1_000),
        description="What a simulated follower starts with, unless its `paper_cash` says otherwise.",
    )
    store: Switch = Field(default=True, description="Simulated balances and orders outlast a restart.")


class EngineSettings(Section):
    """Inner figures. There is seldom a reason to touch them."""

    ledger_group_ms: Whole = Field(
        default=20, ge=0, le=1000, description="Outcomes that arrive within this are committed together."
    )
    equity_history_minutes: Whole = Field(
        default=15,
        ge=1,
        le=1440,
        description="An account's equity is noted for curves and statements once in so many minutes.",
    )
    refresh_spread_s: Seconds = Field(
        default=300.0,
        ge=10,
        le=86_400,
        description="Balances of all accounts are refreshed once in this time, evenly spread.",
    )
    nonce_jumps_max: Whole = Field(
        default=3,
        ge=0,
        le=3,
        description="Jumps of a key's nonce after `Invalid nonce`, before its lane parks with an alert.",
    )
    lane_queue_max: Whole = Field(
        default=1000, ge=1, le=100_000, description="Orders waiting for one account, at most."
    )
    shutdown_grace_s: Seconds = Field(
        default=8.0,  # with what closing takes beside, a stop is over within ten seconds
        ge=0,
        le=300,
        description="How long a stop waits for answers to orders that have been sent.",
    )


class IndependentSettings(Section):
    """Accounts of `mode: independent`: each runs the strategy by itself, on its own balance."""

    strategy: Annotated[
        str,
        Field(strict=True, pattern=r"^(sample|apex|[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)*:[A-Za-z_]\w*)$"),
    ] = Field(default="apex", description="What they run; as `master.strategy`.")
    cycle_s: Seconds = Field(
        default=150.0, ge=0.1, le=86_400, description="How often an account looks. In paper mode 15 unless this is set."
    )
    start_delay_min_s: Seconds = Field(
        default=30.0, ge=0, le=3600, description="The first account begins so long after the start, or up to"
    )
    start_delay_max_s: Seconds = Field(
        default=60.0, ge=0, le=3600, description="so long, drawn at random. In paper mode 1 and 2 unless they are set."
    )
    spacing_s: Seconds = Field(
        default=10.0, ge=0, le=3600, description="Each further one so much later. In paper mode 0.2 unless this is set."
    )
    seed: Whole = Field(default=7, ge=0, le=2**63 - 1, description="The same seed draws the same delay.")

    @model_validator(mode="after")
    def _fits(self) -> IndependentSettings:
        if self.start_delay_min_s > self.start_delay_max_s:
            raise ValueError(
                f"start_delay_min_s {self.start_delay_min_s} is above start_delay_max_s {self.start_delay_max_s}"
            )
        return self


class JournalSettings(Section):
    """`state/trade_journal.jsonl`: one line of JSON for each trade of each account."""

    enabled: Switch = Field(default=True, description="Whether it is kept.")
    max_mb: Whole = Field(
        default=20, ge=1, le=10_000, description="A file that would pass so many megabytes is put aside for a new one."
    )
    keep: Whole = Field(default=50, ge=0, le=1000, description="So many of those put aside are kept, the newest ones.")


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="The least that is logged.")
    format: Literal["auto", "plain", "json"] = Field(
        default="auto",
        description="`plain` lines, `json` lines, or by what the output is: plain on a terminal, else JSON.",
    )


class Settings(Section):
    """The whole of `config/copytrade.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    mode: Literal["paper", "live"] = Field(
        default="paper",
        description="`paper` trades on simulated venues and needs no credentials; `live` sends real orders.",
    )
    master: MasterSettings = MasterSettings()
    # `copy` is a method of every pydantic model, hence another name in code.
    copying: CopySettings = Field(default=CopySettings(), alias="copy")
    limits: LimitSettings = LimitSettings()
    fees: FeeSettings = FeeSettings()
    drift: DriftSettings = DriftSettings()
    guards: GuardSettings = GuardSettings()
    venues: VenuesSettings = VenuesSettings()
    paper: PaperSettings = PaperSettings()
    apex: ApexSettings = ApexSettings()
    scan: ScanSettings = ScanSettings()
    engine: EngineSettings = EngineSettings()
    console: ConsoleSettings = ConsoleSettings()
    check: CheckSettings = CheckSettings()
    notify: tuple[NotifyTarget, ...] = Field(
        default=(), max_length=50, description="Who is told of what: a list of the following."
    )
    independent: IndependentSettings = IndependentSettings()
    journal: JournalSettings = JournalSettings()
    log: LogSettings = LogSettings()

    def overridden_venues(self) -> tuple[Venue, ...]:
        """Venues whose address is not the public one."""
        return tuple(
            venue
            for venue in VENUES
            if self.venues.of(venue).base_url != type(self.venues.of(venue)).model_fields["base_url"].default
        )

    def real_venues_in_paper(self) -> tuple[Venue, ...]:
        """Venues that paper trading was pointed at though they are elsewhere. Must be empty to start.

        Paper mode uses the simulated venues unless an address says otherwise; an address elsewhere would send
        paper orders to somebody's real venue.
        """
        if self.mode != "paper":
            return ()
        return tuple(venue for venue in self.overridden_venues() if not is_loopback(self.venues.of(venue).base_url))
