"""How large the networks of an NDS record may be. A record beyond a limit is malformed: its file is damaged or made up.

The official networks have at most a few hundred million parameters. Every limit is far above them, and low enough that
an architecture can be built within seconds and its counts fit the columns of a dataset.
"""

from __future__ import annotations

from typing import Final

MAX_CHANNELS: Final = 100_000
"""Largest width, group width or stride."""

MAX_MULTIPLIER: Final = 1_000
"""Largest bottleneck multiplier."""

MAX_DEPTH: Final = 1_000
"""Most cells or blocks of a network."""

MAX_EDGES: Final = 64
"""Most edges, or entries of the concatenation, of a cell; most stages of an AnyNet."""

MAX_PARAMS: Final = 2**31
"""Most parameters of a network: 8.6 GB of weights."""
