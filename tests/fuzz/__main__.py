"""`python -m tests.fuzz [--minutes M] [--seed S] [--case NUMBER] [FAMILY]...` damages files of every kind that is read.

It prints a table, and every fault with the seed and the case that reproduce it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.families import families
from tests.fuzz.runner import Fuzzer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition(": ")[2])
    parser.add_argument("family", nargs="*", help="only families whose name begins like this (default: all)")
    parser.add_argument("--minutes", type=float, default=1.0, help="for all families together (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of all damage (default: 0)")
    parser.add_argument("--case", type=int, help="only this case of each family")
    args = parser.parse_args()
    chosen = [f for f in families() if not args.family or f.name.startswith(tuple(args.family))]
    print("family | cases | refused | same | something else | faults")
    faults = []
    for family in chosen:
        with tempfile.TemporaryDirectory() as folder:
            fuzzer = Fuzzer(family, Path(folder) / "f", args.seed)
            if args.case is None:
                fuzzer.run(60 * args.minutes / len(chosen))
            else:
                fuzzer.run_case(args.case)
        counts = fuzzer.counts
        numbers = [counts.outcomes[name] for name in ("refused", "same", "something else")]
        print(family.name, sum(numbers) + len(counts.faults), *numbers, len(counts.faults), sep=" | ", flush=True)
        faults += counts.faults
    print(*faults, sep="\n\n", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
