"""Users' files: what is odd is refused with file, line, field and remedy; nothing is half applied."""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrade.settings.users import read_users_file, users_files

ALICE = {"user_id": "alice_smith", "broker_type": "kraken"}
SAMPLE = Path(__file__).parents[2] / "config/users/retail_kraken.json"


def write(directory: Path, content: Any, name: str = "users.json") -> Path:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def faults(directory: Path, content: Any) -> list[str]:
    read = read_users_file(write(directory, content))
    assert read.users == (), "a file with faults must not be used in part"
    return [str(fault) for fault in read.faults]


def test_the_sample_is_good_and_shows_four_cases() -> None:
    users = {placed.user.user_id: placed.user for placed in read_users_file(SAMPLE).users}
    assert list(users) == ["alice_smith", "bob_jones", "carol_small", "dave_disabled"]
    assert users["bob_jones"].max_user_risk == Decimal("0.05")
    assert users["carol_small"].paper_cash == 26
    assert [user.enabled for user in users.values()] == [True, True, True, False]


def test_numbers_are_exact_whether_written_as_numbers_or_text(tmp_path: Path) -> None:
    raw = b'[{"user_id":"a","broker_type":"okx","max_user_risk":0.1,"multiplier":"1.10","max_order":1e2}]'
    user = read_users_file(write(tmp_path, raw)).users[0].user
    assert (str(user.max_user_risk), str(user.multiplier), user.max_order) == ("0.1", "1.10", 100)


def test_one_user_at_two_venues_is_two_accounts(tmp_path: Path) -> None:
    read = read_users_file(write(tmp_path, [ALICE, {**ALICE, "broker_type": "alpaca"}]))
    assert [placed.user.account for placed in read.users] == ["kraken:alice_smith", "alpaca:alice_smith"]


def test_the_same_account_twice_names_both_lines(tmp_path: Path) -> None:
    raw = b'[\n{"user_id":"a","broker_type":"okx"},\n\n{"user_id":"a","broker_type":"okx"}\n]'
    (message,) = faults(tmp_path, raw)
    assert "users.json:4:" in message
    assert "users.json:2 already" in message


@pytest.mark.parametrize(
    "user_id",
    [
        "../etc",
        "a/b",
        "a\0b",
        "",
        "x" * 300,
        "x" * 65,
        "Alice",
        "_a",
        "-a",
        "a b",
        "a\n",
        "ä",
        "master",
        5,
        None,
    ],
)
def test_ids_that_could_do_harm_are_refused(tmp_path: Path, user_id: Any) -> None:
    (message,) = faults(tmp_path, [{**ALICE, "user_id": user_id}])
    assert "users.json:1: user_id:" in message
    assert len(message) < 500


@pytest.mark.parametrize("user_id", ["a", "0", "a-b_c", "x" * 64])
def test_ids_at_the_edges_are_fine(tmp_path: Path, user_id: str) -> None:
    assert read_users_file(write(tmp_path, [{**ALICE, "user_id": user_id}])).users[0].user.user_id == user_id


NUMBERS = [
    "multiplier",
    "max_user_risk",
    "max_order",
    "max_exposure",
    "max_daily_loss",
    "max_drawdown",
    "max_positions",
    "min_equity",
    "paper_cash",
]
BAD_NUMBERS = ["NaN", "Infinity", "-Infinity", "-1", "-0.1", '"1,5"', '"NaN"', '"1e3"', "true", "[1]", '""',
               "1e999999999999999999999", "1e-400", "1e15"]  # fmt: skip


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_numbers_that_make_no_sense_are_refused(tmp_path: Path, field: str, text: str) -> None:
    raw = f'[{{"user_id": "a", "broker_type": "okx",\n"{field}": {text}}}]'.encode()
    (message,) = faults(tmp_path, raw)
    assert f"users.json:2: {field}:" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [("multiplier", 0), ("max_user_risk", 0), ("max_user_risk", "1.0001"), ("max_drawdown", 2), ("max_positions", 0),
     ("max_positions", 1.5), ("max_daily_loss", "101%"), ("min_equity", "5%"), ("max_drawdown", "0%"),
     ("max_daily_loss", {}), ("max_daily_loss", {"limit": 5, "then": "block"}),
     ("max_daily_loss", {"limit": 5, "action": "sell"}), ("max_drawdown", {"limit": 0.1, "rearm": "soon"}),
     ("instruments", {"modes": {"BTC/USD": "off"}}), ("instruments", {"modes": ["BTC/USD"]})],
)  # fmt: skip
def test_limits_of_ranges(tmp_path: Path, field: str, value: Any) -> None:
    (message,) = faults(tmp_path, [{**ALICE, field: value}])
    assert f": {field}" in message


@pytest.mark.parametrize(
    ("field", "value", "amount", "share", "action"),
    [
        ("max_daily_loss", 50, "50", None, None),
        ("max_daily_loss", "5%", None, "0.05", None),
        ("max_daily_loss", {"limit": "2.5 %", "action": "flatten"}, None, "0.025", "flatten"),
        ("max_drawdown", 0.2, None, "0.2", None),
        ("max_drawdown", {"limit": "20%", "rearm": "by_hand"}, None, "0.2", None),
        ("min_equity", "100.50", "100.50", None, None),
    ],
)
def test_limits_that_trip_have_two_forms(
    tmp_path: Path, field: str, value: Any, amount: str | None, share: str | None, action: str | None
) -> None:
    (placed,) = read_users_file(write(tmp_path, [{**ALICE, field: value}])).users
    form = getattr(placed.user, field)
    known = (None if each is None else Decimal(each) for each in (amount, share))
    assert (form.amount, form.share, form.action) == (*known, action)


def test_every_fault_is_told_with_its_own_line(tmp_path: Path) -> None:
    raw = b"""[
  {"user_id": "a", "broker_type": "krakn"},
  {"user_id": "b",
   "broker_type": "okx", "enabled": "yes",
   "instruments": {"allow": ["BTC/USD"],
                   "blocked": []}},
  {"broker_type": "okx", "mode": "off"}
]"""
    messages = faults(tmp_path, raw)
    assert [message.split("users.json:")[1].split(":")[0] for message in messages] == [
        "2",
        "4",
        "6",
        "7",
        "7",
    ]
    text = "\n".join(messages)
    assert "kraken, coinbase, alpaca, okx, binance. Did you mean kraken?" in text
    assert "instruments.blocked: is not a field. Did you mean block?" in text
    assert "user_id: is missing. Add user_id" in text


def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (message,) = faults(tmp_path, [{**ALICE, "api_secret": "made-up-hush-hush"}])
    assert "Move it to .env" in message
    assert "hush" not in message


def test_keys_given_twice_are_refused(tmp_path: Path) -> None:
    raw = b'[{"user_id":"a","broker_type":"okx",\n"enabled":false,\n"enabled":true}]'
    assert faults(tmp_path, raw) == [f"{tmp_path}/users.json:3: enabled: is given twice. Keep one of the two"]
    nested = b'[{"user_id":"a","broker_type":"okx","instruments":{"allow":[],"allow":["BTC/USD"]}}]'
    assert "allow" in faults(tmp_path, nested)[0]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{}", "must be a list"),
        (b"[1]", "is not a user"),
        (b"[null]", "is not a user"),
        (b"[[]]", "is not a user"),
        (b"[] []", "Extra text"),
        (b'[{"user_id":"a","broker_type":"okx"},]', "not JSON"),
        (b'[{"user_id":"a","broker_type":"okx"} {"user_id":"b","broker_type":"okx"}]', "Expecting ','"),
        (b"[\n\xff]", ":2: is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"user_id":"a","broker_type":"okx","name":"a\x00b"}]', "not JSON"),
        (b'[{"user_id":"a","broker_type":"okx","name":"\\u0000"}]', "control character"),
        (b'[{"user_id":"a","broker_type":"okx","name":"\\ud800"}]', "name"),
    ],
)
def test_files_that_are_not_lists_of_users(tmp_path: Path, raw: bytes, words: str) -> None:
    assert words in faults(tmp_path, raw)[0]


def test_empty_list_and_byte_order_mark_are_fine(tmp_path: Path) -> None:
    assert read_users_file(write(tmp_path, b"[]")).faults == ()
    assert len(read_users_file(write(tmp_path, b"\xef\xbb\xbf" + SAMPLE.read_bytes())).users) == 4


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    raw = SAMPLE.read_bytes()
    whole = read_users_file(write(tmp_path, raw)).users
    assert len(whole) == 4
    complete = 0
    for length in range(len(raw) + 1):
        read = read_users_file(write(tmp_path, raw[:length]))
        assert bool(read.faults) != bool(read.users)
        if read.users:
            assert read.users == whole
            complete += 1
    assert complete == 2  # with and without the last line break


@settings(max_examples=300, deadline=None)
@given(raw=st.one_of(st.binary(max_size=60), st.text('[]{}",:0 \n\0ae', max_size=40).map(str.encode)))
def test_garbage_is_answered_with_faults(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    read = read_users_file(write(tmp_path_factory.getbasetemp(), raw, "garbage.json"))
    assert read.faults or raw.strip().startswith((b"[", b"\xef\xbb\xbf"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["user_id", "name", "broker_type", "enabled", "mode", "instruments", "description", *NUMBERS]
)


@settings(max_examples=300, deadline=None)
@given(extra=st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_value_in_any_field_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, extra: dict[str, Any]
) -> None:
    read = read_users_file(write(tmp_path_factory.getbasetemp(), [{**ALICE, **extra}], "any.json"))
    assert bool(read.faults) != bool(read.users)
    assert all("\n" not in str(fault) for fault in read.faults)


def test_which_files_count(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", ".hidden.json", "c.json~", "d.txt", "e.json.tmp"):
        write(tmp_path, [], name)
    (tmp_path / "link.json").symlink_to(SAMPLE)
    (tmp_path / "directory.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    assert [path.name for path in users_files(tmp_path)] == [
        "a.json",
        "b.json",
        "directory.json",
        "pipe.json",
    ]
    assert "is a directory" in str(read_users_file(tmp_path / "directory.json").faults[0])
    assert "not a regular file" in str(read_users_file(tmp_path / "pipe.json").faults[0])


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(20_000_001)
    assert "Split it" in str(read_users_file(path).faults[0])


def test_ten_thousand_users_keep_their_places(tmp_path: Path) -> None:
    users = [
        {"user_id": f"user{number:05d}", "broker_type": "kraken", "name": "N"} for number in range(10_000)
    ]
    read = read_users_file(write(tmp_path, json.dumps(users, indent=1).encode()))
    assert len(read.users) == 10_000
    assert read.users[9_999].line == 2 + 9_999 * 5


def test_a_number_of_ten_thousand_digits_is_a_fault_like_any_other(tmp_path: Path) -> None:
    raw = b'[{"user_id":"a","broker_type":"okx","max_order":' + b"9" * 10_000 + b',\n"mode":"off"}]'
    messages = faults(tmp_path, raw)
    assert ["max_order" in messages[0], "users.json:2: mode" in messages[1]] == [True, True]
    assert max(map(len, messages)) < 500
