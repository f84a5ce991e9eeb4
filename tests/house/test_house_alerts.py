"""Every alert says of what kind it is where it is raised: rules for messages go by that, never by its words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from copytrade.domain.alerts import AlertKind

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted([*(REPOSITORY / "copytrade").rglob("*.py"), REPOSITORY / "run_master.py"])
RAISES = {"alert", "_alert"}  # of a kind, a text and an account
TELLS = {*RAISES, "tell", "_tell"}  # of an alert


def faults(text: str) -> Iterator[tuple[int, str]]:
    """Line and cause of every alert in a piece of source that has no kind."""
    tree = ast.parse(text)
    kinds = {
        name.id
        for node in ast.walk(tree) if isinstance(node, ast.Assign) and _of_kinds(node.value)
        for name in node.targets if isinstance(name, ast.Name)
    }  # fmt: skip
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        if called == "Alert" and not _is_kind(first, kinds | {"kind"}):
            yield node.lineno, "Alert(...) does not begin with an AlertKind"
        elif called in TELLS and not node.keywords and first is not None:
            if len(node.args) > 1 and called in RAISES and not _is_kind(first, kinds):
                yield node.lineno, f"{called}(...) does not begin with an AlertKind"
            elif len(node.args) == 1 and isinstance(first, ast.Constant | ast.JoinedStr | ast.BinOp):
                yield node.lineno, f"{called}(...) is handed bare words"


def _is_kind(node: ast.expr | None, kinds: set[str]) -> bool:
    named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "AlertKind"
    return named or (isinstance(node, ast.Name) and node.id in kinds)


def _of_kinds(node: ast.expr) -> bool:
    """One kind, or one of two by a condition."""
    if isinstance(node, ast.IfExp):
        return _is_kind(node.body, set()) and _is_kind(node.orelse, set())
    return _is_kind(node, set())


def test_every_alert_has_a_kind() -> None:
    found = {str(path.relative_to(REPOSITORY)): list(faults(path.read_text())) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_every_kind_is_raised_somewhere() -> None:
    """A kind that nobody raises any more is told as something that cannot happen."""
    named = {
        node.attr
        for path in SOURCES if path.name not in ("alerts.py", "notices.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "AlertKind"
    }  # fmt: skip
    assert named == {kind.name for kind in AlertKind}


@pytest.mark.parametrize(
    "text",
    [
        "services.alert('the venue is down')",
        "self._services.alert(f'{account} is parked', account)",
        "services.alert(kind, 'what', account)",
        "self.tell('x' + y)",
        "Alert('the venue is down')",
        "tell(Alert(what, 'the venue is down'))",
    ],
)
def test_an_alert_without_a_kind_is_found(text: str) -> None:
    assert len(list(faults(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "services.alert(AlertKind.PARKED, f'{account} is parked', account)",
        "kind = AlertKind.KILL_SWITCH_OFF if off else AlertKind.KILL_SWITCH_ON\nservices.alert(kind, 'switch')",
        "tell(Alert(AlertKind.STRATEGY, 'it waits'))",
        "self._tail.alert(alert)",
        "log.warning('words')",
    ],
)
def test_an_alert_with_a_kind_passes(text: str) -> None:
    assert list(faults(text)) == []
