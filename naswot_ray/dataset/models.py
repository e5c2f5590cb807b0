"""JSON files of a dataset read as pydantic models: whatever is wrong with one is a line that says where."""

from __future__ import annotations

import reprlib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

Model = TypeVar("Model", bound=BaseModel)


def parse_json(data: bytes) -> Any:
    """The value of a JSON text. Not by the standard library's parser, which takes what no file of a dataset has:
    text that is not Unicode, and any depth until Python gives up.

    Raises:
        ValueError: it is no JSON; one line that says where.
    """
    try:
        return from_json(data)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None


def validated(model: type[Model], content: Any) -> Model:
    """A value as a model.

    Raises:
        ValueError: it is none; one line that names the first field that is wrong, what is there and what would be right.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(repr(part)[1:-1] if isinstance(part, str) else str(part) for part in first["loc"] if part != "[key]")
        found = "" if first["type"] in ("missing", "value_error") else f", found {reprlib.repr(first['input'])}"
        raise ValueError(f"{where}{': ' if where else ''}{first['msg'].removeprefix('Value error, ')}{found}") from None
