"""config/copytrade.yaml: defaults, ranges, overrides, and faults with a line."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from copytrade.settings.describe import page
from copytrade.settings.faults import SettingsError
from copytrade.settings.fields import VENUES
from copytrade.settings.model import Settings
from copytrade.settings.watch import RESTART_SECTIONS
from copytrade.settings.yaml_file import paper_faults, read_settings

ROOT = Path(__file__).parents[2]


def read(directory: Path, text: str | bytes, environ: dict[str, str] | None = None) -> Settings:
    path = directory / "copytrade.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_settings(path, environ or {})[0]


def fault(directory: Path, text: str | bytes, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        read(directory, text, environ)
    return str(error.value)


def test_missing_and_empty_files_mean_defaults(tmp_path: Path) -> None:
    found, notes = read_settings(tmp_path / "none.yaml", {})
    assert found == Settings()
    assert "does not exist" in notes[0]
    for text in ("", "# nothing\n", "copy:\nguards:\n", "---\n", "{}"):
        assert read(tmp_path, text) == Settings()


def test_sample_file_is_the_documented_backbone() -> None:
    found, notes = read_settings(ROOT / "config/copytrade.yaml", {})
    assert notes == []
    assert found == Settings.model_validate({"master": {"strategy": "sample"}})
    assert (found.mode, found.copying.max_user_risk, found.guards.minimum_trading_balance) == (
        "paper",
        Decimal("0.10"),
        25,
    )
    assert paper_faults(found, ROOT) == []


def test_fractions_are_exact(tmp_path: Path) -> None:
    found = read(tmp_path, 'copy: {max_user_risk: 0.10, max_slippage: "0.007"}\nguards: {connect_min: 1}')
    assert (str(found.copying.max_user_risk), str(found.copying.max_slippage)) == ("0.10", "0.007")
    assert found.guards.connect_min == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mode: paper\nmode: live", ':2: "mode" is given twice (first in line 1)'),
        ("copy:\n  basis: cash\n  basis: equity", ":3: "),
        ("mode: test", ":1: mode: "),
        ("mode:", ":1: mode: "),
        (
            "\ncopy:\n  max_usr_risk: 0.1",
            ":3: copy.max_usr_risk: is not a field. Did you mean max_user_risk?",
        ),
        ("copy_: {}", "copy_: is not a field. Did you mean copy?"),
        ("kraken_api_secret: hush", "do not belong in this file"),
        ("copy: 5", ":1: copy: 5: "),
        ("copy: {max_user_risk: .nan}", "copy.max_user_risk"),
        ("copy: {max_user_risk: .inf}", "copy.max_user_risk"),
        ("copy: {max_user_risk: -0.1}", "copy.max_user_risk: -0.1: "),
        ("copy: {max_user_risk: 0}", "copy.max_user_risk: 0: "),
        ("copy: {max_user_risk: 1.01}", "copy.max_user_risk: 1.01: "),
        ("copy: {max_user_risk: yes}", "must be a number"),
        ("copy: {entry_ttl_s: 1:30}", "copy.entry_ttl_s"),
        ("guards: {max_positions: 010}", "guards.max_positions"),
        ("guards: {max_positions: 2.5}", "guards.max_positions"),
        ("venues: {kraken: {order_deadline_s: 1.9}}", "venues.kraken.order_deadline_s: 1.9"),
        ("venues: {kraken: {order_deadline_s: 61}}", "venues.kraken.order_deadline_s: 61"),
        ("venues: {krakn: {}}", "Did you mean kraken?"),
        ("master: {strategy: 'os.system'}", "master.strategy"),
        ("- a\n- b", "is not a set of settings"),
        ("a: [", ":1: "),
        ("a: &x [1]\nb: *x", ":2: aliases (*name) are not supported"),
        ("? [1]\n: 2", "keys must be plain words"),
        ("<<: {mode: live}", "keys must be plain words"),
        ("mode: !!python/object/apply:os.system [ls]", ":1: "),
        ("mode: paper\n---\nmode: live", ":2: "),
        ("mode: \0", "control character"),
        (b"mode: \xff", ":1: is not UTF-8"),
        ("[" * 5000, "copytrade.yaml"),
        ("#" * 300_000, "too large"),
    ],
)
def test_faults_name_line_and_remedy(tmp_path: Path, text: str | bytes, words: str) -> None:
    message = fault(tmp_path, text)
    assert words in message
    assert "hush" not in message


def test_all_faults_are_told(tmp_path: Path) -> None:
    assert len(fault(tmp_path, "mode: x\ncopy: {basis: x, typo: 1}\nlog: {level: loud}").splitlines()) == 4


GOOD_URLS = [
    "https://api.kraken.com",
    "https://api.kraken.com/",
    "http://127.0.0.1:8080",
    "http://localhost:1",
    "http://[::1]:9",
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_addresses(tmp_path: Path, url: str) -> None:
    found = read(tmp_path, f"venues: {{kraken: {{base_url: '{url}'}}}}")
    assert found.venues.kraken.base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.kraken.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "https://",
        "https:///x",
        "https://user:hush@api.kraken.com",
        "https://api.kraken.com/0",
        "https://api.kraken.com?x=1",
        "https://api.kraken.com#x",
        "https://api.kraken.com:99999",
        "https://api.kraken.com:x",
        "https://[::1",
        "https://a b",
        "api.kraken.com",
        "http://127.0.0.1@evil.example",
        "https://api.kr\u0430ken.com",
    ],
)
def test_addresses_that_could_leak_or_mislead(tmp_path: Path, url: str) -> None:
    assert "venues.kraken.base_url" in fault(tmp_path, f'venues: {{kraken: {{base_url: "{url}"}}}}')


def test_environment_overrides_and_says_so_when_wrong(tmp_path: Path) -> None:
    environ = {
        f"{venue.upper()}_BASE_URL": f"http://127.0.0.1:{port}" for port, venue in enumerate(VENUES, 1)
    }
    found = read(
        tmp_path,
        "venues: {kraken: {tier: pro}, okx: }",
        {**environ, "SUPPRESS_SINGLE_EXCHANGE_WARNING": "true"},
    )
    assert [found.venues.of(venue).base_url[-1] for venue in VENUES] == ["1", "2", "3", "4", "5"]
    assert found.venues.kraken.tier == "pro"
    assert found.guards.suppress_single_exchange_warning
    assert "environment variable OKX_BASE_URL" in fault(tmp_path, "", {"OKX_BASE_URL": "http://okx.example"})
    assert "environment variable SUPPRESS" in fault(
        tmp_path, "", {"SUPPRESS_SINGLE_EXCHANGE_WARNING": "perhaps"}
    )
    assert read(tmp_path, "", {"OKX_BASE_URL": ""}) == Settings()


def test_paper_trading_never_talks_to_a_real_venue(tmp_path: Path) -> None:
    path = tmp_path / "copytrade.yaml"
    elsewhere = {"OKX_BASE_URL": "https://proxy.example.com"}
    (found,) = paper_faults(read(tmp_path, "", elsewhere), path)
    assert "venues.okx.base_url" in str(found)
    assert paper_faults(read(tmp_path, "mode: live", elsewhere), path) == []
    assert paper_faults(read(tmp_path, "", {"OKX_BASE_URL": "http://127.0.0.1:9"}), path) == []
    assert paper_faults(read(tmp_path, "venues: {okx: {base_url: 'https://www.okx.com'}}"), path) == []


@settings(max_examples=200, deadline=None)
@given(text=st.text(":-[]{}&*!|>'\"%@`#,? \n\tabc0.1", max_size=30) | st.text(max_size=20))
def test_garbage_never_crashes(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    raw = text.encode(errors="surrogatepass")
    try:
        found = read(tmp_path_factory.getbasetemp(), raw)
    except SettingsError:
        return
    assert found == Settings()


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    raw = (ROOT / "config/copytrade.yaml").read_bytes()
    whole = yaml.safe_load(raw)
    for length in range(len(raw)):
        try:
            read(tmp_path, raw[:length])  # YAML has no end mark: a shorter file may be a valid shorter file
        except SettingsError:
            continue
    assert read(tmp_path, raw).master.strategy == whole["master"]["strategy"]


def walk(model: type[BaseModel]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += walk(field.annotation)
        else:
            found.append((f"{model.__name__}.{name}", field.description))
    return found


def test_every_setting_is_described_and_the_page_is_current() -> None:
    assert [name for name, description in walk(Settings) if not description] == []
    assert (ROOT / "docs/settings.md").read_text() == page(), (
        "run: python -m copytrade.settings.describe > docs/settings.md"
    )
    head = page().partition("## `mode`")[0]
    assert [name for name in RESTART_SECTIONS if f"`{name}`" not in head] == [], "sections that take a restart"


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, copytrade.settings; print(sorted({'pydantic', 'yaml', 'dotenv'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_the_example_environment_names_what_we_read_and_holds_no_value() -> None:
    lines = [
        line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
    ]
    names = [line.partition("=")[0] for line in lines]
    assert all(line.endswith("=") for line in lines)
    for venue in VENUES:
        for ending in ("_API_KEY", "_API_SECRET", "_BASE_URL"):
            assert f"{venue.upper()}{ending}" in names
