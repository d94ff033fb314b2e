"""What the title of judged views says of how many they are."""

from collections.abc import Sequence

import numpy as np
import pytest

from tangrid.signals.camera import Camera
from tangrid.signals.formats.scene_draft import SplitName
from tangrid.signals.scene import Scene
from tangrid.signals.view import View
from tangrid.tasks.view_protocols import PROTOCOLS, describe_protocol
from tests.signals.scene_files import OBJECT

TRAIN = ["train/r_0.png", "train/r_1.png"]


def view(name: str, split: SplitName) -> View:
    camera = Camera(pose=np.eye(4), width=3, height=2, focal=(3.0, 3.0))
    return View(
        name=name, camera=camera, pixels=np.zeros((2, 3, 4), np.uint8), split=split
    )


def title(
    names: Sequence[str], others: Sequence[str] = (), source_format: str = "blender"
) -> str:
    judged = [view(name, "test") for name in names]
    rest = [view(name, "train") for name in others or TRAIN]
    scene = Scene.from_views([*rest, *judged], OBJECT, source_format=source_format)
    return describe_protocol(PROTOCOLS["blender-white"], scene, judged)["title"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"test/r_{4 * n}.png" for n in range(50)], "50 of 200 views"),
        ([f"./test/r_{8 * n}.png" for n in range(25)], "25 of 200 views"),
        ([f"test/r_{n}.png" for n in range(25)], "25 views"),
        ([f"test/r_{n}.png" for n in range(200)], "200 views"),
        ([f"test/{n:03d}.png" for n in range(0, 30, 3)], "10 of 30 views"),
        (["test/r_0.png", "test/r_4.png", "test/r_12.png"], "3 views"),
        (["test/r_1.png", "test/r_3.png"], "2 views"),
        (["test/left.png", "test/right.png"], "2 views"),
        (["a/r_0.png", "b/r_2.png"], "2 views"),
        (["test/r_0.png"], "1 view"),
    ],
)
def test_a_title_counts_what_the_data_set_lists(names: list[str], words: str):
    assert title(names) == f"blender-white, 3 x 2, {words}"


def test_numbers_between_may_be_those_of_other_splits():
    judged = ["images/0.png", "images/2.png"]
    assert title(judged).endswith("2 of 4 views")
    assert title(judged, ["images/1.png", "images/3.png"]).endswith(", 2 views")


def test_other_formats_say_their_rule_instead():
    assert title(["0.png", "2.png"], source_format="nsvf") == "blender-white, 3 x 2"
