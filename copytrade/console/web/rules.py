"""One table: every route of the console and who may use it. A route that is not in it is refused to everybody."""

from __future__ import annotations

from enum import StrEnum


class Access(StrEnum):
    """Who may use a route. Every one of them is behind the checks of Host and Origin as well."""

    OPEN = "open"  # anybody who reaches the port: it tells nothing of the business
    READ = "read"  # a session, or the token itself as a bearer
    ACT = "act"  # the same, and for a session an Origin that is ours; goes into the audit trail


PROBES = frozenset({"/healthz", "/readyz"})
"""Answered to whoever reaches the port, past the proxy as well: monitors of containers come from anywhere."""

RULES: dict[tuple[str, str], Access] = {
    # Signing in, what its page is made of, and whether the process lives
    ("GET", "/sign-in"): Access.OPEN,
    ("POST", "/sign-in"): Access.OPEN,
    ("GET", "/static/{name}"): Access.OPEN,
    ("GET", "/healthz"): Access.OPEN,
    ("GET", "/readyz"): Access.OPEN,
    # Pages
    ("GET", "/"): Access.READ,
    ("GET", "/signals"): Access.READ,
    ("GET", "/signals/{signal_id}"): Access.READ,
    ("GET", "/followers/{account}"): Access.READ,
    ("GET", "/orders"): Access.READ,
    ("GET", "/health"): Access.READ,
    ("GET", "/log"): Access.READ,
    ("GET", "/audit"): Access.READ,
    ("GET", "/api/docs"): Access.READ,
    # Figures
    ("GET", "/metrics"): Access.READ,
    ("GET", "/api/openapi.json"): Access.READ,
    ("GET", "/api/overview"): Access.READ,
    ("GET", "/api/signals"): Access.READ,
    ("GET", "/api/signals/{signal_id}"): Access.READ,
    ("GET", "/api/followers/{account}"): Access.READ,
    ("GET", "/api/orders"): Access.READ,
    ("GET", "/api/health"): Access.READ,
    ("GET", "/api/log"): Access.READ,
    ("GET", "/api/audit"): Access.READ,
    ("GET", "/api/stream"): Access.READ,
    # Actions
    ("POST", "/sign-out"): Access.ACT,
    ("POST", "/api/kill"): Access.ACT,
    ("POST", "/api/unkill"): Access.ACT,
    ("POST", "/api/followers/{account}/mode"): Access.ACT,
    ("POST", "/api/followers/{account}/flatten"): Access.ACT,
    ("POST", "/api/reconcile"): Access.ACT,
}
