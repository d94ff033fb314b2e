"""Checks that every component passes, be it an encoding or a whole field."""

import copy
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from safetensors.torch import load, save

from tangrid.conformance.derivatives import (
    check_corners,
    check_functional,
    check_gradients,
    check_slopes,
)
from tangrid.conformance.subjects import (
    FLOAT32_TOLERANCE,
    ComponentConfig,
    ConformanceError,
    Finding,
    build,
    columns_of,
    components_of,
    distance,
    expect,
    points,
    sites_of,
)
from tangrid.encodings import EncodingConfig
from tangrid.errors import ConfigError
from tangrid.fields import FieldConfig, count_parameters, num_trained
from tangrid.runs.codec import from_plain, to_plain
from tangrid.signals.site import Site

PRECISION_TOLERANCE = 2e-2
"""float32 against float64: fine grids and high frequencies amplify rounding."""


def check_config(config: ComponentConfig) -> None:
    """Settings survive JSON, and equal settings are equal.

    Args:
        config: Settings of the component.
    """
    text = json.dumps(to_plain(config))
    base = FieldConfig if isinstance(config, FieldConfig) else EncodingConfig
    rebuilt = from_plain(json.loads(text), base)
    expect(rebuilt == config, "config.json", f"{config} again", rebuilt)


def check_shape(config: ComponentConfig) -> None:
    """Values have one row per point and as many columns as the component says.

    Args:
        config: Settings of the component.
    """
    for site in sites_of(config):
        component = build(config, site)
        dims = component.num_dims
        expect(dims == site.num_dims, "num_dims", site.num_dims, dims)
        for count in (7, 1, 0):
            features = component(points(dims, count))
            wanted = (count, columns_of(component))
            shape = tuple(features.shape)
            expect(shape == wanted, "shape of features", f"{wanted}", f"{shape}")
            dtype = features.dtype
            expect(dtype == torch.float32, "dtype of features", torch.float32, dtype)
            finite = bool(features.isfinite().all())
            expect(finite, "features", "finite numbers", "some that are not")


def check_float64(config: ComponentConfig) -> None:
    """The component runs in float64 and gives the numbers of float32.

    Args:
        config: Settings of the component.
    """
    for component in components_of(config):
        coords = points(component.num_dims)
        small = component(coords)
        large = component.double()(coords.double())
        dtype = large.dtype
        expect(dtype == torch.float64, "dtype in float64", torch.float64, dtype)
        error = distance(small, large)
        wanted = f"float32 within {PRECISION_TOLERANCE} of float64"
        expect(error <= PRECISION_TOLERANCE, "features", wanted, f"{error:.1e}")


def check_seed(config: ComponentConfig) -> None:
    """The generator alone decides the initial values.

    Args:
        config: Settings of the component.
    """
    for site in sites_of(config):
        before = torch.random.get_rng_state()
        first = build(config, site).state_dict()
        after = torch.random.get_rng_state()
        what = "PyTorch's global random numbers"
        expect(torch.equal(before, after), what, "none used", "some used")
        second = build(config, site).state_dict()
        for name, tensor in first.items():
            same = torch.equal(tensor, second[name])
            what = f"'{name}' built twice with one seed"
            expect(same, what, "the same numbers", "others")


def check_rows(config: ComponentConfig) -> None:
    """Features of a point depend on that point alone, and are the same every time.

    Args:
        config: Settings of the component.
    """
    for component in components_of(config):
        coords = points(component.num_dims, 9)
        features = component(coords)
        again = component(coords)
        same = torch.equal(features, again)
        expect(same, "two calls with one input", "the same bits", "others")
        alone = torch.cat([component(point[None]) for point in coords])
        error = distance(alone, features)
        wanted = "the features they have together"
        found = f"others, by {error:.1e}"
        expect(error <= FLOAT32_TOLERANCE, "points one by one", wanted, found)


def check_groups(config: ComponentConfig) -> None:
    """Parameter groups name every trainable parameter once.

    Args:
        config: Settings of the component.
    """
    for component in components_of(config):
        names = {id(p): name for name, p in component.named_parameters()}
        groups = component.parameter_groups()
        listed = Counter(id(p) for group in groups.values() for p in group)
        foreign = [key for key in listed if key not in names]
        found = f"{len(foreign)} others"
        expect(not foreign, "parameter_groups", "parameters of the component", found)
        for parameter in component.parameters():
            count = listed[id(parameter)]
            right = count == 1 or (count == 0 and not parameter.requires_grad)
            what = f"parameter_groups, '{names[id(parameter)]}'"
            expect(right, what, "once, or it is never trained", f"{count} times")


def check_state(config: ComponentConfig) -> None:
    """A state written to a file makes another component the same one.

    Args:
        config: Settings of the component.
    """
    for site in sites_of(config):
        component, other = build(config, site), build(config, site, seed=1)
        kept = {k: v.contiguous() for k, v in component.state_dict().items()}
        other.load_state_dict(load(save(kept)))
        coords = points(component.num_dims)
        same = torch.equal(other(coords), component(coords))
        expect(same, "features after loading", "the same bits", "others")
        twin = copy.deepcopy(component)
        same = torch.equal(twin(coords), component(coords))
        expect(same, "features of a copy", "the same bits", "others")


def check_sizes(config: ComponentConfig) -> None:
    """Parameters can be counted without being allocated, and grow with the size.

    Args:
        config: Settings of the component.
    """
    for site in sites_of(config):
        real = num_trained(build(config, site))
        counted = count_parameters(config, site)
        expect(counted == real, "parameters on 'meta'", real, counted)
        found = [counts_by_size(family, site) for family in config.families()]
        for counts in found:
            rising = counts == sorted(counts)
            expect(rising, "families(), parameters by size", "rising counts", counts)
        # One of several may find its levels full; one of an encoding without parameters
        # widens the decoder that follows.
        grown = any(len({*counts}) > 1 for counts in found)
        flat = f"the same numbers throughout, {found}"
        expect(grown or not (real and found), "families()", "one that grows", flat)


def counts_by_size(family: Callable[[float], ComponentConfig], site: Site) -> list[int]:
    """Return the numbers of parameters of growing sizes, up to the first refusal.

    Args:
        family: Settings by size.
        site: Where they would be built.
    """
    counts = []
    for size in (0.0, 0.2, 0.4, 0.6):
        try:
            counts.append(count_parameters(family(size), site))
        except ConfigError:
            # A size may be too large for this number of dimensions.
            break
    return counts


COMPONENT_CHECKS: tuple[Callable[[ComponentConfig], None], ...] = (
    check_config,
    check_shape,
    check_float64,
    check_seed,
    check_rows,
    check_corners,
    check_gradients,
    check_slopes,
    check_groups,
    check_functional,
    check_state,
    check_sizes,
)
"""Every check of this kind; each takes settings and raises what is wrong."""


def findings_of(
    checks: Sequence[Callable[[Any], None]], config: ComponentConfig
) -> list[Finding]:
    """Return what every check finds.

    Args:
        checks: The checks; each takes settings and raises what is wrong.
        config: Settings of the component.
    """
    return [Finding(name_of(check), _error_of(check, config)) for check in checks]


def name_of(check: Callable[[Any], None]) -> str:
    """Return the name of a check, in words.

    Args:
        check: The check.
    """
    return check.__name__.removeprefix("check_").replace("_", " ")


def _error_of(
    check: Callable[[Any], None], config: ComponentConfig
) -> ConformanceError | None:
    try:
        check(config)
    except ConformanceError as error:
        return error
    except Exception as error:
        # Whatever a foreign component raises is a finding, not a failure of the suite.
        return ConformanceError(
            f"{type(config).__name__}: expected the check '{name_of(check)}' to run, "
            f"got {type(error).__name__}: {error}"
        )
    return None
