"""Compositing: the fast form, its derivatives, and the laws of absorbing media."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp, vmap

from tangrid.errors import ShapeError
from tangrid.ops import composite as operators
from tangrid.ops.contract import single_threaded, used_implementations
from tangrid.seeding import generator
from tests.ops.comparison import assert_close, assert_same_bits, at_home, running
from tests.ops.grid_cases import in_one_order
from tests.tolerances import LINEAR_ALGEBRA, PARITY_FLOAT32

composite = at_home(operators.composite)
ray_weights = at_home(operators.ray_weights)
visible_samples = at_home(operators.visible_samples)

FAST = ("numba", "triton")
EVERY = (*FAST, "reference")
COUNTS = {
    "mixed": [0, 3, 1, 0, 0, 17, 40, 2, 0],
    "no-samples": [0, 0, 0],
    "no-rays": [],
    "one": [1],
    "several": [k % 7 for k in range(45)],
    # As many as a program takes at a time, and one more; three times.
    "long": [32, 0, 33, 70],
    # More rays than a thread takes at a time.
    "many": [k % 7 for k in range(600)],
}
# Interpreted programs need 10 s for many rays.
CASES = [
    (name, choice)
    for name in COUNTS
    for choice in FAST
    if (name, choice) != ("many", "triton")
]
LEAST = 1e-3


class Medium(NamedTuple):
    """Packed samples."""

    thickness: Tensor
    colours: Tensor
    distances: Tensor
    bounds: Tensor


def bounds_of(counts: Sequence[int]) -> Tensor:
    return torch.tensor([0, *counts]).cumsum(0)


def medium(counts: Sequence[int], channels: int = 3, mean: float = 0.3) -> Medium:
    source = generator(0, "medium", len(counts), channels)
    size = sum(counts)
    thickness = torch.empty(size).exponential_(1 / mean, generator=source)
    colours = torch.rand(size, channels, generator=source)
    distances = torch.rand(size, generator=source).cumsum(0)
    return Medium(thickness, colours, distances, bounds_of(counts))


def upstream_of(case: Medium) -> tuple[Tensor, ...]:
    source = generator(1, "upstream")
    rays, kind = len(case.bounds) - 1, case.thickness.dtype
    return (
        torch.randn(rays, case.colours.shape[1], generator=source).to(kind),
        torch.randn(rays, generator=source).to(kind),
        torch.randn(rays, generator=source).to(kind),
    )


def results(case: Medium) -> dict[str, Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in case[:3]]
    seen = composite(*leaves, case.bounds)
    weights = ray_weights(leaves[0], case.bounds)
    grads = torch.autograd.grad(seen, leaves, upstream_of(case))
    (of_weights,) = torch.autograd.grad(weights, leaves[0], case.distances.cos())
    return {
        "colour": seen.colour.detach(),
        "opacity": seen.opacity.detach(),
        "depth": seen.depth.detach(),
        "gradient of thickness": grads[0],
        "gradient of colours": grads[1],
        "gradient of distances": grads[2],
        "weights": weights.detach(),
        "gradient of weights": of_weights,
    }


def plain(case: Medium) -> dict[str, Tensor]:
    """The same by products of what each sample lets through, ray by ray."""
    bounds, weights, rays = case.bounds.tolist(), [], []
    for start, stop in itertools.pairwise(bounds):
        alpha = 1 - torch.exp(-case.thickness[start:stop].double())
        through = torch.cat((alpha.new_ones(1), torch.cumprod(1 - alpha, 0)))
        weight = through[:-1] * alpha
        far = case.distances[start:stop].double()
        colour = weight @ case.colours[start:stop].double()
        rays.append((colour, 1 - through[-1], weight @ far))
        weights.append(weight)
    colour, opacity, depth = (torch.stack(part) for part in zip(*rays, strict=True))
    seen = {"colour": colour, "opacity": opacity, "depth": depth}
    return {**seen, "weights": torch.cat(weights)}


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(("name", "choice"), CASES)
def test_fast_forms_are_the_reference(name: str, channels: int, choice):
    case = medium(COUNTS[name], channels)
    with running(choice):
        found = results(case)
    assert used_implementations()["composite"] == choice
    with running("reference"):
        assert_close(found, results(case))


@pytest.mark.parametrize("choice", EVERY)
@pytest.mark.parametrize("name", ["mixed", "several", "long", "one"])
def test_it_is_what_products_of_transparencies_give(name: str, choice):
    case = medium(COUNTS[name])
    with running(choice):
        found = results(case)
    expected = plain(case)
    assert_close({key: found[key] for key in expected}, expected)


@pytest.mark.parametrize("choice", EVERY)
def test_rays_without_samples_see_nothing(choice):
    with running(choice):
        found = results(medium(COUNTS["mixed"]))
        nothing = results(medium(COUNTS["no-samples"]))
    empty = [count == 0 for count in COUNTS["mixed"]]
    for key in ("colour", "opacity", "depth"):
        assert not found[key][empty].any()
        assert not nothing[key].any()
        assert nothing[key].shape[0] == 3
    assert all(nothing[key].numel() == 0 for key in nothing if "gradient" in key)


def test_threads_and_memory_order_do_not_change_the_bits():
    case = medium(COUNTS["many"])
    expected = results(case)
    with single_threaded():
        assert_same_bits(results(case), expected)
    every_second = torch.stack((case.thickness, case.thickness), dim=1)[:, 0]
    transposed = case.colours.T.contiguous().T
    assert not every_second.is_contiguous()
    other = case._replace(thickness=every_second, colours=transposed)
    assert_same_bits(results(other), expected)


def test_programs_give_the_same_bits_twice_and_in_any_memory_order():
    case = medium(COUNTS["long"])
    every_second = torch.stack((case.thickness, case.thickness), dim=1)[:, 0]
    other = case._replace(thickness=every_second, colours=case.colours.T.contiguous().T)
    with running("triton"):
        assert_same_bits(results(other), results(case))


@pytest.mark.parametrize("choice", FAST)
def test_colours_may_have_more_channels_than_are_read_at_once(choice):
    case = medium(COUNTS["mixed"], channels=19)
    with running(choice):
        found = results(case)
    with running("reference"):
        assert_close(found, results(case))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_colours_may_be_of_half_precision(kind: torch.dtype):
    case = medium(COUNTS["mixed"])
    case = case._replace(colours=case.colours.to(kind))
    with running("triton"):
        found = results(case)
    with running("reference"):
        expected = results(case)
    key = "gradient of colours"
    assert found["colour"].dtype == torch.float32
    assert found[key].dtype == expected[key].dtype == kind
    # Of the gradient no more than the last rounding may differ.
    near = {"rtol": torch.finfo(kind).eps, "atol": torch.finfo(kind).tiny}
    torch.testing.assert_close(found.pop(key), expected.pop(key), **near)
    assert_close(found, expected)


def test_programs_stay_among_the_samples_there_are():
    """On a GPU nobody looks at the numbers of bounds."""
    case = medium([3, 4])
    wrong = case.bounds + torch.tensor([-5, 0, 100])
    passes = pytest.importorskip("tangrid.ops.composite.triton_gpu").PASSES
    place = "cuda" if torch.cuda.is_available() else "cpu"
    found = [
        passes.composite(*(t.to(place) for t in (*case[:3], bounds)))
        for bounds in (wrong, case.bounds)
    ]
    assert all(map(torch.equal, *found))


def test_samples_of_no_ray_weigh_nothing_in_programs():
    case = medium([3, 4])
    passes = pytest.importorskip("tangrid.ops.composite.triton_gpu").PASSES
    place = "cuda" if torch.cuda.is_available() else "cpu"
    bounds = torch.tensor([1, 5], device=place)
    medium_there = [tensor.to(place) for tensor in case[:3]]
    # PyTorch then fills what nobody has written with what is no number.
    with in_one_order():
        *seen, weights, left = passes.composite(*medium_there, bounds)
        given = *medium_there[1:], bounds, weights, left
        grads = passes.composite_vjp(tuple(seen), *given)
        alone, _ = passes.weigh(medium_there[0], bounds)
        grad = passes.weigh_vjp(alone, bounds, alone, left)
    for found in (weights, *grads, alone, grad):
        assert not found[[0, 5, 6]].any()
        assert found[1:5].isfinite().all()


def test_the_reference_stays_on_the_device(pretend: torch.device):
    case = medium(COUNTS["mixed"])
    found = operators.composite(*(part.to(pretend) for part in case))
    assert used_implementations()["composite"] == "reference"
    assert all(part.device == pretend for part in found)
    kept = operators.visible_samples(
        case.thickness.to(pretend), case.bounds.to(pretend), LEAST
    )
    assert all(part.device == pretend for part in kept)
    with running("reference"):
        expected = composite(*case)
        assert_same_bits(
            {name: part.cpu() for name, part in kept._asdict().items()}, visible(case)
        )
    assert_close(
        {name: part.cpu() for name, part in found._asdict().items()},
        expected._asdict(),
    )
    with pytest.raises(ShapeError, match=r"whole numbers on pretend:0, got .* on cpu"):
        operators.ray_weights(case.thickness.to(pretend), case.bounds)


def second_order(case: Medium) -> dict[str, Tensor]:
    upstream = [tensor.requires_grad_() for tensor in upstream_of(case)]
    leaves = [tensor.detach().requires_grad_() for tensor in case[:3]]
    seen = composite(*leaves, case.bounds)
    first = torch.autograd.grad(seen, leaves, upstream, create_graph=True)
    weights = ray_weights(leaves[0], case.bounds)
    (more,) = torch.autograd.grad(weights.square().sum(), leaves[0], create_graph=True)
    total = sum(part.square().sum() for part in (*first, more))
    names = ("thickness", "colours", "distances", "rgb", "opacity", "depth")
    found = torch.autograd.grad(total, [*leaves, *upstream])
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("choice", FAST)
def test_second_derivatives_are_the_references(choice):
    case = medium(COUNTS["mixed"])
    with running(choice):
        found = second_order(case)
    with running("reference"):
        assert_close(found, second_order(case))


def test_derivatives_are_exact_in_float64():
    case = medium([0, 3, 1, 0], channels=2)
    leaves = [tensor.double().requires_grad_() for tensor in case[:3]]

    def compute(*inputs: Tensor) -> tuple[Tensor, ...]:
        return (*composite(*inputs, case.bounds), ray_weights(inputs[0], case.bounds))

    assert torch.autograd.gradcheck(compute, leaves)
    assert torch.autograd.gradgradcheck(compute, leaves)


@pytest.mark.parametrize("choice", FAST)
def test_reverse_transforms_agree_with_autograd(choice):
    with running(choice):
        check_reverse_transforms()


def check_reverse_transforms() -> None:
    case = medium(COUNTS["mixed"])
    upstream = upstream_of(case)
    expected = results(case)

    def total(*inputs: Tensor) -> Tensor:
        seen = composite(*inputs, case.bounds)
        pairs = zip(seen, upstream, strict=True)
        return sum((a * b).sum() for a, b in pairs)

    names = [f"gradient of {name}" for name in ("thickness", "colours", "distances")]
    wanted = {name: expected[name] for name in names}
    slopes = grad(total, argnums=(0, 1, 2))
    assert_close(dict(zip(names, slopes(*case[:3]), strict=True)), wanted)
    twice = [torch.stack((tensor, 2 * tensor)) for tensor in case[:3]]
    many = vmap(slopes)(*twice)
    assert_close(dict(zip(names, (part[0] for part in many), strict=True)), wanted)
    doubled = results(Medium(*(2 * tensor for tensor in case[:3]), case.bounds))
    for name, part in zip(names, many, strict=True):
        assert_close({name: part[1]}, {name: doubled[name]})
    jacobian = jacrev(lambda t: composite(t, *case[1:]).depth)(case.thickness)
    (pulled,) = torch.autograd.grad(
        composite(leaf := case.thickness.clone().requires_grad_(), *case[1:]).depth,
        leaf,
        upstream[2],
    )
    assert_close({"depth": upstream[2] @ jacobian}, {"depth": pulled})


@pytest.mark.parametrize("choice", FAST)
def test_weights_under_reverse_transforms(choice):
    with running(choice):
        check_weights_under_transforms()


def check_weights_under_transforms() -> None:
    case = medium(COUNTS["mixed"])

    def total(thickness: Tensor) -> Tensor:
        return ray_weights(thickness, case.bounds) @ case.distances.cos()

    expected = results(case)["gradient of weights"]
    both = vmap(grad(total))(torch.stack((2 * case.thickness, case.thickness)))
    assert_close({"gradient": both[1]}, {"gradient": expected})
    values = vmap(lambda t: ray_weights(t, case.bounds))(case.thickness[None])
    assert_close({"weights": values[0]}, {"weights": results(case)["weights"]})


def test_forward_mode_belongs_to_the_reference():
    case = medium([2, 1])

    def opacity(thickness: Tensor) -> Tensor:
        return composite(thickness, *case[1:]).opacity

    pair = (case.thickness,), (torch.ones(3),)
    for choice in FAST:
        with running(choice), pytest.raises(RuntimeError, match="jvp"):
            jvp(opacity, *pair)
    with running("reference"):
        _, slope = jvp(opacity, *pair)
    total = torch.tensor([float(case.thickness[:2].sum()), float(case.thickness[2])])
    exact = torch.tensor([2.0, 1.0]) * torch.exp(-total)
    assert_close({"slope": slope}, {"slope": exact})


def exactly(case: Medium) -> Medium:
    return Medium(*(tensor.double() for tensor in case[:3]), case.bounds)


def same(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=LINEAR_ALGEBRA, atol=LINEAR_ALGEBRA)


def test_light_is_taken_or_left():
    case = exactly(medium(COUNTS["many"], mean=2.0))
    rays = torch.arange(len(case.bounds) - 1).repeat_interleave(case.bounds.diff())
    taken, passed = (torch.zeros(len(case.bounds) - 1).double() for _ in range(2))
    taken.index_add_(0, rays, ray_weights(case.thickness, case.bounds))
    passed.index_add_(0, rays, case.thickness)
    assert same(taken + torch.exp(-passed), torch.ones_like(taken))
    assert same(composite(*case).opacity, taken)


def test_a_sample_may_be_split():
    """Two halves of one colour are worth the whole: the integral is exact."""
    case = exactly(medium(COUNTS["mixed"]))
    thickness = (case.thickness * torch.tensor([0.3, 0.7])[:, None].double()).T
    halves = Medium(
        thickness.reshape(-1),
        case.colours.repeat_interleave(2, 0),
        case.distances.repeat_interleave(2),
        2 * case.bounds,
    )
    for found, expected in zip(composite(*halves), composite(*case), strict=True):
        assert same(found, expected)


@pytest.mark.parametrize("choice", EVERY)
def test_samples_of_nothing_fill_rows_up(choice):
    case = medium(COUNTS["mixed"])
    rays = len(COUNTS["mixed"])
    longest = max(COUNTS["mixed"])
    places = torch.arange(longest) < case.bounds.diff()[:, None]
    dense = [
        tensor.new_full((rays, longest, *tensor.shape[1:]), value)
        for tensor, value in zip(case[:3], (0.0, 9.0, 9.0), strict=True)
    ]
    for table, tensor in zip(dense, case[:3], strict=True):
        table[places] = tensor
    flat = [table.flatten(0, 1) for table in dense]
    with running(choice):
        found = composite(*flat, longest * torch.arange(rays + 1))
        expected = composite(*case)
    assert_close(found._asdict(), expected._asdict())


@pytest.mark.parametrize("choice", EVERY)
def test_rays_do_not_know_each_other(choice):
    """What follows in memory changes nothing, not a bit in the loops."""
    first, second = medium(COUNTS["mixed"]), medium([4, 0, 2])
    both = Medium(
        *(torch.cat(pair) for pair in zip(first[:3], second[:3], strict=True)),
        torch.cat((first.bounds, second.bounds[1:] + first.bounds[-1])),
    )
    with running(choice):
        alone = [composite(*first), composite(*second)]
        found = composite(*both)
    for key in ("colour", "opacity", "depth"):
        expected = torch.cat([getattr(part, key) for part in alone])
        if choice in FAST:
            assert_same_bits({key: getattr(found, key)}, {key: expected})
        assert_close({key: getattr(found, key)}, {key: expected})


@pytest.mark.parametrize("choice", EVERY)
def test_a_wall_hides_what_is_behind(choice):
    thickness = torch.tensor([0.3, 1e4, 3.0])
    case = Medium(thickness, torch.eye(3), torch.arange(3.0), bounds_of([3]))
    with running(choice):
        found = results(case)
    expected = plain(case)
    assert_close({key: found[key] for key in expected}, expected)
    assert float(found["opacity"]) == 1
    assert all(tensor.isfinite().all() for tensor in found.values())
    assert not found["gradient of thickness"][2]


@pytest.mark.parametrize("choice", EVERY)
def test_thin_samples_keep_their_digits(choice):
    thickness = torch.full((5,), 1e-8)
    case = Medium(thickness, torch.ones(5, 1), torch.ones(5), bounds_of([5]))
    with running(choice):
        seen = composite(*case)
        weights = ray_weights(thickness, case.bounds)
    exact = -torch.expm1(-5 * thickness.double()[:1])
    assert torch.allclose(weights.double(), thickness.double(), rtol=PARITY_FLOAT32)
    for found in (seen.opacity, seen.colour[:, 0], seen.depth):
        assert torch.allclose(found.double(), exact, rtol=PARITY_FLOAT32, atol=0)


@pytest.mark.parametrize("choice", EVERY)
def test_a_ray_that_is_no_number_stays_so_and_alone(choice):
    """A loop that repaired it would hide that training has failed."""
    case = medium([2, 3, 2])
    case.thickness[3] = torch.nan
    with running(choice):
        found = results(case)
    assert found["opacity"].isnan().tolist() == [False, True, False]
    hurt = [False, False, False, True, True, False, False]
    assert found["weights"].isnan().tolist() == hurt
    assert bool(found["gradient of thickness"][[0, 1, 5, 6]].isfinite().all())


@pytest.mark.parametrize("choice", EVERY)
def test_an_infinite_thickness_is_a_wall(choice):
    case = medium([2, 3, 2])
    case.thickness[3] = torch.inf
    with running(choice):
        found = results(case)
    expected = plain(case)
    assert_close({key: found[key] for key in expected}, expected)
    assert float(found["opacity"][1]) == 1
    assert not found["weights"][4]


def visible(case: Medium) -> dict[str, Tensor]:
    return visible_samples(case.thickness, case.bounds, LEAST)._asdict()


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_visible_samples_are_the_references(name: str, choice):
    case = medium(COUNTS[name], mean=1.0)
    with running(choice):
        found = visible(case)
    with running("reference"):
        assert_same_bits(found, visible(case))
    if name == "mixed":
        assert 0 < len(found["numbers"]) < len(case.thickness)


@pytest.mark.parametrize("choice", EVERY)
def test_visible_samples_are_the_front_of_each_ray(choice):
    case = medium(COUNTS["several"], mean=3.0)
    with running(choice):
        kept = visible_samples(case.thickness, case.bounds, LEAST)
        whole = composite(*case)
        parts = (tensor[kept.numbers] for tensor in case[:3])
        seen = composite(*parts, kept.bounds)
    counts = kept.bounds.diff()
    assert int(kept.bounds[0]) == 0
    assert int(kept.bounds[-1]) == len(kept.numbers) == len(kept.rays)
    assert bool((counts <= case.bounds.diff()).all())
    # The first sample of a ray is always seen.
    assert torch.equal(counts > 0, case.bounds.diff() > 0)
    rays = torch.arange(len(counts)).repeat_interleave(counts)
    assert torch.equal(kept.rays, rays)
    places = torch.arange(len(rays)) - kept.bounds[rays]
    assert torch.equal(kept.numbers, case.bounds[rays] + places)
    assert len(rays) < len(case.thickness)
    lost = whole.colour - seen.colour
    assert 0 < float(lost.max()) < LEAST
    assert float((whole.opacity - seen.opacity).abs().max()) < LEAST


@pytest.mark.parametrize("choice", EVERY)
def test_a_thickness_that_is_no_number_is_not_hidden(choice):
    case = medium([3, 1])
    case.thickness[1] = torch.nan
    with running(choice):
        kept = visible_samples(case.thickness, case.bounds, LEAST)
    assert kept.numbers.tolist() == [0, 1, 3]
    assert kept.bounds.tolist() == [0, 2, 3]


def test_float64_runs_in_the_reference():
    case = exactly(medium(COUNTS["mixed"]))
    seen = composite(*case)
    assert seen.colour.dtype == torch.float64
    assert used_implementations()["composite"] == "reference"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thickness": torch.ones(2, 2)}, "composite: expected a thickness for each"),
        ({"bounds": torch.zeros(0, dtype=torch.int64)}, "one more entry than there"),
        ({"bounds": torch.tensor([0, 2, 5])}, "to the 3 samples, got 0 to 5"),
        ({"bounds": torch.tensor([0, 1, 2])}, "to the 3 samples, got 0 to 2"),
        ({"bounds": torch.tensor([1, 2, 3])}, "from 0 to the 3 samples, got 1 to 3"),
        ({"bounds": torch.tensor([0, 4, 3])}, "expected bounds that do not fall, from"),
        ({"bounds": torch.tensor([0, 2, 3]).int()}, r"got torch\.int32"),
        ({"colours": torch.ones(4, 3)}, r"expected colours \[3, c\]"),
        ({"colours": torch.ones(3)}, r"expected colours \[3, c\]"),
        ({"distances": torch.ones(3, 1)}, r"distances \[3\] for 3 samples, got"),
        ({"distances": torch.ones(3).double()}, "distances of one dtype, got"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(change: dict, words: str):
    case = medium([2, 1])._replace(**change)
    with pytest.raises(ShapeError, match=words):
        composite(*case)


def test_the_name_of_the_function_is_in_the_message():
    functions: list[Callable] = [ray_weights, lambda t, b: visible_samples(t, b, LEAST)]
    for function, name in zip(
        functions, ("ray_weights", "visible_samples"), strict=True
    ):
        with pytest.raises(ShapeError, match=f"^{name}: expected a thickness"):
            function(torch.ones(2, 2), torch.zeros(2, dtype=torch.int64))
