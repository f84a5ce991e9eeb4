"""`python -m copytrade backtest` as the operator types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from backtest_cases import random_candles

ROOT = Path(__file__).parents[2]


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    found = random_candles(800)
    columns = zip(found.time, found.open, found.high, found.low, found.close, found.volume, strict=True)
    rows = [",".join(map(str, row)) for row in columns]
    path = tmp_path / "candles.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]))
    users = tmp_path / "users"
    users.mkdir()
    enrolled = [("ann", 2000), ("bo", 9)]
    (users / "all.json").write_text(
        json.dumps([{"user_id": name, "broker_type": "kraken", "paper_cash": cash} for name, cash in enrolled])
    )
    return path


def _run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "copytrade", "backtest", "--config", str(folder / "none.yaml"), *options]
    command += ["--followers", str(folder / "users"), "--state", str(folder / "state")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_report_and_the_picture(candles: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    done = _run(tmp_path, "--candles", str(candles), "--strategy", "apex", "--json", "--plot", str(picture))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["candles"]["count"] == 800
    assert told["master"]["orders"] > 0
    assert [each["account"] for each in told["followers"]] == ["kraken:ann", "kraken:bo"]
    assert list(told["followers"][1]["skipped"]) == ["below_min_balance"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(picture.read_bytes()) > 20_000
    assert not (tmp_path / "state").exists()


def test_for_people(candles: Path, tmp_path: Path) -> None:
    done = _run(tmp_path, "--candles", str(candles), "--strategy", "apex", "--cash", "50000", "--fee", "0.001")
    assert done.returncode == 0, done.stderr
    assert "apex on 800 candles of 300 s of BTC/USD" in done.stdout
    assert "50,000.00" in done.stdout
    assert "kraken:bo" in done.stdout
    assert "skipped: below_min_balance" in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to replay: give --strategy apex"),
        (["--strategy", "apex", "--fee", "5"], "--fee is 5: give a share from 0 to 0.1"),
        (["--strategy", "apex", "--symbol", "BTC"], "'BTC' is no market"),
        (["--strategy", "nowhere:Nothing"], "there is no module nowhere"),
        (["--strategy", "apex", "--plot", "no/such/folder/out.png"], "there is no folder no/such/folder"),
    ],
)
def test_what_is_wrong_is_said(candles: Path, tmp_path: Path, options: list[str], says: str) -> None:
    done = _run(tmp_path, "--candles", str(candles), *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
