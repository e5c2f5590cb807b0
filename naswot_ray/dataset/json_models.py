"""Reading the JSON files of a dataset as pydantic models. An error is one line that says where the file is wrong."""

from __future__ import annotations

import reprlib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

Model = TypeVar("Model", bound=BaseModel)


def parse_json(data: bytes) -> Any:
    """Parse a JSON text.

    The standard library's parser is not used, because it accepts text that is not Unicode, and nesting of any depth until
    Python gives up. No file of a dataset contains either.

    Raises:
        ValueError: the text is not JSON; the message is one line that says where.
    """
    try:
        return from_json(data)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None


def validated(model: type[Model], content: Any) -> Model:
    """Validate a value as a model.

    Raises:
        ValueError: it is not valid. The message is one line that names the first wrong field, its value and what was expected.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(repr(part)[1:-1] if isinstance(part, str) else str(part) for part in first["loc"] if part != "[key]")
        found = "" if first["type"] in ("missing", "value_error") else f", found {reprlib.repr(first['input'])}"
        raise ValueError(f"{where}{': ' if where else ''}{first['msg'].removeprefix('Value error, ')}{found}") from None
