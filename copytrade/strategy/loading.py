"""Finds the strategy that a user wrote: `mypackage.mymodule:MyStrategy`."""

from __future__ import annotations

import importlib
import traceback
from types import ModuleType
from typing import Any, cast

from copytrade.domain.errors import CopyTradeError
from copytrade.strategy.port import NAME_PATTERN, Needs, Strategy


class NoSuchStrategy(CopyTradeError):
    """The strategy that `master.strategy` names cannot be had; the text says why, and what to do."""


def load_strategy(where: str) -> Strategy:
    """Import the module and make the class, without arguments. Raises `NoSuchStrategy`."""
    module_name, _, class_name = where.partition(":")
    module = _imported(where, module_name)
    made = getattr(module, class_name, None)
    if not isinstance(made, type):
        there = sorted(
            name for name, value in vars(module).items() if isinstance(value, type) and value.__module__ == module_name
        )
        has = f"it has {', '.join(there)}" if there else "it has no class at all"
        raise NoSuchStrategy(
            f"master.strategy is {where!r}, and {module.__file__} has no class {class_name}; {has}: mend the name"
        )
    try:
        strategy = made()
    except Exception as error:
        raise NoSuchStrategy(
            f"master.strategy is {where!r}, and {class_name}() failed with {_in_words(error)}: a strategy is made "
            "without arguments, so give each of its own a default"
        ) from error
    _check(where, strategy)
    return cast(Strategy, strategy)


def _imported(where: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            file = module_name.replace(".", "/") + ".py"
            raise NoSuchStrategy(
                f"master.strategy is {where!r}, and there is no module {error.name}: put {file} beside run_master.py "
                "(or install its package into .venv), or mend the name"
            ) from error
        raise NoSuchStrategy(
            f"master.strategy is {where!r}, and {module_name} needs a package that is not installed: {error.name}. "
            f"Install it: .venv/bin/pip install {error.name}"
        ) from error
    except Exception as error:
        raise NoSuchStrategy(
            f"master.strategy is {where!r}, and importing {module_name} failed with {_in_words(error)}: mend that file"
        ) from error


def _check(where: str, strategy: Any) -> None:
    name = getattr(strategy, "name", None)
    if not isinstance(name, str) or NAME_PATTERN.fullmatch(name) is None:
        raise NoSuchStrategy(
            f"master.strategy is {where!r}, and its `name` is {name!r}: give it one of lower-case letters, digits and "
            "_, which never changes, as it is part of every order's id"
        )
    if not isinstance(getattr(strategy, "needs", None), Needs):
        raise NoSuchStrategy(f"master.strategy is {where!r}, and its `needs` is no copytrade.strategy.port.Needs")
    if not callable(getattr(strategy, "decide", None)):
        raise NoSuchStrategy(f"master.strategy is {where!r}, and it has no method decide(view)")
    needs: Needs = strategy.needs
    if needs.candles == 0 and not needs.symbols:
        raise NoSuchStrategy(
            f"master.strategy is {where!r}, and it asks for neither candles nor symbols: name the markets it wants"
        )


def _in_words(error: Exception) -> str:
    """The error and the line it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
