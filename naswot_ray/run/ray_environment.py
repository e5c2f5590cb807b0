"""Environment variables that Ray reads when it is imported.

This module must be used before that, so it does not import Ray.
"""

from __future__ import annotations

import os
import secrets
import sys

LOCAL = "local"


def resolve(address: str | None) -> str:
    """The address to connect to: the given one, else RAY_ADDRESS (`ray job submit` sets it), else `LOCAL` to start Ray here."""
    return address or os.environ.get("RAY_ADDRESS") or LOCAL


def prepare(address: str) -> None:
    """Set the variables that Ray should find when it is imported. What the user has set stays.

    A Ray that we start ourselves gets a token of its own. Otherwise Ray would write one to the user's home, and every later
    `ray job submit` would be refused unless RAY_AUTH_MODE is set.

    Such a Ray also listens only on the loopback. Ray takes an address of 127.0.0.1 for a mistake and replaces it with the
    machine's own address, unless it is told that there will be no cluster.

    Args:
        address: what `resolve` returned.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL and "ray" not in sys.modules:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray reads it on Linux too, despite its name
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
