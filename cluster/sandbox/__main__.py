"""`python -m cluster.sandbox [--workers N] [--share DIR]... [-- COMMAND...]`: a cluster to try things on.

Starts the cluster, runs the command on its client (by default a shell), and removes everything again. On the client,
`ssh head ray status` and `ray job submit` work as docs/cluster.md says. Leaving the shell ends the cluster.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from cluster.sandbox import Sandbox, unavailable
from cluster.sandbox.machines import CLIENT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m cluster.sandbox", description="A Ray cluster on this machine alone.")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="number of machines besides the head (default: 2)")
    parser.add_argument(
        "--share", type=Path, action="append", default=[], metavar="DIR", help="directory below /tmp that all machines see"
    )
    parser.add_argument("command", nargs="*", help="command to run on the client once the cluster is up (default: bash)")
    args = parser.parse_args()
    if reason := unavailable():
        print(f"error: {reason}", file=sys.stderr)
        return 2
    with Sandbox(args.workers, shared=args.share) as sandbox:
        sandbox.ray_up()
        machines = sandbox.machines
        names = ", ".join(f"{name} {address}" for name, address in machines.addresses.items())
        print(f"up: {names}; the configuration is {sandbox.config}", file=sys.stderr)
        environment = {**machines.environment(CLIENT), **sandbox.client_environment}
        status = subprocess.run(machines.command(CLIENT, *(args.command or ["bash"])), env=environment).returncode
        sandbox.ray_down()
    return status


if __name__ == "__main__":
    sys.exit(main())
