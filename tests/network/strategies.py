"""Random small networks for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from naswot_ray.network import Network, NetworkBuilder, ops

KINDS = (
    "conv",
    "strided conv",
    "grouped conv",
    "dilated conv",
    "flat conv",
    "shift",
    "batch norm",
    "relu",
    "relu",
    "relu",
    "relu twice",
    "relu twice",
    "avg pool",
    "max pool",
    "strided pool",
    "add",
    "add",
    "concat",
    "truncate",
    "zero",
    "strided zero",
)
_MAX_CHANNELS = 12


@st.composite
def networks(draw: st.DrawFn, max_nodes: int = 20) -> Network:
    """A network of up to `max_nodes` random operations on 3 x 8 x 8 images, whose logits read one to three of them.

    Dead branches, sums of a value with itself, repeated operations and zeros of every kind are common.
    """
    b = NetworkBuilder((3, 8, 8))
    nodes = [b.input]
    num_nodes = draw(st.integers(5, max_nodes))
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=num_nodes, max_size=num_nodes)):
        x = nodes[-1 - min(draw(st.sampled_from([0, 0, 1, 1, 2, 4])), len(nodes) - 1)]
        nodes.append(_append(draw, b, nodes, kind, x))
    read = draw(st.lists(st.sampled_from(nodes[-4:]), min_size=1, max_size=3))
    classified = draw(st.booleans())
    output = b.linear(b.concat(*(b.global_avg_pool(node) for node in read)), 3) if classified else read[0]
    return b.build(output, arch_id=f"random-{draw(st.integers(0, 9))}")


def _append(draw: st.DrawFn, b: NetworkBuilder, nodes: list[int], kind: str, x: int) -> int:
    channels, *size = b.shape(x)
    match kind:
        case "conv":
            kernel = draw(st.sampled_from([1, 3]))
            return b.conv(x, draw(st.integers(1, 5)), kernel, padding=kernel // 2)
        case "strided conv":
            return b.conv(x, draw(st.integers(1, 5)), 3, stride=2, padding=1)
        case "grouped conv":
            return b.conv(x, 2 * channels, 3, padding=1, groups=channels) if 2 * channels <= _MAX_CHANNELS else b.relu(x)
        case "dilated conv":
            return b.conv(x, channels, 3, padding=2, dilation=2)
        case "flat conv":
            return b.conv(x, channels, (1, 3), stride=(1, 2), padding=(0, 1))
        case "shift":
            return b.shift(x)
        case "batch norm":
            return b.batch_norm(x)
        case "relu":
            return b.relu(x)
        case "relu twice":
            return b.relu(x, multiplicity=2)
        case "avg pool":
            return b.avg_pool(x, 3, padding=1)
        case "max pool":
            return b.max_pool(x, 3, padding=1)
        case "strided pool" if min(size) >= 2:
            pool = draw(st.sampled_from([b.avg_pool, b.max_pool]))
            return pool(x, 2, stride=2)
        case "add":
            same = [node for node in nodes if b.shape(node) == b.shape(x)]
            return b.add(x, *draw(st.lists(st.sampled_from(same), max_size=3)))
        case "concat":
            same = [node for node in nodes if b.shape(node)[1:] == b.shape(x)[1:]]
            others = draw(st.lists(st.sampled_from(same), max_size=2))
            fits = channels + sum(b.shape(node)[0] for node in others) <= _MAX_CHANNELS
            return b.concat(x, *others) if fits else b.concat(x)
        case "truncate":
            return b.truncate(x, draw(st.integers(1, channels)))
        case "strided zero":
            return b.zero(x, stride=2)
        case _:
            return b.zero(x)


def ancestors(network: Network, position: int) -> set[int]:
    """A node and everything on which it depends."""
    found = {position}
    for i in network.nodes[position].inputs:
        found |= ancestors(network, i)
    return found


def relus(network: Network) -> list[tuple[int, ops.Relu]]:
    """All ReLUs, dead or alive, with their positions."""
    return [(i, node.op) for i, node in enumerate(network.nodes) if isinstance(node.op, ops.Relu)]
