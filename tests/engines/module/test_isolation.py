"""What a module may be and be called with, and what is left as it was."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray import score_module
from tests.engines.module.networks import IMAGES, Net


class Dropping(Net):
    """Dropout before a ReLU, as in AlexNet, and random numbers of NumPy."""

    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(F.dropout(x, 0.5, self.training) + float(np.random.rand()))


class TestRandomNumbers:
    def test_a_seed_decides(self) -> None:
        net = Dropping()
        assert score_module(net, IMAGES) == score_module(net, IMAGES)
        assert score_module(net, IMAGES, seed=1) != score_module(net, IMAGES)

    def test_those_of_the_caller_stay(self) -> None:
        net = Dropping()
        torch.manual_seed(7)
        np.random.seed(7)
        expected = torch.rand(3), np.random.rand(3)
        torch.manual_seed(7)
        np.random.seed(7)
        score_module(net, IMAGES)
        assert torch.equal(torch.rand(3), expected[0])
        np.testing.assert_array_equal(np.random.rand(3), expected[1])


class TestTypes:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_images_follow_the_module(self, dtype: torch.dtype) -> None:
        net = Net().to(dtype)
        result = score_module(net, IMAGES, measures=["all"])
        assert result.num_units == net.num_units()
        assert result["naswot"] == pytest.approx(score_module(Net(), IMAGES)["naswot"], abs=1.0)

    def test_default_type(self) -> None:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            assert math.isfinite(score_module(Net(), IMAGES)["naswot"])
        finally:
            torch.set_default_dtype(before)

    def test_tokens(self) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(50, 16), nn.Flatten(), nn.Linear(5 * 16, 40), nn.ReLU(), nn.Linear(40, 2))
        tokens = torch.randint(0, 50, (8, 5))
        result = score_module(net.requires_grad_(False), tokens)
        assert result.num_units == 40
        assert not any(parameter.requires_grad for parameter in net.parameters())

    def test_vectors_and_sequences(self) -> None:
        torch.manual_seed(0)
        vectors, sequences = torch.randn(8, 10), torch.randn(8, 3, 20)
        assert score_module(nn.Sequential(nn.Linear(10, 30), nn.ReLU()), vectors).num_units == 30
        assert score_module(nn.Sequential(nn.Conv1d(3, 5, 3), nn.ReLU()), sequences, measures=["all"]).num_units == 5 * 18


class TestOtherModules:
    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_scripted(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        scripted = torch.jit.script(copy.deepcopy(net))
        for _ in range(3):  # once it is optimised, a script hides its operations
            scripted(IMAGES)
        assert isinstance(scripted, nn.Module)
        assert score_module(scripted, IMAGES) == score_module(net, IMAGES)

    def test_compiled_in_place(self) -> None:
        net = Net()
        net.compile(backend="eager")
        net(IMAGES)
        assert score_module(net, IMAGES) == score_module(Net(), IMAGES)

    def test_compiled(self) -> None:
        net = Net()
        compiled: Any = torch.compile(copy.deepcopy(net), backend="eager")
        compiled(IMAGES)
        assert score_module(compiled, IMAGES) == score_module(net, IMAGES)

    def test_on_the_meta_device(self) -> None:
        with torch.device("meta"):
            net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        with pytest.raises(ValueError, match=r"^0\.weight of Sequential is on the meta device and has no values: build"):
            score_module(net, IMAGES)

    @pytest.mark.filterwarnings("ignore:Lazy modules")
    def test_lazy(self) -> None:
        net = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())
        with pytest.raises(ValueError, match=r"^0\.weight of Sequential is lazy and has no shape yet: call the module on a"):
            score_module(net, IMAGES)

    def test_exported(self) -> None:
        program = torch.export.export(Net().eval(), (IMAGES,))
        with pytest.raises(
            ValueError, match=r"^expected a torch.nn.Module, got ExportedProgram; of an exported program, score"
        ):
            score_module(program, IMAGES)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="cannot be switched to train mode"):
            score_module(program.module(), IMAGES)

    def test_further_arguments(self) -> None:
        class Two(Net):
            def forward(self, x: torch.Tensor, scale: float, *, shift: float = 0.0) -> Any:  # type: ignore[override]
                return super().forward(x * scale + shift)

        expected = score_module(Net(), IMAGES * 2 + 1)
        assert score_module(Two(), IMAGES, forward_args=(2.0,), forward_kwargs={"shift": 1.0}) == expected
        with pytest.raises(ValueError, match=r"missing a required argument: 'scale'; pass further arguments by forward_args"):
            score_module(Two(), IMAGES)

    def test_that_differentiates_itself(self) -> None:
        class Gradient(Net):
            def forward(self, x: torch.Tensor) -> Any:
                with torch.enable_grad():
                    x = x if x.requires_grad else x.requires_grad_()
                    return torch.autograd.grad(super().forward(x).sum(), x, create_graph=True)[0]

        result = score_module(Gradient(), IMAGES)
        assert result.num_units == Net().num_units()

    def test_that_asks_whether_there_is_a_graph(self) -> None:
        class Asks(Net):
            def forward(self, x: torch.Tensor) -> Any:
                return super().forward(F.relu(x) if torch.is_grad_enabled() else x)

        assert score_module(Asks(), IMAGES).num_units == IMAGES[0].numel() + Net().num_units()

    def test_that_remembers_its_last_call(self) -> None:
        class Remembers(Net):
            memory: torch.Tensor | None = None

            def forward(self, x: torch.Tensor) -> Any:
                if not hasattr(self, "extra"):
                    self.register_buffer("extra", torch.zeros(len(x), 1, 1, 1))
                self.memory = x if self.memory is None else self.memory + x
                return super().forward(self.memory + self.get_buffer("extra"))

        net = Remembers()
        before = list(vars(net))
        assert score_module(net, IMAGES) == score_module(Net(), IMAGES)
        assert list(vars(net)) == before
        assert net.memory is None
        assert "extra" not in net.state_dict()

    def test_hooks_on_the_backward_pass(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True))
        expected = score_module(net, IMAGES)
        called: list[nn.Module] = []
        for one in net:
            one.register_full_backward_hook(lambda module, *_: called.append(module))
        assert score_module(net, IMAGES) == expected
        net[0](IMAGES.clone().requires_grad_()).sum().backward()
        assert called == [net[0]], "they are there again"

    def test_that_draws_layers_at_random(self) -> None:
        """Layers that are dropped by a number drawn after others are not the same for three images."""

        class LayerDrop(Net):
            def forward(self, x: torch.Tensor) -> Any:
                x = F.dropout(x, 0.1)
                x = F.relu(x) if torch.rand(()) < 0.5 else x
                return super().forward(x)

        results = [score_module(LayerDrop(), IMAGES[:, :, :, :15], batch_dim=0, seed=seed) for seed in range(8)]
        assert {len(result.activations) for result in results} == {2, 3}
