"""The manifest, `dataset.json`: what all rows of a dataset have in common.

The settings are everything besides a row's key that its values depend on: how weights and batches are drawn, the dtype of the
arithmetic, the macro structure and initialisation of each space, the pixels and normalisation of each image source, and the
version of each measure. A run may add spaces, image sources and measures. It may not change one, because the dataset would then
mix rows of different meanings.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from naswot_ray.dataset import layout
from naswot_ray.dataset.json_models import parse_json, validated
from naswot_ray.dataset.names import Name
from naswot_ray.dataset.schema import SCHEMA_VERSION
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError, SettingsError

FORMAT: Literal["naswot-ray dataset"] = "naswot-ray dataset"


MAX_BYTES: Final = 2**24
"""The largest `dataset.json` that is read. A space and an image source take about a kilobyte each."""


MAX_SHARD_SIZE: Final = 2**31 - 1
"""The largest number of architectures per part: as many as the column `arch_index` can number."""


class Settings(BaseModel):
    """Everything besides a row's key that its values depend on.

    Attributes:
        weights, batches: versions of the procedures that draw weights and batches.
        values: options of a run that change every value, such as the dtype of the arithmetic.
        spaces: name of a space -> its macro structure and initialisation.
        images: name of an image source -> its digest, size and normalisation.
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
        """SHA-256 of the settings that some rows depend on.

        Measures are not included, because each part records which measures it holds, and in which version.

        Args:
            space: the space of the rows.
            images: their image source; None for rows of the architectures table.

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
        """Merge other settings into these.

        Args:
            other: the settings to add.
            replace_older: whether a newer version of a measure replaces an older one.

        Raises:
            SettingsError: the settings contradict each other; the message names every setting that differs.
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
        format, schema_version: identify the directory as a dataset with this schema.
        shard_size: architectures per part. It determines which part holds which row.
        settings: see `Settings`.
        fingerprint: SHA-256 of the settings and the shard size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["naswot-ray dataset"] = FORMAT
    schema_version: Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?$")] = SCHEMA_VERSION
    shard_size: Annotated[int, Field(gt=0, le=MAX_SHARD_SIZE)]
    settings: Settings
    fingerprint: str


def create(settings: Settings, *, shard_size: int) -> Manifest:
    """Make the manifest of a new dataset, without writing it."""
    return Manifest(shard_size=shard_size, settings=settings, fingerprint=_fingerprint(settings, shard_size))


def read(storage: Storage) -> Manifest:
    """Read the manifest of an existing dataset.

    Raises:
        DatasetError: there is no dataset, its manifest is damaged, or it has another major schema version.
    """
    path = storage.path(layout.MANIFEST)
    if not storage.exists(layout.MANIFEST):
        raise DatasetError(f"{storage.root} is not a dataset: it has no {layout.MANIFEST}")
    try:
        content = parse_json(storage.read_bytes(layout.MANIFEST, max_bytes=MAX_BYTES))
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, found {reprlib.repr(content)}")
        version = str(content.get("schema_version"))
        if version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
            raise DatasetError(
                f"{path}: schema version {version[:20]}, this program reads {SCHEMA_VERSION.partition('.')[0]}.x; use the "
                "version of naswot-ray that wrote the dataset, or score again into another directory"
            )
        manifest = validated(Manifest, content)
    except ValueError as error:
        raise DatasetError(f"{path} is damaged ({error}); restore it from a copy") from error
    if manifest.fingerprint != _fingerprint(manifest.settings, manifest.shard_size):
        raise DatasetError(
            f"{path} was changed by hand: its fingerprint does not match its settings and shard_size; restore it from a copy"
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
    """Make the manifest that a dataset has once a run with these settings writes to it, without writing it yet.

    Args:
        storage: an existing dataset, or a directory that is empty or does not exist.
        settings: the settings of the run.
        columns: name -> version of measures that the dataset gets columns of although the run does not compute them.
        replace_older: whether the run's measures replace older versions.
        shard_size: the size that was asked for; None for the dataset's own, or for the default of a new dataset.
        default_shard_size: the shard size of a new dataset, unless another was asked for.

    Raises:
        SettingsError: the run would change the meaning of rows or which part they belong to; the message names the settings.
        DatasetError: the directory holds something that is not a dataset.
    """
    if storage.is_empty():
        return create(_with_columns(settings, columns), shard_size=shard_size or default_shard_size)
    if not storage.exists(layout.MANIFEST):
        raise DatasetError(f"{storage.root} is not empty and is not a dataset; choose an empty or a new directory")
    manifest = read(storage)
    if _minor(manifest.schema_version) > _minor(SCHEMA_VERSION):
        raise DatasetError(
            f"{storage.root} has schema version {manifest.schema_version}; this program would write {SCHEMA_VERSION} and lose "
            "columns: upgrade naswot-ray"
        )
    if shard_size not in (None, manifest.shard_size):
        raise SettingsError(
            f"{storage.root} holds parts of {manifest.shard_size} architectures, but --shard-size asks for {shard_size}; "
            "leave the option out, or write to another directory"
        )
    try:
        merged = manifest.settings.extended_by(settings, replace_older=replace_older)
    except SettingsError as error:
        older = [name for name, version in settings.measures.items() if manifest.settings.measures.get(name, version) < version]
        replace = ", or compute measures of older versions again with --replace-older" if older else ""
        raise SettingsError(
            f"{storage.root} holds rows of other settings: {error}; write to another directory{replace}"
        ) from error
    return create(_with_columns(merged, columns), shard_size=manifest.shard_size)


def _with_columns(settings: Settings, columns: Mapping[str, int] | None) -> Settings:
    """Add measures to settings, in the order of `columns`. The run's own versions take precedence."""
    measures = {**(columns or {}), **settings.measures}
    return settings.model_copy(update={"measures": measures})


def write(storage: Storage, manifest: Manifest, *, replace_older: bool = False) -> Manifest:
    """Write `dataset.json`, unless the same manifest is there already.

    Settings that another run has added since the manifest was made are kept.

    Args:
        storage: the dataset.
        manifest: from `extend`.
        replace_older: as in `extend`.

    Returns:
        the manifest that the dataset has now.

    Raises:
        SettingsError: another run has added settings that contradict these.
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
    """Describe settings with different values on both sides. A space or image source that only one side has is no conflict."""
    for key in sorted(mine.keys() & theirs.keys()):
        a, b = mine[key], theirs[key]
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key} is {json.dumps(a)} there, {json.dumps(b)} in this run"
    if prefix == "values." or prefix.count(".") >= 2:  # the values, a space and an image source must have the same keys
        for key in sorted(mine.keys() ^ theirs.keys()):
            yield f"{prefix}{key} is only set {'there' if key in mine else 'in this run'}"
