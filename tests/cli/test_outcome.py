"""What commands print of scenes, whose fits take longer than a test may."""

from pathlib import Path

import pytest

from tangrid.cli.outcome import print_comparison, print_fit
from tangrid.runs import RunFolder
from tests.reports.fake_scenes import write_scene_comparison, write_scene_run

TITLE = "blender-white, 32 x 24, 6 of 200 views"
NOTE = "The photographs were made 2 times smaller."


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_fitted_scene_is_told_with_its_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    metrics = write_scene_run(tmp_path, shown=0)
    print_fit(RunFolder.open(tmp_path))
    quality = f"PSNR {metrics['psnr']:.2f} dB, SSIM {metrics['ssim']:.4f}"
    cost = "1,677,408 parameters, 400 steps, 15,913 rays/s in 60.0 s"
    assert printed(capsys) == [
        f"lego, instant-ngp: {quality}, {cost}",
        f"judged by {TITLE}",
        NOTE,
        str(tmp_path / "report.html"),
    ]


def test_scores_that_are_there_are_printed_and_others_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    metrics = write_scene_run(tmp_path, shown=0, has_ssim=False)
    made = {"version": "0.1", "network": "vgg", "file": "v.pt", "weights_hash": "39ef"}
    metrics |= {"lpips": 0.125, "protocol": metrics["protocol"] | {"lpips": made}}
    RunFolder.open(tmp_path).write_json("metrics.json", metrics)
    print_fit(RunFolder.open(tmp_path))
    told, _, what, *_ = printed(capsys)
    assert " dB, LPIPS 0.1250, " in told
    assert what == "LPIPS: version 0.1, vgg, weights of v.pt (39ef)"


def test_a_comparison_of_scenes_has_its_rules_below_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_scene_comparison(tmp_path, shown=0)
    print_comparison(RunFolder.open(tmp_path))
    head, _, *rows, judged, note, report = printed(capsys)
    assert head.split() == [
        "signal", "model", "PSNR", "(dB)", "SSIM", "Parameters", "Steps", "Seconds",
        "Rays/s", "Samples/s",
    ]  # fmt: skip
    assert [row.split()[1] for row in rows] == ["instant-ngp", "k-planes"]
    assert judged == f"lego: judged by {TITLE}"
    assert note == f"lego: {NOTE}"
    assert Path(report).is_file()
