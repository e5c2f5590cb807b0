"""Makes a program store the values of the tensors that live ReLUs read, and tells where they are in memory.

A program does not store all of them by itself. A normalised tensor is never stored, but the raw tensor and its statistics are,
and they are enough. A sum is stored only if another instruction reads it, and the parts of a concatenation may lie in different
tensors. `store_values` adds what is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from naswot_ray.network.program import Combine, Instruction, Place, Program, Tensor, Term, View


@dataclass(frozen=True, slots=True)
class Value:
    """What a ReLU reads: a view of a stored tensor, which is to be normalised if `normalised` is true."""

    view: View
    normalised: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some channels of a coded tensor.

    Attributes:
        offset: the first channel.
        combine: the combination that computes the value or reads it.
        position: phase of the combination, and its number within the phase.
        term: the term whose value, before rectification, is meant; None: the combination's sum is meant.
    """

    offset: int
    combine: Combine
    position: tuple[int, int]
    term: Term | None

    def stored(self) -> Value | None:
        """Where the program stores the value; None if it does not."""
        if self.term is not None:
            return Value(self.term.view, self.term.normalised)
        combine = self.combine
        if combine.total is not None:
            return Value(View(combine.total.index, combine.total.offset, combine.shape[0]), normalised=False)
        if len(combine.terms) == 1 and not combine.terms[0].rectified:
            return Value(combine.terms[0].view, combine.terms[0].normalised)
        return None


def store_values(program: Program) -> tuple[Program, dict[int, Value]]:
    """Extend a program such that it also stores what its ReLUs read.

    The added instructions come last. Each may run as soon as what it reads is complete.

    Returns:
        the program, and index of codes -> where the values are, for all codes that are computed.
    """
    tensors = list(program.tensors)
    phases: list[list[Instruction]] = [list(phase) for phase in program.phases]
    copies: list[Instruction] = []
    values: dict[int, Value] = {}
    for index, pieces in _pieces(program).items():
        found = _as_one([piece.stored() for piece in pieces])
        if found is None:
            channels = sum(piece.combine.shape[0] for piece in pieces)
            found = Value(View(len(tensors), 0, channels), normalised=False)
            tensors.append(Tensor((channels, *pieces[0].combine.shape[1:])))
            for piece in pieces:
                place, stored = Place(found.view.tensor, piece.offset), piece.stored()
                if stored is None:
                    phase, number = piece.position
                    phases[phase][number] = replace(piece.combine, total=place)
                else:
                    copies.append(Combine(piece.combine.shape, [Term(stored.view, stored.normalised)], total=place))
        values[index] = found
    return Program(tuple(tensors), (*map(tuple, phases), tuple(copies)), program.codes), values


def _pieces(program: Program) -> dict[int, list[_Piece]]:
    """Index of codes -> the pieces of their tensor, in the order of its channels."""
    pieces: defaultdict[int, list[_Piece]] = defaultdict(list)
    for phase, instructions in enumerate(program.phases):
        for number, instruction in enumerate(instructions):
            if isinstance(instruction, Combine):
                if instruction.codes is not None:
                    place = instruction.codes
                    pieces[place.index].append(_Piece(place.offset, instruction, (phase, number), None))
                for term in instruction.terms:
                    if term.codes is not None:
                        pieces[term.codes.index].append(_Piece(term.codes.offset, instruction, (phase, number), term))
    return {index: sorted(found, key=lambda piece: piece.offset) for index, found in sorted(pieces.items())}


def _as_one(values: Sequence[Value | None]) -> Value | None:
    """The value that the pieces form together, if they are consecutive channels of one tensor; else None."""
    first = values[0]
    end = first
    for value in values[1:]:
        if end is None or value is None or end.normalised != value.normalised or end.view.tensor != value.view.tensor:
            return None
        if value.view.offset != end.view.offset + end.view.channels:
            return None
        end = value
    if first is None or end is None:
        return None
    channels = end.view.offset + end.view.channels - first.view.offset
    return Value(View(first.view.tensor, first.view.offset, channels), first.normalised)
