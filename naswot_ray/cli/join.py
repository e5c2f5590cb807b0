"""The command `join`, which joins scores with trained accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from naswot_ray import console
from naswot_ray.benchmarks.formats import told_space
from naswot_ray.benchmarks.members import members_in
from naswot_ray.cli.app import DatasetPath, only_space, reporting_errors, stdout
from naswot_ray.cli.options import Accuracies, Mapping, Replace, read_staged
from naswot_ray.dataset.accuracies import add_accuracies
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.join import join as join_space
from naswot_ray.dataset.join import spaces_to_join
from naswot_ray.errors import DatasetError, SettingsError
from naswot_ray.paths import is_uri
from naswot_ray.spaces import check_name


@reporting_errors
def join(
    dataset_path: DatasetPath,
    accuracies: Accuracies = None,
    mapping: Mapping = None,
    space: Annotated[
        str | None, typer.Option(help="Search space to join. Default: all that have scores and accuracies.")
    ] = None,
    replace: Replace = False,
) -> None:
    """Join scores with trained accuracies.

    First adds --accuracies to the dataset, if given. Then writes joined/, with a row for each score and mean accuracy.
    Architectures that have only a score or only an accuracy are counted and listed.

    Example: naswot-ray join scores --accuracies NATS-tss-v1_0-3ffb9-simple
    """
    dataset = open_dataset(dataset_path)
    if space is not None:
        check_name(space)
    if accuracies is not None:
        name = space or _space_of(dataset, accuracies)
        staged = read_staged(name, accuracies, mapping, lambda: members_in(dataset, name))
        addition = add_accuracies(dataset, staged, replace=replace)
        if addition.different:
            console.print_accuracies(stdout, staged, addition)
    elif mapping:
        raise SettingsError("--map says how to read --accuracies: give that as well")
    elif replace:
        raise SettingsError("--replace says what to do with --accuracies: give that as well")
    _join(dataset, space)
    console.print_summary(stdout, dataset)


def _join(dataset: Dataset, space: str | None) -> None:
    """Join one space, or all spaces that have scores and accuracies, and print what was found.

    Raises:
        DatasetError: there is nothing to join, or no architecture of a space has both a score and an accuracy. The other spaces
            are joined first.
    """
    joinable, only_scored = spaces_to_join(dataset)
    if space is None and not joinable and len(only_scored) != 1:
        spaces = ", ".join(only_scored or sorted(dataset.manifest.settings.spaces))
        what = "accuracies" if only_scored else "scores"
        raise DatasetError(f"{dataset.storage.root} holds no {what} of {spaces}: nothing to join")
    failures = []
    for name in [space] if space else joinable or only_scored:
        try:
            console.print_join(stdout, join_space(dataset, name))
        except DatasetError as error:
            failures.append(str(error))
    if failures:
        raise DatasetError("; ".join(failures))
    if space is None:
        for name in only_scored:
            stdout.print(f"{name}: not joined, since it has no accuracies: add some with `naswot-ray accuracies {name}`")


def _space_of(dataset: Dataset, source: str) -> str:
    """The space of an accuracies file, if the user gives none: the dataset's only space, or else the one that the file names.

    Raises:
        SettingsError: the dataset has several spaces, and the file does not say which it is for.
    """
    spaces = dataset.manifest.settings.spaces
    told = told_space(Path(source)) if len(spaces) > 1 and not is_uri(source) else None
    return told if told is not None and told in spaces else only_space(dataset)
