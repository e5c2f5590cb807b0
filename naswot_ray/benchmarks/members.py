"""The arch_ids of a space, to refuse accuracies of another space when they are imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.runs import space_options
from naswot_ray.errors import ArchitectureError, BenchmarkError, SettingsError
from naswot_ray.spaces import Space, all_spaces, facts_of, open_spaces, parameters_of


@dataclass(frozen=True)
class Members:
    """The architectures of a space.

    Attributes:
        space: the name of the space.
        arch_ids: all of its architectures. If the space cannot be opened, those that a dataset has rows of.
        is_whole: whether these are all architectures of the space.
        note: what cannot be checked and why, in one line; None if everything is checked.
        opened: the space itself; None if it cannot be opened.
    """

    space: str
    arch_ids: frozenset[str]
    is_whole: bool = True
    note: str | None = None
    opened: Space | None = None

    def own_spelling(self, arch_id: str) -> str:
        """The arch_id as the space writes it. A text that is no architecture of the space stays as it is."""
        if self.opened is None or arch_id in self.arch_ids:
            return arch_id
        try:
            return self.opened.arch_id_of(arch_id)
        except ArchitectureError:
            return arch_id

    def check_all(self, path: Path, column: str, arch_ids: Sequence[str]) -> None:
        """Refuse a table with an arch_id that is not in the space.

        Args:
            path, column: the file and the column that hold the arch_ids.
            arch_ids: one per row.

        Raises:
            BenchmarkError: there are such rows; the message names the first one, and tells how many there are.
        """
        foreign = [row for row, arch_id in enumerate(arch_ids) if not self._may_be(arch_id)]
        if not foreign and self.arch_ids and self.arch_ids.isdisjoint(arch_ids):
            foreign = list(range(len(arch_ids)))
        if not foreign:
            return
        first = arch_ids[foreign[0]]
        if len(foreign) == len(arch_ids):
            extent = f"; none of the {len(arch_ids):,} in this column is{self._elsewhere(first)}"
        else:
            extent = f" ({len(foreign):,} of {len(arch_ids):,} are none): correct them, or leave these rows out"
        raise BenchmarkError(f"{path}: row {foreign[0]}, column {column!r}: {self._refusal(first)}{extent}")

    def checked(self, path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass on the rows of an official file, with the arch_ids as the space writes them, and check each one.

        Raises:
            BenchmarkError: an arch_id is not in the space. If only some architectures of the space are known, this is raised at
                the end, in case none of them occurred.
        """
        first, is_known = None, False
        for batch in batches:
            written = pc.unique(batch.column("arch_id")).to_pylist()
            found = [self.own_spelling(arch_id) for arch_id in written]
            if found != written:
                column = batch.schema.get_field_index("arch_id")
                own = dict(zip(written, found, strict=True))
                arch_ids = pa.array([own[arch_id] for arch_id in batch.column(column).to_pylist()], pa.string())
                batch = batch.set_column(column, batch.schema.field(column), arch_ids)
            for arch_id in found:
                if not self._may_be(arch_id):
                    raise BenchmarkError(f"{path}: {self._refusal(arch_id)}{self._elsewhere(arch_id)}")
            is_known = is_known or not self.arch_ids.isdisjoint(found)
            first = first or next(iter(found), None)
            yield batch
        if first is not None and self.arch_ids and not is_known:
            raise BenchmarkError(f"{path}: {self._refusal(first)}; none in this file is{self._elsewhere(first)}")

    def _may_be(self, arch_id: str) -> bool:
        """Whether an arch_id can be in the space, as far as its form tells if not all architectures are known."""
        if self.is_whole:
            return arch_id in self.arch_ids
        pattern = facts_of(self.space).arch_id_pattern
        return pattern is None or pattern.fullmatch(arch_id) is not None

    def _refusal(self, arch_id: str) -> str:
        if self.is_whole:
            return f"{arch_id!r} is no architecture of {self.space}"
        return f"{arch_id!r} is no architecture of {self.space} that the dataset has"

    def _elsewhere(self, arch_id: str) -> str:
        own = facts_of(self.space).arch_id_pattern
        patterns = {name: facts_of(name).arch_id_pattern for name in all_spaces()}
        others = [name for name, pattern in patterns.items() if pattern and pattern != own and pattern.fullmatch(arch_id)]
        if others:
            which = others[0] if len(others) == 1 else f"{others[0]} or {len(others) - 1} spaces like it"
            return f": it looks like a table of {which}, import it there"
        return ": is it the right column, and the right space?"


def members_of(space: Space) -> Members:
    """The architectures of an open space."""
    return Members(space.name, frozenset(space), opened=space)


def members_in(dataset: Dataset, name: str) -> Members:
    """The architectures of a space, opened with the options that the runs of a dataset used.

    The families of NDS are opened from a file. If it is not available, the rows of the dataset are used instead.

    Args:
        dataset: the dataset that the accuracies are for.
        name: the name of the space.

    Raises:
        DatasetError: the rows of the dataset cannot be read.
    """
    known = parameters_of(name)
    options = [option for parameter, option in space_options(dataset.runs).items() if parameter in known]
    expected = dataset.manifest.settings.spaces.get(name)
    try:
        space = open_spaces([name], options)[name]
    except (SettingsError, BenchmarkError, ArchitectureError) as error:
        reason = str(error)
    else:
        if expected is None or dict(space.settings()) == expected:
            return members_of(space)
        reason = "its file holds other architectures than the dataset was computed from"
    rows: set[str] = set()
    with dataset.naming_damaged_files():
        for table in (dataset.architectures, dataset.scores):
            rows.update(pc.unique(table.to_table(columns=["arch_id"], filter=pc.field("space") == name)["arch_id"]).to_pylist())
    if rows:
        note = f"the ids were only held against the {len(rows):,} architectures that the dataset has rows of: {reason}"
    else:
        note = f"the ids were not checked, {name} could not be opened: {reason}"
    return Members(name, frozenset(rows), is_whole=False, note=note)
