"""Which variable belongs to whom: a clash names both, nothing is guessed, and no message shows a value."""

import copy
import json
import os
import pickle
import traceback
from pathlib import Path

import pytest

from copytrade.settings.credentials import Credentials, CredentialSet, Missing, resolve
from copytrade.settings.environment import read_environment
from copytrade.settings.faults import SettingsError
from copytrade.settings.secret import Secret
from copytrade.settings.users import User

SECRET = "bWFkZS11cC1zZWNyZXQtMDE="  # base64 of a made-up word
PEM = "-----BEGIN EC PRIVATE KEY-----\nbWFkZS11cC1wZW0tYmxvY2stbGluZQ==\n-----END EC PRIVATE KEY-----"


def user(user_id: str, venue: str = "kraken") -> User:
    return User(user_id=user_id, broker_type=venue)  # type: ignore[arg-type, call-arg]


def key(prefix: str, word: str = "") -> dict[str, str]:
    return {f"{prefix}_API_KEY": f"key-{prefix}{word}", f"{prefix}_API_SECRET": SECRET}


def solve(users: list[User], *keys: dict[str, str]) -> CredentialSet:
    environ = {name: value for each in keys for name, value in each.items()}
    return resolve(users, read_environment(environ, None).secrets)


def taken(found: Credentials | Missing) -> str:
    assert isinstance(found, Credentials), found
    return found.api_key.reveal()


def test_short_name_then_whole_id_wins() -> None:
    alice = user("alice_smith")
    assert taken(solve([alice], key("KRAKEN_USER_ALICE")).of(alice.account)) == "key-KRAKEN_USER_ALICE"
    both = solve([alice], key("KRAKEN_USER_ALICE"), key("KRAKEN_USER_ALICE_SMITH"))
    assert taken(both.of(alice.account)) == "key-KRAKEN_USER_ALICE_SMITH"


def test_nothing_set_names_the_exact_variables() -> None:
    alone = solve([user("alice_smith")]).of("kraken:alice_smith")
    assert alone == Missing(("KRAKEN_USER_ALICE_API_KEY", "KRAKEN_USER_ALICE_API_SECRET"))
    two = solve([user("alice_smith"), user("alice-b", "okx"), user("alice_jones")]).of("kraken:alice_jones")
    assert two == Missing(("KRAKEN_USER_ALICE_JONES_API_KEY", "KRAKEN_USER_ALICE_JONES_API_SECRET"))
    okx = solve([user("alice-b", "okx")]).of("okx:alice-b")
    assert isinstance(okx, Missing)
    assert okx.names[2] == "OKX_USER_ALICE_B_API_PASSPHRASE"


def test_half_a_key_is_told_apart() -> None:
    half = solve([user("alice_smith")], {"KRAKEN_USER_ALICE_API_KEY": "key"}).of("kraken:alice_smith")
    assert half == Missing(("KRAKEN_USER_ALICE_API_SECRET",), begun=True)
    empty = solve(
        [user("alice_smith")], {"KRAKEN_USER_ALICE_API_KEY": "k", "KRAKEN_USER_ALICE_API_SECRET": " "}
    )
    assert empty.of("kraken:alice_smith") == half


def test_two_followers_of_one_name_clash_until_both_use_whole_ids() -> None:
    users = [user("alice_smith"), user("alice_jones")]
    clash = solve(users, key("KRAKEN_USER_ALICE"))
    (fault,) = clash.faults
    for word in (
        "alice_smith",
        "alice_jones",
        "KRAKEN_USER_ALICE_SMITH_API_KEY",
        "KRAKEN_USER_ALICE_JONES_API_KEY",
    ):
        assert word in str(fault)
    assert isinstance(clash.of("kraken:alice_smith"), Missing)
    assert isinstance(clash.of("kraken:alice_jones"), Missing)
    half = solve(users, key("KRAKEN_USER_ALICE"), key("KRAKEN_USER_ALICE_SMITH"))
    assert len(half.faults) == 1
    settled = solve(
        users, key("KRAKEN_USER_ALICE"), key("KRAKEN_USER_ALICE_SMITH"), key("KRAKEN_USER_ALICE_JONES")
    )
    assert settled.faults == ()
    assert taken(settled.of("kraken:alice_jones")) == "key-KRAKEN_USER_ALICE_JONES"


def test_a_newcomer_does_not_inherit_a_short_name() -> None:
    before = solve([user("alice_smith")], key("KRAKEN_USER_ALICE"))
    assert isinstance(before.of("kraken:alice_smith"), Credentials)
    after = solve([user("alice_smith"), user("alice")], key("KRAKEN_USER_ALICE"))
    assert "alice_smith" in str(after.faults[0])
    assert isinstance(after.of("kraken:alice"), Missing)
    settled = solve(
        [user("alice_smith"), user("alice")], key("KRAKEN_USER_ALICE"), key("KRAKEN_USER_ALICE_SMITH")
    )
    assert settled.faults == ()
    assert taken(settled.of("kraken:alice")) == "key-KRAKEN_USER_ALICE"


def test_whole_ids_that_spell_one_variable_clash() -> None:
    (fault,) = solve([user("a-b"), user("a_b")], key("KRAKEN_USER_A_B")).faults
    assert '"a-b" and "a_b"' in str(fault)
    assert solve([user("a-b"), user("a_b", "okx")], key("KRAKEN_USER_A_B")).faults == ()


def test_master_of_every_venue_and_the_older_names() -> None:
    older = solve([], key("KRAKEN"), key("ALPACA"), key("BINANCE"))
    assert taken(older.of("kraken:master")) == "key-KRAKEN"
    assert taken(older.of("alpaca:master")) == "key-ALPACA"
    assert taken(solve([], key("KRAKEN"), key("KRAKEN_MASTER")).of("kraken:master")) == "key-KRAKEN_MASTER"
    begun = solve([], key("KRAKEN"), {"KRAKEN_MASTER_API_KEY": "k"}).of("kraken:master")
    assert begun == Missing(("KRAKEN_MASTER_API_SECRET",), begun=True)
    assert isinstance(older.of("okx:master"), Missing)


def test_one_key_for_two_accounts_is_refused() -> None:
    names = (*key("KRAKEN"), *key("KRAKEN_USER_ALICE"))
    same = {name: "same-key" if name.endswith("_KEY") else SECRET for name in names}
    (fault,) = solve([user("alice_smith")], same).faults
    assert "kraken:master and kraken:alice_smith" in str(fault)


@pytest.mark.parametrize("value", [f"  {SECRET}\n", f'"{SECRET}"', f"' {SECRET} '"])
def test_blanks_and_quotes_of_pasting_are_taken_off(value: str) -> None:
    found = solve([], {"KRAKEN_API_KEY": "k", "KRAKEN_API_SECRET": value}).of("kraken:master")
    assert isinstance(found, Credentials)
    assert found.api_secret == Secret(SECRET)


@pytest.mark.parametrize(
    "value", ["hush not base64", "hush!", SECRET[:-2], SECRET + "\nhush", "hüsh", '""', "-----BEGIN hush"]
)
def test_values_that_cannot_be_right_are_named_but_not_shown(value: str) -> None:
    (fault,) = solve([], {"KRAKEN_API_KEY": "k", "KRAKEN_API_SECRET": value}).faults
    assert fault.field == "KRAKEN_API_SECRET"
    assert "hush" not in str(fault)
    assert SECRET[:10] not in str(fault)


@pytest.mark.parametrize(
    "text", [f'COINBASE_API_SECRET="{PEM}"', "COINBASE_API_SECRET=" + PEM.replace("\n", "\\n")]
)
def test_pem_in_dotenv(tmp_path: Path, text: str) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# made up\nexport COINBASE_API_KEY='organizations/x/apiKeys/y'\n{text}\nOTHER=1\n")
    dotenv.chmod(0o600)
    environment = read_environment({}, dotenv)
    found = resolve([], environment.secrets).of("coinbase:master")
    assert isinstance(found, Credentials)
    assert found.api_secret.reveal() == PEM
    assert environment.warnings == ()
    assert "OTHER" not in environment.secrets


def test_environment_wins_and_dollar_signs_stay(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("OKX_API_KEY=from-file\nOKX_API_SECRET=a${HOME}b\nOKX_API_PASSPHRASE='two words'\n")
    dotenv.chmod(0o644)
    environment = read_environment({"OKX_API_KEY": "from-environment"}, dotenv)
    found = resolve([], environment.secrets).of("okx:master")
    assert isinstance(found, Credentials)
    assert found.passphrase is not None
    values = [part.reveal() for part in found.secrets()]
    assert values == ["from-environment", "a${HOME}b", "two words"]
    assert f"chmod 600 {dotenv}" in environment.warnings[0]


def test_dotenv_that_cannot_be_read_says_so_without_its_text(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"KRAKEN_API_SECRET=hush\xff")
    with pytest.raises(SettingsError, match="not UTF-8") as error:
        read_environment({}, dotenv)
    assert "hush" not in "".join(traceback.format_exception(error.value))
    dotenv.unlink()
    os.mkfifo(dotenv)
    with pytest.raises(SettingsError, match="not a regular file"):
        read_environment({}, dotenv)
    assert read_environment({}, tmp_path / "none").secrets == {}


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("made-up-hush")
    credentials = Credentials(secret, secret, secret)
    environment = read_environment({"OKX_API_KEY": "made-up-hush"}, None)
    texts = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", "%s" % (secret,), repr(credentials)]  # noqa: UP031
    texts += [repr([credentials]), repr(environment), repr(resolve([], environment.secrets))]
    assert all("hush" not in text for text in texts)
    for spill in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        try:
            spilled = spill(secret)
        except TypeError as error:
            spilled = str(error)
        assert spilled is secret or b"hush" not in repr(spilled).encode()
    with pytest.raises(TypeError):
        pickle.dumps(credentials)
    assert secret == Secret("made-up-hush")
    assert secret != Secret("made-up-hush2")
    assert secret != "made-up-hush"
    assert not hasattr(secret, "__dict__")
