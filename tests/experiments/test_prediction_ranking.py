"""Laws of the ranking: order, errors by leaving out, what a common factor changes."""

import math

import pytest
import torch
from torch import Tensor

from tangrid.experiments.prediction_ranking import mean_psnr, ranking


def errors(seed: int = 0, count: int = 6) -> dict[str, Tensor]:
    """Errors of three models in windows that differ by much more than these do."""
    source = torch.Generator().manual_seed(seed)
    windows = 10 ** (-4 * torch.rand(count, generator=source).double())
    own = {"good": 0.5, "middle": 1.0, "bad": 2.0}
    return {
        name: factor * windows * (0.8 + 0.4 * torch.rand(count, generator=source))
        for name, factor in own.items()
    }


def decibels(found: Tensor) -> float:
    return -10 * math.log10(float(found.mean()))


def test_the_smallest_mean_square_comes_first():
    ranks = ranking(errors())
    assert [rank.label for rank in ranks] == ["good", "middle", "bad"]
    assert [rank.place for rank in ranks] == [1, 2, 3]
    assert ranks[0].behind == ranks[0].behind_error == 0
    for rank in ranks[1:]:
        expected = decibels(errors()["good"]) - decibels(errors()[rank.label])
        assert rank.behind == pytest.approx(expected)
        assert rank.psnr == pytest.approx(ranks[0].psnr - rank.behind)


def test_the_level_is_that_of_the_mean_square():
    for rank in ranking(errors()):
        assert rank.psnr == pytest.approx(mean_psnr(errors()[rank.label]))
        assert rank.psnr == pytest.approx(decibels(errors()[rank.label]))


def test_errors_are_those_of_leaving_out_each_window():
    given = errors()
    count = len(given["good"])
    without = {
        name: [decibels(torch.cat([found[:k], found[k + 1 :]])) for k in range(count)]
        for name, found in given.items()
    }

    def jackknife(values: list[float]) -> float:
        mean = sum(values) / count
        return math.sqrt((count - 1) / count * sum((v - mean) ** 2 for v in values))

    for rank in ranking(given):
        own = without[rank.label]
        behind = [a - b for a, b in zip(without["good"], own, strict=True)]
        assert rank.psnr_error == pytest.approx(jackknife(own))
        assert rank.behind_error == pytest.approx(jackknife(behind), abs=1e-12)


def test_a_common_factor_moves_the_level_alone():
    before = ranking(errors())
    after = ranking({name: 0.01 * found for name, found in errors().items()})
    for one, two in zip(before, after, strict=True):
        assert two.psnr == pytest.approx(one.psnr + 20)
        assert two.behind == pytest.approx(one.behind)
        assert two.behind_error == pytest.approx(one.behind_error, abs=1e-12)
        assert two.psnr_error == pytest.approx(one.psnr_error)


def test_what_models_share_does_not_blur_their_difference():
    windows = errors()["good"]
    ranks = ranking({"one": windows, "two": 2 * windows})
    assert ranks[1].psnr_error > 1
    assert ranks[1].behind_error == pytest.approx(0, abs=1e-9)
    assert ranks[1].behind == pytest.approx(10 * math.log10(2))


def test_one_window_says_nothing_of_its_error():
    rank = ranking({"alone": torch.tensor([0.01])})[0]
    assert rank.psnr == pytest.approx(20)
    assert rank.psnr_error == math.inf
