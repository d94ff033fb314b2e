import dataclasses
import math
import signal
import threading
from pathlib import Path

import numba
import pytest
import torch

from tangrid.encodings import HashGridConfig
from tangrid.errors import (
    ConfigError,
    DataError,
    InterruptedRunError,
    NumericalError,
)
from tangrid.fields import Field
from tangrid.fields.contract import DecoderDtype
from tangrid.fields.workers import Workers
from tangrid.runs.store import RunFolder
from tangrid.tasks import PointBatch
from tangrid.tasks.image_regression import ImageRegression
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.training import Moment, TrainingSettings, fit
from tests.training.small_fits import (
    GRID,
    LINE,
    SETTINGS,
    assert_same_field,
    build,
    curve,
    smooth_image,
    task,
    tensors_of,
    with_changes,
)
from tests.training.small_shapes import SMOOTH_FIELDS, build_in_space, shape_task


def folder_at(path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_json("config.json", {"kind": "fit-image"})
    return folder


class Stop:
    """Press Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, moment: Moment) -> None:
        if moment.step == self.step:
            signal.raise_signal(signal.SIGINT)


class Broken(ImageRegression):
    """Targets that are not numbers from one step on."""

    first_step = 5

    def batch(self, step: int) -> PointBatch:
        batch = super().batch(step)
        if step < self.first_step:
            return batch
        return PointBatch(batch.coords, batch.targets * torch.nan)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bits(threads: int, tmp_path: Path):
    settings = with_changes(threads=threads)
    folders = [folder_at(tmp_path / name) for name in ("first", "second")]
    fields = [fit(task(), build(), settings, folder=f).field for f in folders]
    assert_same_field(*fields)
    assert curve(folders[0]) == curve(folders[1])
    assert len(curve(folders[0])) == settings.steps
    (first, second) = (f.path / "field.safetensors" for f in folders)
    assert first.read_bytes() == second.read_bytes()


def test_another_seed_gives_other_bits():
    first = fit(task(seed=0), build(), SETTINGS).field
    second = fit(task(seed=1), build(), SETTINGS).field
    tables = [field.get_parameter("encoding.table") for field in (first, second)]
    assert not torch.equal(*tables)


def test_pieces_and_threads_only_change_the_rounding():
    whole = with_changes(threads=1, piece_size=1000, steps=3)
    cut = with_changes(threads=2, piece_size=7, steps=3)
    losses: list[list[float]] = []
    for settings in (whole, cut):
        moments: list[Moment] = []
        fit(task(), build(), settings, on_step=moments.append)
        losses.append([moment.loss for moment in moments])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_first_loss_is_that_of_the_untrained_field():
    untrained = build()
    batch = task().batch(0)
    expected = task().loss(untrained, batch).item()
    moments: list[Moment] = []
    fit(task(), build(), SETTINGS, on_step=moments.append)
    assert moments[0].loss == pytest.approx(expected, rel=1e-5)
    assert moments[0].psnr == pytest.approx(-10 * math.log10(expected), rel=1e-5)
    assert moments[-1].loss < 0.8 * expected


@pytest.mark.parametrize("ema", [None, 0.8])
@pytest.mark.parametrize("stop", [1, 7, 11])
def test_a_resumed_run_is_the_uninterrupted_one(
    ema: float | None, stop: int, tmp_path: Path
):
    settings = with_changes(ema=ema, warmup_steps=3)
    whole = folder_at(tmp_path / "whole")
    expected = fit(task(), build(), settings, folder=whole)
    parts = folder_at(tmp_path / "parts")
    with pytest.raises(InterruptedRunError, match=f"after step {stop}; the state"):
        fit(task(), build(), settings, folder=parts, on_step=Stop(stop))
    # Another seed: nothing of the new field may survive.
    found = fit(task(), build(seed=9), settings, folder=parts, resume=True)
    assert curve(parts) == curve(whole)
    assert_same_field(found.field, expected.field)
    assert found.progress.points == expected.progress.points == 12 * settings.batch_size
    for name in ("field.safetensors",):
        assert (parts.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_lines_after_the_saved_state_are_dropped(tmp_path: Path):
    """A run that is killed has logged steps that its state does not know."""
    whole, killed = folder_at(tmp_path / "whole"), folder_at(tmp_path / "killed")
    expected = fit(task(), build(), SETTINGS, folder=whole)
    with pytest.raises(InterruptedRunError):
        fit(task(), build(), SETTINGS, folder=killed, on_step=Stop(4))

    def die(moment: Moment) -> None:
        if moment.step == 9:
            raise MemoryError

    with pytest.raises(MemoryError):
        fit(task(), build(), SETTINGS, folder=killed, resume=True, on_step=die)
    assert len(curve(killed)) == 9
    found = fit(task(), build(), SETTINGS, folder=killed, resume=True)
    assert curve(killed) == curve(whole)
    assert_same_field(found.field, expected.field)


def test_states_are_saved_now_and_then(tmp_path: Path):
    folder = folder_at(tmp_path / "run")

    def die(moment: Moment) -> None:
        if moment.step == 6:
            raise MemoryError

    often = with_changes(checkpoint_minutes=0.0)
    with pytest.raises(MemoryError):
        fit(task(), build(), often, folder=folder, on_step=die)
    assert folder.read_json("state.json")["step"] == 6


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    expected = fit(task(), build(), SETTINGS, folder=folder)
    moments: list[Moment] = []
    again = fit(
        task(),
        build(seed=9),
        SETTINGS,
        folder=folder,
        resume=True,
        on_step=moments.append,
    )
    assert moments == []
    assert_same_field(again.field, expected.field)
    assert again.progress == expected.progress


def test_a_state_of_more_steps_is_refused(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    fit(task(), build(), SETTINGS, folder=folder)
    short = with_changes(steps=5)
    with pytest.raises(DataError, match=r"at most 5 steps, got one of 12"):
        fit(task(), build(), short, folder=folder, resume=True)


def test_a_loss_that_is_no_number_stops_with_a_saved_state(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    broken = Broken(smooth_image(), batch_size=100, sampling="pixels")
    with pytest.raises(NumericalError) as caught:
        fit(broken, build(), SETTINGS, folder=folder)
    message = str(caught.value)
    assert "expected a finite loss, got nan at step 6" in message
    assert f"The state before it is saved in {folder.path}" in message
    assert caught.value.exit_code == 1
    assert folder.read_json("state.json")["step"] == 5
    # With sound targets the run goes on from there.
    restored = fit(task(), build(seed=9), SETTINGS, folder=folder, resume=True)
    assert restored.progress.step == SETTINGS.steps
    assert all(t.isfinite().all() for t in tensors_of(restored.field).values())


class Ruined(ImageRegression):
    """A finite loss whose gradient is not: the root of zero."""

    def loss(self, field: Field, batch: PointBatch) -> torch.Tensor:
        ruin = (0 * field.forward(batch.coords)).sum().sqrt()
        return super().loss(field, batch) + ruin


@pytest.mark.parametrize("minutes", [0.0, 100.0])
@pytest.mark.parametrize("steps", [6, 12])
def test_ruined_parameters_replace_no_sound_state(
    steps: int, minutes: float, tmp_path: Path
):
    folder = folder_at(tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        fit(task(), build(), SETTINGS, folder=folder, on_step=Stop(5))
    ruined = Ruined(smooth_image(), batch_size=100, sampling="pixels")
    settings = with_changes(steps=steps, checkpoint_minutes=minutes)
    with pytest.raises(NumericalError) as caught:
        fit(ruined, build(), settings, folder=folder, resume=True)
    assert "got some in 'encoding.table' that are not, at step 6" in str(caught.value)
    assert "saved" not in str(caught.value)
    assert folder.read_json("state.json")["step"] == 5
    assert (
        fit(task(), build(), SETTINGS, folder=folder, resume=True).progress.step == 12
    )


def test_without_a_folder_nothing_is_promised():
    broken = Broken(smooth_image(), batch_size=100, sampling="pixels")
    with pytest.raises(NumericalError) as caught:
        fit(broken, build(), SETTINGS)
    assert "saved" not in str(caught.value)
    with pytest.raises(InterruptedRunError, match=r"^Interrupted after step 3\.$"):
        fit(task(), build(), SETTINGS, on_step=Stop(3))


def test_an_interruption_says_how_to_go_on(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    with pytest.raises(InterruptedRunError) as caught:
        fit(task(), build(), SETTINGS, folder=folder, on_step=Stop(3))
    assert "Repeat the command with --resume" in str(caught.value)
    assert caught.value.exit_code == 130


def test_an_interruption_in_the_last_step_is_too_late():
    fitted = fit(task(), build(), SETTINGS, on_step=Stop(12))
    assert fitted.progress.step == SETTINGS.steps


def test_a_line_of_the_log_says_what_happened(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    fit(task(), build(), SETTINGS, folder=folder)
    lines = folder.read_lines("metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["points"] for line in lines] == [100 * k for k in range(1, 13)]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    for line in lines:
        assert list(line["rates"]) == ["grid", "decoder"]
        assert line["psnr"] == pytest.approx(-10 * math.log10(line["loss"]))


def test_the_log_of_a_long_run_is_short(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    long = with_changes(steps=1100, batch_size=4, threads=1)
    fit(task(batch_size=4), build(LINE), long, folder=folder)
    steps = [line["step"] for line in folder.read_lines("metrics.jsonl")]
    assert steps == [1, *range(2, 1101, 2)]


def test_time_alone_can_end_training():
    settings = with_changes(steps=None, minutes=0.002)
    moments: list[Moment] = []
    fitted = fit(task(), build(LINE), settings, on_step=moments.append)
    assert fitted.progress.seconds >= 0.12
    assert moments[-1].fraction == 1
    assert moments[-1].seconds_left == 0
    fractions = [moment.fraction for moment in moments]
    assert fractions == sorted(fractions)


def test_the_rates_follow_the_schedule():
    settings = with_changes(schedule="steps", milestones=(0.5,), step_factor=0.1)
    moments: list[Moment] = []
    fit(task(), build(), settings, on_step=moments.append)
    found = [moment.rates["decoder"] for moment in moments]
    assert found == pytest.approx([5e-3] * 6 + [5e-4] * 6)


def test_a_group_at_rate_zero_stays():
    field = build()
    before = tensors_of(field)
    rates = {"grid": 0.0, "decoder": 1e-2}
    after = tensors_of(fit(task(), field, with_changes(rates=rates)).field)
    assert torch.equal(after["encoding.table"], before["encoding.table"])
    assert not torch.equal(
        after["decoder.layers.0.weight"], before["decoder.layers.0.weight"]
    )


def test_a_group_without_a_rate_is_refused():
    with pytest.raises(ConfigError, match="a rate for the group 'grid', got rates for"):
        fit(task(), build(), with_changes(rates={"decoder": 1e-2}))


def test_the_running_mean_is_what_comes_back():
    means = tensors_of(build())
    field = build()

    def follow(moment: Moment) -> None:
        # Soon forgets the field as it was before training.
        decay = min(0.3, moment.step / (moment.step + 9))
        for name, tensor in field.state_dict().items():
            means[name] = decay * means[name] + (1 - decay) * tensor

    fitted = fit(task(), field, with_changes(ema=0.3), on_step=follow)
    assert fitted.field is not field
    for name, tensor in fitted.field.state_dict().items():
        assert torch.allclose(tensor, means[name], atol=1e-6), name
        assert not torch.equal(tensor, field.state_dict()[name])


def test_the_running_mean_may_follow_now_and_then():
    """After steps 1, 5 and 9 of 12, and never in between."""
    means = tensors_of(build())
    field = build()

    def follow(moment: Moment) -> None:
        if moment.step % 4 == 1:
            number = moment.step // 4 + 1
            decay = number / (number + 9)
            for name, tensor in field.state_dict().items():
                means[name] = decay * means[name] + (1 - decay) * tensor

    settings = with_changes(ema=0.7, ema_interval=4)
    fitted = fit(task(), field, settings, on_step=follow)
    for name, tensor in fitted.field.state_dict().items():
        assert torch.allclose(tensor, means[name], atol=1e-6), name


class Learner(ImageRegression):
    """It learns the sum of all losses, weighs them by it, and counts double."""

    def __init__(self) -> None:
        super().__init__(smooth_image(), batch_size=100, sampling="pixels")
        self.learned = torch.zeros(2, dtype=torch.float64)

    def batch(self, step: int) -> PointBatch:
        batch = super().batch(step)
        return PointBatch(batch.coords, batch.targets / (1 + float(self.learned[0])))

    def finish_step(self, step, batch, field, workers: Workers) -> int:
        with torch.no_grad():
            error = self.loss(field, batch)
        self.learned += torch.tensor([float(error), 1.0])
        return 2 * len(batch)

    @property
    def state(self) -> dict[str, torch.Tensor]:
        return {"learned": self.learned}

    @property
    def measures(self) -> dict[str, float]:
        return {"total": float(self.learned[0]), "lessons": float(self.learned[1])}


def test_what_a_task_learns_and_measures_is_logged(tmp_path: Path):
    folder, learner = folder_at(tmp_path / "run"), Learner()
    moments: list[Moment] = []
    fitted = fit(learner, build(), SETTINGS, folder=folder, on_step=moments.append)
    lines = folder.read_lines("metrics.jsonl")
    assert [line["lessons"] for line in lines] == list(range(1, 13))
    assert [moment.measures["total"] for moment in moments] == [
        line["total"] for line in lines
    ]
    assert fitted.progress.points == lines[-1]["points"] == 2400
    assert learner.learned[1] == 12


def test_a_step_is_finished_after_the_field_has_moved():
    field, seen = build(), []

    class Watcher(Learner):
        def finish_step(self, step, batch, field, workers: Workers) -> int:
            seen.append((step, tensors_of(field)["encoding.table"]))
            return len(batch)

    before = tensors_of(field)["encoding.table"]
    fit(Watcher(), field, with_changes(steps=2))
    assert [step for step, _ in seen] == [0, 1]
    assert not torch.equal(seen[0][1], before)
    assert torch.equal(seen[1][1], tensors_of(field)["encoding.table"])


@pytest.mark.parametrize("stop", [1, 7])
def test_what_a_task_has_learned_is_resumed(stop: int, tmp_path: Path):
    settings = with_changes(
        ema=0.8, ema_interval=3, schedule="exponential", hold=0.5, final_rate=0.1
    )
    whole, parts = folder_at(tmp_path / "whole"), folder_at(tmp_path / "parts")
    expected = fit(Learner(), build(), settings, folder=whole)
    with pytest.raises(InterruptedRunError):
        fit(Learner(), build(), settings, folder=parts, on_step=Stop(stop))
    resumed = Learner()
    found = fit(resumed, build(seed=9), settings, folder=parts, resume=True)
    assert curve(parts) == curve(whole)
    assert_same_field(found.field, expected.field)
    assert float(resumed.learned[1]) == 12
    assert found.progress.points == expected.progress.points == 2400


def test_a_state_without_what_the_task_learns_is_refused(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        fit(task(), build(), SETTINGS, folder=folder, on_step=Stop(3))
    with pytest.raises(DataError, match=r"first difference: 'task/learned'"):
        fit(Learner(), build(), SETTINGS, folder=folder, resume=True)


def test_the_rates_of_an_exponential_schedule():
    settings = with_changes(schedule="exponential", hold=0.5, final_rate=0.01)
    moments: list[Moment] = []
    fit(task(), build(), settings, on_step=moments.append)
    found = [moment.rates["decoder"] for moment in moments]
    assert found[:7] == pytest.approx([5e-3] * 7)
    assert found[7:] == pytest.approx([5e-3 * 0.01 ** (k / 6) for k in range(1, 6)])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_trains(dtype: DecoderDtype):
    grid = GRID.encoding
    assert isinstance(grid, HashGridConfig)
    if dtype == "float16":
        grid = dataclasses.replace(grid, table_dtype="float16")
    config = dataclasses.replace(GRID, encoding=grid, decoder_dtype=dtype)
    moments: list[Moment] = []
    settings = with_changes(steps=60, loss_scale=128.0 if dtype == "float16" else None)
    fitted = fit(task(), build(config), settings, on_step=moments.append)
    assert moments[-1].loss < 0.1 * moments[0].loss
    assert {t.dtype for t in fitted.field.parameters()} == {torch.float32}


class Slopes(ImageRegression):
    """Values and the square of their gradient, which autograd takes inside the loss."""

    def loss(self, field: Field, batch: PointBatch) -> torch.Tensor:
        coords = batch.coords.requires_grad_()
        values = field.forward(coords)
        (slope,) = torch.autograd.grad(values.sum(), coords, create_graph=True)
        return (values - batch.targets).square().mean() + 1e-3 * slope.square().mean()


def test_a_loss_of_gradients_trains_in_pieces():
    slopes = Slopes(smooth_image(), batch_size=100, sampling="pixels")
    losses: list[list[float]] = []
    for settings in (
        with_changes(threads=1, piece_size=1000, steps=8),
        with_changes(threads=2, piece_size=9, steps=8),
    ):
        moments: list[Moment] = []
        fit(slopes, build(), settings, on_step=moments.append)
        losses.append([moment.loss for moment in moments])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][-1] < 0.95 * losses[0][0]


def test_training_leaves_the_process_as_it_was():
    before = (
        torch.get_num_threads(),
        numba.get_num_threads(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        threading.active_count(),
    )
    random = torch.random.get_rng_state()
    fit(task(), build(), SETTINGS)
    with pytest.raises(InterruptedRunError):
        fit(task(), build(), SETTINGS, on_step=Stop(2))
    after = (
        torch.get_num_threads(),
        numba.get_num_threads(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        threading.active_count(),
    )
    assert after == before
    assert torch.equal(torch.random.get_rng_state(), random)


def test_settings_by_default_fit_anything():
    assert fit(task(), build(LINE), TrainingSettings(steps=1)).progress.step == 1


def test_only_a_squared_error_has_a_ratio_to_the_peak():
    squared, zero = (Moment(1, 0.1, 1.0, 10, loss, {}) for loss in (0.01, 0.0))
    assert squared.psnr == pytest.approx(20.0)
    assert zero.psnr == math.inf
    assert Moment(1, 0.1, 1.0, 10, 0.01, {}, is_squared=False).psnr is None
    assert Moment(1, 0.1, 1.0, 10, 0.0, {}, is_squared=False).psnr is None


def test_the_log_of_a_shape_has_no_psnr(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    moments: list[Moment] = []
    field = build_in_space(SMOOTH_FIELDS["siren"])
    fit(shape_task(SdfLoss()), field, SETTINGS, folder=folder, on_step=moments.append)
    assert [moment.psnr for moment in moments] == [None] * 12
    lines = folder.read_lines("metrics.jsonl")
    assert len(lines) == 12
    for line, moment in zip(lines, moments, strict=True):
        assert set(line) == {"step", "seconds", "points", "loss", "rates"}
        assert line["loss"] == pytest.approx(moment.loss)


def test_a_fit_of_slopes_resumes_where_it_stopped(tmp_path: Path):
    loss = SdfLoss(kind="l1", eikonal=0.1, normals=0.1)
    config = SMOOTH_FIELDS["hash grid, smoothstep"]
    whole, parts = folder_at(tmp_path / "whole"), folder_at(tmp_path / "parts")
    expected = fit(shape_task(loss), build_in_space(config), SETTINGS, folder=whole)
    with pytest.raises(InterruptedRunError):
        fit(
            shape_task(loss),
            build_in_space(config),
            SETTINGS,
            folder=parts,
            on_step=Stop(5),
        )
    other = build_in_space(config, seed=9)
    found = fit(shape_task(loss), other, SETTINGS, folder=parts, resume=True)
    assert_same_field(found.field, expected.field)
    assert curve(parts) == curve(whole)
    assert found.progress.points == expected.progress.points == 12 * 64
