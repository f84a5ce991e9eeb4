"""Reading everything at once, and again when a real file changes."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from copytrade.settings.credentials import Credentials, Missing
from copytrade.settings.faults import SettingsError
from copytrade.settings.load import load
from copytrade.settings.watch import Change, Rejected, Watcher

SECRET = "bWFkZS11cC1zZWNyZXQtMDE="


class Desk:
    """The operator's files, edited as an operator does."""

    def __init__(self, directory: Path) -> None:
        self.config, self.users, self.dotenv = (
            directory / "copytrade.yaml",
            directory / "users",
            directory / ".env",
        )
        self.users.mkdir()
        self._mtime_s = 1_700_000_000

    def write(self, path: Path, content: Any) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o600)
        self._mtime_s += (
            1  # two edits within one tick of the file system's clock must not make the test flaky
        )
        os.utime(path, (self._mtime_s, self._mtime_s))

    def follower(self, user_id: str, **more: Any) -> dict[str, Any]:
        return {"user_id": user_id, "broker_type": "kraken", **more}

    def put(self, name: str, *users: dict[str, Any]) -> None:
        self.write(self.users / name, json.dumps(list(users), indent=1))

    def watch(self, environ: dict[str, str] | None = None) -> Watcher:
        return Watcher(self.config, self.users, environ or {}, self.dotenv)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write(desk.config, "mode: paper\n")
    desk.put("a.json", desk.follower("alice_smith"), desk.follower("bob_jones"))
    desk.put("b.json", desk.follower("carol_small"))
    return desk


def changed(watcher: Watcher) -> Change:
    change = watcher.poll()
    assert isinstance(change, Change), change
    assert watcher.poll() is None
    return change


def refused(watcher: Watcher) -> str:
    before = watcher.loaded
    answer = watcher.poll()
    assert isinstance(answer, Rejected), answer
    assert watcher.loaded == before
    assert watcher.poll() is None, "told once for each state of the files"
    return "\n".join(map(str, answer.faults))


def accounts(watcher: Watcher) -> list[str]:
    return [user.account.removeprefix("kraken:") for user in watcher.loaded.users]


def test_load_reads_all_and_load_refuses_all(desk: Desk) -> None:
    loaded = load(desk.config, desk.users, {}, desk.dotenv)
    assert [user.user_id for user in loaded.users] == ["alice_smith", "bob_jones", "carol_small"]
    assert loaded.warnings == ()
    desk.write(desk.config, "mode: x\ncopy: {basis: x}")
    desk.write(desk.users / "a.json", "[")
    desk.write(desk.users / "b.json", '[{"user_id": "A", "broker_type": "kraken"}]')
    desk.write(desk.dotenv, b"\xff")
    with pytest.raises(SettingsError) as error:
        load(desk.config, desk.users, {}, desk.dotenv)
    assert len(error.value.faults) == 5
    with pytest.raises(SettingsError, match="Make it, or name another one with --users"):
        load(desk.config, desk.users / "none", {}, None)


def test_an_account_in_two_files_names_both(desk: Desk) -> None:
    desk.put("b.json", desk.follower("alice_smith"))
    with pytest.raises(SettingsError, match=r"b\.json:2: .* is in .*a\.json:2 already"):
        load(desk.config, desk.users, {}, None)


def test_live_tells_who_has_no_key_and_refuses_a_doubtful_one(desk: Desk) -> None:
    desk.write(desk.config, "mode: live")
    environ = {"KRAKEN_API_KEY": "k", "KRAKEN_API_SECRET": SECRET, "KRAKEN_USER_BOB_API_KEY": "b"}
    loaded = load(desk.config, desk.users, environ, None)
    assert [warning.split(":")[1].split(" ")[0] for warning in loaded.warnings] == [
        "alice_smith",
        "bob_jones",
        "carol_small",
    ]
    assert "set KRAKEN_USER_BOB_API_SECRET in" in loaded.warnings[1]
    assert isinstance(loaded.credentials.of("kraken:master"), Credentials)
    desk.put("b.json", desk.follower("bob_smith"))
    with pytest.raises(SettingsError, match='"bob_jones" and "bob_smith"'):
        load(desk.config, desk.users, environ, None)
    desk.write(desk.config, "mode: paper")
    assert "before going live" in load(desk.config, desk.users, environ, None).warnings[0]


def test_paper_pointed_elsewhere_is_refused(desk: Desk) -> None:
    with pytest.raises(SettingsError, match=r"venues\.kraken\.base_url.*mode: live"):
        load(desk.config, desk.users, {"KRAKEN_BASE_URL": "https://elsewhere.example"}, None)


def test_nothing_changed_says_nothing(desk: Desk) -> None:
    watcher = desk.watch()
    assert watcher.poll() is None
    desk.write(desk.users / "a.json", (desk.users / "a.json").read_bytes())
    assert watcher.poll() is None
    desk.write(desk.users / "notes.txt", "x")
    assert watcher.poll() is None


def test_users_come_go_and_change(desk: Desk) -> None:
    watcher = desk.watch()
    desk.put("a.json", desk.follower("alice_smith", mode="paused", multiplier=2), desk.follower("erin_new"))
    change = changed(watcher)
    assert [user.user_id for user in change.added] == ["erin_new"]
    assert [user.user_id for user in change.removed] == ["bob_jones"]
    assert [str(each) for each in change.changed["kraken:alice_smith"]] == [
        "mode: active -> paused",
        "multiplier: 1 -> 2",
    ]
    assert accounts(watcher) == ["alice_smith", "erin_new", "carol_small"]
    assert change.loaded is watcher.loaded


def test_a_new_file_and_a_file_that_left(desk: Desk) -> None:
    watcher = desk.watch()
    desk.put("c.json", desk.follower("erin_new"))
    assert [user.user_id for user in changed(watcher).added] == ["erin_new"]
    (desk.users / "a.json").unlink()
    change = changed(watcher)
    assert change.left == ((str(desk.users / "a.json"), ("kraken:alice_smith", "kraken:bob_jones")),)
    assert len(change.removed) == 2
    assert accounts(watcher) == ["carol_small", "erin_new"]


def test_a_broken_file_keeps_its_last_good_content_and_holds_up_nobody(desk: Desk) -> None:
    watcher = desk.watch()
    desk.write(desk.users / "a.json", '[{"user_id": "alice_smith"')
    assert "a.json:1" in refused(watcher)
    desk.put("b.json", desk.follower("carol_small", enabled=False))
    assert list(changed(watcher).changed) == ["kraken:carol_small"]
    desk.write(desk.users / "a.json", "still broken")
    desk.put("b.json", desk.follower("carol_small"))
    change = changed(watcher)
    assert change.rejected[0].file.endswith("a.json")
    assert accounts(watcher) == ["alice_smith", "bob_jones", "carol_small"]
    desk.put("a.json", desk.follower("alice_smith"))
    assert [user.user_id for user in changed(watcher).removed] == ["bob_jones"]


def test_every_stage_of_a_slow_write_is_refused_or_whole(desk: Desk) -> None:
    watcher = desk.watch()
    good = json.dumps([desk.follower("alice_smith"), desk.follower("erin_new")])
    for length in range(len(good)):
        desk.write(desk.users / "a.json", good[:length])
        assert isinstance(watcher.poll(), Rejected)
        assert accounts(watcher) == ["alice_smith", "bob_jones", "carol_small"]
    desk.write(desk.users / "a.json", good)
    assert [user.user_id for user in changed(watcher).added] == ["erin_new"]


def test_a_follower_moved_between_files_is_refused_until_both_are_saved(desk: Desk) -> None:
    watcher = desk.watch()
    desk.put("b.json", desk.follower("carol_small"), desk.follower("bob_jones"))
    assert "bob_jones" in refused(watcher)
    desk.put("a.json", desk.follower("alice_smith"))
    change = watcher.poll()
    assert sorted(accounts(watcher)) == ["alice_smith", "bob_jones", "carol_small"]
    assert change is None or (change.added, change.removed) == ((), ())  # type: ignore[union-attr]


def test_settings_in_force_and_settings_that_wait(desk: Desk) -> None:
    watcher = desk.watch()
    desk.write(desk.config, "mode: live\ncopy: {max_slippage: 0.01}\nvenues: {kraken: {tier: pro}}")
    change = changed(watcher)
    assert [str(each) for each in change.settings] == ["copy.max_slippage: 0.005 -> 0.01"]
    assert [each.field for each in change.needs_restart] == ["mode", "venues.kraken.tier"]
    assert watcher.loaded.settings.mode == "paper"
    desk.put("b.json", desk.follower("carol_small", mode="paused"))
    assert changed(watcher).needs_restart == ()
    desk.write(desk.config, "mode: live\ncopy: {max_slippage: 9}")
    assert "copy.max_slippage" in refused(watcher)
    desk.config.unlink()
    assert [str(each) for each in changed(watcher).settings] == ["copy.max_slippage: 0.01 -> 0.005"]


def test_keys_that_arrive_in_dotenv(desk: Desk) -> None:
    watcher = desk.watch({"KRAKEN_USER_BOB_API_KEY": "from-environment"})
    desk.write(desk.dotenv, f"KRAKEN_USER_BOB_API_KEY=ignored\nKRAKEN_USER_BOB_API_SECRET={SECRET}\n")
    assert changed(watcher).credentials == ("kraken:bob_jones",)
    found = watcher.loaded.credentials.of("kraken:bob_jones")
    assert isinstance(found, Credentials)
    assert found.api_key.reveal() == "from-environment"
    desk.write(desk.dotenv, b"\xff")
    assert "UTF-8" in refused(watcher)
    desk.dotenv.unlink()
    assert changed(watcher).credentials == ("kraken:bob_jones",)
    assert isinstance(watcher.loaded.credentials.of("kraken:bob_jones"), Missing)
    assert SECRET not in repr(watcher.loaded)


def test_a_directory_that_vanishes_is_a_fault_not_a_mass_exit(desk: Desk) -> None:
    watcher = desk.watch()
    moved = desk.users.with_name("moved")
    desk.users.rename(moved)
    desk.write(desk.config, "copy: {basis: cash}")
    answer = watcher.poll()
    assert isinstance(answer, Rejected)
    assert "cannot be listed" in str(answer.faults[0])
    assert watcher.poll() is None
    assert accounts(watcher) == ["alice_smith", "bob_jones", "carol_small"]
    shutil.move(moved, desk.users)
    change = changed(watcher)
    assert [str(each) for each in change.settings] == ["copy.basis: equity -> cash"]
    assert change.removed == ()


def test_a_directory_in_place_of_a_file(desk: Desk) -> None:
    watcher = desk.watch()
    (desk.users / "c.json").mkdir()
    assert "is a directory" in refused(watcher)
    (desk.users / "c.json").rmdir()
    assert watcher.poll() is None


def test_the_first_read_is_strict(desk: Desk) -> None:
    desk.write(desk.users / "a.json", "[")
    with pytest.raises(SettingsError, match=r"a\.json:1"):
        desk.watch()
