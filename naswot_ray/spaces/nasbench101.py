"""NAS-Bench-101: the 423,624 cells of at most 7 vertices and 9 edges, and their networks.

Source: Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search" (ICML 2019), section 2. Operations, and
the terms of each sum, are in the order of the published NASWOT code. No benchmark file is needed: `nasbench101_cells` lists
the cells, and `nasbench101_hashes` hashes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from naswot_ray.citation import Citation
from naswot_ray.errors import ArchitectureError, SettingsError
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.network.graph import Initialisation
from naswot_ray.spaces.base import Space
from naswot_ray.spaces.facts import Facts
from naswot_ray.spaces.nasbench101_cells import MAX_VERTICES, OPS, Cell, edge_bit, list_cells, prune, read_cell, read_spec
from naswot_ray.spaces.nasbench101_hashes import HashTable, hash_cell, load_hashes

NUM_STACKS = 3
CELLS_PER_STACK = 3
PUBLISHED_STEM_CHANNELS = 16

MAX_STEM_CHANNELS, MAX_REPEATS = 100_000, 100
"""Upper limits of the parameters, far above what fits into a machine. Building a network of 10^9 cells would never end."""
TRAINED_STEM_CHANNELS = 128
INITIALISATION: Initialisation = "normal_fan_out"


class NasBench101(Space):
    """All 423,624 cells. A network is several stacks of one cell, with max pools between the stacks.

    Cells are in the order of the benchmark's generator: by number of vertices, then by the bits of the matrix, then by the
    operations (`nasbench101_cells`). An arch_id is the module hash of the benchmark. The benchmark itself iterates in the order
    of the hashes; `benchmark_index` is the position in that order.

    Args:
        stem_channels: output channels of the stem, and width of the first stack; each later stack doubles it. The published
            scores use 16, the trained networks 128.
        num_stacks: how many stacks there are.
        cells_per_stack: how many cells each stack has.

    Raises:
        SettingsError: a parameter is too small for a network.
    """

    name = "nasbench101"
    notations = (
        "a module hash, the rank of the hash in the benchmark, a pair (matrix, operations), a ModelSpec, or a dict with "
        "module_adjacency and module_operations"
    )
    facts = Facts(
        title="NAS-Bench-101",
        citation=Citation(
            key="ying2019nasbench101",
            title="{NAS-Bench-101}: Towards Reproducible Neural Architecture Search",
            authors=(
                "Ying, Chris",
                "Klein, Aaron",
                "Christiansen, Eric",
                "Real, Esteban",
                "Murphy, Kevin",
                "Hutter, Frank",
            ),
            venue="International Conference on Machine Learning",
            year=2019,
        ),
        source="https://github.com/google-research/nasbench",
        terms="its repository's, Apache-2.0",
        arch_id_pattern=re.compile(r"[0-9a-f]{32}"),
    )

    def __init__(
        self,
        stem_channels: int = PUBLISHED_STEM_CHANNELS,
        num_stacks: int = NUM_STACKS,
        cells_per_stack: int = CELLS_PER_STACK,
    ) -> None:
        most_split = MAX_VERTICES - 2  # vertices of one cell that may share the channels
        if stem_channels < most_split:
            raise SettingsError(
                f"stem_channels={stem_channels}: expected at least {most_split}, because a cell may split them that many ways"
            )
        if stem_channels > MAX_STEM_CHANNELS:
            raise SettingsError(f"stem_channels={stem_channels}: expected at most {MAX_STEM_CHANNELS:,}")
        for parameter, value in (("num_stacks", num_stacks), ("cells_per_stack", cells_per_stack)):
            if value < 1:
                raise SettingsError(f"{parameter}={value}: expected at least 1")
            if value > MAX_REPEATS:
                raise SettingsError(f"{parameter}={value}: expected at most {MAX_REPEATS}")
        self.stem_channels = stem_channels
        self.num_stacks = num_stacks
        self.cells_per_stack = cells_per_stack
        self._cells = list_cells()
        self._table: HashTable | None = None
        # Hashes that were computed one by one, so that a shard does not need the table of all.
        self._hash_at: dict[int, str] = {}
        self._index_of: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """The state that is sent to workers: the cells (3 MB) and, if it is loaded, the table of hashes (8 MB)."""
        return self.__dict__ | {"_hash_at": {}, "_index_of": {}}

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of nasbench101 (0..{len(self) - 1})")
        if self._table is not None:
            return self._table.hash(index)
        if index not in self._hash_at:
            arch_id = hash_cell(self._cells[index])
            self._hash_at[index] = arch_id
            self._index_of[arch_id] = index
        return self._hash_at[index]

    def __iter__(self) -> Iterator[str]:
        table = self._hashes()
        return (table.hash(index) for index in range(len(self)))

    def index(self, arch_id: str) -> int:
        """The position of a cell in the order of the space. Loads the table of all hashes unless `space[i]` gave this hash.

        Raises:
            ArchitectureError: the hash is malformed, or not in the space.
        """
        if arch_id in self._index_of:
            return self._index_of[arch_id]
        _check_hash(arch_id)
        index = self._hashes().index(arch_id)
        if index is None:
            raise _not_in_space(arch_id)
        return index

    def arch_id_of(self, architecture: object) -> str:
        """As in `Space`; also of a matrix with operations (see `read_spec`), which is pruned and hashed.

        Isomorphic cells have one hash, so each of them gives the arch_id of the cell that the benchmark chose. An int is the
        rank among the sorted hashes (`benchmark_index`), not the position in this space.
        """
        cell = read_spec(architecture)
        return super().arch_id_of(architecture) if cell is None else hash_cell(cell)

    def _at_benchmark_index(self, index: int) -> str:
        table = self._hashes()
        return table.hash(int(table.by_hash[index]))

    def network(self, arch_id: str, *, input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10) -> Network:
        return self._build(arch_id, self.stem_channels, self.num_stacks, self.cells_per_stack, input_shape, num_classes)

    def trained_network(self, arch_id: str) -> Network:
        """The network with 128 channels and three stacks of three cells, for any parameters of the space."""
        size = self.image_size
        shape = (3, size, size)
        return self._build(arch_id, TRAINED_STEM_CHANNELS, NUM_STACKS, CELLS_PER_STACK, shape, self.num_classes)

    def neighbours(self, arch_id: str) -> list[str]:
        """The cells of the space that result from flipping one edge or changing one operation; flipped edges come first.

        Vertices that a flip takes off every path from input to output are removed. A neighbour can therefore have fewer
        vertices, but never more, and this cell need not be among the neighbours of its neighbour.
        """
        cell = self._cells[self.index(arch_id)]
        found: dict[str, None] = {}
        for changed in _one_change_away(cell):
            try:
                pruned = prune(changed)
            except ArchitectureError:  # the flip cut the last path
                continue
            if pruned.in_space:
                found[hash_cell(pruned)] = None
        found.pop(arch_id, None)
        return list(found)

    def isomorphism_class(self, arch_id: str) -> str:
        """The arch_id itself: the space holds one cell of each isomorphism class, and isomorphic cells have the same hash."""
        self.index(arch_id)
        return arch_id

    def architecture(self, arch_id: str) -> str:
        """The cell as JSON: `{"matrix": [[0,1],[0,0]], "ops": ["input","output"]}`."""
        cell = self._cells[self.index(arch_id)]
        return json.dumps({"matrix": cell.matrix, "ops": cell.ops}, separators=(",", ":"))

    def benchmark_index(self, arch_id: str) -> int:
        """The position among the sorted hashes, in which the benchmark iterates. Needs the table of all hashes."""
        _check_hash(arch_id)
        rank = self._hashes().rank(arch_id)
        if rank is None:
            raise _not_in_space(arch_id)
        return rank

    def prepare(self) -> None:
        """Load the table of all hashes from the cache directory; if it is not there, compute it (half a minute) and save it."""
        self._hashes()

    def settings(self) -> Mapping[str, Any]:
        return {
            "stem_channels": self.stem_channels,
            "num_stacks": self.num_stacks,
            "cells_per_stack": self.cells_per_stack,
            "initialisation": INITIALISATION,
        }

    def _hashes(self) -> HashTable:
        if self._table is None:
            self._table = load_hashes()
        return self._table

    def _build(
        self,
        arch_id: str,
        stem_channels: int,
        num_stacks: int,
        cells_per_stack: int,
        input_shape: Sequence[int],
        num_classes: int,
    ) -> Network:
        cell = self._cells[self.index(arch_id)]
        return build_network(
            cell.matrix,
            cell.ops,
            arch_id=arch_id,
            stem_channels=stem_channels,
            num_stacks=num_stacks,
            cells_per_stack=cells_per_stack,
            input_shape=input_shape,
            num_classes=num_classes,
        )


SPACES = {NasBench101.name: NasBench101}


def build_network(
    matrix: Sequence[Sequence[int]],
    ops: Sequence[str],
    *,
    arch_id: str,
    stem_channels: int = PUBLISHED_STEM_CHANNELS,
    num_stacks: int = NUM_STACKS,
    cells_per_stack: int = CELLS_PER_STACK,
    input_shape: Sequence[int] = (3, 32, 32),
    num_classes: int = 10,
) -> Network:
    """The network of any cell, inside or outside the space, with any number of vertices and edges. The cell is pruned first.

    Args:
        matrix: upper-triangular adjacency matrix of 0 and 1.
        ops: for each vertex one of `nasbench101_cells.OPS`; the first and the last are ignored.
        arch_id: the key of the weights.
        stem_channels, num_stacks, cells_per_stack: as in `NasBench101`.
        input_shape: `(channels, height, width)` of one image.
        num_classes: width of the classifier.

    Raises:
        ArchitectureError: it is not a cell (see `read_cell`, `prune`), or it has more branches than channels.
    """
    cell = prune(read_cell(matrix, ops))
    channels = stem_channels
    b = NetworkBuilder(input_shape)
    x = _conv_bn_relu(b, b.input, channels, 3)
    for stack in range(num_stacks):
        if stack > 0:
            x = b.max_pool(x, 2, stride=2)
            channels *= 2
        for _ in range(cells_per_stack):
            x = _cell(b, x, cell, channels)
    return b.build(b.linear(b.global_avg_pool(x), num_classes), arch_id=arch_id, initialisation=INITIALISATION)


def vertex_channels(cell: Cell, channels: int) -> list[int]:
    """The output channels of each vertex of a pruned cell; the input's entry is 0 (the benchmark's `compute_vertex_channels`).

    The channels of the cell are split evenly over the vertices that feed the output. If they do not divide, the first of these
    vertices get one more each. Every other vertex has as many channels as the widest vertex that it feeds.

    Raises:
        ArchitectureError: there are fewer channels than vertices that feed the output.
    """
    last = cell.num_vertices - 1
    sources = [cell.sources(vertex) for vertex in range(cell.num_vertices)]
    widths = [0] * last + [channels]
    branches = [vertex for vertex in sources[last] if vertex > 0]
    if len(branches) > channels:
        raise ArchitectureError(f"{len(branches)} vertices feed the output, which has only {channels} channels to split")
    for place, vertex in enumerate(branches):
        widths[vertex] = channels // len(branches) + (place < channels % len(branches))
    for vertex in range(last - 1, 0, -1):
        if vertex not in branches:
            widths[vertex] = max(widths[target] for target in range(vertex + 1, last) if vertex in sources[target])
    return widths


def _cell(b: NetworkBuilder, x: int, cell: Cell, channels: int) -> int:
    """Append a cell. Operations, and the terms of each sum, are in the order of the published code."""
    last = cell.num_vertices - 1
    widths = vertex_channels(cell, channels)
    values = [x]
    for vertex in range(1, last):
        sources = cell.sources(vertex)
        terms = [_truncated(b, values[source], widths[vertex]) for source in sources if source > 0]
        if 0 in sources:
            terms.append(_conv_bn_relu(b, x, widths[vertex], 1))
        values.append(_operation(b, b.add(*terms), OPS[cell.labels[vertex - 1]]))
    sources = cell.sources(last)
    terms = []
    if branches := [values[source] for source in sources if source > 0]:
        terms.append(b.concat(*branches) if len(branches) > 1 else branches[0])
    if 0 in sources:
        terms.append(_conv_bn_relu(b, x, channels, 1))
    return b.add(*terms)


def _operation(b: NetworkBuilder, x: int, op: str) -> int:
    channels = b.shape(x)[0]
    match op:
        case "maxpool3x3":
            return b.max_pool(x, 3, padding=1)
        case "conv1x1-bn-relu":
            return _conv_bn_relu(b, x, channels, 1)
        case _:
            return _conv_bn_relu(b, x, channels, 3)


def _conv_bn_relu(b: NetworkBuilder, x: int, channels: int, kernel: int) -> int:
    # The hook of the published code does not match the name of this block ("ConvBnRelu"), so the ReLU counts once.
    return b.relu(b.batch_norm(b.conv(x, channels, kernel, padding=kernel // 2)))


def _truncated(b: NetworkBuilder, x: int, channels: int) -> int:
    return x if b.shape(x)[0] == channels else b.truncate(x, channels)


def _one_change_away(cell: Cell) -> Iterator[Cell]:
    for y in range(1, cell.num_vertices):
        for x in range(y):
            yield Cell(cell.bits ^ (1 << edge_bit(x, y)), cell.labels)
    for place, label in enumerate(cell.labels):
        for other in range(len(OPS)):
            if other != label:
                yield Cell(cell.bits, (*cell.labels[:place], other, *cell.labels[place + 1 :]))


def _check_hash(arch_id: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{32}", arch_id):
        raise ArchitectureError(f"{arch_id!r} is not a module hash: expected 32 hexadecimal digits, lower case")


def _not_in_space(arch_id: str) -> ArchitectureError:
    return ArchitectureError(f"{arch_id!r} is not the module hash of one of the 423,624 cells of nasbench101")
