"""The console in a real browser: pages fill, change by themselves, act, and make no browser complain."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_world import CHROMIUM, DESKTOP, NEEDED, PHONE, Served, Tab, chromium, served
from world import World

pytestmark = pytest.mark.skipif(not CHROMIUM, reason=NEEDED)

MANY = 1000
FIRST = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy", "Kofi", "Lena", "Olga")
LAST = ("Smith", "Jones", "Meyer", "Novak", "Rossi", "Garcia", "Silva", "Kim", "Chen", "Okafor", "Dubois", "Larsen")
CASH = (250, 500, 1000, 2500, 8000, 40_000)
PAGES = ("/", "/signals", "/orders", "/health", "/log", "/audit", "/api/docs")


def many(root: Path) -> World:
    """A thousand followers of all kinds."""
    followers: dict[str, Any] = {}
    for number in range(MANY):
        first, last = FIRST[number % len(FIRST)], LAST[(number // len(FIRST) + number) % len(LAST)]
        fields: dict[str, Any] = {"cash": CASH[number * 7 % len(CASH)], "name": f"{first} {last}"}
        for every, at, change in (
            (17, 5, {"mode": "close_only"}), (29, 7, {"mode": "paused"}), (53, 9, {"mode": "disarmed"}),
            (41, 11, {"enabled": False}), (13, 2, {"max_exposure": 400}),
        ):  # fmt: skip
            fields |= change if number % every == at else {}
        followers[f"{first}_{last}_{number}".lower()] = fields
    return World(root, followers=followers, master_cash=250_000)


def few(root: Path) -> World:
    followers: dict[str, Any] = {
        "alice_smith": {"cash": 1000, "name": "Alice Smith", "max_exposure": 400}, "bob_jones": {"cash": 500},
        "carol_small": {"cash": 30},
    }  # fmt: skip
    return World(root, followers=followers)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.fixture
def desk() -> Iterator[Served]:
    with served(few) as made:
        yield made


@pytest.fixture
def tab(browser: Any, desk: Served) -> Iterator[Tab]:
    with Tab(browser, desk, **DESKTOP) as made:
        made.sign_in()
        yield made
        assert made.complaints == []


def test_a_wrong_token_is_told_and_the_right_one_opens_the_overview(browser: Any, desk: Served) -> None:
    with Tab(browser, desk, **DESKTOP) as tab:
        tab.page.goto("/signals")
        assert tab.page.url.endswith("/sign-in")
        tab.page.fill("[name=token]", "ct_wrong")
        tab.page.click("button[type=submit]")
        assert "not the console's token" in tab.page.text_content("[role=alert]")
        tab.sign_in()
        assert tab.page.title().startswith("Overview")
        tab.page.click(".me summary")
        tab.page.click("text=Sign out")
        tab.page.wait_for_url("**/sign-in")
        tab.page.goto("/")
        assert tab.page.url.endswith("/sign-in")


def test_a_trade_appears_by_itself(tab: Tab, desk: Served) -> None:
    page = tab.page
    page.wait_for_selector("text=Alice Smith")
    assert "none yet" in page.text_content("#table")
    desk.buy("1000")
    row = page.locator(".vt-row", has_text="Alice Smith")
    row.get_by_text("filled").wait_for()
    assert "BTC/USD" in row.text_content()
    row.get_by_text("BTC/USD").click()
    page.wait_for_selector("text=Master buys 0.02 BTC/USD")
    page.wait_for_selector(".fall i.hop-fill")
    assert "scaled by the ratio of equities" in page.text_content("#table")
    page.click("text=alice_smith")
    page.wait_for_selector("text=Risk of one entry")
    page.wait_for_selector(".curve polyline")
    assert "0.002" in page.text_content("#positions")


def test_stopping_and_starting_again(tab: Tab, desk: Served) -> None:
    page, kill = tab.page, desk.seat.desk.kill
    page.click("#kill")
    page.click("dialog button.plain")
    assert not kill.path.exists()
    page.click("#kill")
    page.click("dialog >> text=Stop now")
    page.wait_for_selector("#banner >> text=The kill switch is on")
    assert kill.look().value == "halt"
    page.click("#kill")
    page.click("dialog >> text=Lift it")
    page.wait_for_selector("body[data-kill=off]")
    assert not kill.path.exists()
    page.click("nav >> text=Audit")
    page.wait_for_selector(".vt-row >> text=unkill")
    assert "Olga" in page.text_content("#table")


def test_flattening_all_is_asked_for_twice(tab: Tab, desk: Served) -> None:
    desk.buy("1000")
    page = tab.page
    page.click("#kill")
    page.click("dialog >> text=close every copied position")
    page.click("dialog >> text=Stop now")
    page.wait_for_selector("dialog >> text=Close every copied position?")
    go = page.locator("dialog button.danger")
    assert go.is_disabled()
    page.fill("dialog input[name=typed]", "flatten")
    go.click()
    page.wait_for_selector("body[data-kill=halt]")
    desk.do(desk.seat.settled())
    assert desk.seat.desk.position("alice_smith") == 0


def test_what_is_not_offered_is_said_in_words(tab: Tab) -> None:
    page = tab.go("/followers/kraken%3Aalice_smith")
    page.click("text=Reconcile")
    page.click("dialog button.primary")
    said = page.wait_for_selector(".toast.bad >> text=this version")
    assert said is not None
    assert said.is_visible()
    tab.complaints = [line for line in tab.complaints if "501" not in line]  # the browser's own note of the answer


def test_searching_sorting_and_choosing(tab: Tab) -> None:
    page = tab.page
    page.wait_for_selector(".vt-row >> nth=3")
    page.fill("#search", "bob")
    page.wait_for_selector(".vt[aria-rowcount='1']")
    page.fill("#search", "nobody of this name")
    page.wait_for_selector("text=Nothing matches.")
    page.fill("#search", "")
    page.click(".vt-head >> text=Equity")
    page.wait_for_selector("[data-name=equity][aria-sort=ascending]")
    # Rows are placed, not ordered, in the document.
    top = "(a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top"
    first = page.evaluate(f"[...document.querySelectorAll('.vt-row')].sort({top})[0].textContent")
    assert "carol_small" in first


def test_no_page_leans_over_the_edge_or_makes_the_browser_complain(browser: Any, desk: Served) -> None:
    signal = desk.buy("1000")
    paths = [*PAGES, f"/signals/{signal}", "/followers/kraken%3Aalice_smith"]
    for options in (DESKTOP, PHONE):
        with Tab(browser, desk, **options) as tab:
            tab.sign_in()
            for path in paths:
                page = tab.go(path)
                page.wait_for_selector(".seg" if "/followers/" in path else "h1")
                assert leans_over(tab, options) <= 0, (path, options["viewport"])
            page.evaluate("document.querySelector('main').append(document.createElement('pre'))")
            page.evaluate("document.querySelector('main pre').textContent = 'wide '.repeat(400)")
            assert leans_over(tab, options) > 0, "that this would be seen"
            assert tab.complaints == []


def leans_over(tab: Tab, options: dict[str, Any]) -> int:
    """By how much a page is wider than the screen. A phone's browser makes its window wider with it, the screen not."""
    return int(tab.page.evaluate("document.documentElement.scrollWidth")) - int(options["viewport"]["width"])


def test_the_policy_stops_a_script_that_got_in(tab: Tab) -> None:
    """The control: markup that somebody smuggled in does not run, and says so to the browser."""
    page = tab.page
    page.evaluate(
        """() => { const s = document.createElement("script"); s.textContent = "window.smuggled = 1";
        document.body.append(s); const i = document.createElement("img");
        i.setAttribute("onerror", "window.smuggled = 1"); i.src = "/static/nothing"; document.body.append(i); }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.smuggled") is None
    assert any(re.search("Content Security Policy", line) for line in tab.complaints)
    tab.complaints.clear()


@pytest.mark.slow
def test_a_thousand_followers_scroll_and_stay_in_step(browser: Any) -> None:
    """And the pictures of the documentation, where `SCREENS` names a folder for them."""
    with served(many) as desk, Tab(browser, desk, **DESKTOP) as tab:
        for usd in ("20000", "7500", "12000") if os.environ.get("SCREENS") else ("20000",):
            signal = desk.buy(usd)
        tab.sign_in()
        page = tab.page
        page.wait_for_selector("text=1,001")
        assert page.locator(".vt-row").count() < 60
        assert page.evaluate("document.querySelector('.vt-body').offsetHeight") == 1001 * 44
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_selector("text=_999")
        page.fill("#search", "_500")
        page.wait_for_selector(".vt[aria-rowcount='1']")
        page.fill("#search", "")
        desk.buy("5000")
        page.goto(f"/signals/{signal}")
        page.wait_for_selector(".chips >> text=All 1,000")
        assert tab.complaints == []
        if folder := os.environ.get("SCREENS"):
            _take_pictures(browser, desk, signal, Path(folder))


def _take_pictures(browser: Any, desk: Served, signal: str, folder: Path) -> None:
    account = list(desk.seat.desk.engine.services.roster.followers)[2]
    shots = [
        ("overview", "/", DESKTOP, "light"), ("overview-dark", "/", DESKTOP, "dark"),
        ("signal", f"/signals/{signal}", DESKTOP, "light"), ("follower", f"/followers/{account}", DESKTOP, "light"),
        ("phone", "/", PHONE, "light"), ("phone-signal-dark", f"/signals/{signal}", PHONE, "dark"),
    ]  # fmt: skip
    for name, path, options, scheme in shots:
        with Tab(browser, desk, color_scheme=scheme, **options) as tab:
            tab.sign_in()
            tab.go(path).wait_for_selector(".vt-row")
            tab.page.wait_for_timeout(600)
            tab.page.screenshot(path=folder / f"{name}.png")
