import torch

from tangrid.encodings import IdentityConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=3, num_channels=1)


def test_the_box_becomes_the_one_around_zero():
    encoding = IdentityConfig().build(SITE, generator(0))
    coords = torch.tensor([[0.0, 0.5, 1.0]])
    assert encoding(coords).tolist() == [[-1.0, 0.0, 1.0]]
    assert encoding.num_features == 3


def test_scale_and_shift_are_applied_in_this_order():
    encoding = IdentityConfig(scale=4.0, shift=1.0).build(SITE, generator(0))
    assert encoding(torch.tensor([[0.0, 0.5, 1.0]])).tolist() == [[1.0, 3.0, 5.0]]
