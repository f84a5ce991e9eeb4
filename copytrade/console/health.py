"""Whether the service can do its work: for `/healthz`, `/readyz` and the metrics. Reads memory only."""

from __future__ import annotations

from copytrade.engine.killswitch import KillState
from copytrade.wiring.system import System


def healthy(system: System) -> tuple[bool, str]:
    """The process answers and its ledger takes records. When not, a supervisor should start it again."""
    well = system.ledger.failed is None
    return well, "healthy" if well else "the ledger failed"


def ready(system: System) -> tuple[bool, str]:
    """Whether a trade of the master would be placed and copied. The text is for anybody: it does not say why not."""
    well = all(readiness(system).values())
    return well, "ready" if well else "not ready"


def readiness(system: System) -> dict[str, bool]:
    """What has to be so before trades can be placed, by name."""
    engine = system.engine
    services = engine.services
    master = services.roster.master
    return {
        "started": engine.ready.is_set() and not services.closing.is_set(),
        "ledger": system.ledger.failed is None,
        "master": master.client is not None and master.terms.account not in system.ledger.state.parked,
        "not_halted": services.kill.look() in (KillState.OFF, KillState.CLOSE_ONLY),
    }
