import dataclasses

import pytest
import torch

from tangrid.errors import ConfigError, ShapeError
from tests.experiments.small_analyses import SETTINGS, probes


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_a_box_of_any_dimension_is_looked_at(num_dims: int):
    found = probes(num_dims)
    assert found.sites.shape == (6**num_dims, num_dims)
    assert found.map_sites.shape == (25, num_dims)
    assert found.centres.shape == (3, num_dims)
    assert found.points.dtype == found.labels.dtype == torch.float64
    assert found.words["points"] == {
        "count": 20,
        "seed": 0,
        "how": "drawn for a test",
    }
    assert found.words["lattice"] == {"side": 6, "points": 6**num_dims}
    assert found.words["pair"]["distance"] == pytest.approx(0.1)
    assert found.words["pair"]["labels"] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    # Rows of a map go down, as those of pictures: x runs fastest.
    assert found.map_sites[:2, 0].tolist() == pytest.approx([0.1, 0.3])
    if num_dims == 3:
        assert (found.map_sites[:, 2] == 0.5).all()


def test_labels_must_fit_and_be_finite():
    good = probes()
    with pytest.raises(ShapeError, match=r"labels: expected shape \[20, c\]"):
        dataclasses.replace(good, labels=good.labels[:3])
    bad = good.labels.clone()
    bad[4, 1] = torch.nan
    with pytest.raises(ShapeError, match="got 1 of 20 points with others"):
        dataclasses.replace(good, labels=bad)


def test_pair_and_sites_must_fit():
    good = probes()
    with pytest.raises(ShapeError, match="expected 25 and 2 points, got 25 and 3"):
        dataclasses.replace(good, pair=torch.rand(3, 2))
    with pytest.raises(ShapeError, match="sites: expected a kernel over the 36 points"):
        dataclasses.replace(good, sites=good.sites[1:])


def test_a_lattice_in_space_is_smaller():
    settings = dataclasses.replace(SETTINGS, lattice=32)
    with pytest.raises(ConfigError, match="expected at most 20 points along each of 3"):
        probes(num_dims=3, settings=settings)
