"""A photograph and the camera that took it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from tangrid.choices import check_choice
from tangrid.errors import ShapeError
from tangrid.signals.camera import Camera
from tangrid.signals.formats.scene_draft import SplitName


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Hold the pixels that a camera has seen.

    Example:
        >>> camera = Camera(pose=np.eye(4), width=3, height=2, focal=(3.0, 3.0))
        >>> pixels = np.zeros((2, 3, 3), np.uint8)
        >>> View(name="a.png", camera=camera, pixels=pixels, split="train").num_bytes
        18
    """

    name: str
    """Path of the photograph, relative to the scene."""
    camera: Camera
    """Where it was taken from."""
    pixels: UInt8[np.ndarray, "h w c"]
    """sRGB-coded red, green, blue, and straight alpha if it is not full; read-only."""
    split: SplitName
    """What the view is for."""

    def __post_init__(self) -> None:
        """Refuse pixels that are not those of the camera.

        Raises:
            ShapeError: If they have another shape or depth.
        """
        check_choice("View(split=...)", self.split, SplitName)
        wanted = (self.camera.height, self.camera.width)
        is_fit = self.pixels.ndim == 3 and self.pixels.shape[:2] == wanted
        is_fit = is_fit and self.pixels.shape[2] in (3, 4)
        if not is_fit or self.pixels.dtype != np.uint8:
            raise ShapeError(
                f"View '{self.name}': expected uint8 pixels of {wanted[0]} x "
                f"{wanted[1]} x 3 or 4, got {self.pixels.dtype} of "
                f"{' x '.join(map(str, self.pixels.shape))}. Rows come first, and "
                "alpha last."
            )
        pixels = self.pixels.view()
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)

    @property
    def has_alpha(self) -> bool:
        """Whether some of it is transparent."""
        return self.pixels.shape[2] == 4

    @property
    def is_transparent(self) -> bool:
        """Whether all of it is transparent."""
        return self.has_alpha and not self.pixels[..., 3].any()

    @property
    def num_bytes(self) -> int:
        """Memory that the pixels take."""
        return self.pixels.nbytes
