"""Makes a small joined dataset whose report the tests examine."""

from __future__ import annotations

from pathlib import Path

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from tests.dataset.making import SINGULAR, SPACE, Row, add, make_dataset, mean_accuracy

NUM_ARCHITECTURES = 40


def make_joined(root: Path) -> Dataset:
    """40 architectures, batch sizes 4 and 8, seeds 0 and 1, three measures.

    The first architecture is singular, `naswot` comes in ties of three, and two architectures have no `meco`.
    """
    root.parent.mkdir(parents=True, exist_ok=True)

    def change(row: Row) -> Row:
        index = row["arch_index"]
        own = SINGULAR if index == 0 else {"naswot": 101.0 + index // 3 + row["seed"] / 2}
        return own | ({} if index in (1, 2) else {"meco": float(index * 7 % 11 + row["seed"])})

    dataset = make_dataset(root, indices=range(NUM_ARCHITECTURES), batch_sizes=(4, 8), seeds=(0, 1), change=change)
    add(dataset, [mean_accuracy(i, accuracy=90.0 - i if i % 5 else 60.0 + i) for i in range(NUM_ARCHITECTURES)])
    join(dataset, SPACE)
    return dataset
