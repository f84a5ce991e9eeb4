"""Settings, followers and credentials, read and checked together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .credentials import CredentialSet, Missing, resolve
from .environment import Environment, read_environment
from .faults import Fault, SettingsError
from .model import Settings
from .users import Placed, User, UsersFile, read_users_file, repeated_accounts, users_files
from .yaml_file import paper_faults, read_settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state of the files in which nothing is wrong.

    Attributes:
        settings: with the environment's overrides in.
        users: every account of every follower, disabled ones too, in the order of the files.
        credentials: of every account; `Missing` where there are none, which is no fault.
        environment: the snapshot it was read from.
        warnings: what the operator should look at, though it works.
    """

    settings: Settings
    users: tuple[User, ...]
    credentials: CredentialSet
    environment: Environment
    warnings: tuple[str, ...] = ()


def load(config_path: Path, users_dir: Path, environ: Mapping[str, str], dotenv_path: Path | None = None) -> Loaded:
    """Read everything once.

    Args:
        config_path: `config/copytrade.yaml`; missing means all defaults.
        users_dir: the directory of `*.json` files.
        environ: usually `os.environ`.
        dotenv_path: usually `.env`; may be missing.

    Raises:
        SettingsError: with all faults of all files.
    """
    faults: list[Fault] = []
    environment = read_environment_or_faults(environ, dotenv_path, faults)
    settings, notes = read_settings_or_faults(config_path, environment, faults)
    files = [read_users_file(path) for path in list_users_files(users_dir, faults)]
    for file in files:
        faults += file.faults
    if faults:
        raise SettingsError(faults)
    return combine(config_path, settings, notes, files, environment)


def read_environment_or_faults(
    environ: Mapping[str, str], dotenv_path: Path | None, faults: list[Fault]
) -> Environment:
    try:
        return read_environment(environ, dotenv_path)
    except SettingsError as error:
        faults += error.faults
        return read_environment(environ, None)


def read_settings_or_faults(path: Path, environment: Environment, faults: list[Fault]) -> tuple[Settings, list[str]]:
    try:
        settings, notes = read_settings(path, environment.open)
    except SettingsError as error:
        faults += error.faults
        return Settings(), []
    faults += paper_faults(settings, path)
    return settings, notes


def list_users_files(directory: Path, faults: list[Fault]) -> list[Path]:
    try:
        return users_files(directory)
    except OSError as error:
        problem = f"the directory of users cannot be listed: {error.strerror}"
        faults.append(Fault(str(directory), 0, "", problem, "Make it, or name another one with --users"))
        return []


def combine(
    config_path: Path,
    settings: Settings,
    notes: Iterable[str],
    files: Iterable[UsersFile],
    environment: Environment,
) -> Loaded:
    """Put faultless parts together and check what only shows in the whole.

    Raises:
        SettingsError: an account is in two files, or a credential could belong to two accounts.
    """
    placed: list[Placed] = [each for file in files for each in file.users]
    users = tuple(each.user for each in placed)
    credentials = resolve(users, environment.secrets)
    faults = repeated_accounts(placed)
    warnings = [*notes, *environment.warnings]
    warnings += [
        f"notify: {target.url_env} is not set in the environment or .env, so nobody is told there"
        for target in settings.notify
        if target.url_env not in environment.notify
    ]
    if settings.mode == "live":
        faults += credentials.faults
        warnings += _missing(settings, users, credentials)
    else:
        # Paper trading uses no credentials, so a doubtful one must not stop it; it would stop `mode: live`.
        warnings += [f"before going live: {fault}" for fault in credentials.faults]
    if faults:
        raise SettingsError(faults)
    return Loaded(settings, users, credentials, environment, tuple(warnings))


def _missing(settings: Settings, users: Iterable[User], credentials: CredentialSet) -> list[str]:
    accounts = [f"{settings.master.venue}:master", *(user.account for user in users if user.enabled)]
    found = ((account, credentials.of(account)) for account in accounts)
    return [f"{account} is left out: {state}" for account, state in found if isinstance(state, Missing)]
