"""The user's cache directory, for what is computed or downloaded once and reused by later runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from naswot_ray.paths import LOCAL_OUTPUT


def cache_directory() -> Path:
    """Return the cache directory; it need not exist.

    It is `$NASWOT_RAY_CACHE` if that is set, otherwise the platform's user cache directory (`~/.cache/naswot-ray` on Linux).

    Raises:
        SettingsError: the variable names a URI, or a relative path inside a Ray job.
    """
    chosen = os.environ.get("NASWOT_RAY_CACHE")
    if not chosen:
        return platformdirs.user_cache_path("naswot-ray")
    return Path(LOCAL_OUTPUT.settled(chosen, "NASWOT_RAY_CACHE"))
