"""The error tree. Each error says what happened and what the operator should do.

    CopyTradeError
    ├── BadRequest            the caller asked for something that cannot be done; nothing was changed
    ├── Refused               a guard of ours said no before anything left
    │   └── SendStopped       the last look before a send said no (kill switch, mode, failed ledger)
    ├── VenueError            talking to a venue for a read failed
    │   ├── VenueUnavailable      could not be reached or answered with nonsense; try again later
    │   ├── VenueRefusedRead      it understood and said no (permissions, rate limit, lockout)
    │   └── CredentialsRejected   the key is wrong, unknown or may do what it must not; the account is not traded
    ├── NonceUnavailable      no nonce can be handed out safely; the lane stops before signing
    └── LedgerError           the durable record cannot be trusted or written; no order is sent
        ├── LedgerUnwritable      disk full, read-only, locked by another process
        └── LedgerCorrupt         the file is damaged or from a newer version

Outcomes of sending an order are values, not errors: see `copytrade.domain.venue`.
"""

from __future__ import annotations

from copytrade.domain.reasons import Reason


class CopyTradeError(Exception):
    """Anything this service raises on purpose."""


class BadRequest(CopyTradeError):
    """The request itself is wrong: an unknown instrument, a zero size, an unknown user."""


class Refused(CopyTradeError):
    """A guard refused before anything left the process."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.text}: {detail}" if detail else reason.text)
        self.reason = reason
        self.detail = detail


class SendStopped(Refused):
    """The last look, with the connection already open, said no. Nothing left the process."""


class VenueError(CopyTradeError):
    """A read from a venue failed."""


class VenueUnavailable(VenueError):
    """The venue could not be reached, timed out or answered with something that is not its protocol."""


class VenueRefusedRead(VenueError):
    """The venue understood the read and declined it; `retry_after_s` says when to ask again, if it is known."""

    def __init__(self, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CredentialsRejected(VenueError):
    """The key is unknown, its signature fails, its permissions fall short, or it may withdraw."""


class NonceUnavailable(CopyTradeError):
    """The nonce store cannot promise a higher nonce than any before: full disk, or another process owns the key."""


class LedgerError(CopyTradeError):
    """The durable record failed. While it does, no order is sent."""


class LedgerUnwritable(LedgerError):
    """The ledger file cannot be written: the disk is full, it is read-only, or another process holds it."""


class LedgerCorrupt(LedgerError):
    """The ledger file is damaged, or a newer version of this service wrote it."""
