"""`Layout`: where the images are in a tensor.

Most networks keep the images in the first dimension. Some put them second (transformers with the tokens first), and some fold
them into one dimension with something else (windows, frames).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from naswot_ray.engines.module.activations import Fate


@dataclass(frozen=True)
class Layout:
    """Where the images are in a tensor.

    Attributes:
        dim: the dimension that runs over the images.
        each: how many entries of that dimension belong to one image.
        outer: whether the entries of an image follow each other.
    """

    dim: int
    each: int = 1
    outer: bool = True

    def align(self, x: torch.Tensor) -> torch.Tensor:
        """The tensor with the images in its first dimension, shape (n, c, ...) or (n, c)."""
        x_n = x.movedim(self.dim, 0)
        if self.each > 1:
            n = x.shape[self.dim] // self.each
            x_n = (
                x_n.reshape(n, self.each, *x_n.shape[1:])
                if self.outer
                else x_n.reshape(self.each, n, *x_n.shape[1:]).transpose(0, 1)
            )
            x_n = x_n.movedim(1, -1)  # the entries of an image are positions, and the channels stay second
        return x_n if x_n.ndim > 1 else x_n[:, None]


def layout_of(
    shape: Sequence[int], traced: Sequence[int], num_images: int, num_traced: int, *, outer: bool | None, depends: bool
) -> Layout | Fate | None:
    """Where the images are, told by the shapes of one tensor for two numbers of images.

    Args:
        shape: shape for `num_images` images.
        traced: shape for `num_traced` images.
        num_images, num_traced: numbers of images.
        outer: `Trace.folds` of the tensor.
        depends: whether the tensor depends on the images.

    Returns:
        the layout; why there is none; or None if the numbers of images are equal, and more than one dimension may be it.
    """
    if num_images == num_traced:
        may_be = [dim for dim, size in enumerate(shape) if size % num_images == 0 and size]
        if len(may_be) > 1:
            return None
    else:
        may_be = [dim for dim, (size, other) in enumerate(zip(shape, traced, strict=True)) if size != other]
    if not may_be:
        return Fate.UNALIGNED if depends else Fate.CONSTANT
    dim = may_be[0]
    each = shape[dim] // num_images
    if len(may_be) > 1 or shape[dim] % num_images or traced[dim] != each * num_traced:
        return Fate.UNALIGNED
    if each > 1 and (dim > 0 or outer is None):
        return Fate.UNALIGNED
    return Layout(dim, each, outer is not False)
