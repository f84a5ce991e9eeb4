"""Signing: the venue's own vectors, nonces from the store, nothing that moves money, and no secret shown."""

from __future__ import annotations

import asyncio
import pickle
import traceback
import urllib.parse

import krakenex
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kraken_lab import SECRET, Nonces, RawServer, http

from copytrade.domain.errors import CredentialsRejected, NonceUnavailable
from copytrade.venues.kraken.signer import ALLOWED_METHODS, KrakenSigner, encode_form

ORDER = {"ordertype": "limit", "pair": "XBTUSD", "price": "37500", "type": "buy", "volume": "1.25"}


def signer(nonces: Nonces | None = None, secret: str = SECRET) -> KrakenSigner:
    return KrakenSigner("key-of-alice", secret, nonces or Nonces())


def test_order_of_the_documentation_is_signed_alike():
    request = signer(Nonces(last=1616492376593)).sign("AddOrder", ORDER)
    assert request.path == "/0/private/AddOrder"
    assert request.body == (
        b"ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25&nonce=1616492376594"
    )  # fmt: skip
    assert request.headers["API-Key"] == "key-of-alice"
    assert request.headers["API-Sign"] == (
        "rFqGLqqw5WOQDfgNHwKclLJlmkS4aPSjAIenhCn0VoNNsvihOoaJy4N1eXKSKSUbJVPVAo8su+4GgxHdi6UwLw=="
    )


def test_balance_of_the_documentation_is_signed_alike():
    request = signer(Nonces(last=1616492376593)).sign("Balance", {})
    assert request.body == b"nonce=1616492376594"
    assert request.headers["API-Sign"] == (
        "1nH4vwR+8FHiYh1QT649xXkGd3JR3x0DWkgv3u9Ed/Qqv6KPtgQpEU4m+Emb/VgpEji3j1XNwI+HCbfXxmrTOg=="
    )


@given(st.dictionaries(st.sampled_from(["pair", "volume", "deadline", "txid"]), st.text() | st.integers(), max_size=4))
def test_body_is_what_krakenex_signed_for_any_value(fields):
    assert encode_form(fields).decode() == urllib.parse.urlencode(fields)


def test_nonce_comes_from_the_source_and_callers_fields_stay_as_they_are():
    nonces = Nonces()
    fields = dict(ORDER)
    bodies = [signer_request.body for signer_request in (signer(nonces).sign("AddOrder", fields) for _ in range(5))]
    sent = [int(urllib.parse.parse_qs(body.decode())["nonce"][0]) for body in bodies]
    assert sent == nonces.handed == sorted(set(sent))
    assert fields == ORDER


def test_krakenex_alone_overwrites_and_repeats_nonces():
    """The fault that the signer ends: what is given is not used, and the clock gives the same number again."""

    class Unsent(krakenex.API):
        def _query(self, urlpath, data, headers=None, timeout=None):
            return data["nonce"]

    api = Unsent("key-of-alice", SECRET)
    try:
        given_nonce = 1_000_000_000_000_000
        sent = [api.query_private("Balance", {"nonce": given_nonce}) for _ in range(2_000)]
    finally:
        api.close()
    assert given_nonce not in sent
    assert len(set(sent)) < len(sent)


async def test_krakenex_alone_follows_redirects_and_knows_no_time_limit():
    redirect = http("", "302 Found", "Location: /elsewhere\r\n")
    async with RawServer(redirect, http({"error": [], "result": {}})) as server:
        api = krakenex.API("key-of-alice", SECRET)
        api.uri = server.url
        try:
            await asyncio.to_thread(api.query_private, "AddOrder", dict(ORDER), 5)
        finally:
            api.close()
        assert [heard.head.split(" HTTP")[0] for heard in server.heard] == [
            "POST /0/private/AddOrder", "GET /elsewhere",
        ]  # fmt: skip
        assert "key-of-alice" in server.heard[1].head  # the signed headers went along
    assert not hasattr(api, "timeout")


def test_no_method_that_moves_money_is_signed():
    moving = ("Withdraw", "WithdrawInfo", "WithdrawCancel", "WalletTransfer", "DepositAddresses", "Earn/Allocate")
    nonces = Nonces()
    for method in (*moving, "AddOrderBatch", "../public/Time", "Balance/../Withdraw", ""):
        with pytest.raises(ValueError, match="not a call"):
            signer(nonces).sign(method, {})
    assert nonces.handed == []
    for method in ALLOWED_METHODS:
        signer(nonces).sign(method, {})
        words = method.removesuffix("Methods").lower()
        assert method == "WithdrawMethods" or not any(word in words for word in ("withdraw", "transfer", "deposit"))


def test_krakenex_ways_around_the_list_are_closed():
    with pytest.raises(ValueError, match="not a call"):
        signer().query_private("Withdraw", {})
    with pytest.raises(ValueError, match="not a call"):
        signer().query_public("Time")


def test_dry_run_is_never_signed():
    with pytest.raises(ValueError, match="not a call"):
        signer().sign("AddOrder", {**ORDER, "validate": "true"})


@pytest.mark.parametrize("failure", [OSError("disk full"), NonceUnavailable("busy")])
def test_without_a_nonce_nothing_is_signed(failure):
    class Failing(Nonces):
        def next(self) -> int:
            raise failure

    with pytest.raises(NonceUnavailable, match=str(failure)):
        signer(Failing()).sign("AddOrder", ORDER)


@pytest.mark.parametrize("secret", ["", "not base64 !", "hunter2hunter2-", SECRET[:-1], SECRET + "\n"])
def test_secret_that_cannot_be_one_is_refused_and_not_shown(secret):
    with pytest.raises(CredentialsRejected) as error:
        signer(secret=secret)
    text = "".join(traceback.format_exception(error.value)) + repr(error.value.__context__)
    assert not secret or secret.strip() not in text


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_key_that_cannot_be_one_is_refused(key):
    with pytest.raises(CredentialsRejected):
        KrakenSigner(key, SECRET, Nonces())


def test_nothing_shows_key_or_secret():
    made = signer()
    shown = repr(made) + str(made) + repr(made.sign("AddOrder", ORDER)) + str(made.sign("AddOrder", ORDER))
    assert "key-of-alice" not in shown
    assert SECRET not in shown
    with pytest.raises(TypeError):
        pickle.dumps(made)
