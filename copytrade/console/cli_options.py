"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option("--config", help="Settings file.")]
Users = Annotated[Path, typer.Option("--users", help="Folder of follower files.")]
State = Annotated[Path, typer.Option("--state", help="Folder of ledger, nonces and kill switch.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many, newest first.")]

CONFIG, USERS, STATE = Path("config/copytrade.yaml"), Path("config/users"), Path("state")
