"""What is known about a space before it is opened: its title, its publication, its official file, the form of its arch_ids."""

from __future__ import annotations

import re
from dataclasses import dataclass

from naswot_ray.citation import Citation


@dataclass(frozen=True)
class Facts:
    """What a space says about itself. Only the title is required.

    Attributes:
        title: what people call the space.
        citation: the publication to cite.
        source: URL of the page that leads to the benchmark's official file.
        terms: licence of that file, if its publisher states one.
        opened_from: the file that the space is opened from, by its name in `naswot-ray fetch`; None if it needs no file.
        arch_id_pattern: matches every arch_id of the space, and as few as possible of other spaces.
        num_singular: how many architectures of the whole space have a singular kernel because of their structure: none of
            their units tells two images apart.
    """

    title: str
    citation: Citation | None = None
    source: str | None = None
    terms: str | None = None
    opened_from: str | None = None
    arch_id_pattern: re.Pattern[str] | None = None
    num_singular: int | None = None
