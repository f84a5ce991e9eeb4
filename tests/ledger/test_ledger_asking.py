"""Questions that are asked while somebody closes the connection under them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ledger_samples import intent, plan, signal

from copytrade.domain.errors import LedgerError
from copytrade.domain.events import SignalEmitted
from copytrade.ledger.asking import Questions
from copytrade.ledger.store import Ledger

# In a process of its own: a connection that is closed under a query takes its process down.
_CLOSE_WHILE_ASKED = """
import sys, threading
from pathlib import Path
from copytrade.domain.errors import LedgerError
from copytrade.ledger.asking import Questions

def ask(questions, asked):
    number = 0
    while True:
        number += 1
        try:
            questions.ask(f"SELECT count(*), {number} FROM orders, orders AS others", ())
        except LedgerError:
            return
        asked.set()

for _ in range(100):
    questions, asked = Questions(Path(sys.argv[1])), threading.Event()
    asking = threading.Thread(target=ask, args=(questions, asked))
    asking.start()
    asked.wait()
    questions.close()
    asking.join()
print("alive")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite3"
    with Ledger.open(path) as ledger:
        ledger.append_sync([intent("one"), SignalEmitted(signal("one")), plan(signal("one"), 100)])
    return path


def test_a_connection_is_never_closed_under_a_question(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CLOSE_WHILE_ASKED, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_closing_waits_for_the_answer_and_later_questions_say_why(path: Path) -> None:
    questions = Questions(path)
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(len(questions.ask("SELECT * FROM orders", ()))))
    asking.start()
    asking.join()
    questions.close()
    questions.close()
    assert answers == [101]
    with pytest.raises(LedgerError, match="closed"):
        questions.ask("SELECT 1", ())
