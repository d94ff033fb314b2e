"""The public marching: checks and choice of implementation. It has no gradients."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.ops.contract import Resolved, numba_refusals, resolve, triton_refusals
from tangrid.ops.ray_march import numba_cpu, reference
from tangrid.ops.ray_march.occupied import BLOCK, OccupiedCells
from tangrid.ops.ray_march.steps import Steps

_USUAL_SAMPLES = 32
"""Samples per ray that room is made for at first."""


class RaySamples(NamedTuple):
    """Samples along rays, packed: those of the first ray, of the second, ..."""

    bounds: Int64[Tensor, " b"]
    """First sample of each ray, and after them the number of all samples."""
    points: Float[Tensor, "m 3"]
    """Where each sample stands, in the frame of the unit box."""
    distances: Float[Tensor, " m"]
    """Distance along its ray."""
    lengths: Float[Tensor, " m"]
    """Length of the step that it stands for."""
    cells: Int64[Tensor, " m"]
    """Its cell: x runs fastest, then y, z and the cascade."""

    def rays(self) -> Int64[Tensor, " m"]:
        """Return the number of each sample's ray."""
        counts = self.bounds.diff()
        every = torch.arange(len(counts), device=counts.device)
        return every.repeat_interleave(counts, output_size=len(self.distances))


@torch.no_grad()
def march(
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    nears: Float[Tensor, " r"],
    fars: Float[Tensor, " r"],
    offsets: Float[Tensor, " r"],
    cells: OccupiedCells,
    steps: Steps,
    *,
    densities: Float[Tensor, " c"] | None = None,
    most_thickness: float = 20.0,
) -> RaySamples:
    r"""Take samples along rays at equal steps where cells are occupied.

    A ray's lattice begins where it enters the largest cube, or at its least distance;
    a sample is taken at every place of it whose cell is occupied. With densities a ray
    ends where what has been passed is thought to let no light through.

    Args:
        origins: Where rays begin, in the frame in which the smallest cube is [0, 1]^3.
        directions: Where they go in that frame; of any length.
        nears: Least distance of samples, in lengths of the directions.
        fars: Largest distance of samples.
        offsets: Share of a step at which the first sample stands, 0 to 1.
        cells: Where samples are taken.
        steps: How far apart.
        densities: What each cell is thought to hold, per unit of distance; None to go
            on to the end.
        most_thickness: Optical thickness after which a ray ends.

    Returns:
        The samples.

    Raises:
        ShapeError: If the shapes do not belong together, or rays and cells are on two
            devices.
        ConfigError: If cascades are not made of whole blocks, or a ray begins so many
            steps away that single precision does not tell two of them apart.

    Example:
        >>> from tangrid.ops.ray_march.occupied import occupied_cells
        >>> cells = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
        >>> cells[0, 4, 4, 4:] = True
        >>> ray = torch.tensor([[-1.0, 0.51, 0.51]]), torch.tensor([[1.0, 0.0, 0.0]])
        >>> limits = torch.zeros(1), torch.full((1,), 9.0), torch.full((1,), 0.5)
        >>> march(*ray, *limits, occupied_cells(cells), Steps(shortest=0.25)).points
        tensor([[0.6250, 0.5100, 0.5100],
                [0.8750, 0.5100, 0.5100]])

    References:
        Mueller et al. 2022, "Instant Neural Graphics Primitives", appendix E.
    """
    rays = origins, directions, nears, fars
    _check(rays, offsets, cells, densities)
    named = {"origins": origins, "directions": directions, "nears": nears}
    named |= {"fars": fars, "offsets": offsets}
    if densities is not None:
        named["densities"] = densities
    chosen = _resolved(named)
    if chosen == "reference":
        found = reference.march(rays, offsets, cells, steps, densities, most_thickness)
        return RaySamples(*found)
    if chosen == "triton":
        # Triton is an extra, and not for every platform.
        from tangrid.ops.ray_march import triton_gpu  # noqa: PLC0415

        found = triton_gpu.march(rays, offsets, cells, steps, densities, most_thickness)
        if found is None:
            raise _lost(steps)
        return RaySamples(*found)
    known = origins.new_empty(0) if densities is None else densities
    room = _USUAL_SAMPLES * max(len(origins), _USUAL_SAMPLES)
    found = _march(rays, offsets, cells, steps, known, most_thickness, room)
    count = int(found.bounds[-1])
    if count > room:
        found = _march(rays, offsets, cells, steps, known, most_thickness, count)
    return RaySamples(found.bounds, *(tensor[:count] for tensor in found[1:]))


@torch.no_grad()
def observe(
    cells: Int64[Tensor, " m"],
    values: Float[Tensor, " m"],
    highest: Float[Tensor, " c"],
    lowest: Float[Tensor, " c"],
) -> None:
    """Take in values that have been found in cells, in place.

    Args:
        cells: The cell that each was found in.
        values: What was found.
        highest: The highest value of each cell so far; contiguous.
        lowest: The lowest value of each cell so far; contiguous.

    Example:
        >>> highest, lowest = torch.zeros(3), torch.full((3,), torch.inf)
        >>> observe(torch.tensor([1, 1]), torch.tensor([2.0, 5.0]), highest, lowest)
        >>> highest.tolist(), lowest.tolist()
        ([0.0, 5.0, 0.0], [inf, 2.0, inf])
    """
    named = {"values": values, "highest": highest, "lowest": lowest}
    # On a GPU PyTorch's own scatter is the program: no order, no wait, and what is no
    # number stays so.
    if _resolved(named) != "numba":
        reference.observe(cells, values, highest, lowest)
        return
    numba_cpu.observe(_array(cells), _array(values), highest.numpy(), lowest.numpy())


def _resolved(named: Mapping[str, Tensor]) -> Resolved:
    triton = triton_refusals(named, (torch.float32,))
    return resolve("ray_march", numba_refusals(named), triton)


def _march(
    rays: tuple[Tensor, ...],
    offsets: Tensor,
    cells: OccupiedCells,
    steps: Steps,
    densities: Tensor,
    most_thickness: float,
    room: int,
) -> RaySamples:
    out = RaySamples(
        torch.empty(len(offsets) + 1, dtype=torch.int64),
        offsets.new_empty(room, 3),
        offsets.new_empty(room),
        offsets.new_empty(room),
        torch.empty(room, dtype=torch.int64),
    )
    single = torch.tensor([*steps.numbers, steps.slope, most_thickness]).numpy()
    numbers, (slope, most) = tuple(single[:5]), single[5:]
    grid = cells.bits.numpy(), cells.blocks.numpy(), cells.resolution
    origins, directions, nears, fars = (_array(tensor) for tensor in rays)
    count = numba_cpu.march(
        origins,
        directions,
        nears,
        fars,
        _array(offsets),
        *grid,
        numbers,
        slope,
        _array(densities),
        most,
        out.bounds.numpy(),
        out.points.numpy(),
        out.distances.numpy(),
        out.lengths.numpy(),
        out.cells.numpy(),
    )
    if count < 0:
        raise _lost(steps)
    return out


def _lost(steps: Steps) -> ConfigError:
    return ConfigError(
        f"march: expected steps that move every ray on, got a step of "
        f"{steps.shortest:g} for a ray that begins millions of steps away. Take "
        "longer steps, or a larger box."
    )


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


def _check(
    rays: tuple[Tensor, ...],
    offsets: Tensor,
    cells: OccupiedCells,
    densities: Tensor | None,
) -> None:
    count = len(rays[0])
    shapes = [tuple(tensor.shape) for tensor in (*rays, offsets)]
    if shapes != [(count, 3), (count, 3), (count,), (count,), (count,)]:
        raise ShapeError(
            "march: expected origins and directions [r, 3] and nears, fars and offsets "
            f"[r], got shapes {[list(shape) for shape in shapes]}."
        )
    if cells.bits.device != offsets.device:
        raise ShapeError(
            f"march: expected cells where the rays are, on {offsets.device}, got "
            f"{cells.bits.device}. Move them with `to`."
        )
    size = cells.num_cascades * cells.resolution**3
    if densities is not None and densities.shape != (size,):
        raise ShapeError(
            f"march(densities=...): expected one for each of {size} cells, got shape "
            f"{list(densities.shape)}."
        )
    if cells.num_cascades > 1 and cells.resolution % (4 * BLOCK):
        raise ConfigError(
            f"march: expected cascades of a multiple of {4 * BLOCK} cells per side, so "
            "that the blocks of one end where the next begins, got "
            f"{cells.resolution}."
        )
