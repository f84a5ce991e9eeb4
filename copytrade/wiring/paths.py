"""Where everything lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATE_MODE = 0o700  # the ledger tells who trades what: nobody else on the machine needs to read it


@dataclass(frozen=True, slots=True)
class Paths:
    """The operator's files and the service's own. `--config`, `--users` and `--state` of every command."""

    config: Path = Path("config/copytrade.yaml")
    users: Path = Path("config/users")
    state: Path = Path("state")
    dotenv: Path = Path(".env")

    @property
    def ledger(self) -> Path:
        return self.state / "ledger.sqlite3"

    @property
    def nonces(self) -> Path:
        return self.state / "nonces"

    @property
    def paper(self) -> Path:
        return self.state / "paper"

    @property
    def worker_lock(self) -> Path:
        return self.state / "worker.lock"

    @property
    def socket(self) -> Path:
        return self.state / "worker.sock"

    def make_state(self) -> None:
        """Make `state/` for this user alone; an existing folder that others may enter is closed to them."""
        self.state.mkdir(mode=STATE_MODE, parents=True, exist_ok=True)
        if self.state.stat().st_mode & 0o077:
            self.state.chmod(STATE_MODE)
