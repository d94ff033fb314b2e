import numpy as np
import pytest

from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import split_every_second


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
