"""Prints `docs/settings.md` from the settings model: `python -m copytrade.settings.describe`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .model import Settings
from .users import InstrumentLists, User

_HEAD = """# Settings

Printed by `python -m copytrade.settings.describe` from `copytrade/settings/model.py`; a test keeps the two
equal.

All settings are in `config/copytrade.yaml` and all have a default; an empty or missing file is fine. Unknown
keys, duplicate keys and values out of range are refused with file, line and remedy. The file is watched: a
change takes effect within two seconds, except for `mode`, `master`, `apex`, `venues`, `paper`, `engine`, `console`,
`check`, `notify`, `journal`, `independent` and `log`, which take a restart. A broken file is refused whole and the last
good one stays in force.
"""

_USERS = """## Followers: `config/users/*.json`

Each file is a list of objects. One user may have several accounts: the same `user_id` with different
`broker_type`. The same `user_id` and `broker_type` twice is refused. Amounts are in the account's quote
currency; numbers may be written as `0.10` or `"0.10"`. Hidden files, symbolic links and files not ending in
`.json` are ignored. Files are watched like the settings.
"""

_ENVIRONMENT_HEAD = """## Environment and `.env`

The environment wins over `.env`; `.env` should have mode 0600. Keys never go into the files above.
"""

_ENVIRONMENT = (
    (
        "`KRAKEN_MASTER_API_KEY`, `KRAKEN_MASTER_API_SECRET`",
        "the master's key at Kraken (older: `KRAKEN_API_KEY`, `KRAKEN_API_SECRET`)",
    ),
    ("`COINBASE_API_KEY`, `COINBASE_API_SECRET`", "the master's key at Coinbase; the secret is a PEM block"),
    ("`ALPACA_API_KEY`, `ALPACA_API_SECRET`", "the master's key at Alpaca"),
    ("`OKX_API_KEY`, `OKX_API_SECRET`, `OKX_API_PASSPHRASE`", "the master's key at OKX"),
    ("`BINANCE_API_KEY`, `BINANCE_API_SECRET`", "the master's key at Binance"),
    (
        "`<VENUE>_USER_<NAME>_API_KEY`, `…_API_SECRET` (OKX also `…_API_PASSPHRASE`)",
        "a follower's key; NAME is the part of `user_id` before the first underscore, in capitals",
    ),
    (
        "`<VENUE>_USER_<WHOLE_ID>_API_KEY`, …",
        "the same with the whole `user_id` in capitals, `-` as `_`; needed when two followers share NAME, "
        "and wins over the short form",
    ),
    (
        "`<VENUE>_BASE_URL`",
        "replaces `venues.<venue>.base_url`; in paper mode only addresses of this machine",
    ),
    ("`NOTIFY_<NAME>`", "an address for messages, which `notify` names as `url_env`; it holds a secret"),
    ("`SUPPRESS_SINGLE_EXCHANGE_WARNING`", "`true` sets `guards.suppress_single_exchange_warning`"),
    ("`SYSTEM_DISABLED`", "`true` is the kill switch, like the file `state/SYSTEM_DISABLED`"),
)


def _words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is Mapping:
        return "lists by name" if get_origin(get_args(annotation)[1]) is tuple else "modes by name"
    inner = [part for part in get_args(annotation) if part is not type(None)]
    if inner and get_origin(annotation) is not tuple:
        return _words(inner[0])
    names = {
        "bool": "`true`, `false`",
        "str": "text",
        "int": "whole number",
        "float": "number",
        "Decimal": "number",
        "LimitForm": "figure or block",
    }
    return names.get(getattr(annotation, "__name__", ""), "list" if get_origin(annotation) is tuple else "block")


def _range(field: FieldInfo) -> str:
    bounds = {}
    layers = [*field.metadata]
    for part in get_args(field.annotation):
        for inner in getattr(part, "__metadata__", ()):
            layers.extend(getattr(inner, "metadata", ()) if isinstance(inner, FieldInfo) else [inner])
    for constraint in layers:
        for name, sign in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "to")):
            limit = getattr(constraint, name, None)
            if limit is not None:
                bounds[sign] = (
                    f"{limit:,.12g}"
                    if isinstance(limit, float)
                    else f"{limit:,f}"
                    if limit != int(limit)
                    else f"{int(limit):,}"
                )
    return " ".join(f"{sign} {limit}" for sign, limit in bounds.items())


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if field.is_required() or default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    if default == () or default == "":
        return "empty"
    if isinstance(default, BaseModel):
        return "empty"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _table(model: type[BaseModel], prefix: str) -> list[str]:
    lines = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        values = f"{_words(field.annotation)} {_range(field)}".strip()
        lines.append(f"| `{prefix}{field.alias or name}` | {values} | {_default(field)} | {field.description} |")
    return lines


def _sections(model: type[BaseModel], prefix: str) -> list[str]:
    lines: list[str] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if get_origin(annotation) is tuple:
            annotation = get_args(annotation)[0]  # a list of blocks is described by what each of them holds
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            key = f"{prefix}{field.alias or name}"
            lines += [f"## `{key}`", "", inspect.cleandoc(annotation.__doc__ or ""), ""]
            if any(
                isinstance(f.annotation, type) and issubclass(f.annotation, BaseModel)
                for f in annotation.model_fields.values()
            ):
                lines += _sections(annotation, f"{key}.")
            else:
                lines += [*_table(annotation, f"{key}."), ""]
    return lines


def page() -> str:
    """The whole page, ending in one newline."""
    mode = Settings.model_fields["mode"]
    top = [
        "## `mode`",
        "",
        "| key | values | default | meaning |",
        "| --- | --- | --- | --- |",
        f"| `mode` | {_words(mode.annotation)} | {_default(mode)} | {mode.description} |",
        "",
    ]
    lines = [
        _HEAD,
        *top,
        *_sections(Settings, ""),
        _USERS,
        *_table(User, ""),
        "",
        *_table(InstrumentLists, "instruments."),
    ]
    lines += ["", _ENVIRONMENT_HEAD, "| variable | meaning |", "| --- | --- |"]
    lines += [f"| {names} | {meaning} |" for names, meaning in _ENVIRONMENT]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
