"""Cuts the test process off from every network but its own loopback.

Ray binds to the machine's own address if it has one, so the tests that start Ray run in a network namespace that holds only
`lo`. Entering a namespace needs root on Linux; elsewhere the tests run without one.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

_CLONE_NEWNET = 0x40000000  # <sched.h>
_SIOCSIFFLAGS = 0x8914  # <linux/sockios.h>
_IFF_UP = 0x1


def enter() -> bool:
    """Move this process, and everything it starts from now on, into a namespace of its own. Returns whether that worked."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    return True
