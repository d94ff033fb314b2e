"""Every encoding of the drop-in against formulas of its own."""

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from tangrid.compat import tinycudann as tcnn
from tangrid.seeding import generator
from tests.compat import plain
from tests.tolerances import CLOSED_FORMS


def points(dims: int, count: int = 40) -> torch.Tensor:
    drawn = torch.rand(count, dims, generator=generator(0, "tcnn", dims))
    edges = torch.tensor([0.0, 1.0, 0.5])[:, None].expand(-1, dims)
    return torch.cat((drawn, edges))


def close(found: torch.Tensor, wanted: object) -> bool:
    expected = torch.as_tensor(np.asarray(wanted), dtype=torch.float64)
    return torch.allclose(found.double(), expected, rtol=0, atol=CLOSED_FORMS)


@pytest.mark.parametrize("degree", range(1, 9))
def test_spherical_harmonics_are_scipys(degree: int):
    drawn = torch.randn(60, 3, generator=generator(0), dtype=torch.float64)
    directions = torch.nn.functional.normalize(drawn)
    encoding = tcnn.Encoding(3, {"otype": "SphericalHarmonics", "degree": degree})
    found = encoding((directions + 1).float() / 2)
    x, y, z = directions.numpy().T
    wanted = []
    for l in range(degree):
        for m in range(-l, l + 1):
            value = sph_harm_y(l, abs(m), np.arccos(z), np.arctan2(y, x))
            part = value.imag if m < 0 else value.real
            wanted.append(part * (math.sqrt(2) if m else 1.0))
    assert encoding.n_output_dims == degree**2
    # Rounding of the input alone changes a polynomial of degree 7 by some 1e-6.
    error = found.double() - torch.from_numpy(np.stack(wanted, 1))
    assert float(error.abs().max()) < 4 * CLOSED_FORMS
    assert close(encoding.double()((directions + 1) / 2), np.stack(wanted, 1))


@pytest.mark.parametrize(
    ("number", "polynomial"),
    [
        # tiny-cuda-nn's are polynomials of x, y and z as they stand, unit or not.
        (6, lambda x, y, z: 0.94617469575755997 * z * z - 0.31539156525251999),
        (8, lambda x, y, z: 0.54627421529603959 * (x * x - y * y)),
        (12, lambda x, y, z: 0.3731763325901154 * z * (5 * z * z - 3)),
        (9, lambda x, y, z: 0.59004358992664352 * y * (y * y - 3 * x * x)),
        (63, lambda x, y, z: 0.70716273252459627 * x * (
            -35 * x**2 * y**4 + 21 * x**4 * y**2 - x**6 + 7 * y**6)),
    ],
)  # fmt: skip
def test_vectors_of_any_length_have_the_same_polynomials(number: int, polynomial):
    coords = points(3).double()
    encoding = tcnn.Encoding(3, {"otype": "SphericalHarmonics", "degree": 8}).double()
    assert close(encoding(coords)[:, number], polynomial(*(2 * coords.T - 1)))


@pytest.mark.parametrize("bins", [1, 2, 4, 16, 32])
def test_one_blob_is_an_integral(bins: int):
    encoding = tcnn.Encoding(2, {"otype": "OneBlob", "n_bins": bins})
    coords = points(2)
    wanted = [
        [share for x in row for share in plain.blob_shares(x, bins)]
        for row in coords.tolist()
    ]
    assert encoding.n_output_dims == 2 * bins
    assert close(encoding(coords), wanted)
    assert close(encoding(coords).sum(1), [2.0] * len(coords))


def test_triangle_wave_is_the_arc_sine_of_a_cosine():
    encoding = tcnn.Encoding(2, {"otype": "TriangleWave", "n_frequencies": 10})
    coords = points(2)
    wanted = [
        [plain.triangle(x, octave) for x in row for octave in range(10)]
        for row in coords.double().tolist()
    ]
    assert float((encoding(coords).double() - torch.tensor(wanted)).abs().max()) < 1e-4
    assert close(encoding.double()(coords.double()), wanted)


def test_frequency_has_sine_and_cosine_side_by_side():
    encoding = tcnn.Encoding(2, {"otype": "Frequency"})
    coords = points(2)
    wanted = [
        [
            wave(2**octave * math.pi * x)
            for x in row
            for octave in range(12)
            for wave in (math.sin, math.cos)
        ]
        for row in coords.double().tolist()
    ]
    assert encoding.n_output_dims == 2 * 2 * 12
    assert close(encoding(coords), wanted)


def test_identity_scales_and_shifts():
    encoding = tcnn.Encoding(3, {"otype": "Identity", "scale": 3, "offset": -0.5})
    coords = points(3)
    assert close(encoding(coords), coords.double() * 3 - 0.5)


def test_composite_puts_its_parts_side_by_side():
    nested = [
        {"otype": "TriangleWave", "n_frequencies": 3, "n_dims_to_encode": 3},
        {"otype": "OneBlob", "n_bins": 4, "n_dims_to_encode": 2},
        {"otype": "Identity"},
    ]
    coords = points(7)
    whole = tcnn.Encoding(7, {"otype": "Composite", "nested": nested})
    parts = [
        tcnn.Encoding(3, {"otype": "TriangleWave", "n_frequencies": 3})(coords[:, :3]),
        tcnn.Encoding(2, {"otype": "OneBlob", "n_bins": 4})(coords[:, 3:5]),
        coords[:, 5:],
    ]
    assert torch.equal(whole(coords), torch.cat(parts, 1))


def test_one_blob_frequency_is_that_composite():
    coords = points(10)
    whole = tcnn.Encoding(10, {"otype": "OneBlobFrequency"})
    assert whole.n_output_dims == 3 * 12 + 5 * 4 + 2
    nested = [
        {"otype": "TriangleWave", "n_frequencies": 12, "n_dims_to_encode": 3},
        {"otype": "OneBlob", "n_bins": 4, "n_dims_to_encode": 5},
        {"otype": "Identity"},
    ]
    same = tcnn.Encoding(10, {"otype": "Composite", "nested": nested})
    assert torch.equal(whole(coords), same(coords))


@pytest.mark.parametrize(
    ("reduction", "join"), [("Sum", torch.add), ("Product", torch.mul)]
)
def test_composite_may_add_or_multiply_ranges_that_overlap(reduction: str, join):
    nested = [
        {"otype": "Identity", "n_dims_to_encode": 2, "dims_to_encode_begin": begin}
        for begin in (0, 1)
    ]
    config = {"otype": "Composite", "nested": nested, "reduction": reduction}
    coords = points(3)
    found = tcnn.Encoding(3, config)(coords)
    assert torch.equal(found, join(coords[:, :2], coords[:, 1:]))


def test_gradients_of_ranges_that_overlap_are_added():
    """tiny-cuda-nn keeps the last of them."""
    nested = [
        {"otype": "Identity", "n_dims_to_encode": 2, "dims_to_encode_begin": begin}
        for begin in (0, 1)
    ]
    coords = points(3).requires_grad_()
    found = tcnn.Encoding(3, {"otype": "Composite", "nested": nested})(coords)
    (grad,) = torch.autograd.grad(found.sum(), coords)
    assert torch.equal(grad, torch.tensor([1.0, 2.0, 1.0]).expand_as(grad))


def test_a_grid_in_a_composite_begins_at_a_multiple_of_its_features():
    """Three numbers, one that holds 1, then the grid's."""
    grid = {"otype": "HashGrid", "n_levels": 2, "log2_hashmap_size": 6}
    nested = [
        {"otype": "Identity", "n_dims_to_encode": 3, "dims_to_encode_begin": 0},
        {**grid, "n_dims_to_encode": 3, "dims_to_encode_begin": 0},
    ]
    whole = tcnn.Encoding(3, {"otype": "Composite", "nested": nested})
    alone = tcnn.Encoding(3, grid)
    coords = points(3)
    found = whole(coords)
    assert whole.n_output_dims == 8
    assert torch.equal(whole.params, alone.params)
    assert torch.equal(found[:, :3], coords)
    assert bool((found[:, 3] == 1).all())
    assert torch.equal(found[:, 4:], alone(coords))


@pytest.mark.parametrize("otype", ["Identity", "Frequency", "OneBlob", "TriangleWave"])
def test_fewest_and_most_points(otype: str):
    encoding = tcnn.Encoding(3, {"otype": otype})
    coords = points(3)
    assert encoding(coords[:0]).shape == (0, encoding.n_output_dims)
    assert torch.equal(encoding(coords[:1])[0], encoding(coords)[0])
    stacked = encoding(coords[:6].view(2, 3, 3))
    assert torch.equal(stacked, encoding(coords[:6]).view(2, 3, -1))


def test_empty_has_no_features():
    assert tcnn.Encoding(3, {"otype": "Empty"})(points(3)).shape == (43, 0)
