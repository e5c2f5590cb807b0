"""All faults at once: for 15 s here, and for as long as you like with `make chaos`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.sandbox import HEAD, Sandbox
from tests.faults.sandbox.chaos import Chaos

SECONDS = float(os.environ.get("NASWOT_RAY_CHAOS_MINUTES", "0.25")) * 60
SEED = int(os.environ.get("NASWOT_RAY_CHAOS_SEED", "20261123"))


@pytest.mark.timeout(900 + 2 * SECONDS)
def test_nothing_is_lost_whatever_dies(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    print(f"\nchaos for {SECONDS:.0f} s with seed {SEED}", flush=True)
    sandbox.wait_for_nodes([HEAD, *sandbox.workers])
    chaos = Chaos(sandbox, shared_disk, undisturbed, SEED)
    chaos.run(SECONDS)
    assert chaos.datasets >= 1
    assert any("kill -9" in event or "power" in event or "network" in event for event in chaos.events)
