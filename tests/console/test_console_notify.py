"""Messages: to a real web hook and a real mail server, by everybody's rules, tried again, and in nobody's way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from console_world import PAPER, World, wait_until
from notify_lab import PASSWORD, mailbox, webhook

from copytrade.console.attending import Attendants
from copytrade.console.notify import watching
from copytrade.console.notify.notices import EVENTS, TOLD_AS, Level, Notice, of_alert, wants
from copytrade.console.notify.sending import WAITING_MAX, Outbox, apprise_delivery
from copytrade.console.notify.watching import Notifier, daily_summary, next_daily
from copytrade.console.operations import trade
from copytrade.domain.account import AccountId
from copytrade.domain.alerts import Alert, AlertKind
from copytrade.settings.notify import NotifyTarget, secret_parts
from copytrade.settings.redaction import Redactor
from copytrade.settings.secret import Secret
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

QUICK = (0.01, 0.01, 0.01)
BUY = {"instrument": "BTC/USD", "side": "buy", "usd": "1000", "request_id": "one"}


def target(**fields: Any) -> NotifyTarget:
    return NotifyTarget.model_validate({"url_env": "NOTIFY_OPS", **fields})


def notice(text: str, level: Level = Level.WARNING) -> Notice:
    return Notice("other", level, text)


def now() -> datetime:
    return datetime.now(UTC)


# -- one address -------------------------------------------------------------------------------------------------------


def test_a_web_hook_and_a_mail_server_get_the_message() -> None:
    with webhook() as hook, mailbox() as box:
        for url in (hook.url, box.url):
            deliver = apprise_delivery(url)
            assert deliver is not None
            assert deliver("copytrade: parked", "kraken:ann is parked: a reason & more <b>", Level.ERROR)
        (posted,) = hook.arrivals.until(1)
        assert (posted["title"], posted["type"]) == ("copytrade: parked", "failure")
        assert posted["message"] == "kraken:ann is parked: a reason & more <b>"
        (mail,) = box.arrivals.until(1)
        assert mail["subject"] == "copytrade: parked"
        assert "olga@example.test" in mail["to"]
        assert "a reason & more" in mail.get_body(("plain", "html")).get_content().replace("&amp;", "&")


def test_what_is_not_taken_is_tried_again_in_order_until_it_is() -> None:
    with webhook() as hook:
        hook.refuse = 2
        outbox = Outbox("NOTIFY_OPS", apprise_delivery(hook.url), retry_s=QUICK)  # type: ignore[arg-type]
        outbox.start()
        outbox.put(notice("first"))
        hook.arrivals.until(1)
        outbox.put(notice("second"))
        hook.arrivals.until(2)
        outbox.close()
        assert hook.texts == ["first", "second"]
        assert len(hook.tries.items) == 4
        assert (outbox.sent, outbox.failed, outbox.waiting) == (2, 0, 0)


def test_what_is_never_taken_is_given_up_and_the_next_one_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    with webhook() as hook:
        hook.refuse = len(QUICK) + 1
        outbox = Outbox("NOTIFY_OPS", apprise_delivery(hook.url), retry_s=QUICK)  # type: ignore[arg-type]
        outbox.start()
        outbox.put(notice("lost"))
        wait_until(lambda: outbox.failed, "the message to be given up")
        outbox.put(notice("sent"))
        hook.arrivals.until(1)
        outbox.close()
        assert hook.texts == ["sent"]
    assert "NOTIFY_OPS: 1 messages could not be delivered and are given up" in caplog.text
    assert "made-up-hook-token" not in caplog.text


def test_telling_never_waits_and_what_piles_up_comes_as_one() -> None:
    with webhook() as hook:
        hook.go.clear()
        outbox = Outbox("NOTIFY_OPS", apprise_delivery(hook.url), retry_s=QUICK)  # type: ignore[arg-type]
        outbox.start()
        outbox.put(notice("number 0"))
        hook.tries.until(1)  # it hangs at the other side from here on
        for number in range(1, WAITING_MAX + 11):
            outbox.put(notice(f"number {number}", Level.ERROR))
        assert outbox.waiting == WAITING_MAX
        hook.go.set()
        first, digest = hook.arrivals.until(2)
        outbox.close()
    assert first["message"] == "number 0"
    lines = digest["message"].splitlines()
    assert digest["title"] == f"copytrade: {WAITING_MAX} messages"
    assert digest["type"] == "failure"
    assert lines[0] == "number 11", "the oldest made room"
    assert lines[-2:] == [
        f"... and {WAITING_MAX - 60} more; see the console or the log",
        "10 older messages were dropped: too many were waiting",
    ]
    assert outbox.dropped == 10


def test_a_digest_gathers_and_a_stop_sends_it() -> None:
    with webhook() as hook:
        outbox = Outbox("NOTIFY_OPS", apprise_delivery(hook.url), digest_s=3600)  # type: ignore[arg-type]
        outbox.start()
        outbox.put(notice("one"))
        outbox.put(notice("two"))
        outbox.close()
        assert hook.texts == ["one\ntwo"]


def test_a_library_that_raises_is_not_the_end() -> None:
    came = threading.Event()
    calls: list[str] = []

    def deliver(title: str, text: str, level: Level) -> bool:
        calls.append(text)
        if len(calls) == 1:
            raise RuntimeError("whatever")
        came.set()
        return True

    outbox = Outbox("NOTIFY_OPS", deliver, retry_s=QUICK)
    outbox.start()
    outbox.put(notice("once more"))
    assert came.wait(30)
    outbox.close()
    assert calls == ["once more", "once more"]


# -- rules -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "about", "event", "level", "account"),
    [
        (AlertKind.KILL_SWITCH_ON, None, "kill_switch", "ERROR", ""),
        (AlertKind.KILL_SWITCH_OFF, None, "kill_switch", "WARNING", ""),
        (AlertKind.PARKED, "kraken:ann", "parked", "ERROR", "kraken:ann"),
        (AlertKind.PARKED, "kraken:master", "parked", "ERROR", ""),
        (AlertKind.WORKS_AGAIN, "okx:ann", "parked", "INFO", "okx:ann"),
        (AlertKind.EXIT_HELD, "kraken:ann", "held", "ERROR", "kraken:ann"),
        (AlertKind.LIMIT_TRIPPED, "kraken:ann", "limits", "ERROR", "kraken:ann"),
        (AlertKind.REPAIRED, "kraken:ann", "drift", "WARNING", "kraken:ann"),
        (AlertKind.VENUE_DOWN, None, "venue", "ERROR", ""),
        (AlertKind.NOT_CONNECTED, "kraken:ann", "venue", "WARNING", "kraken:ann"),
        (AlertKind.CHECK_NEWS, None, "check", "WARNING", ""),
        (AlertKind.LEDGER_FAILED, None, "other", "ERROR", ""),
    ],
)
def test_alerts_are_told_for_what_they_are(
    kind: AlertKind, about: str | None, event: str, level: str, account: str
) -> None:
    """Whatever their words: these would all be about the kill switch, and about somebody else."""
    text = "kill switch: off -> halt, says okx:zoe"
    made = of_alert(Alert(kind, text, None if about is None else AccountId(about)))
    assert made == Notice(event, Level[level], text, account)


def test_every_kind_of_alert_is_told_as_something_that_can_be_asked_for() -> None:
    assert set(TOLD_AS) == set(AlertKind)
    assert {event for event, _ in TOLD_AS.values()} <= set(EVENTS)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({}, "parked limits"),
        ({"level": "error"}, "parked"),
        ({"level": "info"}, "fills parked limits daily"),
        ({"events": ["fills", "limits"]}, "fills limits"),
        ({"events": ["daily"]}, "daily"),
        ({"followers": ["ben"]}, "limits"),
        ({"followers": ["ann"]}, "parked limits"),
        ({"followers": ["kraken:ann"], "level": "info"}, "fills parked limits daily"),
        ({"followers": ["okx:ann"], "level": "info"}, "limits daily"),
    ],
)
def test_rules_are_by_level_event_and_follower(rules: dict[str, Any], told: str) -> None:
    notices = [
        Notice("fills", Level.INFO, "", "kraken:ann"), Notice("parked", Level.ERROR, "", "kraken:ann"),
        Notice("limits", Level.WARNING, ""), Notice("daily", Level.INFO, ""),
    ]  # fmt: skip
    assert " ".join(each.event for each in notices if wants(target(**rules), each)) == told


def test_every_part_of_an_address_that_could_be_secret_is_kept_out_of_texts() -> None:
    redactor = Redactor()
    addresses = {
        "mailto://ann:p4ssw0rd-of-ann@mail.example.test?to=x@example.test": ["p4ssw0rd-of-ann"],
        "discord://123456789/aToken-of-Discord": ["aToken-of-Discord", "123456789"],
        "tgram://998877:AAtokenAA/55512345": ["998877:AAtokenAA"],
        "json://127.0.0.1:80/hook-secret?token=another-secret": ["hook-secret", "another-secret"],
    }
    for address in addresses:
        for part in secret_parts(address):
            redactor.add(part)
    for address, secrets in addresses.items():
        text = redactor.redact(f"told {address} and {' '.join(secrets)} from 127.0.0.1 by mail.example.test")
        assert not [secret for secret in secrets if secret in text]
        assert "127.0.0.1 by mail.example.test" in text


def test_the_next_summary_is_at_its_hour() -> None:
    at = datetime(2026, 5, 31, 6, 0, tzinfo=UTC)
    assert next_daily(at - timedelta(seconds=1), 6) == at
    assert next_daily(at, 6) == at + timedelta(days=1)


# -- a running system --------------------------------------------------------------------------------------------------


def parked(account: str) -> Alert:
    text = f"{account} is parked: the venue rejects the API key (x)"
    return Alert(AlertKind.PARKED, text, AccountId(account))


def paths_of(world: World) -> Paths:
    return Paths(world.config, world.users_dir, world.state, world.root / ".env")


async def test_fills_failures_and_alerts_reach_whom_they_are_for(world: World, monkeypatch: Any) -> None:
    rules = [
        target(url_env="NOTIFY_SUM", events=["fills"]),
        target(url_env="NOTIFY_ALICE", events=["fills", "parked"], followers=["alice_smith"], fills="per_follower"),
        target(url_env="NOTIFY_OPS", level="warning"),
    ]
    with webhook() as sums, webhook() as alice, webhook() as ops:
        addresses = {"NOTIFY_SUM": Secret(sums.url), "NOTIFY_ALICE": Secret(alice.url), "NOTIFY_OPS": Secret(ops.url)}
        notifier = Notifier(rules, addresses, now, str)
        assert notifier.faults == []
        notifier.start()
        async with System(paths_of(world), {}, Hooks(alert=notifier.alert), Redactor()) as system:
            outcomes = watching.Outcomes(system.paths.ledger, now().timestamp)
            await trade(system.engine, dict(BUY))
            assert await system.engine.quiesce(30)
            await system.ledger.append([])
            notifier._tell_outcomes(outcomes)
            sums.arrivals.until(2)
            alice.arrivals.until(2)
            assert sorted(sums.texts)[0].startswith("2 of 4 copies bought 0.0")
            assert sorted(sums.texts)[1].startswith("the master bought 0.0")
            assert sorted(alice.texts)[0].startswith("alice_smith bought 0.0")
            assert not [text for text in alice.texts if "bob" in text]
            notifier.alert(parked("kraken:bob_jones"))
            notifier.alert(parked("kraken:alice_smith"))
            ops.arrivals.until(2)
            alice.arrivals.until(3)
            assert "alice_smith is parked" in alice.texts[2]
            outcomes.close()
        notifier.close()
        assert notifier.counts()["sent"] == 7


async def test_the_summary_of_a_day_tells_what_there_was(world: World) -> None:
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        await trade(system.engine, dict(BUY))
        assert await system.engine.quiesce(30)
        await system.ledger.append([])
        told = daily_summary(system.paths.ledger, now() + timedelta(seconds=1))
        assert "1 signals; copies: 2 skipped, 2 filled" in told.text
        assert "equity of 5 accounts: " in told.text
        later = daily_summary(system.paths.ledger, now() + timedelta(days=2))
        assert "0 signals; copies: none" in later.text


async def test_an_address_that_is_none_is_told_and_the_others_work(world: World) -> None:
    (world.root / ".env").write_text("NOTIFY_BAD=nonsense\n")
    (world.root / ".env").chmod(0o600)
    rules = [{"url_env": "NOTIFY_BAD"}, {"url_env": "NOTIFY_MISSING"}]
    world.set_settings({**PAPER, "notify": rules, "check": {"at_start": False, "every_hours": 0}})
    told: list[str] = []
    async with System(paths_of(world), {}, Hooks(), Redactor()) as system:
        attendants = Attendants(system, str, now)
        attendants.start(None, lambda alert: told.append(alert.text))
        await attendants.stop()
        warnings = system.loaded.warnings
    assert told == ["notify: NOTIFY_BAD is no address that Apprise knows: nobody is told there"]
    assert "notify: NOTIFY_MISSING is not set in the environment or .env, so nobody is told there" in warnings


def test_a_worker_tells_and_keeps_the_address_to_itself(world: World) -> None:
    with webhook() as hook, mailbox() as box:
        world.set_settings(
            {
                **PAPER,
                "notify": [
                    {"url_env": "NOTIFY_OPS", "level": "warning"},
                    {"url_env": "NOTIFY_MAIL", "events": ["fills"]},
                ],
            }
        )
        world.environ |= {"NOTIFY_OPS": hook.url, "NOTIFY_MAIL": box.url}
        with world.worker() as worker:
            world.json("trade", "BTC/USD", "buy", "--usd", "1000")
            mails = box.arrivals.until(2)
            assert any("copies bought" in mail.get_body(("plain", "html")).get_content() for mail in mails)
            world.json("kill")
            hook.arrivals.until(1)
            assert "kill switch: off -> halt" in hook.texts[0]
            done = worker.end()
        written = b"".join(path.read_bytes() for path in world.state.rglob("*") if path.is_file())
        for secret in ("made-up-hook-token-123", PASSWORD):
            assert secret not in done.out + done.err
            assert secret.encode() not in written
