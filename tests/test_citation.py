"""BibTeX entries."""

from __future__ import annotations

from naswot_ray.spaces import facts_of
from naswot_ray.spaces.nds import CITATION


def test_a_conference_paper_and_an_article() -> None:
    assert (
        CITATION.bibtex
        == r"""@inproceedings{radosavovic2019nds,
  title = {On Network Design Spaces for Visual Recognition},
  author = {Radosavovic, Ilija and Johnson, Justin and Xie, Saining and Lo, Wan-Yen and Doll{\'a}r, Piotr},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2019}
}"""
    )
    sss = facts_of("nats_sss").citation
    assert sss is not None
    assert sss.bibtex.startswith("@article{dong2021nats,\n  title = {{NATS-Bench}: Benchmarking")
    assert "  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},\n" in sss.bibtex
