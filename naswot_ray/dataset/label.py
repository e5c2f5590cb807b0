"""Which accuracy is meant: trained on what, measured on what, after how many epochs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

from naswot_ray.errors import SettingsError

_MAX_DIGITS: Final = 9
"""Digits of a number of epochs that always fit the column's int32."""


@dataclass(frozen=True, order=True, slots=True)
class Label:
    """What a predictor is compared with, or a search selects by. Sorted by its attributes in turn.

    Attributes:
        dataset: what the networks were trained on, such as `cifar10`.
        split: what they were measured on: `valid`, `test` or `valtest`, as the benchmark calls it.
        epochs: length of the training.
    """

    dataset: str
    split: str
    epochs: int

    def __str__(self) -> str:
        """`cifar10/test/200`."""
        return f"{self.dataset}/{self.split}/{self.epochs}"

    @property
    def told(self) -> str:
        """`cifar10 test after 200 epochs`."""
        return f"{self.dataset} {self.split} after {self.epochs} epochs"

    @classmethod
    def parse(cls, text: str) -> Label:
        """From `DATASET/SPLIT/EPOCHS`.

        Raises:
            SettingsError: the text is nothing of the kind.
        """
        match text.split("/"):
            case [dataset, split, epochs] if dataset and split and epochs.isdecimal() and len(epochs) <= _MAX_DIGITS:
                return cls(dataset, split, int(epochs))
        raise SettingsError(f"{text!r}: expected DATASET/SPLIT/EPOCHS, as in cifar10/test/200")


LABEL_COLUMNS: Final = tuple(field.name for field in fields(Label))
"""The columns of accuracies and joined rows that make a label."""


def main_labels(labels: Iterable[Label]) -> list[Label]:
    """The test split after the longest training, of each dataset."""
    longest: dict[str, Label] = {}
    for label in labels:
        if label.split == "test" and (label.dataset not in longest or label.epochs > longest[label.dataset].epochs):
            longest[label.dataset] = label
    return list(longest.values())
