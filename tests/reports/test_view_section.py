import base64
import json
from pathlib import Path

import pytest
from PIL import Image

from tangrid.reports import write_fit_report
from tests.reports.browser import browse
from tests.reports.fake_scenes import write_scene_run
from tests.reports.page_reader import PageReader, read_page


def read_report(folder: Path) -> PageReader:
    return read_page(write_fit_report(folder).read_text(encoding="utf-8"))


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_fitted_scene_is_told(tmp_path: Path):
    metrics = write_scene_run(tmp_path)
    reader = read_report(tmp_path)
    words = reader.words()
    assert "tangrid fit scene instant-ngp on lego" in words
    title = "blender-white, 32 x 24, 6 of 200 views"
    for told in (
        f"PSNR {metrics['psnr']:.2f} dB {title}",
        f"SSIM {metrics['ssim']:.4f}",
        "Training time 60.0 s 15,913 rays/s",
        f"Judged by {title} means over 6 test views",
        "The photographs were made 2 times smaller.",
        "3 of 6 test views, evenly over all of them.",
        "Samples kept 85.0 %",
        "Occupied 12.5 %",
        "tangrid fit scene scenes/lego --model instant-ngp",
    ):
        assert told in words
    # Three views of four pictures, and the two in the slider.
    assert len(reader.all("img")) == 3 * 4 + 2
    labels = [drawing["aria-label"] for drawing in reader.all("svg")]
    assert labels == [
        "PSNR of every test view",
        "SSIM of every test view",
        "PSNR of training batches against step: instant-ngp",
        "PSNR of training batches against seconds: instant-ngp",
        "Samples per ray against step: instant-ngp",
    ]


def test_scales_say_what_colours_are(tmp_path: Path):
    write_scene_run(tmp_path)
    words = read_report(tmp_path).words()
    assert "Absolute error 0 ≥ 0.2 Depth far near" in words
    assert "Depths go from the nearest to the farthest thing of each view" in words


def test_every_pair_can_be_put_into_the_slider(tmp_path: Path):
    write_scene_run(tmp_path)
    reader = read_report(tmp_path)
    ids = {attributes.get("id") for _, attributes in reader.tags}
    buttons = [it for it in reader.all("button") if "data-left" in it]
    assert len(buttons) == 3
    assert [it["aria-pressed"] for it in buttons] == ["true", "false", "false"]
    for button in buttons:
        assert {button["data-left"], button["data-right"]} <= ids
        assert float(button["data-ratio"]) == pytest.approx(32 / 24, rel=1e-4)


_CLICK = """<script>
const source = (selector) => document.querySelector(selector).src;
document.querySelectorAll("button[data-left]")[1].click();
const left = source(".slider img.left") === source("#view-2-target");
const right = source(".slider img.right") === source("#view-2-fit");
const buttons = [...document.querySelectorAll("button[data-left]")];
const pressed = buttons.map((button) => button.getAttribute("aria-pressed"));
document.title = [left, right, ...pressed].join();
</script></body>"""


@pytest.mark.browser
def test_a_click_puts_a_pair_into_the_slider(tmp_path: Path):
    write_scene_run(tmp_path / "run")
    page = write_fit_report(tmp_path / "run")
    clicked = page.with_name("clicked.html")
    clicked.write_text(page.read_text().replace("</body>", _CLICK))
    shown = browse(clicked, tmp_path, "--dump-dom")
    assert "<title>true,true,false,true,false</title>" in shown


def test_the_page_carries_the_pictures_themselves(tmp_path: Path):
    write_scene_run(tmp_path)
    page = write_fit_report(tmp_path).read_text(encoding="utf-8")
    pictures = list(tmp_path.glob("*.png"))
    assert len(pictures) == 12
    for path in pictures:
        assert base64.b64encode(path.read_bytes()).decode() in page


def test_two_hundred_views_stay_compact(tmp_path: Path):
    write_scene_run(tmp_path, num_views=200)
    reader = read_report(tmp_path)
    words = reader.words()
    assert "3 of 200 test views" in words
    assert "The worst" in words
    assert "All 200 views" in words
    assert sum("open" in it for it in reader.all("details")) == 1
    assert len((tmp_path / "report.html").read_bytes()) < 400_000


def test_one_view_has_no_plot_and_no_choice(tmp_path: Path):
    write_scene_run(tmp_path, num_views=1)
    reader = read_report(tmp_path)
    assert "The only test view." in reader.words()
    assert "Judged by" in reader.words()
    assert all("data-left" not in it for it in reader.all("button"))
    assert len(reader.all("svg")) == 3


def test_a_missing_ssim_has_its_reason(tmp_path: Path):
    write_scene_run(tmp_path, has_ssim=False)
    reader = read_report(tmp_path)
    assert "SSIM \N{EN DASH} smaller than its window" in reader.words()
    assert "SSIM of every test view" not in reader.words()


def test_without_pictures_the_numbers_stand(tmp_path: Path):
    write_scene_run(tmp_path, shown=0)
    words = read_report(tmp_path).words()
    assert "This run left no pictures." in words
    assert "SSIM of every test view" in words


def test_an_unfinished_scene_shows_how_far_it_came(tmp_path: Path):
    write_scene_run(tmp_path, is_finished=False)
    words = read_report(tmp_path).words()
    assert "This run did not finish: the last step it logged is 131 of 400." in words
    assert "This run left no pictures." in words
    assert "Dots: some test views meanwhile." in words
    assert "Diamond" not in words
    assert "How it was trained" in words
    assert "What it cost" not in words


def test_a_scene_that_only_began_says_so(tmp_path: Path):
    write_scene_run(tmp_path, is_finished=False)
    (tmp_path / "metrics.jsonl").unlink()
    words = read_report(tmp_path).words()
    assert "it stopped before its first step" in words
    assert "This run logged nothing." in words


@pytest.mark.parametrize(
    ("kind", "data"),
    [("target", None), ("fit", b"damaged"), ("error", b"damaged"), ("depth", None)],
)
def test_pictures_may_be_missing(tmp_path: Path, kind: str, data: bytes | None):
    write_scene_run(tmp_path)
    path = tmp_path / f"view_0_{kind}.png"
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    reader = read_report(tmp_path)
    chosen = [it for it in reader.all("button") if "data-left" in it]
    assert len(chosen) == (2 if kind in ("target", "fit") else 3)
    assert len(reader.all("img")) == 11 + 2


@pytest.mark.parametrize(
    "changes",
    [
        {"error_scale": None},
        {"depth_colormap": None, "error_colormap": "no colours"},
        {"views": None},
        {"views": [{"target": "view_0_target.png"}]},
    ],
)
def test_parts_of_the_record_may_be_missing(tmp_path: Path, changes: dict):
    write_scene_run(tmp_path)
    change_json(tmp_path / "pictures.json", **changes)
    assert "View by view" in read_report(tmp_path).words()


@pytest.mark.parametrize("key", ["per_view", "protocol", "notes", "occupied", "psnr"])
def test_parts_of_the_metrics_may_be_missing(tmp_path: Path, key: str):
    metrics = write_scene_run(tmp_path)
    del metrics[key]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert "Photograph, render, error and depth" in read_report(tmp_path).words()


def test_heavy_photographs_are_copied(tmp_path: Path):
    write_scene_run(tmp_path, shown=1)
    noisy = Image.effect_noise((800, 700), 90).convert("RGB")
    noisy.save(tmp_path / "view_0_target.png")
    page = write_fit_report(tmp_path).read_text(encoding="utf-8")
    (large,) = [
        it for it in read_page(page).all("img") if it.get("id") == "view-1-target"
    ]
    assert large["src"].startswith("data:image/jpeg")
    assert (large["width"], large["height"]) == ("800", "700")


def test_names_from_outside_are_shown_as_they_are(tmp_path: Path):
    write_scene_run(tmp_path, num_views=1)
    name = "<b>r</b> {0}"
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    row = metrics["per_view"][0] | {"view": name}
    change_json(tmp_path / "metrics.json", per_view=[row], notes=["<i>note</i>"])
    pictures = json.loads((tmp_path / "pictures.json").read_text())
    view = pictures["views"][0] | {"name": name}
    change_json(tmp_path / "pictures.json", views=[view])
    reader = read_report(tmp_path)
    assert name in reader.words()
    assert "<i>note</i>" in reader.words()
    assert reader.all("i") == []
