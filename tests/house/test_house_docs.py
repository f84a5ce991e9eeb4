"""What the documents tell people to type exists, and what the README shows in blocks runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from copytrade.console.cli import app
from copytrade.console.commands_page import page, table
from copytrade.console.worker import main as run_master

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *REPOSITORY.glob(".env.example")]
)
README = (REPOSITORY / "README.md").read_text()
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EXAMPLES = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines() if line]


def mentions(text: str) -> list[tuple[str, list[str]]]:
    """Every `python -m copytrade …` and `COMMAND --option …` in back quotes, as command and options."""
    found = []
    for typed in [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^(?:    |\$ )?(python -m .+)$", text, re.M)]:
        words = typed.removeprefix("python -m copytrade ").split()
        if typed.startswith("python -m copytrade ") or (words[:1] and words[0] in COMMANDS and "--" in typed):
            found.append((words[0], [w.partition("=")[0] for w in words[1:] if w.startswith("--")]))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_options_that_are_mentioned_exist(path: Path) -> None:
    for command, options in mentions(path.read_text()):
        if command in ("COMMAND", "--help"):
            continue
        assert command in COMMANDS, f"{path.name} mentions the command {command!r}"
        known = {name for parameter in COMMANDS[command].params for name in parameter.opts + parameter.secondary_opts}
        assert set(options) <= known | {"--help"}, f"{path.name} on {command}"


def test_that_check_finds_a_command_and_an_option() -> None:
    text = "Say `python -m copytrade trde BTC/USD`, or `kill --now`; `make run` and `--json` are none.\n"
    assert mentions(text) == [("trde", []), ("kill", ["--now"])]


def test_the_page_of_commands_is_current() -> None:
    assert (REPOSITORY / "docs/commands.md").read_text() == page(), (
        "run: python -m copytrade.console.commands_page > docs/commands.md"
    )
    assert table("docs/commands.md") in README, "paste: python -m copytrade.console.commands_page --table"
    text = page()
    for name, command in COMMANDS.items():
        assert f"## `{name}`\n" in text
        common = {"--config", "--users", "--state", "--json"}
        known = {option for parameter in command.params for option in parameter.opts}
        assert common <= known or name == "simulator", f"the page says that {name} takes {common - known}"
        assert all(parameter.help for parameter in command.params if not common & set(parameter.opts)), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_that_are_mentioned_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    text = path.read_text()
    mentioned = set(re.findall(r"`make ([a-z]+)`", text)) | set(re.findall(r"^make ([a-z]+)$", text, re.M))
    assert mentioned <= targets
    assert "make run" in README
    assert "make test" in README


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_workers_options_are_the_documented_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_master(["--help"])
    known = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    for path in DOCUMENTS:
        for typed in re.findall(r"`(?:python )?run_master\.py ([^`]*)`", path.read_text()):
            assert set(re.findall(r"--[a-z]+", typed)) <= known, path.name


@pytest.mark.slow
def test_the_readmes_examples_run_as_they_stand(tmp_path: Path) -> None:
    """In their order, in a fresh folder with the sample files, without a worker."""
    examples = [line for line in EXAMPLES if line.startswith("python -m copytrade ")]
    assert len(examples) >= 10
    rest = [line for line in EXAMPLES if line not in examples]
    assert set(rest) <= {"make run", "make test", ". .venv/bin/activate"}, "an example that no test runs"
    sample = REPOSITORY / "config"
    (tmp_path / "config/users").mkdir(parents=True)
    for name in ("copytrade.yaml", "users/retail_kraken.json"):
        (tmp_path / "config" / name).write_text((sample / name).read_text())
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    for example in examples:
        done = subprocess.run(
            [sys.executable, *shlex.split(example)[1:]], cwd=tmp_path, env=environ, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), f"{example}\n{done.stdout}{done.stderr}"
        assert json.loads(done.stdout) if "--json" in example else done.stdout
