"""Labels are written as text and read back; their order, and which of them are shown first."""

from __future__ import annotations

import pytest

from naswot_ray.dataset.label import LABEL_COLUMNS, Label, main_labels
from naswot_ray.dataset.schema import ACCURACIES
from naswot_ray.errors import SettingsError


def test_is_read_as_it_is_written() -> None:
    label = Label("cifar10-valid", "valid", 12)
    assert str(label) == "cifar10-valid/valid/12"
    assert Label.parse(str(label)) == label


@pytest.mark.parametrize(
    "text", ["", "cifar10/test", "cifar10/test/x", f"cifar10/test/{'9' * 5000}", "cifar10/test/9999999999"]
)
def test_what_names_no_accuracies(text: str) -> None:
    with pytest.raises(SettingsError, match="expected DATASET/SPLIT/EPOCHS, as in cifar10/test/200"):
        Label.parse(text)


def test_is_sorted_by_dataset_then_split_then_epochs() -> None:
    labels = [Label("b", "test", 1), Label("a", "valid", 2), Label("a", "test", 200), Label("a", "test", 12)]
    assert sorted(labels) == [labels[3], labels[2], labels[1], labels[0]]


def test_the_main_labels_are_the_longest_trainings_on_the_test_split() -> None:
    main, other = Label("a", "test", 200), Label("b", "test", 90)
    assert main_labels([Label("a", "test", 12), main, other, Label("a", "valid", 300)]) == [main, other]


def test_its_columns_are_those_of_the_accuracies() -> None:
    assert set(LABEL_COLUMNS) <= set(ACCURACIES.names)
