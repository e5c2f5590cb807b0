"""What is known of a space without opening it: its title, who published it, its official file, the look of its arch_ids."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """A publication.

    Attributes:
        key: of its BibTeX entry.
        title: as in BibTeX, with braces around what keeps its capitals.
        authors: each as `Family, Given`, accents as in BibTeX.
        venue: the conference or the journal.
        year: of publication.
        is_article: whether the venue is a journal.
    """

    key: str
    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    is_article: bool = False

    @property
    def bibtex(self) -> str:
        """The BibTeX entry."""
        kind, venue = ("article", "journal") if self.is_article else ("inproceedings", "booktitle")
        return (
            f"@{kind}{{{self.key},\n"
            f"  title = {{{self.title}}},\n"
            f"  author = {{{' and '.join(self.authors)}}},\n"
            f"  {venue} = {{{self.venue}}},\n"
            f"  year = {{{self.year}}}\n"
            "}"
        )


@dataclass(frozen=True)
class Facts:
    """What a space says of itself. Everything but the title may be left out.

    Attributes:
        title: what people call the space.
        work: the publication to cite.
        source: address of the page that leads to the benchmark's official file.
        terms: licence of that file, as far as its publisher states one.
        opened_from: the file that the space is opened from, as `naswot-ray fetch` calls it; None if it needs none.
        arch_id_pattern: what every arch_id of the space looks like, and as few as possible of other spaces.
        num_singular: architectures of the whole space whose kernel is singular by their structure: none of their units
            tells two images apart.
    """

    title: str
    work: Work | None = None
    source: str | None = None
    terms: str | None = None
    opened_from: str | None = None
    arch_id_pattern: re.Pattern[str] | None = None
    num_singular: int | None = None
