"""Ids are hashes of the facts they name: doing a thing twice gives the same id, in any process, after any restart.

Every id is 18 characters of lower-case letters and digits, the one shape that all five venues accept as a client
order id (Kraken takes free text of at most 18 ASCII characters as `cl_ord_id`).
"""

from __future__ import annotations

import base64
import hashlib

ID_LENGTH = 18  # 18 base-32 digits are 90 bits: no clash to fear within any number of orders a service will place


def fact_id(kind: str, *parts: str) -> str:
    """The id of a fact, from its kind and its distinguishing parts (order matters, boundaries are kept)."""
    framed = "".join([f"{len(part)}:{part}" for part in (kind, *parts)])
    return base64.b32encode(hashlib.sha256(framed.encode()).digest()[:15])[:ID_LENGTH].decode().lower()


def master_order_id(account: str, request_id: str) -> str:
    """Of a master order: the same request handed in twice is one order."""
    return fact_id("master", account, request_id)


def signal_id(master_order: str, kind: str) -> str:
    """Of a signal: what happened to which master order."""
    return fact_id("signal", master_order, kind)


def copy_id(signal: str, account: str, leg: int = 0, market: str = "") -> str:
    """Of a copy: one signal, one account. `leg` > 0 names the follow-up of an exit that filled only in part, `market`
    an exit beside the account's first one, where it holds several markets that stand for the signal's."""
    return fact_id("copy", signal, account, str(leg), *([market] if market else []))
