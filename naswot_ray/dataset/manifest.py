"""`dataset.json`: what all rows of a dataset have in common.

The settings are everything, besides a row's own key, that a row's value depends on: how weights and batches are drawn, the
dtype of the arithmetic, the macro structure and initialisation of each space, the pixels and normalisation of each image
source, the version of each measure. A run may add spaces, image sources and measures; it may not change one, since rows of two
meanings would then lie side by side.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from naswot_ray.dataset import layout
from naswot_ray.dataset.models import parse_json, validated
from naswot_ray.dataset.names import Name
from naswot_ray.dataset.schema import SCHEMA_VERSION
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError, SettingsError

FORMAT: Literal["naswot-ray dataset"] = "naswot-ray dataset"


MAX_BYTES: Final = 2**24
"""Of `dataset.json`: a space and an image source take about a kilobyte each."""


MAX_SHARD_SIZE: Final = 2**31 - 1
"""Architectures per part: as many as the column `arch_index` can number."""


class Settings(BaseModel):
    """What a row's value depends on besides its key.

    Attributes:
        weights, batches: names of the ways in which weights and batches are drawn.
        values: options of a run that move every value, such as the dtype of the arithmetic.
        spaces: name -> macro structure and initialisation.
        images: name -> digest, size and normalisation.
        measures: name -> version of the measures that score rows have columns of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str
    batches: str
    values: dict[str, Any]
    spaces: dict[Name, dict[str, Any]]
    images: dict[Name, dict[str, Any]]
    measures: dict[Name, Annotated[int, Field(gt=0)]]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings in canonical JSON."""
        canonical = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def fingerprint_of(self, space: str, images: str | None) -> str:
        """SHA-256 of the settings that the rows of one space depend on, on one image source or (None) on none.

        Measures do not count: a part tells itself which of them it holds, at which version.

        Raises:
            KeyError: the settings lack the space or the image source.
        """
        return Settings(
            weights=self.weights,
            batches=self.batches,
            values=self.values,
            spaces={space: self.spaces[space]},
            images={} if images is None else {images: self.images[images]},
            measures={},
        ).fingerprint

    def extended_by(self, other: Settings, *, replace_older: bool = False) -> Settings:
        """Both settings together.

        Args:
            other: what is added.
            replace_older: whether a newer version of a measure takes the place of an older one.

        Raises:
            SettingsError: they contradict each other; names every setting that differs.
        """
        mine, theirs = self.model_dump(), other.model_dump()
        if replace_older:
            mine["measures"] |= {name: max(version, self.measures.get(name, 0)) for name, version in other.measures.items()}
        differences = list(_differences(mine, theirs))
        if differences:
            raise SettingsError("; ".join(differences))
        return Settings(
            weights=self.weights,
            batches=self.batches,
            values=self.values,
            spaces=self.spaces | other.spaces,
            images=self.images | other.images,
            measures=self.measures | other.measures,
        )


class Manifest(BaseModel):
    """The content of `dataset.json`.

    Attributes:
        format, schema_version: what kind of directory this is.
        shard_size: architectures per part; fixes which part holds which row.
        settings: see `Settings`.
        fingerprint: of the settings and the shard size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["naswot-ray dataset"] = FORMAT
    schema_version: Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?$")] = SCHEMA_VERSION
    shard_size: Annotated[int, Field(gt=0, le=MAX_SHARD_SIZE)]
    settings: Settings
    fingerprint: str


def create(settings: Settings, *, shard_size: int) -> Manifest:
    """The manifest of a new dataset."""
    return Manifest(shard_size=shard_size, settings=settings, fingerprint=_fingerprint(settings, shard_size))


def read(storage: Storage) -> Manifest:
    """The manifest of an existing dataset.

    Raises:
        DatasetError: there is no dataset, it is damaged, or of another major schema version.
    """
    path = storage.path(layout.MANIFEST)
    if not storage.exists(layout.MANIFEST):
        raise DatasetError(f"{storage.root} is not a dataset: it has no {layout.MANIFEST}")
    try:
        content = parse_json(storage.read_bytes(layout.MANIFEST, max_bytes=MAX_BYTES))
        if not isinstance(content, dict):
            raise ValueError(f"an object was expected, found {reprlib.repr(content)}")
        version = str(content.get("schema_version"))
        if version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
            raise DatasetError(
                f"{path}: schema version {version[:20]}, this program reads {SCHEMA_VERSION.partition('.')[0]}.x: use the "
                "naswot-ray that wrote it, or score again into another directory"
            )
        manifest = validated(Manifest, content)
    except ValueError as error:
        raise DatasetError(f"{path} is damaged ({error}); restore it from a copy") from error
    if manifest.fingerprint != _fingerprint(manifest.settings, manifest.shard_size):
        raise DatasetError(
            f"{path} was changed by hand: its settings and shard_size do not have its fingerprint; restore it from a copy"
        )
    return manifest


def extend(
    storage: Storage,
    settings: Settings,
    *,
    shard_size: int | None,
    default_shard_size: int,
    columns: Mapping[str, int] | None = None,
    replace_older: bool = False,
) -> Manifest:
    """The manifest under which a run with these settings may write, without writing it yet.

    Args:
        storage: an existing dataset, or a directory that is empty or not there.
        settings: of the run.
        columns: measures that the dataset gets columns of even though the run does not take them: name -> version.
        replace_older: whether the run's measures take the place of older versions.
        shard_size: as asked for; None takes the dataset's, or for a new one the default.
        default_shard_size: for a new dataset.

    Raises:
        SettingsError: the run would change what a row means, or its place; names the settings.
        DatasetError: the directory holds something that is not a dataset.
    """
    if storage.is_empty():
        return create(_with_columns(settings, columns), shard_size=shard_size or default_shard_size)
    if not storage.exists(layout.MANIFEST):
        raise DatasetError(f"{storage.root} is not empty and not a dataset; name an empty or a new directory")
    manifest = read(storage)
    if _minor(manifest.schema_version) > _minor(SCHEMA_VERSION):
        raise DatasetError(
            f"{storage.root} has schema version {manifest.schema_version}; this program would write {SCHEMA_VERSION} and lose "
            "columns: upgrade it"
        )
    if shard_size not in (None, manifest.shard_size):
        raise SettingsError(
            f"{storage.root} holds parts of {manifest.shard_size} architectures, --shard-size {shard_size} asked for; "
            "leave the option out, or write to another directory"
        )
    try:
        merged = manifest.settings.extended_by(settings, replace_older=replace_older)
    except SettingsError as error:
        older = [name for name, version in settings.measures.items() if manifest.settings.measures.get(name, version) < version]
        replace = ", or have measures of older versions computed again with --replace-older" if older else ""
        raise SettingsError(
            f"{storage.root} holds rows of other settings: {error}; write to another directory{replace}"
        ) from error
    return create(_with_columns(merged, columns), shard_size=manifest.shard_size)


def _with_columns(settings: Settings, columns: Mapping[str, int] | None) -> Settings:
    """Settings that have these measures as well, the run's own versions first; in the order of `columns`."""
    measures = {**(columns or {}), **settings.measures}
    return settings.model_copy(update={"measures": measures})


def write(storage: Storage, manifest: Manifest, *, replace_older: bool = False) -> Manifest:
    """Write `dataset.json` unless it is there already, word for word.

    What another run has added since the manifest was read is kept.

    Args:
        storage: the dataset.
        manifest: as `extend` gave it.
        replace_older: as in `extend`.

    Returns:
        what is there now.

    Raises:
        SettingsError: another run has added something of another meaning.
    """
    with storage.locked(layout.MANIFEST):
        if storage.exists(layout.MANIFEST):
            there = read(storage)
            manifest = create(
                there.settings.extended_by(manifest.settings, replace_older=replace_older), shard_size=manifest.shard_size
            )
            if manifest == there:
                return there
        storage.write_bytes(layout.MANIFEST, (manifest.model_dump_json(indent=2) + "\n").encode())
    return manifest


def _fingerprint(settings: Settings, shard_size: int) -> str:
    return hashlib.sha256(f"{settings.fingerprint} {shard_size}".encode()).hexdigest()


def _minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Settings that both sides have with different values. A space or an image source that only one side has is no conflict."""
    for key in sorted(mine.keys() & theirs.keys()):
        a, b = mine[key], theirs[key]
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key} is {json.dumps(a)} there, {json.dumps(b)} in this run"
    if prefix == "values." or prefix.count(".") >= 2:  # these, one space and one image source must have the same keys
        for key in sorted(mine.keys() ^ theirs.keys()):
            yield f"{prefix}{key} is only set {'there' if key in mine else 'in this run'}"
