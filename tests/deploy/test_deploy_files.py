"""The files for supervisors and platforms: they parse, name what exists, and what the image takes in is enough."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml

from copytrade.console.cli import app
from copytrade.console.worker import main as run_master
from copytrade.settings.model import Settings

REPOSITORY = Path(__file__).parents[2]
UNITS = sorted((REPOSITORY / "deploy").glob("*.service"))
WAIT_S = 60.0


def unit(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(path.read_text())
    return parsed


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and their arguments; continued lines joined."""
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def copied() -> Iterator[tuple[str, str]]:
    """What the image takes from here, and where it goes."""
    for word, rest in dockerfile():
        words = rest.split()
        if word == "COPY" and not any(each.startswith("--from") for each in words):
            source, target = [each for each in words if not each.startswith("--")]
            yield source, target


def known_options(capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        run_master(["--help"])
    return set(re.findall(r"--[a-z]+", capsys.readouterr().out))


def test_what_starts_the_worker_uses_options_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    known = known_options(capsys)
    starts = [
        unit(REPOSITORY / "deploy/copytrade.service")["Service"]["ExecStart"],
        (REPOSITORY / "Procfile").read_text(),
        " ".join(json.loads(dict(dockerfile())["CMD"])),
    ]
    for start in starts:
        used = {word for word in shlex.split(start) if word.startswith("--")}
        assert used
        assert used <= known, start
    assert all("run_master.py" in start for start in starts[:2])
    assert json.loads(dict(dockerfile())["ENTRYPOINT"]) == ["python", "run_master.py"]


def test_the_backup_unit_runs_a_command_that_exists() -> None:
    words = shlex.split(unit(REPOSITORY / "deploy/copytrade-backup.service")["Service"]["ExecStart"])
    command = typer.main.get_command(app).commands[words[3]]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert unit(REPOSITORY / "deploy/copytrade-backup.timer")["Timer"]["Persistent"] == "yes"


def test_every_supervisor_waits_longer_than_a_stop_takes() -> None:
    needs_s = Settings().engine.shutdown_grace_s + 2
    service = unit(REPOSITORY / "deploy/copytrade.service")["Service"]
    compose = yaml.safe_load((REPOSITORY / "deploy/compose.yaml").read_text())["services"]["worker"]
    render = yaml.safe_load((REPOSITORY / "render.yaml").read_text())["services"][0]
    railway = json.loads((REPOSITORY / "railway.json").read_text())["deploy"]
    allowed = [
        int(service["TimeoutStopSec"]), int(compose["stop_grace_period"].removesuffix("s")),
        render["maxShutdownDelaySeconds"], railway["drainingSeconds"],
    ]  # fmt: skip
    assert min(allowed) > needs_s
    assert needs_s <= 10  # what docker stop allows where nobody says more
    assert service["KillSignal"] == "SIGTERM" == dict(dockerfile())["STOPSIGNAL"]


def test_one_worker_at_a_time_and_started_again_for_ever() -> None:
    service = unit(REPOSITORY / "deploy/copytrade.service")
    assert service["Service"]["Restart"] == "always"
    assert service["Unit"]["StartLimitIntervalSec"] == "0"
    railway = json.loads((REPOSITORY / "railway.json").read_text())["deploy"]
    assert (railway["numReplicas"], railway["overlapSeconds"], railway["restartPolicyType"]) == (1, 0, "ALWAYS")
    render = yaml.safe_load((REPOSITORY / "render.yaml").read_text())["services"][0]
    assert (render["type"], render["numInstances"]) == ("worker", 1)
    state = json.loads(dict(dockerfile())["CMD"])[-1]
    assert render["disk"]["mountPath"] == state
    compose = yaml.safe_load((REPOSITORY / "deploy/compose.yaml").read_text())
    assert f"state:{state}" in compose["services"]["worker"]["volumes"]
    assert "state" in compose["volumes"]


def test_nobody_is_root_and_no_secret_is_in_a_file() -> None:
    assert dict(dockerfile())["USER"].split(":")[0].isdecimal()
    assert dict(dockerfile())["USER"] != "0:0"
    assert unit(REPOSITORY / "deploy/copytrade.service")["Service"]["User"] == "copytrade"
    render = yaml.safe_load((REPOSITORY / "render.yaml").read_text())["services"][0]
    assert all(set(variable) == {"key", "sync"} and variable["sync"] is False for variable in render["envVars"])
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!") and ("state" in line or ".env" in line) for line in ignored)


def test_the_image_takes_in_what_is_there_and_not_ignored() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sources = [source for source, _ in copied()]
    assert {"requirements.txt", "run_master.py", "copytrade", "config"} <= set(sources)
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert f"!{source}" in ignored, source
    python = dict(re.findall(r"^FROM python:(\S+?)-(slim)\S*", (REPOSITORY / "Dockerfile").read_text(), re.M))
    assert list(python) == ["3.11"]
    assert all("==" in line for line in (REPOSITORY / "requirements.txt").read_text().splitlines()
               if line and not line.startswith("#"))  # fmt: skip


@pytest.mark.parametrize("path", [*UNITS, REPOSITORY / "deploy/copytrade-backup.timer"], ids=lambda path: path.name)
def test_systemd_accepts_the_units(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    for source in [*UNITS, REPOSITORY / "deploy/copytrade-backup.timer"]:
        there = source.read_text().replace("/srv/copytrade/.venv/bin/python", sys.executable)
        (tmp_path / source.name).write_text(there)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / path.name], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if path.stem in line]
    assert ours == []


@pytest.mark.slow  # a stuck worker is waited for
def test_what_the_image_holds_is_enough_to_run_and_to_be_asked(tmp_path: Path) -> None:
    """No Docker: the files are laid out as the Dockerfile says, and the worker runs from there and nowhere else."""
    root = tmp_path / "image"
    for source, target in copied():
        place = root / (target if target.startswith("/") else f"app/{target}").lstrip("/")
        if (REPOSITORY / source).is_dir():
            shutil.copytree(REPOSITORY / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place = place / Path(source).name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / source, place)
    state = root / "var/lib/copytrade"
    arguments = [str(root / word.lstrip("/")) if word.startswith("/") else word
                 for word in json.loads(dict(dockerfile())["CMD"])]  # fmt: skip
    health = [sys.executable, str(root / "app/deploy/healthcheck.py"), str(state)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    assert subprocess.run(health, env=environ, capture_output=True, check=False).returncode == 1
    with (tmp_path / "log").open("w") as log, subprocess.Popen(
        [sys.executable, "run_master.py", *arguments], cwd=root / "app", env=environ, stdout=log, stderr=log
    ) as worker:
        try:
            give_up_at = time.monotonic() + WAIT_S
            while subprocess.run(health, env=environ, capture_output=True, check=False).returncode:
                assert worker.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < give_up_at, (tmp_path / "log").read_text()
            os.kill(worker.pid, signal.SIGSTOP)  # a worker that stands still does not pass for a healthy one
            stuck = subprocess.run(health, env=environ, capture_output=True, text=True, check=False)
            os.kill(worker.pid, signal.SIGCONT)
            assert (stuck.returncode, "does not answer" in stuck.stderr) == (1, True)
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(WAIT_S) == 0
    gone = subprocess.run(health, env=environ, capture_output=True, text=True, check=False)
    assert (gone.returncode, gone.stderr) == (1, "there is no worker\n")
