"""The conformance suite of encodings: what the library relies on, check by check.

Run it on an encoding of your own before you fit anything with it.
"""

import copy
import json
from collections import Counter
from collections.abc import Callable
from typing import cast

import torch
from safetensors.torch import load, save
from torch import Tensor

from tangrid.conformance.derivatives import (
    check_corners,
    check_functional,
    check_gradients,
)
from tangrid.conformance.subjects import (
    FLOAT32_TOLERANCE,
    ConformanceError,
    Finding,
    build,
    corners,
    distance,
    encodings_of,
    expect,
    points,
    sites_of,
)
from tangrid.conformance.tangent import check_tangent_kernel
from tangrid.encodings import EncodingConfig, GridEncoding
from tangrid.errors import ConfigError
from tangrid.runs.codec import from_plain, to_plain
from tangrid.signals.site import Site

Check = Callable[[EncodingConfig], None]

FLOAT64_TOLERANCE = 1e-9
"""The same in float64, where only a wrong formula shows."""
PRECISION_TOLERANCE = 2e-2
"""float32 against float64: fine grids and high frequencies amplify rounding."""


def check_config(config: EncodingConfig) -> None:
    """Settings survive JSON, and equal settings are equal.

    Args:
        config: Settings of the encoding.
    """
    text = json.dumps(to_plain(config))
    rebuilt = from_plain(json.loads(text), EncodingConfig)
    expect(rebuilt == config, "config.json", f"{config} again", rebuilt)


def check_shape(config: EncodingConfig) -> None:
    """Features have one row per point and as many columns as the encoding says.

    Args:
        config: Settings of the encoding.
    """
    for site in sites_of(config):
        encoding = build(config, site)
        dims = encoding.num_dims
        expect(dims == site.num_dims, "num_dims", site.num_dims, dims)
        for count in (7, 1, 0):
            features = encoding(points(dims, count))
            wanted = (count, encoding.num_features)
            shape = tuple(features.shape)
            expect(shape == wanted, "shape of features", f"{wanted}", f"{shape}")
            dtype = features.dtype
            expect(dtype == torch.float32, "dtype of features", torch.float32, dtype)
            finite = bool(features.isfinite().all())
            expect(finite, "features", "finite numbers", "some that are not")


def check_float64(config: EncodingConfig) -> None:
    """The encoding runs in float64 and gives the numbers of float32.

    Args:
        config: Settings of the encoding.
    """
    for encoding in encodings_of(config):
        coords = points(encoding.num_dims)
        small = encoding(coords)
        large = encoding.double()(coords.double())
        dtype = large.dtype
        expect(dtype == torch.float64, "dtype in float64", torch.float64, dtype)
        error = distance(small, large)
        wanted = f"float32 within {PRECISION_TOLERANCE} of float64"
        expect(error <= PRECISION_TOLERANCE, "features", wanted, f"{error:.1e}")


def check_seed(config: EncodingConfig) -> None:
    """The generator alone decides the initial values.

    Args:
        config: Settings of the encoding.
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


def check_rows(config: EncodingConfig) -> None:
    """Features of a point depend on that point alone, and are the same every time.

    Args:
        config: Settings of the encoding.
    """
    for encoding in encodings_of(config):
        coords = points(encoding.num_dims, 9)
        features = encoding(coords)
        again = encoding(coords)
        same = torch.equal(features, again)
        expect(same, "two calls with one input", "the same bits", "others")
        alone = torch.cat([encoding(point[None]) for point in coords])
        error = distance(alone, features)
        wanted = "the features they have together"
        found = f"others, by {error:.1e}"
        expect(error <= FLOAT32_TOLERANCE, "points one by one", wanted, found)


def check_groups(config: EncodingConfig) -> None:
    """Parameter groups name every trainable parameter once.

    Args:
        config: Settings of the encoding.
    """
    for encoding in encodings_of(config):
        names = {id(p): name for name, p in encoding.named_parameters()}
        groups = encoding.parameter_groups()
        listed = Counter(id(p) for group in groups.values() for p in group)
        foreign = [key for key in listed if key not in names]
        found = f"{len(foreign)} others"
        expect(not foreign, "parameter_groups", "parameters of the encoding", found)
        for parameter in encoding.parameters():
            count = listed[id(parameter)]
            right = count == 1 or (count == 0 and not parameter.requires_grad)
            what = f"parameter_groups, '{names[id(parameter)]}'"
            expect(right, what, "once, or it is never trained", f"{count} times")


def check_state(config: EncodingConfig) -> None:
    """A state written to a file makes another encoding the same one.

    Args:
        config: Settings of the encoding.
    """
    for site in sites_of(config):
        encoding, other = build(config, site), build(config, site, seed=1)
        kept = {k: v.contiguous() for k, v in encoding.state_dict().items()}
        other.load_state_dict(load(save(kept)))
        coords = points(encoding.num_dims)
        same = torch.equal(other(coords), encoding(coords))
        expect(same, "features after loading", "the same bits", "others")
        twin = copy.deepcopy(encoding)
        same = torch.equal(twin(coords), encoding(coords))
        expect(same, "features of a copy", "the same bits", "others")


def check_sizes(config: EncodingConfig) -> None:
    """Parameters can be counted without being allocated, and grow with the size.

    Args:
        config: Settings of the encoding.
    """
    for site in sites_of(config):
        real = sum(p.numel() for p in build(config, site).parameters())
        expect(count(config, site) == real, "parameters on 'meta'", real, "others")
        for family in config.families():
            counts = []
            for size in (0.0, 0.2, 0.4, 0.6):
                try:
                    counts.append(count(family(size), site))
                except ConfigError:
                    # A size may be too large for this number of dimensions.
                    break
            rising = counts == sorted(counts)
            expect(rising, "families(), parameters by size", "rising counts", counts)


def check_lookups(config: EncodingConfig) -> None:
    """A grid's forward equals what its lookups read and combine joins.

    Args:
        config: Settings of the encoding.
    """
    for encoding in encodings_of(config):
        if not isinstance(encoding, GridEncoding):
            continue
        coords = torch.cat((points(encoding.num_dims), corners(encoding.num_dims)))
        expect_lookups(encoding, coords, FLOAT32_TOLERANCE)
        wide = cast("GridEncoding", encoding.double())
        expect_lookups(wide, coords.double(), FLOAT64_TOLERANCE)


def expect_lookups(encoding: GridEncoding, coords: Tensor, tolerance: float) -> None:
    """Raise unless lookups are reads of tables that give the features.

    Args:
        encoding: The grid.
        coords: Points in the unit box.
        tolerance: Largest relative RMS difference.
    """
    selection = encoding.select(coords)
    lookups = encoding.lookups(coords, selection)
    parameters = dict(encoding.named_parameters())
    for lookup in lookups:
        known = lookup.table in parameters
        expect(known, "lookups", f"a table of {list(parameters)}", lookup.table)
        rows, size = lookup.rows, len(parameters[lookup.table])
        expect(rows.dtype == torch.int64, "rows", torch.int64, rows.dtype)
        inside = bool(((rows >= 0) & (rows < size)).all())
        expect(inside, "rows", f"numbers below {size}", "some outside")
        shape = tuple(lookup.weights.shape[:2])
        expect(shape == tuple(rows.shape), "shape of weights", rows.shape, shape)
    reads = tuple(encoding.read(lookup) for lookup in lookups)
    error = distance(encoding.combine(reads, coords), encoding(coords))
    sentence = f"other features, by {error:.1e}"
    what = f"combine(lookups) in {coords.dtype}"
    expect(error <= tolerance, what, "the features of forward", sentence)


CHECKS: tuple[Check, ...] = (
    check_config,
    check_shape,
    check_float64,
    check_seed,
    check_rows,
    check_corners,
    check_gradients,
    check_groups,
    check_functional,
    check_state,
    check_sizes,
    check_lookups,
    check_tangent_kernel,
)
"""Every check; each takes the settings of an encoding and raises what is wrong."""


def count(config: EncodingConfig, site: Site) -> int:
    """Return the number of parameters, without allocating them.

    Args:
        config: Settings of the encoding.
        site: Where it would be built.
    """
    with torch.device("meta"):
        return sum(p.numel() for p in build(config, site).parameters())


def check_encoding(
    config: EncodingConfig | type[EncodingConfig],
) -> list[Finding]:
    """Run every check on an encoding.

    Args:
        config: Its settings, or their class for the defaults.

    Returns:
        One finding per check, in the order of `CHECKS`.

    Example:
        >>> from tangrid.encodings import IdentityConfig
        >>> {finding.error for finding in check_encoding(IdentityConfig)}
        {None}
    """
    settings = config() if isinstance(config, type) else config
    return [Finding(name_of(check), _error_of(check, settings)) for check in CHECKS]


def name_of(check: Check) -> str:
    """Return the name of a check, in words.

    Args:
        check: One of `CHECKS`.
    """
    return check.__name__.removeprefix("check_").replace("_", " ")


def _error_of(check: Check, config: EncodingConfig) -> ConformanceError | None:
    try:
        check(config)
    except ConformanceError as error:
        return error
    except Exception as error:
        # Whatever a foreign encoding raises is a finding, not a failure of the suite.
        return ConformanceError(
            f"{type(config).__name__}: expected the check '{name_of(check)}' to run, "
            f"got {type(error).__name__}: {error}"
        )
    return None
