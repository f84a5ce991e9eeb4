"""What operators did, as it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class OperatorActed:
    """Somebody did, or was refused, something that is no order: a kill switch thrown, a mode set, a sign-in.

    `at` is when it was taken into the record, `source` where it came from (an address, the command line, a file).
    `record` is the hash of its line in the operators' own file, "" where it has none: so that file cannot be cut or
    written anew without the record saying otherwise. Nothing that is traded depends on this.
    """

    what: str
    by: str
    source: str
    outcome: str
    record: str
    at: datetime
    target: str = ""
