"""`python -m copytrade independent`: what the loops beside trading are doing. Only a running worker knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copytrade.console.control import ask
from copytrade.console.output import clock_time, print_error, print_json, print_table
from copytrade.wiring.paths import Paths

if TYPE_CHECKING:
    from copytrade.wiring.independent import Independents
    from copytrade.wiring.strategy_runner import StrategyRunner

_ANSWER_S = 10.0


def progress(runner: StrategyRunner | None, independents: Independents) -> dict[str, Any]:
    """`scan`: by venue, what the master's strategy is scanning; `independent`: the accounts' loops; and what is
    scanned for those, by their venue."""
    return {
        "scan": {} if runner is None else runner.scanner.progress(),
        "independent": independents.health(),
        "independent_scan": independents.progress(),
    }


def run_independent(paths: Paths, *, as_json: bool) -> int:
    try:
        answer = ask(paths.socket, {"do": "progress"}, _ANSWER_S)
    except TimeoutError:
        answer = {"message": f"the worker did not answer within {_ANSWER_S:.0f} s: see status"}
    if answer is None:
        answer = {"message": "no worker runs here: start it with python run_master.py, or name its folder by --state"}
    if "result" not in answer:
        print_error(str(answer.get("message")), as_json=as_json)
        return 1
    told: dict[str, Any] = answer["result"]
    if as_json:
        print_json(told)
        return 0
    rows = [
        (each["account"], each["standing"], f"{each['health_percent']} %", each["cycles"], each["errors"],
         f"{each['took_s']:.2f} s", clock_time(each["ended_at"]), each["last_error"])
        for each in told["independent"]
    ]  # fmt: skip
    columns = ("account", "loop", "health", "cycles", "errors", "last took", "ended", "last error")
    print_table("accounts that trade by themselves", columns, rows, "no account has mode: independent")
    for owner, scans in (("the master", told["scan"]), *told["independent_scan"].items()):
        for venue, scan in scans.items():
            print(f"{venue} for {owner}: {scan['progress']}, health {scan['health_percent']} %, {scan['breaker']}")
    return 0
