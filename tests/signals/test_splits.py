import numpy as np
import pytest

from tangrid.errors import ConfigError
from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import split_at_random, split_every_second


@pytest.mark.parametrize(("height", "width"), [(2, 2), (5, 8), (512, 512), (7, 7)])
def test_split_is_a_lattice_and_the_rest(height: int, width: int):
    signal = ImageSignal.from_array(np.zeros((height, width), np.uint8))
    split = split_every_second(signal)
    rows, columns = np.divmod(split.train_indices.numpy(), width)
    assert not (rows % 2).any()
    assert not (columns % 2).any()
    assert len(rows) == -(-height // 2) * -(-width // 2)
    both = np.concatenate([split.train_indices, split.heldout_indices])
    assert np.array_equal(np.sort(both), np.arange(height * width))


def test_a_share_at_random_is_drawn_by_the_seed_alone():
    signal = ImageSignal.from_array(np.zeros((10, 12), np.uint8))
    split = split_at_random(signal, 0.75, seed=3)
    again, other = split_at_random(signal, 0.75, 3), split_at_random(signal, 0.75, 4)
    both = np.concatenate([split.train_indices, split.heldout_indices])
    assert len(split.heldout_indices) == 90
    assert np.array_equal(np.sort(both), np.arange(120))
    assert split.train_indices.equal(again.train_indices)
    assert not split.train_indices.equal(other.train_indices)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1e-9, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share: float):
    signal = ImageSignal.from_array(np.zeros((10, 12), np.uint8))
    with pytest.raises(ConfigError, match="heldout_share: expected a share"):
        split_at_random(signal, share)
