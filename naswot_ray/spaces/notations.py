"""Values in which people write architectures, read leniently: numbers and arrays of numpy, named tuples, ranges."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any


def whole_number(value: object) -> int | None:
    """The value as an int if it is a whole number, of Python or of numpy; None otherwise. A bool is no number here."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # this is what the `try` is for
    except TypeError:
        return None


def whole_numbers(values: Iterable[object]) -> list[int] | None:
    """The values as ints; None if one of them is no whole number."""
    found = []
    for value in values:
        number = whole_number(value)
        if number is None:
            return None
        found.append(number)
    return found


def plain(value: Any) -> Any:
    """The value made of what JSON has: named tuples become dicts; tuples, ranges and arrays become lists."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(entry) for entry in value]
    return value
