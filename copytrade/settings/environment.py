"""The variables that matter to us, from the process's environment and `.env`."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from .faults import Fault, SettingsError
from .fields import VENUES
from .notify import NOTIFY_PREFIX
from .secret import Secret

# A .env with two PEM blocks for each of 10,000 followers stays below this.
ENV_MAX_BYTES = 10_000_000
_OPEN_NAMES = frozenset({"SUPPRESS_SINGLE_EXCHANGE_WARNING", *(f"{venue.upper()}_BASE_URL" for venue in VENUES)})
_PREFIXES = tuple(f"{venue.upper()}_" for venue in VENUES)
_ENDINGS = ("_API_KEY", "_API_SECRET", "_API_PASSPHRASE")


@dataclass(frozen=True, slots=True)
class Environment:
    """A snapshot: open variables as text, credentials and addresses of messages wrapped. The environment has won over
    `.env`."""

    open: Mapping[str, str]
    secrets: Mapping[str, Secret]
    warnings: tuple[str, ...] = ()
    notify: Mapping[str, Secret] = field(default_factory=dict)


def read_environment(environ: Mapping[str, str], dotenv_path: Path | None) -> Environment:
    """Take what concerns us from both places. A missing `.env` is fine.

    Raises:
        SettingsError: `.env` cannot be read. Its text is never part of the message.
    """
    merged: dict[str, str] = {}
    warnings: list[str] = []
    if dotenv_path is not None and dotenv_path.exists():
        merged.update(_read_dotenv(dotenv_path, warnings))
    merged.update(environ)
    return Environment(
        {name: merged[name] for name in _OPEN_NAMES if name in merged},
        {
            name: Secret(value)
            for name, value in merged.items()
            if name.startswith(_PREFIXES) and name.endswith(_ENDINGS) and value.strip()
        },
        tuple(warnings),
        {n: Secret(value.strip()) for n, value in merged.items() if n.startswith(NOTIFY_PREFIX) and value.strip()},
    )


def _read_dotenv(path: Path, warnings: list[str]) -> dict[str, str]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError([Fault(str(path), 0, "", "is not a regular file", "Write it anew; see .env.example")])
        if status.st_size > ENV_MAX_BYTES:
            remedy = f"Keep it under {ENV_MAX_BYTES} bytes: it holds keys only"
            raise SettingsError([Fault(str(path), 0, "", "is too large", remedy)])
        # Not interpolated: a secret may contain ${.
        values = dotenv_values(path, interpolate=False, encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError([Fault(str(path), 0, "", "is not UTF-8 text", "Save it as UTF-8")]) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise SettingsError([Fault(str(path), 0, "", problem, "Make it readable for this user")]) from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.append(f"{path} can be read by other users of this machine: run `chmod 600 {path}`")
    return {name: value for name, value in values.items() if value is not None}
