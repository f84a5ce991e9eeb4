"""A month reckoned by hand, and the same by the program. The arithmetic is in the comments.

Alice, November 2026, in dollars.

    trades                                   average cost             first in, first out
    20 Oct  buy  0.10 BTC for 5,000 fee 13     0.10 cost  5,013.00      0.10 at 50,130
    31 Oct  price 52,000: unrealised         5,200 - 5,013 = 187.00   the same
     5 Nov  buy  0.10 BTC for 6,000 fee 15.60  0.20 cost 11,028.60      and 0.10 at 60,156
    12 Nov  sell 0.05 BTC for 3,100 fee  8.06  cost 0.05 x 55,143       cost 0.05 x 50,130
                                                  = 2,757.15               = 2,506.50
            realised 3,100 - 8.06 - cost       334.79                   585.44
    30 Nov  0.15 BTC left, cost                8,271.45                 2,506.50 + 6,015.60 = 8,522.10
            price 62,000, worth 9,300:         1,028.55                 777.90
            profit: realised + unrealised - 187.00 = 1,176.34 either way

    20 Nov  buy 1 ETH for 3,000 USDC, fee 0.002 ETH (6.00 USDC): 0.998 ETH cost 3,000
    30 Nov  price 3,100: 3,093.80 - 3,000 = 93.80 USDC, which is not added to the dollars

    equity                        factor                         master                    factor
    31 Oct 23:45   10,000                                        100,000
    10 Nov 00:00   10,500         1.05
    10 Nov 00:15   12,500         (12,500 - 2,000) / 10,500 = 1  106,000                   1.06
    20 Nov 12:00   12,250         0.98
    20 Nov 12:15   11,000         (11,000 + 1,250) / 12,250 = 1  103,880                   0.98
    30 Nov 23:45   11,550         1.05                           110,112.80                1.06
    return         1.05 x 0.98 x 1.05 - 1 = 0.08045              1.06 x 0.98 x 1.06 - 1 = 0.101128
    daily differences -0.01, 0, -0.01; their mean -0.02/3; squares (1 + 4 + 1)/9 x 0.0001, halved: 0.0001/3;
    tracking error = root of it = 0.0057735027

    fee at 20 %
    October        mark 9,000 (first reading), equity 10,000: gain 1,000, fee 200.00, mark 10,000
    November       + 2,000 paid in = 12,000; 1,250 of 12,250 taken out: 12,000 x 11,000 / 12,250 = 10,775.5102...
                   equity 11,550: gain 774.4897..., fee 154.8979... = 154.90, mark 11,550
    December       equity 11,000: no gain, no fee, mark 11,550
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from copytrade.statements.fees import FeePeriod
from copytrade.statements.profit import CostMethod, Valued
from copytrade.statements.render import to_csv, to_html
from copytrade.statements.statement import Cause, Facts, Terms, make_statement, statement_json
from copytrade.statements.values import Month, Payment, Point, Trade

NOVEMBER = Month(2026, 11)
D = Decimal


def at(day: int, month: int = 11, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def point(when: datetime, equity: str) -> Point:
    return Point(when, D(equity), D(0))


TRADES = [
    Trade(at(20, 10), "C-1", "BTC/USD", True, D("0.1"), D(5000), D(13)),
    Trade(at(5), "C-2", "BTC/USD", True, D("0.1"), D(6000), D("15.60")),
    Trade(at(12), "C-3", "BTC/USD", False, D("0.05"), D(3100), D("8.06")),
    Trade(at(20), "C-4", "ETH/USDC", True, D(1), D(3000), fee_base=D("0.002")),
    Trade(at(2, 12), "C-5", "BTC/USD", False, D("0.15"), D(9000), D(9)),  # in December: no part of this
]
POINTS = {
    Month(2026, 10): [point(at(1, 10), "9000"), point(at(31, 10, 23, 45), "10000")],
    NOVEMBER: [
        point(at(10), "10500"), point(at(10, minute=15), "12500"), point(at(20, hour=12), "12250"),
        point(at(20, hour=12, minute=15), "11000"), point(at(30, hour=23, minute=45), "11550"),
    ],
}  # fmt: skip
MASTER = [
    point(at(31, 10, 23, 45), "100000"), point(at(10, minute=15), "106000"),
    point(at(20, hour=12, minute=15), "103880"), point(at(30, hour=23, minute=45), "110112.80"),
]  # fmt: skip
PAYMENTS = [Payment(at(10, minute=10), D(2000)), Payment(at(20, hour=12, minute=5), D(-1250))]


def facts(**changed: Any) -> Facts:
    given: dict[str, Any] = {
        "account": "kraken:alice", "name": "Alice <b>", "month": NOVEMBER, "currency": "USD", "as_of": at(3, 12),
        "trades": TRADES, "points": POINTS, "payments": PAYMENTS, "payments_source": "listed", "master": MASTER,
        "prices_before": {"BTC/USD": Valued(D(52000), at(31, 10))},
        "prices_after": {"BTC/USD": Valued(D(62000), at(30)), "ETH/USDC": Valued(D(3100), at(30))},
        "causes": [Cause("BTC/USD", "cap: capped_by_risk", D("-0.01"), D(-620))],
    }  # fmt: skip
    return Facts(**{**given, **changed})


def reckoned(method: CostMethod = CostMethod.AVERAGE, period: FeePeriod = FeePeriod.MONTH, **changed: Any) -> Any:
    return statement_json(make_statement(facts(**changed), Terms(D("0.2"), period, method)))


@pytest.mark.parametrize(
    ("method", "realised", "cost", "unrealised"),
    [(CostMethod.AVERAGE, "334.79", "8271.45", "1028.55"), (CostMethod.FIFO, "585.44", "8522.1", "777.9")],
)
def test_profit(method: CostMethod, realised: str, cost: str, unrealised: str) -> None:
    bitcoin, ether = reckoned(method)["instruments"]
    assert bitcoin == {
        "instrument": "BTC/USD", "currency": "USD", "trades": 2, "bought": "6000", "sold": "3100", "fees": "23.66",
        "realised": realised, "quantity": "0.15", "cost": cost, "price": "62000", "priced_at": at(30).isoformat(),
        "unrealised": unrealised, "unrealised_before": "187", "profit": "1176.34", "unmatched": "0",
    }  # fmt: skip
    assert (ether["currency"], ether["quantity"], ether["fees"]) == ("USDC", "0.998", "6")
    assert (ether["realised"], ether["unrealised"], ether["profit"]) == ("0", "93.8", "93.8")


def test_currencies_are_kept_apart() -> None:
    totals = {row["currency"]: row for row in reckoned()["totals"]}
    assert (totals["USD"]["profit"], totals["USDC"]["profit"]) == ("1176.34", "93.8")
    assert (totals["USD"]["trades"], totals["USDC"]["trades"]) == (2, 1)


def test_return_against_the_master() -> None:
    assert reckoned()["return"] == {
        "own": "0.08045", "master": "0.101128", "difference": "-0.020678", "tracking_error_daily": "0.0057735027",
        "days": 3,
    }  # fmt: skip


def test_the_fee_of_each_month() -> None:
    october = reckoned(month=Month(2026, 10))["fee"]
    assert (october["high_water"], october["gain"], october["amount"]) == ("9000", "1000", "200")
    november = reckoned()["fee"]
    assert november == {
        "rate": "0.2", "period": "month", "due": True, "high_water_before": "10000", "high_water": "10775.5102040816",
        "equity": "11550", "gain": "774.4897959184", "amount": "154.9", "high_water_after": "11550",
    }  # fmt: skip
    later = {**POINTS, Month(2026, 12): [point(at(31, 12, 23, 45), "11000")]}
    december = reckoned(month=Month(2026, 12), points=later, as_of=datetime(2027, 1, 2, tzinfo=UTC))["fee"]
    assert (december["gain"], december["amount"], december["high_water_after"]) == ("0", "0", "11550")


def test_a_fee_by_the_quarter_falls_due_once() -> None:
    """9,000 + 2,000 = 11,000; x 11,000 / 12,250 = 9,877.5510...; 11,550 above that: 1,672.4489...; nothing due yet."""
    november = reckoned(period=FeePeriod.QUARTER)["fee"]
    assert (november["due"], november["gain"], november["amount"]) == (False, "1672.4489795918", "0")
    later = {**POINTS, Month(2026, 12): [point(at(31, 12, 23, 45), "11550")]}
    december = reckoned(period=FeePeriod.QUARTER, month=Month(2026, 12), points=later)["fee"]
    assert (december["due"], december["amount"]) == (True, "334.49")


def test_without_the_payments_the_figures_would_be_others() -> None:
    """The control: it is the payments that make 0.08045 and 154.90."""
    wrong = reckoned(payments=[])
    assert wrong["return"]["own"] == "0.155"  # 11,550 / 10,000 - 1
    assert wrong["fee"]["amount"] == "310"  # 20 % of 1,550


def test_the_trades_of_the_month_and_the_payments_are_listed() -> None:
    statement = reckoned()
    assert [trade["order_id"] for trade in statement["trades"]] == ["C-2", "C-3", "C-4"]
    assert statement["trades"][1] == {
        "at": at(12).isoformat(), "order_id": "C-3", "instrument": "BTC/USD", "side": "sell", "quantity": "0.05",
        "price": "62000", "cost": "3100", "fee": "8.06", "fee_base": "0", "currency": "USD",
    }  # fmt: skip
    assert statement["payments"]["total"] == "750"
    assert statement["notes"] == []


def test_what_is_not_known_is_said() -> None:
    notes = reckoned(prices_after={}, as_of=at(15))["notes"]
    assert any("not over" in note for note in notes)
    assert any("BTC/USD: no price is known" in note for note in notes)
    statement = reckoned(points={}, trades=[Trade(at(3), "C-9", "BTC/USD", False, D(1), D(60000))])
    assert (statement["fee"], statement["return"]["own"]) == (None, None)
    assert any("that no copy had bought" in note for note in statement["notes"])
    assert statement["instruments"][0]["realised"] == "0"


def test_csv_has_every_figure_on_a_line_of_its_own() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([reckoned(), reckoned(account="okx:alice")]))))
    assert {row["account"] for row in rows} == {"kraken:alice", "okx:alice"}
    mine = [row for row in rows if row["account"] == "kraken:alice"]
    found = {(r["section"], r["instrument"], r["item"], r["currency"]): r["amount"] for r in mine}
    assert found["instrument", "BTC/USD", "realised", "USD"] == "334.79"
    assert found["total", "", "profit", "USDC"] == "93.8"
    assert found["return", "", "own", ""] == "0.08045"
    assert found["performance fee", "", "amount", "USD"] == "154.9"
    assert [r["amount"] for r in mine if r["section"] == "payment"] == ["2000", "-1250"]
    assert sum(r["section"] == "trade" for r in mine) == 3


def test_html_is_one_escaped_page_that_fetches_nothing() -> None:
    page = to_html([reckoned(account='kraken:"><script>alert(1)</script>')])
    assert "Alice &lt;b&gt;: 2026-11" in page
    assert "<script" not in page
    assert "://" not in page
    for figure in ("1,176.34", "334.79", "8.04 %", "10.11 %", "154.90", "11,550.00", "cap: capped_by_risk", "-620.00"):
        assert figure in page, figure
