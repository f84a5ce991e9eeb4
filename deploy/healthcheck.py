"""Exit code 0 while the worker of a state folder answers: `python deploy/healthcheck.py STATE`.

It asks over the worker's own socket, so it needs no port and no token, and a worker whose loop stands still fails it. A
worker that cannot write its ledger ends by itself, and is started again by whoever supervises it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file: the package lies beside this folder

from copytrade.console.control import ask

ANSWER_S = 8.0  # a worker in the middle of a fan-out to ten thousand answers within two


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: healthcheck.py STATE\n")
        return 2
    try:
        answer = ask(Path(arguments[0]) / "worker.sock", {"do": "are you there"}, ANSWER_S)
    except TimeoutError:
        sys.stderr.write(f"the worker does not answer within {ANSWER_S:.0f} s\n")
        return 1
    if answer is None or answer.get("error") == "failed":
        sys.stderr.write("there is no worker\n" if answer is None else f"{answer['message']}\n")
        return 1
    return 0  # that it does not know the command is an answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
