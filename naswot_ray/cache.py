"""Where the package keeps what it has computed or fetched once, for all later runs of a user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from naswot_ray.paths import LOCAL_OUTPUT


def cache_directory() -> Path:
    """`$NASWOT_RAY_CACHE`, or else the user's cache directory on this platform (`~/.cache/naswot-ray`); need not exist.

    Raises:
        SettingsError: the variable names a URI, or a relative path inside a Ray job.
    """
    chosen = os.environ.get("NASWOT_RAY_CACHE")
    if not chosen:
        return platformdirs.user_cache_path("naswot-ray")
    return Path(LOCAL_OUTPUT.settled(chosen, "NASWOT_RAY_CACHE"))
