"""The operator's settings in the words of the domain and the engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from copytrade.copying.drift import ByHand, DriftRules, Repair
from copytrade.copying.rules import Basis, BelowMinimum, CopyRules, OnMasterFill
from copytrade.domain.account import MASTER_USER, AccountId, FollowerTerms, LateJoin, Mode, OnLeave, account_id
from copytrade.domain.limits import ActingLimit, LimitAction, Rearm
from copytrade.domain.money import Amount
from copytrade.domain.order import OrderKind
from copytrade.engine.by_hand import Gap
from copytrade.engine.desk import MasterGuards
from copytrade.engine.services import Limits
from copytrade.engine.watcher import WatchRules
from copytrade.settings.limits import LimitForm
from copytrade.settings.model import Settings
from copytrade.settings.users import User

_T = TypeVar("_T")


def copy_rules(settings: Settings) -> CopyRules:
    c, g = settings.copying, settings.guards
    return CopyRules(
        basis=Basis(c.basis),
        entry_ttl_s=int(c.entry_ttl_s),
        max_slippage=c.max_slippage,
        below_minimum=BelowMinimum(c.below_minimum),
        carry_price_bound=c.carry_price_bound,
        carry_max_age_s=float(c.carry_max_age_s),
        entry_kind=OrderKind.IOC_LIMIT if c.entry_order == "ioc_limit" else OrderKind.MARKET,
        equity_max_age_s=int(c.equity_max_age_s),
        fee_rate=c.fee_rate,
        stop_limit_gap=c.stop_limit_gap,
        on_master_fill=OnMasterFill(c.on_master_fill),
        master_fill_grace_s=float(c.master_fill_grace_s),
        min_cash_to_buy=Amount(g.min_cash_to_buy),
        minimum_trading_balance=Amount(max(g.minimum_trading_balance, g.funded_min)),
    )


def drift_rules(settings: Settings) -> DriftRules:
    return DriftRules(
        every_s=float(settings.drift.every_s),
        repair=Repair(settings.drift.repair),
        by_hand=ByHand(settings.drift.by_hand),
        join_window_s=float(settings.copying.late_join_window_s),
    )


def master_guards(settings: Settings) -> MasterGuards:
    g = settings.guards
    return MasterGuards(
        max_order=None if g.max_master_order_usd is None else Amount(g.max_master_order_usd),
        min_cash_to_buy=Amount(g.min_cash_to_buy),
    )


def limits(settings: Settings) -> Limits:
    return replace(
        Limits(),
        price_max_age_s=float(settings.copying.price_max_age_s),
        lane_queue_max=settings.engine.lane_queue_max,
        refresh_spread_s=float(settings.engine.refresh_spread_s),
        warm_connections_max=settings.venues.of(settings.master.venue).max_connections,
    )


def watch_rules(settings: Settings) -> WatchRules | None:
    """How orders placed by hand are watched for; None: not at all."""
    master = settings.master
    if not master.watch:
        return None
    return WatchRules(Gap(master.watch_gap), float(master.watch_poll_s), float(master.watch_check_s))


def master_terms(settings: Settings) -> FollowerTerms:
    return FollowerTerms(account_id(settings.master.venue, MASTER_USER), name="master")


def follower_terms(settings: Settings, users: Iterable[User]) -> dict[AccountId, FollowerTerms]:
    """Every follower's account, disabled ones too, in the order of the user files."""
    terms = {}
    for user in users:
        account = AccountId(user.account)
        risk = settings.copying.max_user_risk if user.max_user_risk is None else user.max_user_risk
        terms[account] = FollowerTerms(
            account,
            name=user.name or user.user_id,
            enabled=user.enabled,
            mode=Mode(user.mode),
            multiplier=user.multiplier,
            max_user_risk=risk,
            max_order=_amount(_first(user.max_order, settings.limits.max_order)),
            max_exposure=_amount(_first(user.max_exposure, settings.limits.max_exposure)),
            max_positions=_first(user.max_positions, settings.limits.max_positions),
            max_daily_loss=_acting(user.max_daily_loss, settings.limits.max_daily_loss, Rearm.NEXT_DAY),
            max_drawdown=_acting(user.max_drawdown, settings.limits.max_drawdown, Rearm.BY_HAND),
            min_equity=_acting(user.min_equity, settings.limits.min_equity, Rearm.NEXT_DAY),
            modes={symbol: Mode(mode) for symbol, mode in user.instruments.modes.items()},
            allowed=frozenset(user.instruments.allow) or None,
            blocked=frozenset(user.instruments.block),
            prefer=user.prefer,
            failover=user.failover,
            late_join=LateJoin(user.late_join or settings.copying.late_join),
            on_leave=OnLeave(user.on_leave or settings.copying.on_leave),
        )
    return terms


def _amount(value: Decimal | None) -> Amount | None:
    return None if value is None else Amount(value)


def _first(own: _T | None, everybodys: _T | None) -> _T | None:
    return everybodys if own is None else own


def _acting(own: LimitForm | None, everybodys: LimitForm | None, rearm: Rearm) -> ActingLimit | None:
    """A follower's limit: its own figure, or everybody's; what its own form leaves out is as everybody's has it."""
    form = own or everybodys
    if form is None:
        return None
    action = form.action or (everybodys.action if everybodys else None)
    again = form.rearm or (everybodys.rearm if everybodys else None)
    return ActingLimit(
        _amount(form.amount), form.share, LimitAction(action or "block"), rearm if again is None else Rearm(again)
    )
