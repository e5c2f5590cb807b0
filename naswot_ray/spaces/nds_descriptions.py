"""Networks of NDS as people describe them, and the records of a family that they match.

A description has the keys of a record's `net` (see `nds_file`): for a cell network a genotype, for an AnyNet the lists `ds`,
`ws` and `ss`. The other keys (`width`, `depth`, `aux`, ...) are needed only if several records share these. A genotype can also
be the named tuple of the published code, and its four fields can stand beside `width` and `depth`.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from naswot_ray.errors import ArchitectureError
from naswot_ray.spaces.nds_file import GENOTYPE_KEYS, canonical_json

_STAGE_KEYS: Final = ("ds", "ws", "ss")
_ALIASES: Final = {"bms": "bot_muls", "gws": "num_gs"}
_MAX_SHOWN: Final = 5
"""How many values or arch_ids an error message lists."""


class Descriptions:
    """The networks of one family, to be found by their descriptions.

    Args:
        space: the name of the space, for error messages.
        arch_ids: the arch_id of each record.
        nets: the `net` of each record, as JSON.
        has_cells: whether they are cell networks; otherwise they are AnyNets.
    """

    def __init__(self, space: str, arch_ids: Sequence[str], nets: Sequence[str], *, has_cells: bool) -> None:
        self._space, self._arch_ids, self._nets = space, arch_ids, nets
        self._has_cells = has_cells
        self._what = "this genotype" if has_cells else f"these {', '.join(_STAGE_KEYS)}"
        self._by_core: dict[str, list[int]] = {}
        for index in range(len(nets)):
            self._by_core.setdefault(self._core(self._net(index)), []).append(index)

    def find(self, description: Mapping[str, Any]) -> str:
        """The arch_id of the only record that has all of the described values.

        Args:
            description: made of what JSON has (`notations.plain`).

        Raises:
            ArchitectureError: the description lacks a key, or fits no record or several. The message says which values there
                are.
        """
        described = _normalised(description)
        found = self._by_core.get(self._core(described), [])
        if not found:
            raise ArchitectureError(
                f"none of the {len(self._nets):,} architectures of {self._space} in the file that was opened has {self._what}"
            )
        conditions = [self._what]
        for key in sorted(described.keys() - {"genotype", *_STAGE_KEYS}):
            value = described[key]
            fitting = [index for index in found if self._net(index).get(key) == value]
            if not fitting:
                raise ArchitectureError(
                    f"{key} {reprlib.repr(value)}: the architectures of {self._space} with {' and '.join(conditions)} have "
                    f"{key} {self._values(found, key)}"
                )
            conditions.append(f"{key} {reprlib.repr(value)}")
            found = fitting
        if len(found) > 1:
            raise ArchitectureError(self._ambiguous(" and ".join(conditions), found))
        return self._arch_ids[found[0]]

    def _ambiguous(self, conditions: str, found: Sequence[int]) -> str:
        several = f"{len(found)} architectures of {self._space} have {conditions}"
        nets = [self._net(index) for index in found]
        keys = sorted({key for net in nets for key in net})
        if differing := [key for key in keys if len({canonical_json(net.get(key)) for net in nets}) > 1]:
            values = " and ".join(f"{key} ({self._values(found, key)})" for key in differing)
            return f"{several}, and differ in {values}: give that too"
        arch_ids = _listed([self._arch_ids[index] for index in found])
        return f"{several}; they are trainings of one network: give the arch_id ({arch_ids}) or the position in the file"

    def _net(self, index: int) -> dict[str, Any]:
        net = _normalised(json.loads(self._nets[index]))
        return net if self._has_cells else {key: [] for key in _ALIASES.values()} | net

    def _values(self, indexes: Sequence[int], key: str) -> str:
        return _listed(dict.fromkeys(reprlib.repr(self._net(index).get(key)) for index in indexes), " or ")

    def _core(self, net: Mapping[str, Any]) -> str:
        """What every description has to hold, as text that is equal exactly if the values are.

        Raises:
            ArchitectureError: it is not there, or is no JSON.
        """
        content = net.get("genotype") if self._has_cells else net
        keys = GENOTYPE_KEYS if self._has_cells else _STAGE_KEYS
        whole = "a genotype" if self._has_cells else "an AnyNet"
        missing = [key for key in keys if not isinstance(content, Mapping) or key not in content]
        if missing or not isinstance(content, Mapping):
            raise ArchitectureError(
                f"{reprlib.repr(dict(net))} has no {', '.join(missing)}: {self._space} takes the {', '.join(keys)} of {whole}"
            )
        try:
            return canonical_json([content[key] for key in keys])
        except (TypeError, ValueError) as error:
            raise ArchitectureError(f"{reprlib.repr(dict(net))} is not {whole} of {self._space}: {error}") from None


def _listed(texts: Iterable[str], separator: str = ", ") -> str:
    shown = list(texts)
    more = [f"{len(shown) - _MAX_SHOWN:,} others"] if len(shown) > _MAX_SHOWN else []
    return separator.join(shown[:_MAX_SHOWN] + more)


def _normalised(net: Mapping[str, Any]) -> dict[str, Any]:
    """A network with one name for each key, an empty list for a null, and the genotype as a value of its own."""
    named = {_ALIASES.get(key, key): value for key, value in net.items()}
    for key in _ALIASES.values():
        if key in named:
            named[key] = named[key] or []
    genotype = {key: named.pop(key) for key in GENOTYPE_KEYS if key in named}
    return named | {"genotype": genotype} if genotype else named
