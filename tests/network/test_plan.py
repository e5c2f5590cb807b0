"""The plan: what counts, what is shared, what is computed, and how long it is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import event, given, settings

from naswot_ray import philox
from naswot_ray.engines.exact import ExactEngine
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.measures.kernel import Kernels
from naswot_ray.network import Network, NetworkBuilder, ops
from naswot_ray.network.plan import Codes
from tests.engines.forward import kernels_of
from tests.network.oracle import measure
from tests.network.strategies import ancestors, networks, relus

IMAGES = torch.from_numpy(philox.normal(("test images",), 4 * 3 * 8 * 8).reshape(4, 3, 8, 8))


def _kernels(network: Network) -> Kernels:
    return kernels_of(ExactEngine(), network, IMAGES, SeededWeights(network, 0))


@settings(max_examples=400, deadline=None)
@given(networks())
def test_kernels_are_those_of_a_naive_run(network: Network) -> None:
    measured = measure(network, IMAGES, SeededWeights(network, 0))
    kernels = _kernels(network)
    num_relus = len(relus(network))
    event("live ReLUs: " + ("none" if not measured.live_relus else "all" if len(measured.live_relus) == num_relus else "some"))
    np.testing.assert_array_equal(kernels.published, measured.published)
    np.testing.assert_array_equal(kernels.paper, measured.paper)


@settings(max_examples=300, deadline=None)
@given(networks())
def test_counts_are_those_of_the_reached_relus(network: Network) -> None:
    live = measure(network, IMAGES, SeededWeights(network, 0)).live_relus
    units = {position: int(np.prod(network.nodes[position].shape)) for position in live}
    assert network.num_relus == len(live)
    assert network.num_units_paper == sum(units.values())
    assert network.num_units == sum(op.multiplicity * units[i] for i, op in relus(network) if i in units)


@settings(max_examples=300, deadline=None)
@given(networks())
def test_steps_are_needed_and_released_by_their_last_reader(network: Network) -> None:
    plan = network.plan
    assert [step.node for step in plan.steps] == sorted({step.node for step in plan.steps}), "once each, in order"
    held: set[int] = set()
    for k, step in enumerate(plan.steps):
        assert held.issuperset(step.inputs), "an input was released too early or never computed"
        held.add(step.node)
        read_later = {i for later in plan.steps[k + 1 :] for i in later.inputs}
        assert set(step.last_used) == held - read_later, "a value is kept after its last reader"
        held -= set(step.last_used)
    assert not held

    wanted = {codes.node for codes in plan.codes if codes.node is not None}
    needed = set(wanted)
    for step in reversed(plan.steps):
        if step.node in needed:
            needed.update(step.inputs)
    assert needed == {step.node for step in plan.steps}, "something is computed that no counted ReLU needs"


@settings(max_examples=300, deadline=None)
@given(networks())
def test_steps_never_repeat_a_computation(network: Network) -> None:
    done = [(step.op, step.inputs) for step in network.plan.steps if not isinstance(step.op, ops.Zero | ops.Relu)]
    assert len(done) == len(set(done))
    nodes = [codes.node for codes in network.plan.codes if codes.node is not None]
    assert len(nodes) == len(set(nodes)), "one Gram matrix a tensor"


@settings(max_examples=200, deadline=None)
@given(networks())
def test_no_layer_of_a_dead_branch_is_computed(network: Network) -> None:
    """Operations without weights may be shared: a live one can be replaced by its dead twin."""
    computed = {step.node for step in network.plan.steps if isinstance(step.op, ops.Weighted)}
    assert computed <= ancestors(network, network.output)


@settings(max_examples=200, deadline=None)
@given(networks())
def test_planned_zeros_are_zero_in_the_run(network: Network) -> None:
    """A step that is materialised as zeros represents a tensor that is zero for every image."""
    values = measure(network, IMAGES, SeededWeights(network, 0)).values
    for step in network.plan.steps:
        if isinstance(step.op, ops.Zero):
            assert not values[step.node].any()
            assert tuple(values[step.node].shape[1:]) == step.shape


def test_relus_of_one_tensor_share_a_gram_matrix() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.batch_norm(b.conv(b.input, 4, 3, padding=1))
    left = b.conv(b.relu(x, multiplicity=2), 4, 1)
    right = b.conv(b.relu(x), 4, 1)
    network = b.build(b.add(left, right, b.relu(x, multiplicity=3)), arch_id="shared")
    assert network.plan.codes == (Codes(node=x, num_units=4 * 8 * 8, num_relus=3, multiplicity=6),)
    assert [step.op for step in network.plan.steps] == [network.nodes[i].op for i in (b.input, x - 1, x)]
    assert (network.num_relus, network.num_units_paper, network.num_units) == (3, 3 * 256, 6 * 256)


def test_equal_convolutions_of_one_tensor_are_not_shared() -> None:
    """Each has weights of its own, so they are not shared."""
    b = NetworkBuilder((3, 8, 8))
    first, second = (b.conv(b.input, 4, 3, padding=1) for _ in range(2))
    network = b.build(b.add(b.relu(first), b.relu(second)), arch_id="twins")
    assert [codes.node for codes in network.plan.codes] == [first, second]
    assert not np.array_equal(_kernels(network).published, 2 * measure(network, IMAGES, SeededWeights(network, 0)).published)


def test_equal_operations_without_weights_are_shared() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.conv(b.input, 4, 3, padding=1)
    pooled = [b.relu(b.avg_pool(b.relu(x, multiplicity=m), 3, padding=1)) for m in (1, 2)]
    network = b.build(b.add(*pooled), arch_id="pools")
    assert [(codes.num_relus, codes.multiplicity) for codes in network.plan.codes] == [(2, 3), (2, 2)]
    assert len(network.plan.steps) == 4, "input, convolution, ReLU, pool"


def test_pools_that_differ_are_not_shared() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.conv(b.input, 4, 3)
    pools = (b.avg_pool(x, 2, stride=2), b.max_pool(x, 2, stride=2), b.max_pool(x, 3, stride=2, padding=1))
    network = b.build(b.add(*(b.relu(pool) for pool in pools)), arch_id="different")
    assert [codes.node for codes in network.plan.codes] == list(pools)


def test_relus_upstream_of_a_zero_count() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.conv(b.input, 4, 3, padding=1)
    network = b.build(b.add(b.zero(b.relu(x)), b.conv(b.input, 4, 1)), arch_id="upstream")
    assert network.num_units == 4 * 8 * 8
    np.testing.assert_array_equal(_kernels(network).published, measure(network, IMAGES, SeededWeights(network, 0)).published)


def test_relus_downstream_of_a_zero_agree_for_all_images() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.batch_norm(b.conv(b.relu(b.zero(b.input, stride=2), multiplicity=2), 5, 3, padding=1))
    network = b.build(b.relu(x), arch_id="downstream")
    assert network.plan.steps == ()
    assert {(codes.node, codes.num_units, codes.multiplicity) for codes in network.plan.codes} == {(None, 48, 2), (None, 80, 1)}
    assert (_kernels(network).published == 2 * 48 + 80).all()
    assert (_kernels(network).paper == 48 + 80).all()


def test_nothing_is_computed_for_zeros() -> None:
    """The operand of a multiplication by zero need not be computed, unless a ReLU there counts."""
    b = NetworkBuilder((3, 8, 8))
    x = b.conv(b.input, 4, 3, padding=1)
    zero = b.zero(b.conv(b.relu(x), 4, 1))
    normalised = b.batch_norm(b.input)
    joined = b.concat(normalised, zero)
    network = b.build(b.relu(joined), arch_id="zeros")
    steps = {step.node: step for step in network.plan.steps}
    assert sorted(steps) == [b.input, x, zero, normalised, joined]
    assert steps[zero].inputs == ()
    np.testing.assert_array_equal(_kernels(network).published, measure(network, IMAGES, SeededWeights(network, 0)).published)


def test_dead_relu_does_not_count() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.conv(b.input, 4, 3)
    b.relu(b.conv(b.relu(x), 4, 1))
    alive = b.relu(x, multiplicity=2)
    network = b.build(alive, arch_id="dead")
    assert (network.num_relus, network.num_units) == (1, 2 * 4 * 6 * 6)
    assert network.num_layers == 2, "the dead convolution is still a trainable layer"


def test_network_without_live_relu() -> None:
    b = NetworkBuilder((3, 8, 8))
    b.relu(b.input)
    network = b.build(b.linear(b.global_avg_pool(b.conv(b.input, 4, 3)), 10), arch_id="linear")
    assert (network.num_relus, network.num_units, network.plan.steps) == (0, 0, ())
    assert not _kernels(network).published.any()


def test_classifier_is_not_computed() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.batch_norm(b.conv(b.input, 4, 3))
    network = b.build(b.linear(b.global_avg_pool(b.relu(x)), 10), arch_id="head")
    assert [step.node for step in network.plan.steps] == [b.input, x - 1, x]


@pytest.mark.parametrize("zero", [False, True])
def test_relu_behind_a_linear_layer_is_refused(zero: bool) -> None:
    """Its bias would enter the code, even for images of zeros."""
    b = NetworkBuilder((3, 8, 8))
    x = b.linear(b.global_avg_pool(b.zero(b.input) if zero else b.input), 5)
    network = b.build(b.relu(x), arch_id="mlp")
    with pytest.raises(ValueError, match="behind a linear layer"):
        _kernels(network)


def test_images_of_the_wrong_shape_are_refused() -> None:
    b = NetworkBuilder((3, 8, 8))
    network = b.build(b.relu(b.input), arch_id="relu")
    with pytest.raises(ValueError, match=r"images of shape \(3, 4, 4\) for a network that takes \(3, 8, 8\)"):
        kernels_of(ExactEngine(), network, IMAGES[:, :, :4, :4], SeededWeights(network, 0))
