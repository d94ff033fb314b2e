"""Checks of what users hand to a field; inside, coordinates are trusted."""

import torch
from torch import Tensor

from tangrid.errors import ShapeError


def check_coords(coords: Tensor, num_dims: int, like: Tensor | None) -> None:
    """Refuse coordinates that a field cannot take.

    Under a `torch.func` transform the numbers cannot be looked at, and only shape,
    dtype and device are checked.

    Args:
        coords: What the user gave.
        num_dims: Coordinates per point that the field takes.
        like: One of the field's parameters; None if it has none.

    Raises:
        ShapeError: If type, shape, dtype, device or range is wrong.
    """
    if not isinstance(coords, Tensor):
        raise ShapeError(
            f"field(coords=...): expected a torch tensor of shape [n, {num_dims}], got "
            f"{type(coords).__name__}. Convert it with torch.as_tensor(...)."
        )
    if coords.ndim != 2 or coords.shape[1] != num_dims:
        raise ShapeError(
            f"field(coords=...): expected shape [n, {num_dims}], got "
            f"{list(coords.shape)}. Reshape the points to one row each."
        )
    if like is not None and coords.dtype != like.dtype:
        raise ShapeError(
            f"field(coords=...): expected dtype {like.dtype}, as the field has, got "
            f"{coords.dtype}. Convert with coords.to({like.dtype}) or field.to(dtype)."
        )
    if like is not None and coords.device != like.device:
        raise ShapeError(
            f"field(coords=...): expected points on {like.device}, where the field is, "
            f"got {coords.device}. Move one with .to(device)."
        )
    if _is_traced(coords) or coords.numel() == 0:
        return
    low, high = (float(bound) for bound in torch.aminmax(coords.detach()))
    if not (low >= 0 and high <= 1):
        raise _out_of_range(coords.detach())


def _is_traced(coords: Tensor) -> bool:
    if torch.compiler.is_compiling():
        return True
    functorch = torch._C._functorch  # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue]
    return functorch.is_functorch_wrapped_tensor(coords)


def _out_of_range(coords: Tensor) -> ShapeError:
    wrong = ~((coords >= 0) & (coords <= 1))
    rows = wrong.any(1).nonzero()[:, 0]
    first = int(rows[0])
    missing = int(coords.isnan().any(1).sum())
    kind = f" ({missing} of them not a number)" if missing else ""
    return ShapeError(
        f"field(coords=...): expected coordinates in [0, 1], got {len(rows)} of "
        f"{len(coords)} points outside{kind}, the first at row {first}: "
        f"{coords[first].tolist()}. Map the signal's box to [0, 1] first."
    )
