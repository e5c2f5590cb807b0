"""The publication behind a search space or a measure, and its BibTeX entry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Citation:
    """A publication to cite.

    Attributes:
        key: the key of its BibTeX entry.
        title: as in BibTeX, with braces around words that keep their capitals.
        authors: each as `Family, Given`, with accents as in BibTeX.
        venue: the conference or the journal.
        year: the year of publication.
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
