"""The program of a network computes what the plan wants, in an order in which everything that is read has been written.

The tests of the engines check that it computes the right kernels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from naswot_ray.network import Network, NetworkBuilder, ops
from naswot_ray.network.program import Combine, Convolve, Instruction, Place, Pool, Program, View, make_program
from naswot_ray.spaces import get_space
from tests.network.strategies import networks


def reads(instruction: Instruction) -> list[tuple[View, bool]]:
    """The views that an instruction reads, and whether they are normalised."""
    if isinstance(instruction, Combine):
        return [(term.view, term.normalised) for term in instruction.terms]
    return [(instruction.input, False)]


def writes(instruction: Instruction, program: Program) -> list[tuple[int, range]]:
    """The tensors to which an instruction writes, and which of their channels."""
    if isinstance(instruction, Combine):
        places = [place for place in (instruction.total, instruction.rectified) if place is not None]
        return [(place.index, range(place.offset, place.offset + instruction.shape[0])) for place in places]
    return [(instruction.output, range(program.tensors[instruction.output].shape[0]))]


def codes_of(program: Program) -> Iterator[tuple[Place, int]]:
    """Where codes are taken, and of how many channels."""
    for phase in program.phases:
        for instruction in phase:
            if isinstance(instruction, Combine):
                for place in (instruction.codes, *(term.codes for term in instruction.terms)):
                    if place is not None:
                        yield place, instruction.shape[0]


@settings(max_examples=200, deadline=None)
@given(networks())
def test_all_is_there_when_it_is_read(network: Network) -> None:
    program = make_program(network.plan)
    written = {(0, c) for c in range(3)} if program.tensors else set()
    complete = set(written)  # it was written in an earlier phase
    for number, phase in enumerate(program.phases):
        for instruction in phase:
            for view, normalised in reads(instruction):
                tensor = program.tensors[view.tensor]
                channels = {(view.tensor, c) for c in range(view.offset, view.offset + view.channels)}
                assert channels <= (complete if normalised and view.tensor else written)
                assert tensor.normalised or not normalised
                assert tensor.first <= number <= tensor.last
                assert number > tensor.ready or not normalised
                if isinstance(instruction, Convolve):
                    assert tensor.padding >= max(instruction.op.padding)
            for index, places in writes(instruction, program):
                assert not written & {(index, c) for c in places}, "written twice"
                written |= {(index, c) for c in places}
        complete = set(written)


@settings(max_examples=200, deadline=None)
@given(networks())
def test_every_unit_has_its_code_once(network: Network) -> None:
    program = make_program(network.plan)
    shapes = {step.node: step.shape for step in network.plan.steps}
    taken = Counter((place.index, place.offset + c) for place, channels in codes_of(program) for c in range(channels))
    wanted = {(i, c) for i, codes in enumerate(program.codes) if codes.node is not None for c in range(shapes[codes.node][0])}
    assert set(taken) == wanted
    assert set(taken.values()) <= {1}


@settings(max_examples=200, deadline=None)
@given(networks())
def test_layers_and_pools_are_computed_once(network: Network) -> None:
    program = make_program(network.plan)
    found = [i.op for phase in program.phases for i in phase if isinstance(i, Convolve | Pool)]
    planned = [step.op for step in network.plan.steps if isinstance(step.op, ops.Conv | ops.AvgPool | ops.MaxPool)]
    assert Counter(found) == Counter(planned)


def test_one_pass_between_two_convolutions() -> None:
    """Normalising, rectifying, adding and taking codes need no pass of their own."""
    network = get_space("nasbench201").network("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
    plain = get_space("nasbench201").network("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
    for net in (network, plain):
        program = make_program(net.plan)
        kinds = Counter(type(i).__name__ for phase in program.phases for i in phase)
        num_sums = len([c for c in program.codes if c.node is not None])
        assert kinds["Combine"] <= num_sums + 1, "a pass for each tensor that has codes, and one for the sum that BN reads"


def test_a_concatenation_is_not_copied() -> None:
    """The parts are written where their reader wants them."""
    b = NetworkBuilder((3, 8, 8))
    parts = [b.relu(b.batch_norm(b.conv(b.input, channels, 1))) for channels in (2, 3)]
    x = b.conv(b.concat(*parts), 4, 3, padding=1)
    network = b.build(b.relu(x), arch_id="concat")
    program = make_program(network.plan)
    joined = next(n for n, tensor in enumerate(program.tensors) if tensor.shape == (5, 8, 8))
    combines = [i for phase in program.phases for i in phase if isinstance(i, Combine)]
    assert [c.total for c in combines if c.total is not None] == [Place(joined, 0), Place(joined, 2)]


def test_what_is_read_once_rectified_is_rectified() -> None:
    """A ReLU reads another one's output: the signs are those before the first one, but the values differ."""
    b = NetworkBuilder((3, 8, 8))
    rectified = b.relu(b.batch_norm(b.conv(b.input, 4, 1)))
    network = b.build(b.relu(b.concat(rectified, b.conv(rectified, 4, 1))), arch_id="twice")
    program = make_program(network.plan)
    index = len(program.codes) - 1
    (combine,) = (
        i
        for phase in program.phases
        for i in phase
        if isinstance(i, Combine) and i.codes is not None and (i.codes.index, i.codes.offset) == (index, 0)
    )
    assert [(term.normalised, term.rectified) for term in combine.terms] == [(True, True)]


def test_relus_behind_a_global_pool() -> None:
    b = NetworkBuilder((3, 8, 8))
    network = b.build(b.relu(b.global_avg_pool(b.conv(b.input, 4, 3))), arch_id="pooled")
    (pool,) = (i for phase in make_program(network.plan).phases for i in phase if isinstance(i, Pool))
    assert pool.op == ops.AvgPool(6, 6)
    b = NetworkBuilder((3, 8, 6))
    network = b.build(b.relu(b.global_avg_pool(b.input)), arch_id="not square")
    with pytest.raises(ValueError, match="behind a global pool of 8x6 pixels"):
        make_program(network.plan)


def test_a_relu_behind_a_linear_layer_is_refused() -> None:
    b = NetworkBuilder((3, 8, 8))
    network = b.build(b.relu(b.linear(b.global_avg_pool(b.input), 5)), arch_id="mlp")
    with pytest.raises(ValueError, match="behind a linear layer"):
        make_program(network.plan)
