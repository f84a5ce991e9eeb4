"""Reads `config/copytrade.yaml` strictly: every duplicate, unknown or odd value is a fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from .faults import Fault, SettingsError, faults_of, shown
from .fields import VENUES
from .model import Settings

# The whole sample with its comments is 4 kB. The bound also disarms YAML's nested aliases, which grow a small
# file into gigabytes: aliases are refused altogether below.
YAML_MAX_BYTES = 256_000
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}

Place = tuple[Any, ...]


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without duplicate keys and aliases; decimal fractions stay exact."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not supported", problem_mark=self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(problem="keys must be plain words", problem_mark=key_node.start_mark)
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{shown(key_node.value)} is given twice (first in line {seen[key_node.value]})",
                    problem_mark=key_node.start_mark,
                )
            seen[key_node.value] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


def _construct_fraction(loader: _StrictLoader, node: yaml.ScalarNode) -> Decimal | str:
    text = loader.construct_scalar(node).replace("_", "")
    try:
        return Decimal(text)
    except InvalidOperation:
        return text  # .inf, .nan and the like: no setting accepts them


def _construct_whole(loader: _StrictLoader, node: yaml.ScalarNode) -> int | str:
    # YAML 1.1 reads 010 as 8 and 1:30 as 90: nobody who writes a setting means that, so those stay text.
    text = loader.construct_scalar(node).replace("_", "")
    return int(text) if re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,30})", text) else text


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _construct_whole)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _construct_fraction)
# No setting is a date.
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_settings(path: Path, environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """The settings of a file, with the environment's overrides on top, and notes for the operator.

    A missing file means all defaults, with a note; an empty one means all defaults.

    Raises:
        SettingsError: with every fault found.
    """
    notes: list[str] = []
    lines: dict[Place, int] = {}
    try:
        with path.open("rb") as file:
            raw = file.read(YAML_MAX_BYTES + 1)
    except FileNotFoundError:
        notes.append(f"{path} does not exist: every setting has its default (mode: paper)")
        raw = b""
    except OSError as error:
        raise SettingsError(
            [Fault(str(path), 0, "", f"cannot be read: {error.strerror}", "Make it a readable file")]
        ) from None
    values = _parse(raw, str(path), lines)
    sources = _override(values, environ)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(
            _relocate(faults_of(error, str(path), lambda place: _line(lines, place), _fields_at), sources)
        ) from None
    return settings, notes


def _parse(raw: bytes, name: str, lines: dict[Place, int]) -> dict[str, Any]:
    if len(raw) > YAML_MAX_BYTES:
        remedy = f"Keep it under {YAML_MAX_BYTES} bytes: it holds a few dozen settings, so this is another file"
        raise SettingsError([Fault(name, 0, "", "is too large for a settings file", remedy)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError([Fault(name, line, "", "is not UTF-8 text", "Save it as UTF-8")]) from None
    try:
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
            values = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise SettingsError([Fault(name, 0, "", "is nested too deeply", "Compare it with docs/settings.md")]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position if isinstance(error.position, int) else 0) + 1
        raise SettingsError([Fault(name, line, "", "holds a control character", "Remove it")]) from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "is not valid YAML"
        raise SettingsError(
            [
                Fault(
                    name,
                    mark.line + 1 if mark else 0,
                    "",
                    problem,
                    "Correct the line; docs/settings.md shows the form",
                )
            ]
        ) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        remedy = "Write settings as `name: value`, as in docs/settings.md"
        raise SettingsError([Fault(name, 1, "", f"{shown(values)} is not a set of settings", remedy)])
    _note_lines(node, (), lines)
    # `copy:` with nothing under it means the defaults of that section.
    return {key: ({} if value is None and key != "mode" else value) for key, value in values.items()}


def _note_lines(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*place, key.value)] = key.start_mark.line + 1
            _note_lines(value, (*place, key.value), lines)


def _line(lines: dict[Place, int], place: Place) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 0)


def _fields_at(place: Place) -> list[str]:
    """The keys that the model knows at a place."""
    model: Any = Settings
    for part in place:
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if model is None:
            return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _override(values: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Put the environment's values in; returns which field came from which variable."""
    sources: dict[str, str] = {}
    for venue in VENUES:
        variable = f"{venue.upper()}_BASE_URL"
        url = environ.get(variable, "").strip()
        if url and isinstance(venues := values.setdefault("venues", {}), dict):
            block = venues.get(venue) or {}
            if isinstance(block, dict):
                venues[venue] = {**block, "base_url": url}
                sources[f"venues.{venue}.base_url"] = variable
    variable = "SUPPRESS_SINGLE_EXCHANGE_WARNING"
    word = environ.get(variable, "").strip().lower()
    if word and isinstance(guards := values.setdefault("guards", {}), dict):
        choice: Any = True if word in _TRUE else False if word in _FALSE else word
        guards["suppress_single_exchange_warning"] = choice
        sources["guards.suppress_single_exchange_warning"] = variable
    return sources


def _relocate(faults: list[Fault], sources: dict[str, str]) -> list[Fault]:
    """A value that came from the environment is not in the file: say so."""
    return [
        Fault(f"environment variable {sources[fault.field]}", 0, fault.field, fault.problem, fault.remedy)
        if fault.field in sources
        else fault
        for fault in faults
    ]


def paper_faults(settings: Settings, path: Path) -> list[Fault]:
    """Faults for paper trading that was pointed at an address which is not on this machine."""
    return [
        Fault(
            str(path),
            0,
            f"venues.{venue}.base_url",
            f"{shown(settings.venues.of(venue).base_url)} is not on this machine, and mode is paper",
            f"Take it (or {venue.upper()}_BASE_URL) out, or write mode: live to send real orders",
        )
        for venue in settings.real_venues_in_paper()
    ]
