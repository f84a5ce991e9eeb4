from __future__ import annotations

from decimal import Decimal

import pytest
from simulator_client import FakeClock, MemoryClient, quiet_kraken

from copytrade.simulator.kraken import KrakenSimulator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> KrakenSimulator:
    return quiet_kraken(clock, rate_limits=False)


@pytest.fixture
def alice(simulator: KrakenSimulator) -> MemoryClient:
    return MemoryClient(simulator, simulator.add_account("alice_smith", {"USD": Decimal(1000)}))
