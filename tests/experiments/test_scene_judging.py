"""Views are judged by LPIPS where its weights are given, and nowhere else."""

import signal as signals
from pathlib import Path

import pytest

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.experiments.compare_scenes import CompareScenes, run_scene_comparison
from tangrid.experiments.demo_scene import demo_scene
from tangrid.experiments.fit_scene import FittedScene, radiance_of, run_scene_fit
from tangrid.experiments.scene_judging import check_judged_alike
from tangrid.experiments.scene_source import SceneSource
from tangrid.fields.workers import Workers
from tangrid.metrics.lpips import NETWORKS, Lpips, read_lpips
from tangrid.reports import write_fit_report
from tangrid.runs.store import RunFolder
from tangrid.signals.scene import Scene
from tangrid.tasks.view_evaluation import judge_view
from tangrid.tasks.view_protocols import find_protocol
from tangrid.training import Moment
from tangrid.training.settings import scene_training
from tests.experiments.small_scenes import SETTINGS, plan_scene, tiny_scene
from tests.metrics.lpips_weights import save_seeded, seeded_tensors
from tests.tolerances import LPIPS_FLOAT32


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Lpips:
    return read_lpips(save_seeded(tmp_path_factory.mktemp("weights") / "alex.pt"))


@pytest.fixture(scope="module")
def signal() -> Scene:
    """As small as AlexNet can see."""
    return demo_scene(size=NETWORKS["alex"].smallest, train_views=4, test_views=2)


@pytest.fixture(scope="module")
def judged(
    signal: Scene, metric: Lpips, tmp_path_factory: pytest.TempPathFactory
) -> FittedScene:
    folder = RunFolder.create(tmp_path_factory.mktemp("judged") / "run")
    return run_scene_fit(plan_scene(signal), signal, folder=folder, lpips=metric)


def test_every_view_and_the_mean_have_it(judged: FittedScene, metric: Lpips):
    metrics = judged.folder.read_json("metrics.json")
    scores = [row["lpips"] for row in metrics["per_view"]]
    assert len(scores) == 2
    assert all(score > 0 for score in scores)
    assert metrics["lpips"] == pytest.approx(sum(scores) / 2)
    assert metrics["protocol"]["lpips"] == metric.describe()
    assert metrics["protocol"]["lpips"]["file"] == "alex.pt"
    drawn = judged.folder.read_json("pictures.json")["views"]
    assert [view["lpips"] for view in drawn] == scores


def test_it_compares_the_picture_with_the_photograph(
    judged: FittedScene, signal: Scene, metric: Lpips
):
    protocol = find_protocol("blender-white")
    views = signal.of_split("test")
    with Workers(2) as workers:
        seen = judge_view(
            radiance_of(judged), views[0], protocol, workers, lpips=metric
        )
    wanted = metric.distance(seen.picture, seen.target)
    for found in (seen.scores, judged.metrics["per_view"][0]):
        assert found["lpips"] == pytest.approx(wanted, rel=LPIPS_FLOAT32)


def test_the_report_shows_it_and_what_made_it(judged: FittedScene, metric: Lpips):
    page = write_fit_report(judged.folder.path).read_text()
    assert f"{judged.metrics['lpips']:.4f}" in page
    assert "LPIPS of every test view" in page
    digest = metric.describe()["weights_hash"]
    assert f"LPIPS: version 0.1, alex, weights of alex.pt ({digest})" in page


def test_other_scores_are_the_same_without_it(judged: FittedScene, signal: Scene):
    plain = run_scene_fit(plan_scene(signal), signal)
    assert "lpips" not in plain.metrics
    assert "lpips" not in plain.metrics["protocol"]
    rows = plain.metrics["per_view"]
    assert all("lpips" not in row for row in rows)
    assert [row | {"lpips": None} for row in rows] == [
        row | {"lpips": None} for row in judged.metrics["per_view"]
    ]
    assert plain.experiment == judged.experiment


def test_views_that_are_too_small_have_none_and_the_report_says_so(
    metric: Lpips, tmp_path: Path
):
    folder = RunFolder.create(tmp_path / "run")
    fitted = run_scene_fit(plan_scene(), tiny_scene(), folder=folder, lpips=metric)
    assert fitted.metrics["lpips"] is None
    assert [row["lpips"] for row in fitted.metrics["per_view"]] == [None, None]
    assert "too small for its network" in write_fit_report(folder.path).read_text()


def test_a_fit_that_is_gone_on_with_is_judged_by_it(
    signal: Scene, metric: Lpips, judged: FittedScene, tmp_path: Path
):
    folder = RunFolder.create(tmp_path / "run")

    def stop(moment: Moment) -> None:
        if moment.step == 7:
            signals.raise_signal(signals.SIGINT)

    plan = plan_scene(signal)
    with pytest.raises(InterruptedRunError, match=r"after step 7"):
        run_scene_fit(plan, signal, folder=folder, lpips=metric, on_step=stop)
    check_judged_alike(folder.path, None)
    again = run_scene_fit(plan, signal, folder=folder, lpips=metric, resume=True)
    assert again.metrics["lpips"] == judged.metrics["lpips"]


def test_a_finished_fit_must_have_been_judged_alike(
    judged: FittedScene, metric: Lpips, tmp_path: Path
):
    path = judged.folder.path
    check_judged_alike(path, metric)
    check_judged_alike(path, read_lpips(save_seeded(tmp_path / "other-name.pt")))
    with pytest.raises(ConfigError, match=r"judged without LPIPS, got one .* alex\.pt"):
        check_judged_alike(path, None)
    bias = "net.slice5.10.bias"
    changed = seeded_tensors("alex") | {bias: seeded_tensors("alex")[bias] + 1}
    other = Lpips(network=NETWORKS["alex"], file="alex.pt", tensors=changed)
    with pytest.raises(ConfigError, match=r"They are not judged again"):
        check_judged_alike(path, other)


def test_all_runs_of_a_comparison_are_judged_alike(
    signal: Scene, metric: Lpips, tmp_path: Path
):
    comparison = CompareScenes(
        models=("instant-ngp",),
        seeds=(0, 1),
        signals=(SceneSource(name=signal.name),),
        params=20_000,
        training=scene_training(2, None, batch_size=512, threads=2),
        settings=SETTINGS,
    )
    folder = RunFolder.create(tmp_path / "comparison")
    rows = list(run_scene_comparison(comparison, [signal], folder, lpips=metric))
    assert all(row["lpips"] > 0 for row in rows)
    again = run_scene_comparison(
        comparison, [signal], folder, resume=True, lpips=metric
    )
    assert [row["lpips"] for row in again] == [row["lpips"] for row in rows]
    with pytest.raises(ConfigError, match=r"judged without LPIPS, got one judged by"):
        run_scene_comparison(comparison, [signal], folder, resume=True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("supersampling", "0", "expected 1 to 16 rays along each side of a pixel, got"),
        ("supersampling", "17", "expected 1 to 16 rays along each side of a pixel"),
        ("least_transmittance", "0", "expected a share above 0 and below 1, got 0.0"),
        ("least_transmittance", "1", "expected a share above 0 and below 1, got 1.0"),
        ("probe_seconds", "0", "expected a time above 0, got 0.0"),
        ("probe_seconds", "-1", "expected a time above 0, got -1.0"),
        ("probe_views", "-1", "expected 0 or more, got -1"),
    ],
)
def test_what_cannot_judge_is_refused_before_anything_is_fitted(
    name: str, text: str, message: str
):
    with pytest.raises(ConfigError, match=rf"judge\.{name}: {message}"):
        plan_scene(**{f"judge.{name}": text})
