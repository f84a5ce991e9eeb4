"""Prints `docs/commands.md` from the command line itself: `python -m copytrade.console.commands_page`.

With `--table` only the table that the README shows.
"""

from __future__ import annotations

import sys
from typing import Any

import typer.main

from copytrade.console.cli import app

_HEAD = """# Commands

Printed by `python -m copytrade.console.commands_page` from the commands themselves; a test keeps the two equal.

`python run_master.py` is the worker. Everything else is `python -m copytrade COMMAND`. With a worker running, commands
that need one hand their request to it; without one they do the work themselves.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. With `--json`, standard output holds one JSON value and nothing
else, errors included. Every command but `simulator` takes `--config`, `--users` and `--state`.
"""
_EVERYWHERE = frozenset({"--config", "--users", "--state", "--json", "--help"})


def page() -> str:
    """The whole page, ending in one newline."""
    lines = [_HEAD, table()]
    for name, command in _commands().items():
        lines += ["", f"## `{name}`", "", *_help(command), "", f"`{_usage(name, command)}`"]
        options = [parameter for parameter in command.params if not _EVERYWHERE & set(parameter.opts)]
        if options:
            lines += ["", "| | |", "| --- | --- |"]
            lines += [f"| {_names(parameter)} | {_meaning(parameter)} |" for parameter in options]
    return "\n".join(lines) + "\n"


def table(of_page: str = "") -> str:
    """Every command and what it is for, each with a link to its part of the page, which is at `of_page`."""
    rows = [f"| [`{name}`]({of_page}#{name}) | {_sentence(command)} |" for name, command in _commands().items()]
    return "\n".join(["| command | does |", "| --- | --- |", *rows])


def _commands() -> dict[str, Any]:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return commands


def _help(command: Any) -> list[str]:
    paragraphs = str(command.help or "").split("\n\n")
    lines = []
    for paragraph in paragraphs:
        lines += ["", " ".join(line.strip() for line in paragraph.splitlines())]
    return lines[1:]


def _sentence(command: Any) -> str:
    return " ".join(_help(command)[0].split()).replace("|", "\\|")


def _usage(name: str, command: Any) -> str:
    words = [f"python -m copytrade {name}"]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            words.append(parameter.name.upper() if parameter.required else f"[{parameter.name.upper()}]")
    return " ".join(words)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return names if parameter.is_flag else f"{names} …"


def _meaning(parameter: Any) -> str:
    default = parameter.default
    shown = "" if default in (None, False, "", ()) or callable(default) else f" Default: `{default}`."
    return f"{parameter.help or ''}{shown}".strip().replace("|", "\\|")


if __name__ == "__main__":
    print(table("docs/commands.md") + "\n" if "--table" in sys.argv else page(), end="")
