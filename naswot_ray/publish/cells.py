"""Numbers and names as the card and the quality report write them."""

from __future__ import annotations

from collections.abc import Sequence

from naswot_ray.publish.rank_agreement import RankAgreement, Tau


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def number(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def fixed(value: float | None, digits: int = 3) -> str:
    """With so many digits behind the point; empty for None."""
    return "" if value is None else f"{value:.{digits}f}"


def significant(value: float | None) -> str:
    """With six digits, or as a whole number; empty for None."""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def tau(found: Tau) -> str:
    """`0.577 [0.570, 0.584]`."""
    if found.value is None:
        return ""
    return fixed(found.value) + ("" if found.low is None else f" [{fixed(found.low)}, {fixed(found.high)}]")


def band(found: RankAgreement) -> str:
    """The published figures, `0.571-0.574`."""
    return "" if found.published is None else "-".join(dict.fromkeys(map(fixed, found.published)))


def verdict(found: RankAgreement) -> str:
    """Whether tau is inside the published band; empty where there is none."""
    return {True: "yes", False: "**no**", None: ""}[found.inside]
