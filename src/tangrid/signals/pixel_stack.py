"""Pixels of many photographs with their cameras, to draw rays from."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from tangrid.signals.camera_stack import CameraStack
from tangrid.signals.view import View


class PixelStack:
    """Number the pixels of photographs, row by row and one after the other.

    Args:
        cameras: Their cameras.
        pixels: All pixels in that order: red, green, blue and, if any has it, opacity.
    """

    def __init__(self, cameras: CameraStack, pixels: Tensor) -> None:
        self._cameras = cameras
        self._pixels = pixels
        widths, heights = cameras.sizes.unbind(1)
        self._ends = (widths * heights).cumsum(0)
        self._starts = self._ends - widths * heights
        self._widths = widths
        self._are_alike = bool((cameras.sizes == cameras.sizes[0]).all())

    @classmethod
    def of(cls, views: Sequence[View]) -> "PixelStack":
        """Stack photographs.

        Args:
            views: At least one; pixels are copied once.

        Returns:
            The stack.
        """
        has_alpha = any(view.pixels.shape[2] == 4 for view in views)
        total = sum(view.pixels.shape[0] * view.pixels.shape[1] for view in views)
        pixels = np.full((total, 3 + has_alpha), 255, dtype=np.uint8)
        start = 0
        for view in views:
            flat = view.pixels.reshape(-1, view.pixels.shape[2])
            pixels[start : start + len(flat), : flat.shape[1]] = flat
            start += len(flat)
        cameras = CameraStack.of([view.camera for view in views])
        return cls(cameras, torch.from_numpy(pixels))

    def to(self, device: torch.device) -> "PixelStack":
        """Return the same stack on another device.

        Args:
            device: Where rays are drawn.
        """
        return PixelStack(self._cameras.to(device), self._pixels.to(device))

    def __len__(self) -> int:
        """Return the number of pixels."""
        return len(self._pixels)

    def rays(
        self,
        numbers: Int64[Tensor, " n"],
        within: Float32[Tensor, "n 2"] | None = None,
    ) -> tuple[Float32[Tensor, "n 3"], Float32[Tensor, "n 3"], Float32[Tensor, "n c"]]:
        """Return rays through pixels, and the pixels.

        Args:
            numbers: Which pixels, where the stack is.
            within: Where in each of them, from 0 to 1 rightward and down; None for the
                centres.

        Returns:
            Origins, unit directions, and values from 0 to 1: red, green, blue and
            opacity, not premultiplied.
        """
        if self._are_alike:
            views = torch.div(numbers, self._ends[0], rounding_mode="floor")
        else:
            views = torch.bucketize(numbers, self._ends, right=True)
        places = numbers - self._starts[views]
        widths = self._widths[views]
        y = torch.div(places, widths, rounding_mode="floor")
        corners = torch.stack((places - y * widths, y), dim=1)
        points = corners + (0.5 if within is None else within)
        values = self._pixels.index_select(0, numbers).float() / 255
        if values.shape[1] == 3:
            values = torch.nn.functional.pad(values, (0, 1), value=1.0)
        return (*self._cameras.rays(views, points), values)
