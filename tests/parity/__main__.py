"""`python -m tests.parity` checks that every score equals that of the published code."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from naswot_ray.engines.engine import ENGINES
from tests.parity.check import NETWORKS, VECTORS, VectorsError, batch_sizes, compare_case, read_vectors


def main(arguments: Sequence[str] | None = None) -> int:
    """Check vector files, and return the exit status."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # the vectors were made like this
    counts: Counter[str] = Counter()
    unsupported: Counter[str] = Counter()
    largest_error = 0.0
    try:
        files = [read_vectors(path) for path in options.files or sorted(VECTORS.glob("*.json"))]
    except VectorsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    present = {case["space"] for file in files for case in file.cases}
    if absent := set(options.space or ()) - present:
        print(f"error: no case of space {', '.join(sorted(absent))}; there are: {', '.join(sorted(present))}", file=sys.stderr)
        return 2
    for file in files:
        for case in file.cases:
            if options.space and case["space"] not in options.space:
                continue
            counts["cases"] += 1
            if case["space"] not in NETWORKS:
                unsupported[case["space"]] += 1
                continue
            for n in batch_sizes(case, options.max_n):
                comparison = compare_case(file.recipe, case, n, engine=options.engine)
                counts["comparisons"] += 1
                counts["within"] += comparison.passed
                counts["identical"] += comparison.bit_identical
                largest_error = max(largest_error, comparison.score_error)
                if not comparison.passed:
                    print(
                        f"FAILED {file.path.name}: {case['name']} ({case['space']}), N={n}: {'; '.join(comparison.differences)}"
                    )
    failed = counts["comparisons"] - counts["within"]
    spaces = "".join(f", {space} {number}" for space, number in sorted(unsupported.items()))
    print(
        f"{counts['cases']} cases, {counts['comparisons']} comparisons (case x N): {counts['within']} within tolerance, "
        f"{counts['identical']} bit-identical kernels, {failed} failed (largest score difference {largest_error:.1e}); "
        f"unsupported: {unsupported.total()} cases{spaces}"
    )
    if not counts["comparisons"]:
        print("nothing was compared", file=sys.stderr)
        return 1
    return 1 if failed or (unsupported and not options.allow_unsupported) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.parity",
        description="Score the cases of parity vector files and compare with the published code. One line per comparison that "
        "is out of tolerance, then the counts.",
        epilog="Exit status: 0 all within tolerance; 1 a case failed, was of a space that is not supported, or nothing was "
        "compared; 2 a file cannot be read or has "
        "no case of a --space.",
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE.json", help="vector file; default: those in tests/parity/vectors"
    )
    parser.add_argument(
        "--space",
        action="append",
        metavar="NAME",
        help="only cases of this space as the files name it (nb201, ...); repeatable",
    )
    parser.add_argument("--engine", choices=ENGINES, default="exact", help="the engine that scores (default: exact)")
    parser.add_argument("--max-n", type=int, metavar="N", help="only batch sizes up to N")
    parser.add_argument(
        "--allow-unsupported",
        action="store_true",
        help="let cases of unsupported spaces pass (they stay listed as unsupported)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
