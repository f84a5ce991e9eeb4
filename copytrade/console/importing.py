"""Followers from a table: `enrol --import users.csv`, and `--set key=value` of `enrol`."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel

from copytrade.console.enrolling import Row
from copytrade.settings.faults import Fault, SettingsError, unknown_field
from copytrade.settings.users import User

CSV_MAX_BYTES = 20_000_000  # 10,000 followers with every column are about 3 MB
_OTHER_NAMES = {"venue": "broker_type", "user": "user_id"}


def read_rows(path: Path) -> list[Row]:
    """The users of a CSV file with a line of column names. An empty cell leaves its field out.

    Columns are the fields of a user file; those of a block are written like `instruments.allow`, and lists are parted
    by `;`. Raises `SettingsError` with a fault for each line.
    """
    name = str(path)
    text = _text(path, name)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    faults: list[Fault] = []
    rows: list[Row] = []
    try:
        columns = [_column(cell) for cell in next(reader, [])]
        faults += _of_columns(name, columns)
        if not faults:
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) > len(columns):
                    problem = f"has {len(cells)} cells, and there are {len(columns)} columns"
                    faults.append(Fault(name, reader.line_num, "", problem, "Put cells with commas in double quotes"))
                    continue
                rows.append(Row(_values(zip(columns, cells, strict=False)), reader.line_num))
    except csv.Error as error:
        faults.append(Fault(name, reader.line_num, "", f"cannot be read: {error}", "Save it as CSV with commas"))
    if not faults and not rows:
        faults.append(Fault(name, 0, "", "names no users", "Write a line of column names and a line for each user"))
    if faults:
        raise SettingsError(faults)
    return rows


def typed(settings: list[str]) -> dict[str, Any]:
    """`key=value` words as fields of a user file. Raises `SettingsError`."""
    pairs = []
    for word in settings:
        key, sign, value = word.partition("=")
        column = _column(key)
        if not sign:
            raise SettingsError([Fault("--set", 0, "", f'"{word}" has no value', "Write it like --set multiplier=2")])
        if faults := _of_columns("--set", [column], needed=()):
            raise SettingsError(faults)
        pairs.append((column, value))
    return _values(pairs)


def _text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(CSV_MAX_BYTES + 1)
        if len(raw) > CSV_MAX_BYTES:
            raise SettingsError([Fault(name, 0, "", f"is larger than {CSV_MAX_BYTES} bytes", "Import it in parts")])
        return raw.decode("utf-8-sig")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise SettingsError([Fault(name, 0, "", problem, "Name a readable file")]) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError([Fault(name, line, "", "is not UTF-8 text", "Save it as UTF-8")]) from None


def _column(cell: str) -> str:
    name = cell.strip().lower()
    return _OTHER_NAMES.get(name, name)


def _of_columns(name: str, columns: list[str], needed: tuple[str, ...] = ("user_id", "broker_type")) -> list[Fault]:
    faults = []
    for column in columns:
        if _field(column) is None:
            problem, remedy = unknown_field(column, User.model_fields)
            faults.append(Fault(name, 1, column, problem, remedy))
        elif columns.count(column) > 1:
            faults.append(Fault(name, 1, column, "is the name of two columns", "Keep one of the two"))
    faults += [
        Fault(name, 1, column, "is missing among the columns", "Name the columns in the first line")
        for column in needed
        if column not in columns
    ]
    return list(dict.fromkeys(faults))


def _field(column: str) -> Any:
    """The field's annotation; None for a field that a user does not have."""
    model: type[BaseModel] = User
    *blocks, last = column.split(".")
    for block in blocks:
        field = model.model_fields.get(block)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    found = model.model_fields.get(last)
    return None if found is None else found.annotation


def _values(pairs: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, cell in pairs:
        text = cell.strip()
        if not text:
            continue
        *blocks, last = column.split(".")
        inner = values
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[last] = _value(_field(column), text)
    return values


def _value(annotation: Any, text: str) -> Any:
    """The cell as the field wants it; what does not fit stays text, for the field to say what is wrong."""
    if annotation is str:
        return text
    if get_origin(annotation) is tuple:
        return [part.strip() for part in text.split(";") if part.strip()]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text[0] in "[{":
        try:
            return json.loads(text, parse_float=Decimal)
        except ValueError:
            return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return number if number.is_finite() and abs(int(number.as_tuple().exponent)) <= 30 else text
