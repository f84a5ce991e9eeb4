"""The settings of each venue are those of its adapter: same defaults, every allowed value taken, each one handed on."""

from dataclasses import asdict, fields
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt

from copytrade.settings.faults import SettingsError
from copytrade.settings.fields import VENUES, Venue
from copytrade.settings.model import Settings
from copytrade.settings.venues import VenueSettings
from copytrade.settings.yaml_file import read_settings
from copytrade.wiring.venues import PAPER_TIER, make_venue

URL = "http://127.0.0.1:9"  # nothing is asked there
WRITTEN: dict[Venue, dict[str, Any]] = {
    "kraken": {"tier": "pro", "order_deadline_s": 3, "ip_orders_per_s": 20, "stream_url": "wss://streams.example"},
    "coinbase": {
        "currency": "USDC", "token_life_s": 5, "absence_settle_s": 1, "calls_per_s": 20,
        "stream_url": "wss://streams.example",
    },
    "alpaca": {
        "late_order_s": 9, "late_exit_s": 2, "crypto_fee_rate": "0.0015", "stocks": False, "stock_feed": "sip",
        "stream_url": "wss://streams.example",
    },
    "okx": {"currency": "USDC", "demo": True, "order_deadline_s": 9, "keepalive_s": 20},
    "binance": {"currency": "FDUSD", "require_ip_restriction": False, "clock_skew_max_s": 0.5, "order_deadline_s": 1},
}


def options_class(venue: Venue) -> Any:
    module = import_module(f"copytrade.venues.{venue}.options")
    return getattr(module, f"{venue.capitalize()}Options")


def settings_of(venue: Venue, written: dict[str, Any]) -> Settings:
    return Settings.model_validate({"venues": {venue: written}})


def options_for(venue: Venue, written: dict[str, Any], *, paper: bool = False) -> dict[str, Any]:
    """The options of the adapter that the system would make."""
    made = make_venue(venue, URL, settings_of(venue, written), lambda: datetime.now(UTC), paper=paper)
    return asdict(made.options)  # type: ignore[attr-defined]


@pytest.mark.parametrize("venue", VENUES)
def test_defaults_are_the_adapters_own(venue: Venue) -> None:
    section, own = Settings().venues.of(venue), asdict(options_class(venue)())
    shown = {name: getattr(section, name) for name in type(section).model_fields if name != "base_url"}
    assert {name: own.get(name, "no option of that name") for name in shown} == shown
    assert options_for(venue, {}) == own


@pytest.mark.parametrize("venue", VENUES)
def test_what_is_written_reaches_the_adapter_and_nothing_else_changes(venue: Venue) -> None:
    written = WRITTEN[venue]
    taken = settings_of(venue, written).venues.of(venue)
    expected = asdict(options_class(venue)()) | {name: getattr(taken, name) for name in written}
    assert options_for(venue, written) == expected
    assert {name: value for name, value in expected.items() if name in written} != {
        field.name: field.default for field in fields(options_class(venue)) if field.name in written
    }


@pytest.mark.parametrize("venue", VENUES)
def test_rates_and_waits_are_the_kind_of_number_that_the_adapter_counts_in(venue: Venue) -> None:
    kinds = {field.name: str(field.type) for field in fields(options_class(venue))}
    for name, value in options_for(venue, WRITTEN[venue]).items():
        if "float" in kinds[name] and value is not None:
            assert isinstance(value, float), f"{name} is {value!r}"
        if kinds[name] == "Decimal":
            assert isinstance(value, Decimal), f"{name} is {value!r}"


def bounds(section: type[VenueSettings]) -> list[tuple[str, float | Decimal | int]]:
    """The outermost values of each setting that the model takes, a millionth inside where the limit itself is out."""
    found: list[tuple[str, float | Decimal | int]] = []
    for name, field in section.model_fields.items():
        layers = list(field.metadata)
        for inner in getattr(field.annotation, "__args__", ()):  # `X | None`
            layers += [part for each in getattr(inner, "__metadata__", ()) for part in getattr(each, "metadata", [])]
        for limit in layers:
            match limit:
                case Ge(ge=value) | Le(le=value):
                    found.append((name, value))  # type: ignore[arg-type]
                case Gt(gt=value):
                    found.append((name, Decimal(str(value)) + Decimal("0.000001")))
                case Lt(lt=value):
                    found.append((name, Decimal(str(value)) - Decimal("0.000001")))
    return found


@pytest.mark.parametrize("venue", VENUES)
def test_the_adapter_takes_whatever_the_settings_allow(venue: Venue) -> None:
    """A value that only the adapter refuses would end the worker with a traceback instead of a line and a remedy."""
    section = type(Settings().venues.of(venue))
    tried = bounds(section)
    assert len(tried) >= 12, tried
    for name, value in tried:
        together: dict[str, float] = {"late_order_s": 600} if name == "late_exit_s" else {}
        together = {"late_exit_s": 0.5} if name == "late_order_s" else together
        assert name in options_for(venue, {**together, name: value})
    # The longest token with the widest clock: both stand in one limit of Coinbase's.
    if venue == "coinbase":
        options_for(venue, {"token_life_s": 90, "clock_skew_max_s": 30})


@pytest.mark.parametrize("jumps", range(4))
def test_every_allowed_number_of_nonce_jumps_makes_an_adapter(jumps: int) -> None:
    settings = Settings.model_validate({"engine": {"nonce_jumps_max": jumps}})
    made = make_venue("kraken", URL, settings, lambda: datetime.now(UTC), paper=False)
    assert made.options.nonce_jumps_max == jumps  # type: ignore[attr-defined]


@pytest.mark.parametrize("venue", VENUES)
def test_paper_venues_are_asked_as_often_as_one_likes(venue: Venue) -> None:
    options = options_for(venue, {}, paper=True)
    assert options.get("public_calls_per_s") is None
    assert options.get("tier", PAPER_TIER) == PAPER_TIER


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("engine: {nonce_jumps_max: 4}", "engine.nonce_jumps_max: 4"),
        ("venues: {okx: {ip_orders_per_s: 5}}", "venues.okx.ip_orders_per_s: is not a field"),
        ("venues: {okx: {order_deadline_s: 26}}", "venues.okx.order_deadline_s: 26"),
        ("venues: {okx: {demo: maybe}}", "venues.okx.demo"),
        ("venues: {okx: {currency: usdt}}", "venues.okx.currency"),
        ("venues: {coinbase: {token_life_s: 91}}", "venues.coinbase.token_life_s: 91"),
        ("venues: {coinbase: {order_deadline_s: 5}}", "venues.coinbase.order_deadline_s: is not a field"),
        ("venues: {binance: {order_deadline_s: 0.4}}", "venues.binance.order_deadline_s: 0.4"),
        ("venues: {binance: {require_ip_restriction: 1}}", "venues.binance.require_ip_restriction"),
        ("venues: {alpaca: {crypto_fee_rate: 0.1}}", "venues.alpaca.crypto_fee_rate"),
        ("venues: {alpaca: {late_exit_s: 40}}", "Make late_order_s the longer one"),
        ("venues: {alpaca: {stock_feed: otc}}", "venues.alpaca.stock_feed"),
    ],
)
def test_what_no_adapter_could_use_is_refused_by_its_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "copytrade.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        read_settings(path, {})
    assert words in str(error.value)
