"""Follower files are changed as a careful hand would: nothing else moves, and nothing gets worse."""

from __future__ import annotations

import json
import os
import stat
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.settings.faults import SettingsError
from copytrade.settings.json_edit import append_objects, remove_object, set_member, spans
from copytrade.settings.users_edit import editing

ODD = """\ufeff[
\t{ "user_id":"ann" ,   "broker_type":"kraken",
\t  "multiplier": 1.50, "instruments": {"allow":["BTC/USD"], "block":[]} },

\t{"user_id": "ben", "broker_type": "okx"}
]

"""
BLANKS = st.text(alphabet=" \t\n", max_size=3)
VALUES = st.one_of(
    st.booleans(), st.integers(-99, 99), st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=2), st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2),
)  # fmt: skip
OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=4), min_size=1, max_size=4)


@st.composite
def laid_out(draw: st.DrawFn) -> tuple[str, list[dict[str, object]]]:
    """A list of objects, written with blanks wherever JSON allows them."""
    objects = draw(OBJECTS)

    def blank() -> str:
        return draw(BLANKS)

    def written(item: dict[str, object]) -> str:
        members = (
            f"{blank()}{json.dumps(key)}{blank()}:{blank()}{json.dumps(value)}{blank()}" for key, value in item.items()
        )
        return "{" + ",".join(members) + "}"

    return f"{blank()}[" + ",".join(f"{blank()}{written(each)}{blank()}" for each in objects) + f"]{blank()}", objects


@given(laid_out(), st.data())
def test_a_member_that_is_set_is_all_that_changes(
    laid: tuple[str, list[dict[str, object]]], data: st.DataObject
) -> None:
    text, objects = laid
    at = data.draw(st.integers(0, len(objects) - 1))
    key = data.draw(st.one_of(st.sampled_from(sorted(objects[at])), st.text(max_size=4)))
    value = data.draw(VALUES)
    new = set_member(text, at, key, value)
    objects[at][key] = value
    assert json.loads(new) == objects
    span = spans(text)[at]
    known = span.member(key)
    cut, until = (known.value_at, known.value_end) if known else (span.members[-1].value_end,) * 2
    assert new.startswith(text[:cut])
    assert new.endswith(text[until:])


@given(laid_out(), st.data())
def test_objects_come_and_go_and_the_others_stay_as_they_are(
    laid: tuple[str, list[dict[str, object]]], data: st.DataObject
) -> None:
    text, objects = laid
    more = data.draw(OBJECTS)
    longer = append_objects(text, more)
    assert json.loads(longer) == objects + more
    assert longer.startswith(text[: spans(text)[-1].end])
    at = data.draw(st.integers(0, len(objects) - 1))
    shorter = remove_object(text, at)
    assert json.loads(shorter) == objects[:at] + objects[at + 1 :]
    pieces = [text[span.start : span.end] for span in spans(text)]
    assert [shorter[span.start : span.end] for span in spans(shorter)] == pieces[:at] + pieces[at + 1 :]


def test_byte_order_mark_tabs_and_spelling_stay(tmp_path: Path) -> None:
    path = tmp_path / "retail.json"
    path.write_bytes(ODD.replace("\n", "\r\n").encode())
    path.chmod(0o604)
    with editing(tmp_path) as edit:
        (entry,) = edit.find("kraken:ann")
        edit.set(entry, "mode", "paused")
        edit.set(edit.find("ben")[0], "multiplier", Decimal("0.10"))
        assert edit.write() == []
    added = ODD.replace("[]} },", '[]}, "mode": "paused" },').replace('"okx"}', '"okx", "multiplier": 0.10}')
    assert path.read_bytes() == added.replace("\n", "\r\n").encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert sorted(os.listdir(tmp_path)) == [".users.lock", "retail.json"]


def test_one_more_user_is_laid_out_like_the_others(tmp_path: Path) -> None:
    path = tmp_path / "retail.json"
    path.write_text('[\n    {\n        "user_id": "ann",\n        "broker_type": "okx"\n    }\n]\n')
    with editing(tmp_path) as edit:
        edit.add(path, [{"user_id": "ben", "broker_type": "okx", "prefer": ["okx"]}])
        edit.write()
    assert path.read_text().splitlines()[4:] == [
        "    },", "    {", '        "user_id": "ben",', '        "broker_type": "okx",',
        '        "prefer": ["okx"]', "    }", "]",
    ]  # fmt: skip


def test_a_change_that_breaks_a_rule_leaves_every_file_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"user_id": "ann", "broker_type": "okx"}]')
    (tmp_path / "b.json").write_text('[{"user_id": "ann", "broker_type": "kraken"}]')
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    with editing(tmp_path) as edit:
        first, second = edit.find("ann")
        edit.set(first, "mode", "paused")
        edit.set(second, "multiplier", -1)
        with pytest.raises(SettingsError, match=r"b\.json:1: multiplier: -1"):
            edit.write()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.json")} == before


def test_a_fault_of_another_file_stands_in_no_ones_way_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"user_id": "ann", "broker_type": "okx"}]')
    (tmp_path / "b.json").write_text('[{"user_id": "ben", "broker_type": "okks"}]')
    with editing(tmp_path) as edit:
        edit.set(edit.find("ann")[0], "mode", "disarmed")
        assert [fault.file for fault in edit.write()] == [str(tmp_path / "b.json")]
        with pytest.raises(SettingsError, match="okks"):
            edit.add(tmp_path / "b.json", [{"user_id": "eve", "broker_type": "okx"}])
    assert "disarmed" in (tmp_path / "a.json").read_text()


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    users = [{"user_id": f"u{number}", "broker_type": "okx"} for number in range(8)]
    path = tmp_path / "retail.json"
    path.write_text(json.dumps(users))

    def pause(user: str) -> None:
        with editing(tmp_path) as edit:
            edit.set(edit.find(user)[0], "mode", "paused")
            edit.write()

    threads = [threading.Thread(target=pause, args=(user["user_id"],)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [user["mode"] for user in json.loads(path.read_text())] == ["paused"] * 8
