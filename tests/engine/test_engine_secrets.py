"""I6: no byte of a key or secret in any log, traceback, alert, representation, or file of state/."""

from __future__ import annotations

import base64
import contextlib
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

from ports import ClientAround, around_clients
from world import Desk, World, until

from copytrade.domain.account import AccountId
from copytrade.domain.errors import CopyTradeError
from copytrade.domain.money import Amount
from copytrade.domain.order import OrderState, Side
from copytrade.domain.venue import OrderTicket, PlaceOutcome
from copytrade.engine.desk import TradeRequest
from copytrade.engine.ports import Gate
from copytrade.engine.service import Wiring

SHORTEST = 12  # of a secret's characters that may never be seen together


class Everything(logging.Handler):
    """Keeps every record as a file would have it, tracebacks and their local variables included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{self.format(record)} {record.__dict__!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.texts.append(with_locals(record.exc_info[1]))


def with_locals(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@contextlib.contextmanager
def all_logs() -> Iterator[Everything]:
    root, handler = logging.getLogger(), Everything()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def words(world: World) -> list[bytes]:
    """Every form in which a secret may show: as it is given, and as the bytes that it stands for."""
    forms = []
    for key, secret in world.keys.values():
        raw = base64.b64decode(secret)
        forms += [key.encode(), secret.encode(), raw, raw.hex().encode(), repr(raw)[2:-1].encode()]
    return [form[:SHORTEST] for form in forms]


def found_in(world: World, text: bytes) -> list[bytes]:
    return [word for word in words(world) if word in text]


async def _trouble(world: World, desk: Desk) -> None:
    """Trades and every fault that makes somebody write a message."""
    await desk.buy("1000")
    await desk.settled()
    for kind in ("drop", "truncated_json", "status", "empty", "hang", "stale"):
        world.fault(kind, "alice_smith", None, count=1, hang_s=2)
        await desk.dealt_with(await desk.buy("100"))
    world.fault("error", "bob_jones", None, error="EAPI:Invalid signature", when="before")
    await desk.buy("100")
    await until(lambda: desk.ledger.state.parked, "bob is parked")
    with contextlib.suppress(CopyTradeError):
        await desk.place(TradeRequest("too much", "BTC/USD", Side.BUY, usd=Amount.of("100000")))
    await desk.sell()


async def test_no_secret_anywhere(tmp_path: Path) -> None:
    with World(tmp_path) as world, all_logs() as logs:
        wirings: list[Wiring] = []

        def seen(wiring: Wiring) -> Wiring:
            wirings.append(wiring)
            return wiring

        async with world.trading(seen) as desk:
            await _trouble(world, desk)
            engine, services = desk.engine, desk.engine.services
            shown = [repr(each) for each in (desk.system, engine, services, world.redactor, desk.system.ground)]
            shown += [repr(member) for member in services.roster]
            shown += [repr(member.client) for member in services.roster]
            shown += [repr(vars(member.client)) for member in services.roster if hasattr(member.client, "__dict__")]
            shown += [repr(desk.system.loaded), repr(desk.system.loaded.credentials), repr(wirings)]
            for account in ("kraken:nobody", "kraken:alice_smith"):
                try:
                    wirings[0].factories["kraken"](AccountId(account))
                    raise CopyTradeError("made up")
                except CopyTradeError as error:
                    shown.append("".join(traceback.format_exception(error)))
        assert len(logs.texts) > 5
        assert found_in(world, "\n".join(logs.texts).encode("utf-8", "surrogateescape")) == []
        assert found_in(world, "\n".join([*shown, *world.alerts]).encode()) == []
        files = [path for path in world.paths.state.rglob("*") if path.is_file()]
        assert {"ledger.sqlite3", "nonces"} <= {path.relative_to(world.paths.state).parts[0] for path in files}
        assert [str(path) for path in files if found_in(world, path.read_bytes())] == []
        assert found_in(world, " ".join(str(path) for path in files).encode()) == []


class Breaks(ClientAround):
    """A fault of our own in the middle of a send."""

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        def broken() -> None:
            gate()
            raise ZeroDivisionError("made up")

        return await self.inner.place(ticket, broken if "bob" in ticket.account else gate)


async def test_a_fault_of_our_own_parks_its_lane_alone_and_its_traceback_holds_no_secret(tmp_path: Path) -> None:
    with World(tmp_path) as world, all_logs() as logs:
        async with world.trading(around_clients(Breaks)) as desk:
            signal = await desk.buy("1000")
            await until(lambda: desk.alerts_of("bob_jones is parked", "fault in the service"), "bob is parked")
            await until(lambda: desk.position("alice_smith"), "alice is filled")
            assert desk.copy(signal, "bob_jones").state is OrderState.APPROVED  # nothing is assumed of it
        text = "\n".join(logs.texts)
        assert "ZeroDivisionError" in text
        assert "in place" in text
        assert found_in(world, text.encode()) == []


def test_control_a_planted_secret_is_found(tmp_path: Path) -> None:
    with World(tmp_path) as world, all_logs() as logs:
        key, secret = world.keys["alice_smith"]
        logging.getLogger("anywhere").debug("signing with %s", secret)
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("anywhere").exception("%s", "a traceback that shows the local variables")
        assert found_in(world, logs.texts[0].encode())
        assert key in logs.texts[-1]
        assert found_in(world, b"\x00\x01" + base64.b64decode(secret) + b"\x02")


def test_only_the_owner_may_enter_the_state_folder(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.paths.make_state()
        assert world.paths.state.stat().st_mode & 0o077 == 0


async def test_the_files_of_the_state_folder_are_the_owners(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with world.trading() as desk:
            signal = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(signal, "alice_smith").state is OrderState.FILLED
            assert world.paths.state.stat().st_mode & 0o077 == 0
