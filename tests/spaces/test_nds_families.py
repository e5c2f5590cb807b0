"""The table of NDS' families."""

from __future__ import annotations

from naswot_ray.spaces.nds_families import DESIGNS, FAMILIES, Family


def test_the_families_of_the_archive() -> None:
    assert len(FAMILIES) == 34
    assert FAMILIES["DARTS_fix-w-d"].space == "nds_darts_fix-w-d"
    assert FAMILIES["ResNeXt-A_in"].space == "nds_resnext-a_in"
    assert len({family.space for family in FAMILIES.values()}) == len(FAMILIES)
    assert {family.design for family in FAMILIES.values()} == set(DESIGNS)


def test_a_file_is_named_by_the_fields() -> None:
    assert FAMILIES["DARTS_lr-wd_in"] == Family("DARTS", "lr-wd", "imagenet")
    assert FAMILIES["ResNet-B"].networks == FAMILIES["ResNet_rng1"].networks == "residual"
    assert (FAMILIES["Vanilla"].networks, FAMILIES["Amoeba_in"].networks) == ("plain", "cells")
