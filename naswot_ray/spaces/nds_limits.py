"""Limits on the size of the networks in an NDS record. A record beyond a limit is malformed: its file is damaged or made up.

The official networks have at most a few hundred million parameters. The limits are far above that, and low enough that an
architecture can be built within seconds and its counts fit the columns of a dataset.
"""

from __future__ import annotations

from typing import Final

MAX_CHANNELS: Final = 100_000
"""The largest width, group width or stride."""

MAX_MULTIPLIER: Final = 1_000
"""The largest bottleneck multiplier."""

MAX_DEPTH: Final = 1_000
"""The largest number of cells or blocks in a network."""

MAX_EDGES: Final = 64
"""The largest number of edges or concatenated states of a cell, and of stages of an AnyNet."""

MAX_PARAMS: Final = 2**31
"""The largest number of parameters of a network; their weights take 8.6 GB."""
