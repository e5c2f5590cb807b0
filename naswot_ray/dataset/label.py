"""The label of an accuracy: what the network was trained on, what it was measured on, and after how many epochs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

from naswot_ray.errors import SettingsError

_MAX_DIGITS: Final = 9
"""The largest number of digits that always fits the int32 column of epochs."""


@dataclass(frozen=True, order=True, slots=True)
class Label:
    """The kind of accuracy that measures are compared with, or that a search selects by.

    Labels are ordered by their attributes in turn.

    Attributes:
        dataset: the data that the networks were trained on, such as `cifar10`.
        split: the images that their accuracy was measured on: `valid`, `test` or `valtest`, as the benchmark calls them.
        epochs: how many epochs the training had.
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
        """Parse `DATASET/SPLIT/EPOCHS`.

        Raises:
            SettingsError: the text has another form.
        """
        match text.split("/"):
            case [dataset, split, epochs] if dataset and split and epochs.isdecimal() and len(epochs) <= _MAX_DIGITS:
                return cls(dataset, split, int(epochs))
        raise SettingsError(f"{text!r}: expected DATASET/SPLIT/EPOCHS, as in cifar10/test/200")


LABEL_COLUMNS: Final = tuple(field.name for field in fields(Label))
"""The columns of accuracies and joined rows that make up a label."""


def main_labels(labels: Iterable[Label]) -> list[Label]:
    """For each dataset the label of its test split after the longest training."""
    longest: dict[str, Label] = {}
    for label in labels:
        if label.split == "test" and (label.dataset not in longest or label.epochs > longest[label.dataset].epochs):
            longest[label.dataset] = label
    return list(longest.values())
