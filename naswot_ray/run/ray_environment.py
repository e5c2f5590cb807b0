"""What Ray reads from the environment when it is imported; so this module is called before, and does not import it."""

from __future__ import annotations

import os
import secrets
import sys

LOCAL = "local"


def resolve(address: str | None) -> str:
    """The address to connect to: as given, or RAY_ADDRESS (set inside `ray job submit`), or `LOCAL` for a Ray of one's own."""
    return address or os.environ.get("RAY_ADDRESS") or LOCAL


def prepare(address: str) -> None:
    """Set what Ray should find when it is imported, unless the user has set it.

    A Ray of one's own gets a token of its own. Ray would otherwise write one to the user's home, after which every later
    `ray job submit` is refused where RAY_AUTH_MODE is not set. And it listens on the loopback alone: Ray takes an address of
    127.0.0.1 for a mistake and replaces it by the machine's own, unless it is told that there will be no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL and "ray" not in sys.modules:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # it counts on Linux too
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
