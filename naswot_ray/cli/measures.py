"""The command `measures`, which lists the measures."""

from __future__ import annotations

from naswot_ray.cli.app import reporting_errors, stdout
from naswot_ray.measures import DEFAULT_MEASURES, all_measures


@reporting_errors
def measures() -> None:
    """List the measures that can be computed, with formula, source and cost."""
    for name, one in all_measures().items():
        default = ", computed by default" if name in DEFAULT_MEASURES else ""
        stdout.print(f"{name}: from the {one.taken_from} pass, version {one.version}{default}")
        stdout.print(f"  formula: {one.formula}")
        stdout.print(f"  source: {one.source}")
        if one.differs:
            stdout.print(f"  differs from the published code: {one.differs}")
        stdout.print(f"  weak: {one.weak}")
        stdout.print(f"  cost: {one.cost}")
