"""A driver does not need the workers' own libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.datasets import score_here

GRID = {"limit": 2, "batch_size": [4], "seed": [0]}

PROGRAM = """
import sys
import naswot_ray.run.ray_pool
from naswot_ray.run.job import score_spaces
from naswot_ray.run.options import ScoreOptions
record = score_spaces(ScoreOptions.checked(output=sys.argv[1], limit=2, batch_size=[4], seed=[0]))
assert record.counts == {"rows": 0}, record.counts
assert "torch" not in sys.modules
"""


def test_a_driver_loads_no_torch(tmp_path: Path) -> None:
    """Loading torch takes two seconds and 200 MB on the head of a cluster that scores elsewhere."""
    score_here(tmp_path / "d", **GRID)
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / "d"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
