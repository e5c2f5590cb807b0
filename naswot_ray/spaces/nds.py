"""NDS: samples of the design spaces of "On Network Design Spaces for Visual Recognition". Each family is one space.

Source: Radosavovic et al. (ICCV 2019), and the official archive `data.zip`. Networks are built as the published NASWOT code
builds them (`nds_cells`, `nds_anynet`).
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from naswot_ray.cache import cache_directory
from naswot_ray.citation import Citation
from naswot_ray.errors import ArchitectureError, SettingsError
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.network.graph import Initialisation
from naswot_ray.paths import expand_home
from naswot_ray.spaces import nds_anynet, nds_cells
from naswot_ray.spaces.base import Space
from naswot_ray.spaces.facts import Facts
from naswot_ray.spaces.nds_descriptions import Descriptions
from naswot_ray.spaces.nds_families import FAMILIES, Family
from naswot_ray.spaces.nds_file import canonical_json, read_records
from naswot_ray.spaces.nds_limits import MAX_PARAMS
from naswot_ray.spaces.notations import plain

CITATION: Final = Citation(
    key="radosavovic2019nds",
    title="On Network Design Spaces for Visual Recognition",
    authors=(
        "Radosavovic, Ilija",
        "Johnson, Justin",
        "Xie, Saining",
        "Lo, Wan-Yen",
        r"Doll{\'a}r, Piotr",
    ),
    venue="IEEE/CVF International Conference on Computer Vision",
    year=2019,
)

_ARCH_ID: Final = re.compile(r"\d{5,}-[0-9a-f]{12}")


class NdsSpace(Space):
    """The networks of one family that NDS trained, in the order of the official file.

    An arch_id consists of the position in the file and a digest of the network's description, so files that differ cannot be
    mixed up. A malformed record is an architecture too; calling `network` for it raises.

    Args:
        family: a key of `nds_families.FAMILIES`.
        source: path of the official `data.zip` or of the family's JSON file. If it is empty, the space is opened from the file
            that `naswot-ray fetch nds` downloads.

    Raises:
        SettingsError: the file does not exist.
        BenchmarkError: the file is damaged or not the official one.
    """

    def __init__(self, family: str, source: str = "") -> None:
        known = FAMILIES[family]
        self.name, self.facts = known.space, _facts(known)
        self.family = family
        kind = "a genotype" if known.networks == "cells" else "the ds, ws and ss of an AnyNet"
        self.notations = f"an arch_id such as '00042-0123456789ab', the position in the file, or a dict that holds {kind}"
        if known.trained_on == "imagenet":
            self.image_size, self.num_classes = 224, 1000
        path = expand_home(source) if source else cache_directory() / "nds" / "data.zip"
        if not path.is_file():
            raise SettingsError(
                f"no official NDS file at {path} to open {self.name} from; run `naswot-ray fetch nds`, or give "
                "--space-option source=data.zip"
            )
        records = read_records(path, family)
        self._arch_ids = tuple(record.arch_id for record in records)
        # Text takes a tenth of the memory, and spaces are sent to every worker.
        self._nets = tuple(canonical_json(record.net) for record in records)

    def __len__(self) -> int:
        return len(self._arch_ids)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of {self.name} (0..{len(self) - 1})")
        return self._arch_ids[index]

    def index(self, arch_id: str) -> int:
        try:
            return self._index[arch_id]
        except KeyError:
            raise ArchitectureError(
                f"{arch_id!r} is not one of the {len(self):,} architectures of {self.name} in the file that was opened: their "
                f"ids are position and digest, as in {self._arch_ids[0]!r}"
            ) from None

    def arch_id_of(self, architecture: object) -> str:
        """As in `Space`; also of a network as the official file describes it, or of a genotype (see `nds_descriptions`).

        The edges of a genotype have to be in the order of the file, since the order numbers the layers.
        """
        description = plain(architecture)
        return self._descriptions.find(description) if isinstance(description, dict) else super().arch_id_of(architecture)

    def network(self, arch_id: str, *, input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10) -> Network:
        net = json.loads(self.architecture(arch_id))
        return build_network(self.family, net, arch_id=arch_id, input_shape=input_shape, num_classes=num_classes)

    def neighbours(self, arch_id: str) -> list[str]:
        """The architectures of the file that differ in one choice. Usually there are none: the file samples a huge space.

        The choices of a cell network are the operation and the input of each edge, the width and the depth. Those of an AnyNet
        are the depth, width, stride, bottleneck multiplier and group width of each stage.
        """
        own = self._choices[self.index(arch_id)]
        return [other for other, theirs in zip(self._arch_ids, self._choices, strict=True) if _differ_in_one(own, theirs)]

    def isomorphism_class(self, arch_id: str) -> str | None:
        return None

    def architecture(self, arch_id: str) -> str:
        return self._nets[self.index(arch_id)]

    def settings(self) -> Mapping[str, Any]:
        return {
            "family": self.family,
            "num_architectures": len(self),
            "digest": self._digest,
            "initialisation": _initialisation(FAMILIES[self.family]),
            **_macro_structure(FAMILIES[self.family]),
        }

    @cached_property
    def _index(self) -> dict[str, int]:
        return {arch_id: i for i, arch_id in enumerate(self._arch_ids)}

    @cached_property
    def _descriptions(self) -> Descriptions:
        return Descriptions(self.name, self._arch_ids, self._nets, has_cells=FAMILIES[self.family].networks == "cells")

    @cached_property
    def _digest(self) -> str:
        """SHA-256 of the canonical JSON of all networks, one line each."""
        return hashlib.sha256("".join(f"{net}\n" for net in self._nets).encode()).hexdigest()

    @cached_property
    def _choices(self) -> list[tuple[Any, ...]]:
        return [_choices(self.family, json.loads(net)) for net in self._nets]


def _facts(family: Family) -> Facts:
    return Facts(
        title=f"NDS {family.stem.lower()}",
        citation=CITATION,
        source="https://github.com/facebookresearch/nds",
        terms="none stated for the data; its code is MIT",
        opened_from="nds",
        arch_id_pattern=_ARCH_ID,
    )


@dataclass(frozen=True)
class _FamilySpace:
    """Makes the space of a family, and describes it before its file is there."""

    family: Family

    @property
    def facts(self) -> Facts:
        return _facts(self.family)

    def __call__(self, source: str = "") -> NdsSpace:
        return NdsSpace(self.family.stem, source)


SPACES = {family.space: _FamilySpace(family) for family in FAMILIES.values()}


def build_network(
    family: str, net: Mapping[str, Any], *, arch_id: str, input_shape: Sequence[int], num_classes: int
) -> Network:
    """The network of one record.

    Args:
        family: stem of the official JSON file; it decides between the stems for CIFAR and for ImageNet.
        net: the record's `net`.
        arch_id: the key of the record in its space.
        input_shape: `(channels, height, width)` of one image.
        num_classes: width of the classifier.

    Raises:
        ArchitectureError: the record is malformed, or its network does not accept images of that size.
    """
    known = FAMILIES[family]
    b = NetworkBuilder(input_shape)
    try:
        if known.networks == "cells":
            build = nds_cells.build_imagenet if known.trained_on == "imagenet" else nds_cells.build_cifar
            features = build(b, nds_cells.parse(net))
        else:
            features = nds_anynet.build(b, nds_anynet.parse(net), pooled_stem=known.networks == "residual")
        logits = b.linear(b.global_avg_pool(features), num_classes)
    except ArchitectureError as error:
        raise ArchitectureError(f"{family} {arch_id}: {error}") from None
    except ValueError as error:
        size = " x ".join(map(str, input_shape[1:]))
        raise ArchitectureError(f"{family} {arch_id}: images of {size} pixels do not fit its network: {error}") from None
    network = b.build(logits, arch_id=arch_id, initialisation=_initialisation(known))
    if network.params > MAX_PARAMS:
        raise ArchitectureError(
            f"{family} {arch_id}: its network has {network.params:,} parameters, expected at most {MAX_PARAMS:,}"
        )
    return network


def _choices(family: str, net: Mapping[str, Any]) -> tuple[Any, ...]:
    """The choices of a network; none if its record is malformed."""
    try:
        if FAMILIES[family].networks == "cells":
            return nds_cells.choices(nds_cells.parse(net))
        return nds_anynet.choices(nds_anynet.parse(net))
    except ArchitectureError:
        return ()


def _differ_in_one(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and sum(map(operator.ne, a, b)) == 1


def _initialisation(family: Family) -> Initialisation:
    """The published code initialises only AnyNets itself; cell networks keep PyTorch's default."""
    return "kaiming_uniform" if family.networks == "cells" else "normal_fan_out"


def _macro_structure(family: Family) -> dict[str, Any]:
    if family.networks == "cells":
        return {"stem": "imagenet" if family.trained_on == "imagenet" else "cifar", "auxiliary_head": False}
    stem = "res_stem_in" if family.networks == "residual" else "simple_stem_in"
    return {"stem": stem, "stem_width": nds_anynet.STEM_WIDTH}
