"""tiny-cuda-nn's Composite: nested encodings of ranges of the coordinates.

References:
    tiny-cuda-nn ``encodings/composite.h``.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Literal, Self

import torch

from tangrid.compat.parts import Flat, Part, next_multiple
from tangrid.notation import Coords, Features
from tangrid.ops.pcg32 import Pcg32

Reduction = Literal["concatenation", "sum", "product"]


@dataclass(frozen=True, kw_only=True)
class CompositePart(Part):
    """``Composite``: features of all nested encodings, joined."""

    num_dims: int
    nested: tuple[Part, ...]
    begins: tuple[int, ...]
    """First coordinate that each nested encoding reads."""
    reduction: Reduction

    @classmethod
    def of(
        cls,
        num_dims: int,
        nested: tuple[Part, ...],
        begins: tuple[int, ...],
        reduction: Reduction,
    ) -> Self | None:
        """Return nested encodings, padded so that each begins where it wants to.

        Args:
            num_dims: Coordinates of the whole.
            nested: The encodings, at least one.
            begins: First coordinate that each reads.
            reduction: How their features are joined.

        Returns:
            None if features of different widths were to be added or multiplied.
        """
        made = cls(num_dims=num_dims, nested=nested, begins=begins, reduction=reduction)
        if reduction == "concatenation":
            return dataclasses.replace(made, nested=_one_after_another(nested))
        padded = tuple(part.aligned(made.alignment) for part in nested)
        if len({part.output_width for part in padded}) > 1:
            return None
        return dataclasses.replace(made, nested=padded)

    @property
    def alignment(self) -> int:
        """What its width must be a multiple of."""
        return math.lcm(*(part.alignment for part in self.nested))

    @property
    def num_params(self) -> int:
        """Numbers that it reads from the flat vector."""
        return sum(part.num_params for part in self.nested)

    @property
    def output_width(self) -> int:
        """Number of features, padding included."""
        if self.reduction == "concatenation":
            return sum(part.output_width for part in self.nested)
        return self.nested[0].output_width

    def padded(self, output_width: int) -> Self:
        """Return the part with another padding.

        Args:
            output_width: Number of features, padding included.
        """
        if self.reduction != "concatenation":
            nested = tuple(part.padded(output_width) for part in self.nested)
            return dataclasses.replace(self, nested=nested)
        *first, last = self.nested
        before = sum(part.output_width for part in first)
        nested = (*first, last.padded(output_width - before))
        return dataclasses.replace(self, nested=nested)

    def evaluate(self, coords: Coords, params: Flat) -> Features:
        """Return the features of each point, padding included.

        Args:
            coords: Points, meant to lie in the unit box.
            params: The parameters of all nested encodings.
        """
        sizes = [part.num_params for part in self.nested]
        features = [
            part.evaluate(coords[:, begin : begin + part.num_dims], own)
            for part, begin, own in zip(
                self.nested, self.begins, params.split(sizes), strict=True
            )
        ]
        if self.reduction == "concatenation":
            return torch.cat(features, dim=1)
        return reduce(torch.add if self.reduction == "sum" else torch.mul, features)

    def initial_params(self, stream: Pcg32) -> Flat:
        """Return fresh parameters of all nested encodings.

        Args:
            stream: Where random numbers come from.
        """
        return torch.cat([part.initial_params(stream) for part in self.nested])

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        return {
            "otype": "Composite",
            "nested": [part.hyperparams() for part in self.nested],
        }


def _one_after_another(nested: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return encodings of which each next one begins at its alignment."""
    padded: list[Part] = []
    begin = 0
    for part, following in pairwise(nested):
        end = next_multiple(begin + part.output_width, following.alignment)
        padded.append(part.padded(end - begin))
        begin = end
    return (*padded, nested[-1])
