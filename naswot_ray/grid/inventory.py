"""Which parts a dataset has and which rows each of them holds.

Each table is listed once. Only parts that are new or changed since they were last verified are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from naswot_ray.dataset import layout, part_state, parts
from naswot_ray.dataset.manifest import Manifest, Settings
from naswot_ray.dataset.part_state import Expected, PartState, UntrustedPartError
from naswot_ray.dataset.storage import Storage, StoredFile
from naswot_ray.dataset.verification import VerifiedFiles, in_threads
from naswot_ray.grid.grid import Point, Shard, fingerprint_of, point_of


class Inventory:
    """The parts of a dataset at one moment. The state of a part is determined once, when it is first asked for.

    A part is read and verified unless that was done before and its size and modification time are the same (`verification`).

    Args:
        storage: the dataset.
        settings: those of the dataset, or of a run that is about to write to it.
        fresh: whether to read every part again, including those that have been verified before.

    Attributes:
        faults: path -> why the part cannot be trusted, for the parts asked for so far. None of their rows counts.

    Raises:
        DatasetError: the storage cannot be read.
    """

    def __init__(self, storage: Storage, settings: Settings, *, fresh: bool = False) -> None:
        self._storage = storage
        self._settings = settings
        self._verified = VerifiedFiles(storage, fresh=fresh)
        self._there: dict[Point, dict[int, StoredFile]] = {}
        self._found: dict[Shard, PartState] = {}
        self._fingerprints: dict[Point, str | None] = {}
        self.faults: dict[PurePosixPath, str] = {}
        for folder in (layout.ARCHITECTURES, layout.SCORES):
            files = storage.list_files(folder)
            self._verified.forget_others(folder.name, files)
            for file in files:
                part = layout.table_file(file.path)
                if part is not None and part.number is not None:
                    self._there.setdefault(point_of(part), {})[part.number] = file

    @property
    def points(self) -> list[Point]:
        """The points that have parts, in the order of their files."""
        return list(self._there)

    def numbers(self, point: Point) -> list[int]:
        """The numbers of the parts that a point has."""
        return list(self._there.get(point, ()))

    def states(self, shards: Iterable[Shard]) -> dict[Shard, PartState]:
        """The states of some shards' parts. Shards without a part, or whose part is in `faults`, are left out.

        Raises:
            DatasetError: a part cannot be read.
        """
        found: dict[Shard, PartState] = {}
        unknown: list[tuple[Shard, StoredFile, Expected]] = []
        for shard in shards:
            file = self._there.get(shard.point, {}).get(shard.number)
            if file is None or file.path in self.faults:
                continue
            expected = self._expected(shard)
            known = self._verified.find(file)
            if shard in self._found:
                found[shard] = self._found[shard]
            elif expected is None:
                self.faults[file.path] = f"holds rows of a space or image source that {layout.MANIFEST} does not mention"
            elif known is not None and (state := _state(known.facts, expected)) is not None:
                found[shard] = self._found[shard] = state
            else:
                unknown.append((shard, file, expected))
        if not unknown:  # keep this fast: a thousand points may be asked for, one after the other
            return found
        for (shard, file, expected), result in zip(
            unknown, in_threads(lambda one: self._inspect(one[2]), unknown), strict=True
        ):
            if isinstance(result, str):
                self.faults[file.path] = result
            else:
                found[shard] = self._found[shard] = result
                self._verified.add(file, result.digest, _facts(result, expected))
        self._verified.save()
        return found

    def _expected(self, shard: Shard) -> Expected | None:
        """The properties that a shard's part must have; None if the settings lack its space or image source."""
        if shard.point not in self._fingerprints:
            try:
                self._fingerprints[shard.point] = fingerprint_of(self._settings, shard.point)
            except KeyError:
                self._fingerprints[shard.point] = None
        fingerprint = self._fingerprints[shard.point]
        if fingerprint is None:
            return None
        return Expected(shard.path, shard.range, fingerprint, self._settings.measures if shard.point.batch is not None else {})

    def _inspect(self, expected: Expected) -> PartState | str:
        try:
            return part_state.inspect(self._storage, expected)
        except UntrustedPartError as error:
            return error.reason


def renew_parts(storage: Storage, contract: Manifest, *, run_id: str) -> None:
    """Add the columns of new measures to all parts of a dataset, and drop values of older versions.

    Args:
        storage: the dataset.
        contract: the dataset's present manifest.
        run_id: the run that asks for it.

    Raises:
        DatasetError: a part cannot be read or written.
    """

    def renew(path: PurePosixPath) -> None:
        file = layout.table_file(path)
        assert file is not None
        assert file.number is not None
        start = file.number * contract.shard_size
        try:
            fingerprint = fingerprint_of(contract.settings, point_of(file))
        except KeyError:
            return
        expected = Expected(path, range(start, start + contract.shard_size), fingerprint, contract.settings.measures)
        parts.renew(storage, expected, run_id=run_id)

    in_threads(renew, [file.path for file in storage.list_files(layout.SCORES) if layout.table_file(file.path) is not None])


def _facts(state: PartState, expected: Expected) -> dict[str, Any]:
    """What the cache keeps about a part: what was expected of it, and its state. A null means all positions of the shard."""
    return {
        "expected": _told(expected),
        "present": None if isinstance(state.present, range) else sorted(state.present),
        "failed": sorted(state.failed),
        "lacking": {name: sorted(rows) for name, rows in state.lacking.items()},
        "failed_alone": {name: sorted(rows) for name, rows in state.failed_alone.items()},
        "older": dict(state.older),
    }


def _state(facts: Any, expected: Expected) -> PartState | None:
    """The state that `_facts` describes; None if they are malformed or something else was expected then."""
    try:
        if facts["expected"] != _told(expected):
            return None
        return PartState(
            expected.full_range if facts["present"] is None else frozenset(facts["present"]),
            frozenset(facts["failed"]),
            {name: frozenset(rows) for name, rows in facts["lacking"].items()},
            {name: frozenset(rows) for name, rows in facts["failed_alone"].items()},
            {str(name): int(version) for name, version in facts["older"].items()},
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _told(expected: Expected) -> list[Any]:
    return [expected.fingerprint, expected.full_range.start, expected.full_range.stop, dict(expected.measures)]
