"""What is alive: chosen outputs, checkpoints, shared modules."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from naswot_ray import score_module
from naswot_ray.engines.module.activations import Fate
from tests.engines.module.networks import IMAGES, Net
from tests.engines.module.spellings import RELUS


class TestMemory:
    @pytest.fixture(autouse=True)
    def _quiet(self) -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield

    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.parametrize("how_much", ["all", "half"])
    def test_checkpoints(self, reentrant: bool, how_much: str) -> None:
        class Checkpointed(Net):
            def forward(self, x: torch.Tensor) -> Any:
                def first(y: torch.Tensor) -> torch.Tensor:
                    return F.relu(self.conv1(y))

                def second(y: torch.Tensor) -> torch.Tensor:
                    return F.relu(self.bn(self.conv2(y)))

                x = checkpoint(first, x, use_reentrant=reentrant) if how_much == "all" else first(x)
                return checkpoint(second, x, use_reentrant=reentrant).mean((2, 3))

        plain, found = Net(), Checkpointed()
        assert score_module(found, IMAGES) == score_module(plain, IMAGES)
        assert score_module(found, IMAGES).num_units == plain.num_units()

    def test_nothing_is_changed_for_others(self) -> None:
        before = torch.autograd.Function.__dict__["apply"]
        score_module(Net(RELUS["a custom autograd function"]), IMAGES)
        assert torch.autograd.Function.__dict__["apply"] is before


class Auxiliary(Net):
    """A second head with a ReLU of its own."""

    def forward(self, x: torch.Tensor) -> Any:
        features = self.activation(self.conv1(x))
        extra = F.relu(features.flip(1) - 0.1)
        return self.activation(self.bn(self.conv2(features))).mean((2, 3)), extra


class TestOutputs:
    def test_the_first_counts_by_default(self) -> None:
        result = score_module(Auxiliary(), IMAGES)
        assert result == score_module(Net(), IMAGES)
        assert [row.fate for row in result.activations] == [Fate.COUNTED, Fate.DEAD, Fate.COUNTED]

    def test_all_by_a_function(self) -> None:
        net = Auxiliary()
        result = score_module(net, IMAGES, outputs=lambda both: both)
        assert result.num_units == net.num_units() + 6 * 14 * 14

    def test_by_position(self) -> None:
        assert score_module(Auxiliary(), IMAGES, outputs=1).num_units == 2 * 6 * 14 * 14

    def test_by_key(self) -> None:
        class Named(Auxiliary):
            def forward(self, x: torch.Tensor) -> Any:
                logits, extra = super().forward(x)
                return {"extra": extra, "logits": logits}

        assert score_module(Named(), IMAGES, outputs="logits") == score_module(Net(), IMAGES)
        assert score_module(Named(), IMAGES).num_units == 2 * 6 * 14 * 14, "the first of the mapping"
        with pytest.raises(ValueError, match="Named returned dict with 'extra', 'logits', which has no output 'loss'"):
            score_module(Named(), IMAGES, outputs="loss")

    def test_dataclass(self) -> None:
        @dataclass
        class Output:
            logits: torch.Tensor
            extra: torch.Tensor

        class Named(Auxiliary):
            def forward(self, x: torch.Tensor) -> Any:
                return Output(*super().forward(x))

        assert score_module(Named(), IMAGES) == score_module(Net(), IMAGES)
        assert score_module(Named(), IMAGES, outputs="extra").num_units == 2 * 6 * 14 * 14

    def test_a_first_output_without_a_graph(self) -> None:
        class Classes(Net):
            def forward(self, x: torch.Tensor) -> Any:
                y = super().forward(x)
                return y.argmax(1), y

        with pytest.raises(
            ValueError, match=r"output of Classes does not depend on its images .*; outputs= chooses another one"
        ):
            score_module(Classes(), IMAGES)
        assert score_module(Classes(), IMAGES, outputs=1) == score_module(Net(), IMAGES)

    @pytest.mark.parametrize("outputs", [0, "T"])
    def test_parts_of_a_tensor_are_no_outputs(self, outputs: Any) -> None:
        with pytest.raises(ValueError, match="Net returned Tensor, which has no output"):
            score_module(Net(), IMAGES, outputs=outputs)

    def test_unknown_position(self) -> None:
        with pytest.raises(ValueError, match="Auxiliary returned tuple of 2, which has no output 2"):
            score_module(Auxiliary(), IMAGES, outputs=2)
