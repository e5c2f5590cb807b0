"""Names and citations of the search spaces and the measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Work:
    """A publication.

    Attributes:
        title: what people call it.
        bibtex: its entry.
    """

    title: str
    bibtex: str


_NASWOT: Final = Work(
    "NASWOT",
    """@inproceedings{mellor2021naswot,
  title = {Neural Architecture Search without Training},
  author = {Mellor, Joseph and Turner, Jack and Storkey, Amos and Crowley, Elliot J.},
  booktitle = {International Conference on Machine Learning},
  year = {2021}
}""",
)

_MECO: Final = Work(
    "MeCo",
    """@inproceedings{jiang2023meco,
  title = {{MeCo}: Zero-Shot {NAS} with One Data and Single Forward Pass via Minimum Eigenvalue of Correlation},
  author = {Jiang, Tangyu and Wang, Haodi and Bie, Rongfang},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023}
}""",
)

_SWAP: Final = Work(
    "SWAP-NAS",
    """@inproceedings{peng2024swapnas,
  title = {{SWAP-NAS}: Sample-Wise Activation Patterns for Ultra-fast {NAS}},
  author = {Peng, Yameng and Song, Andy and Fayek, Haytham M. and Ciesielski, Vic and Chang, Xiaojun},
  booktitle = {International Conference on Learning Representations},
  year = {2024}
}""",
)

_AZ_NAS: Final = Work(
    "AZ-NAS",
    """@inproceedings{lee2024aznas,
  title = {{AZ-NAS}: Assembling Zero-Cost Proxies for Network Architecture Search},
  author = {Lee, Junghyup and Ham, Bumsub},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2024}
}""",
)

MEASURES: Final = {
    "naswot": _NASWOT,
    "naswot_paper": _NASWOT,
    "naswot_layerwise": _NASWOT,
    "expressivity": _AZ_NAS,
    "meco": _MECO,
    "swap": _SWAP,
}
"""Measure -> the publication that it goes back to. A measure that is not here is cited by its `source` alone."""

_NASBENCH101: Final = Work(
    "NAS-Bench-101",
    """@inproceedings{ying2019nasbench101,
  title = {{NAS-Bench-101}: Towards Reproducible Neural Architecture Search},
  author = {Ying, Chris and Klein, Aaron and Christiansen, Eric and Real, Esteban and Murphy, Kevin and Hutter, Frank},
  booktitle = {International Conference on Machine Learning},
  year = {2019}
}""",
)

_NASBENCH201: Final = Work(
    "NAS-Bench-201",
    """@inproceedings{dong2020nasbench201,
  title = {{NAS-Bench-201}: Extending the Scope of Reproducible Neural Architecture Search},
  author = {Dong, Xuanyi and Yang, Yi},
  booktitle = {International Conference on Learning Representations},
  year = {2020}
}""",
)

_NATS: Final = Work(
    "NATS-Bench's size space",
    """@article{dong2021nats,
  title = {{NATS-Bench}: Benchmarking {NAS} Algorithms for Architecture Topology and Size},
  author = {Dong, Xuanyi and Liu, Lu and Musial, Katarzyna and Gabrys, Bogdan},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year = {2021}
}""",
)

_NDS_BIBTEX: Final = """@inproceedings{radosavovic2019nds,
  title = {On Network Design Spaces for Visual Recognition},
  author = {Radosavovic, Ilija and Johnson, Justin and Xie, Saining and Lo, Wan-Yen and Doll{\\'a}r, Piotr},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2019}
}"""


def work_of(space: str) -> Work:
    """The publication of a search space."""
    match space:
        case "nasbench101":
            return _NASBENCH101
        case "nasbench201":
            return _NASBENCH201
        case "nats_sss":
            return _NATS
        case _:
            return Work(f"NDS {space.removeprefix('nds_')}", _NDS_BIBTEX)
