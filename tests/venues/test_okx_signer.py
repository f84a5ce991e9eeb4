"""Signing: vectors, every habit of python-okx that the signer ends (shown without it), and no secret shown."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import subprocess
import sys
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from account_contract import let_through
from kraken_lab import RawServer, http
from loguru import logger as sdk_logger
from okx import utils
from okx.Account import AccountAPI
from okx.Funding import FundingAPI
from okx.Trade import TradeAPI
from okx_lab import KEY, PASSPHRASE, SECRET, body, headers, okx_lab, okx_ticket

from copytrade.domain.errors import CredentialsRejected
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Accepted, RefusedByVenue
from copytrade.venues.okx.options import READS_PER_2_S
from copytrade.venues.okx.orders import order_fields
from copytrade.venues.okx.signer import ALLOWED, CALLS, OkxSigner

# The SDK hands its body to httpx in a way that httpx has given up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
AT = datetime(2020, 12, 8, 9, 8, 57, 715_000, UTC)
ORDER = {"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "limit", "px": "2.15", "sz": "2"}


def signer(**settings) -> OkxSigner:
    return OkxSigner(KEY, SECRET, PASSPHRASE, **settings)


def sdk_client(kind, url, **settings):
    """The SDK as it comes, pointed at a server of ours."""
    words = {"api_key": KEY, "api_secret_key": SECRET, "passphrase": PASSPHRASE, "domain": url, **settings}
    return kind(**words)


def test_query_is_part_of_the_signature():
    request = signer().sign("get_account_balance", {"ccy": "BTC"}, AT)
    assert request.target == "/api/v5/account/balance?ccy=BTC"
    assert request.body == b""
    assert request.headers["OK-ACCESS-TIMESTAMP"] == "2020-12-08T09:08:57.715Z"
    assert request.headers["OK-ACCESS-SIGN"] == "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY="
    assert (request.headers["OK-ACCESS-KEY"], request.headers["OK-ACCESS-PASSPHRASE"]) == (KEY, PASSPHRASE)


def test_known_order_is_signed_alike():
    """The vector is of a body in another order of fields and without blanks, so it is signed here as raw text."""
    raw = (
        '{"instId":"BTC-USDT","tdMode":"cash","clOrdId":"b15","side":"buy","ordType":"limit","px":"2.15","sz":"2"}'
    )
    stamp = "2020-12-08T09:08:57.715Z"
    made = utils.sign(utils.pre_hash(stamp, "POST", "/api/v5/trade/order", raw, False), SECRET)
    assert made == b"dI6rrL9rXW/HdaPKJ/6LC1OgvH4/PYju6R3CqixMTNQ="


def test_body_is_signed_byte_for_byte():
    request = signer().sign("place_order", ORDER | {"clOrdId": "b15"}, AT)
    again = utils.sign(
        utils.pre_hash(request.headers["OK-ACCESS-TIMESTAMP"], "POST", request.target, request.body.decode(), False),
        SECRET,
    )
    assert request.headers["OK-ACCESS-SIGN"] == again.decode()
    assert json.loads(request.body) == ORDER | {"clOrdId": "b15"}


def test_time_is_told_and_not_this_machines():
    for at in (AT, AT + timedelta(days=400)):
        request = signer().sign("get_account_config", {}, at)
        assert datetime.fromisoformat(request.headers["OK-ACCESS-TIMESTAMP"]) == at


# -- what the SDK does by itself, and does not do here ---------------------------------------------------------------


async def test_sdk_trades_on_the_demo_venue_unless_told_and_we_do_not():
    async with RawServer(http({"code": "0", "msg": "", "data": []})) as server:
        await asyncio.to_thread(_close_after, sdk_client(TradeAPI, server.url), "get_order_list")
        assert headers(server.heard[0])["x-simulated-trading"] == "1"
    assert signer().sign("get_order_list", {}, AT).headers["x-simulated-trading"] == "0"
    assert signer(demo=True).sign("get_order_list", {}, AT).headers["x-simulated-trading"] == "1"


async def test_sdk_sends_every_parameter_that_was_left_out_and_we_do_not():
    async with RawServer(http({"code": "0", "msg": "", "data": []})) as server:
        await asyncio.to_thread(_close_after, sdk_client(TradeAPI, server.url), "place_order", **ORDER)
        sent = body(server.heard[0])
        assert (sent["ccy"], sent["banAmend"], sent["attachAlgoOrds"]) == ("", "", None)
    sent = json.loads(signer().sign("place_order", order_fields(okx_ticket()), AT).body)
    assert sent == {
        "instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "market", "sz": "0.001",
        "clOrdId": okx_ticket().order_id, "tgtCcy": "base_ccy", "banAmend": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        http({"code": "50113", "msg": "Invalid signature.", "data": []}, "401 Unauthorized"),
        http({"code": "50001", "msg": "unavailable", "data": []}, "503 Service Unavailable"),
        http({"code": "1", "msg": "", "data": [{"sCode": "51008", "ordId": ""}]}),
    ],
    ids=["401", "503", "sCode"],
)
async def test_sdk_gives_every_refusal_back_as_a_result(answer):
    async with RawServer(answer) as server:
        result = await asyncio.to_thread(_close_after, sdk_client(TradeAPI, server.url), "place_order", **ORDER)
        assert isinstance(result, dict)
        assert result["code"] != "0"


async def test_sdk_breaks_on_a_page_after_the_order_was_taken():
    async with RawServer(http("<html>502</html>", "502 Bad Gateway")) as server:
        with pytest.raises(json.JSONDecodeError):
            await asyncio.to_thread(_close_after, sdk_client(TradeAPI, server.url), "place_order", **ORDER)


async def test_sdk_signs_an_id_that_its_http_client_then_changes_and_we_refuse_it():
    async with okx_lab() as lab:
        client = TradeAPI(lab.keys.key, lab.keys.secret, lab.keys.passphrase, flag="0", domain=lab.url)
        answer = await asyncio.to_thread(_close_after, client, "get_order", instId="BTC-USDT", clOrdId="a b")
        assert answer["code"] == "50113"
    for value in ("a b", "a%20b", "a&ccy=BTC", "a/b", "ä", 'a"', "a\n"):
        with pytest.raises(ValueError, match="after it was signed"):
            signer().sign("get_order", {"instId": "BTC-USDT", "clOrdId": value}, AT)


@pytest.mark.parametrize("size", [0.00001, Decimal("0.00001"), 1], ids=["float", "Decimal", "int"])
async def test_sdk_sends_numbers_as_they_come_or_breaks_and_we_take_text_alone(size):
    async with RawServer(http({"code": "0", "msg": "", "data": []})) as server:
        try:
            await asyncio.to_thread(
                _close_after, sdk_client(TradeAPI, server.url), "place_order", **(ORDER | {"sz": size})
            )
            assert b'"sz": "' not in server.heard[0].body
        except TypeError as error:
            assert "Decimal" in str(error)  # noqa: PT017  (a Decimal is not sent at all)
    with pytest.raises(ValueError, match="takes text"):
        signer().sign("place_order", ORDER | {"sz": size}, AT)


def test_numbers_on_the_wire_are_plain_decimals():
    fields = order_fields(okx_ticket(quantity="0.00001000", limit="1000"))
    assert (fields["sz"], fields["px"], fields["ordType"]) == ("0.00001", "1000", "ioc")
    assert "tgtCcy" not in fields
    assert order_fields(okx_ticket(side=Side.SELL, quantity="1000"))["sz"] == "1000"
    with pytest.raises(ValueError, match="without a limit_price"):
        order_fields(replace(okx_ticket(), kind=OrderKind.IOC_LIMIT))


async def test_sdk_knows_no_order_deadline_and_we_send_one():
    async with okx_lab() as lab:
        lab.fault("delay", when="before", method="POST /trade/order", delay_ms=1)
        real = lab.sim.clock
        client = TradeAPI(lab.keys.key, lab.keys.secret, lab.keys.passphrase, flag="0", domain=lab.url)
        lab.sim.clock = lambda: real() + 20  # the way there takes twenty seconds
        order = ORDER | {"ordType": "market", "sz": "0.001", "px": "", "tgtCcy": "base_ccy"}
        late = await asyncio.to_thread(_close_after, client, "place_order", **order)
        assert late["code"] == "0", "without a deadline it is executed, however late"
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert "50036" in outcome.detail


async def test_sdk_stamps_with_this_machines_clock_and_we_with_the_venues():
    async with okx_lab(clock=lambda: datetime.now(UTC).timestamp() + 45) as lab:
        client = AccountAPI(lab.keys.key, lab.keys.secret, lab.keys.passphrase, flag="0", domain=lab.url)
        assert (await asyncio.to_thread(_close_after, client, "get_account_config"))["code"] == "50102"
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)


def test_sdks_own_correction_of_the_clock_is_gone():
    with pytest.warns(DeprecationWarning, match="use_server_time"):
        client = TradeAPI(KEY, SECRET, PASSPHRASE, use_server_time=True)
    assert client.use_server_time is False
    client.close()


def test_sdk_prints_the_passphrase_when_debugging_and_we_never_do():
    printed = io.StringIO()
    handler = sdk_logger.add(printed, level="DEBUG")
    try:
        made = sdk_client(TradeAPI, "http://127.0.0.1:9", debug=True)
        with pytest.raises(httpx.ConnectError):
            made.get_order_list()
        made.close()
        assert PASSPHRASE in printed.getvalue()
        printed.truncate(0)
        signer().sign("get_order_list", {}, AT)
        assert printed.getvalue() == ""
    finally:
        sdk_logger.remove(handler)


def test_sdk_would_follow_a_proxy_of_the_environment():
    client = sdk_client(TradeAPI, "http://127.0.0.1:9")
    assert client.trust_env is True  # our wire sends, and it takes nothing from the environment
    client.close()


def test_sdk_gets_no_way_to_the_network():
    """Its HTTP client is never set up: one for each of ten thousand accounts would each load the certificates."""
    assert not hasattr(signer()._sdk, "_transport")
    client = sdk_client(TradeAPI, "http://127.0.0.1:9")
    assert hasattr(client, "_transport")
    client.close()


# -- what may be signed --------------------------------------------------------------------------------------------


def _sdk_calls(kind) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_") and name not in dir(httpx.Client)}


def test_no_call_of_the_sdk_that_moves_money_is_signed():
    """Every call that the SDK's client has is made, past the list of names, and the paths alone decide."""
    client = signer()._sdk
    signed, refusals = set(), []
    for call in sorted(_sdk_calls(TradeAPI) | _sdk_calls(AccountAPI)):
        method = getattr(type(client), call)
        if not callable(method):
            continue
        needed = method.__code__.co_varnames[1 : method.__code__.co_argcount - len(method.__defaults__ or ())]
        values = [[{"instId": "BTC-USDT"}]] if call == "cancel_algo_order" else ["BTC-USDT" for _ in needed]
        try:
            request = getattr(client, call)(*values)
        except ValueError as error:
            refusals.append(str(error))
        else:
            signed.add((call, (request.body and "POST") or "GET", request.target.partition("?")[0]))
    assert len(refusals) > 50
    assert all("is not a call this service makes" in refusal for refusal in refusals)
    assert {(call, verb, path) for call, (verb, path) in CALLS.items()} == signed
    assert {call for call, _, _ in signed} == {*READS_PER_2_S, "place_order", "place_algo_order"}


def test_list_of_calls_leads_nowhere_near_the_wallet():
    for verb, path in ALLOWED:
        assert path.startswith(("/api/v5/trade/", "/api/v5/account/"))
        orders = {f"/api/v5/trade/{call}" for call in ("order", "cancel-order", "order-algo", "cancel-algos")}
        assert verb == "GET" or path in orders
        forbidden = ("asset", "withdraw", "transfer", "deposit", "convert", "loan", "borrow")
        assert not any(word in path for word in forbidden)


@pytest.mark.parametrize("call", ["withdrawal", "funds_transfer", "purchase_redempt", "get_deposit_address"])
def test_wallet_calls_of_the_sdk_are_not_even_there(call):
    assert hasattr(FundingAPI, call)
    with pytest.raises(ValueError, match="not a call"):
        signer().sign(call, {}, AT)


@pytest.mark.parametrize("call", ["get", "post", "close", "debug", "API_SECRET_KEY", "no_such_call"])
def test_other_parts_of_the_sdk_are_not_calls(call):
    with pytest.raises(ValueError, match="not a call"):
        signer().sign(call, {}, AT)


# -- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("word", ["", "line\nbreak", " blank-before", "schlüssel-77", "tab\tbed", "end\r"])
def test_word_that_cannot_be_a_credential_is_refused_and_not_shown(place, word):
    words = [KEY, SECRET, PASSPHRASE]
    words[place] = word
    with pytest.raises(CredentialsRejected) as error:
        OkxSigner(*words)
    text = "".join(traceback.format_exception(error.value)[-1:])
    assert not word or word not in text
    assert SECRET not in text


def test_nothing_shows_key_secret_or_passphrase():
    made = signer()
    request = made.sign("get_account_config", {}, AT)
    shown = repr(made) + repr(made._sdk) + repr(vars(made)) + repr(request) + str(request)
    for word in (KEY, SECRET, PASSPHRASE):
        assert word not in shown
    with pytest.raises(TypeError):
        pickle.dumps(made)


def test_sdk_is_imported_only_for_an_account():
    code = (
        "import sys; import copytrade.venues.okx.public; assert not {'okx', 'httpx', 'loguru'} & set(sys.modules);"
        "from copytrade.venues.okx.signer import OkxSigner; OkxSigner('k', 's', 'p'); assert 'okx' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _close_after(client, call: str, **fields):
    try:
        return getattr(client, call)(**fields)
    finally:
        client.close()
