"""Where the package keeps what it has computed or fetched once, for all later runs of a user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """`$NASWOT_RAY_CACHE`, or else the user's cache directory on this platform (`~/.cache/naswot-ray`); need not exist."""
    chosen = os.environ.get("NASWOT_RAY_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("naswot-ray")
