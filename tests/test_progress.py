"""What the progress line says, in a terminal and elsewhere."""

import io
import math
import os
import re

import pytest
from rich.console import Console

from tangrid import progress
from tangrid.progress import Pace, ProgressLine, StageLine, bar, clock
from tangrid.training import Moment


def moment(step: int, of: int = 10, loss: float = 0.01) -> Moment:
    return Moment(step, step / of, 2.0 * step, 1_000_000 * step, loss, {})


def run_of(console: Console, steps: int = 10) -> None:
    with ProgressLine("photo mulfagrid", steps=steps, console=console) as line:
        for step in range(1, steps + 1):
            line(moment(step, steps))


def test_log_has_few_lines():
    stream = io.StringIO()
    run_of(Console(file=stream, width=80))
    assert stream.getvalue().splitlines() == [
        "photo mulfagrid: starting",
        "photo mulfagrid: step 10/10, PSNR 20.00 dB, 0.50 M points/s, 0:20 taken",
    ]


def test_log_speaks_now_and_then(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    stream = io.StringIO()
    run_of(Console(file=stream, width=80), steps=3)
    lines = stream.getvalue().splitlines()
    assert lines[1:3] == [
        "photo mulfagrid: step 1/3, PSNR 20.00 dB",
        "photo mulfagrid: step 2/3, PSNR 20.00 dB, 0.50 M points/s, 0:02 left",
    ]


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_terminal_line_fits(width: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_FRAMES", 0.0)
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=True, color_system=None,
        legacy_windows=False,
    )  # fmt: skip
    run_of(console)
    *_, last = stream.getvalue().replace("\x1b[?25h", "").rstrip().splitlines()
    words = last.split("\x1b[2K")[-1]
    assert len(words.rstrip()) <= width
    assert words.startswith("p")
    if width >= 80:
        assert words.rstrip().endswith("PSNR 20.00 dB  0.50 M points/s  0:20 taken")


def test_stream_that_closes_does_not_stop_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", buffering=1)
    console = progress._LastingConsole(file=stream)
    run_of(console)
    assert console.quiet
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_pace_forgets_the_first_step():
    pace = Pace()
    pace.add(Moment(1, 0.01, 60.0, 100, 1.0, {}))
    assert math.isnan(pace.points_per_second)
    assert math.isnan(pace.seconds_left)
    for step in range(2, 50):
        pace.add(Moment(step, step / 100, 60.0 + step, 100 * step, 1.0, {}))
    assert pace.points_per_second == pytest.approx(100)
    assert pace.seconds_left == pytest.approx(51)


def test_slow_steps_have_a_pace():
    pace = Pace()
    for step in (1, 2, 3):
        pace.add(Moment(step, step / 10, 100.0 * step, 1000 * step, 1.0, {}))
    assert pace.points_per_second == pytest.approx(10)


def test_clock():
    assert [clock(s) for s in (0.2, 59.6, 3599, 3600)] == [
        "0:00", "1:00", "59:59", "1:00:00",
    ]  # fmt: skip


def stages_on(console: Console) -> None:
    with StageLine(console=console) as line:
        line.say("plan: two parts")
        for number, label in enumerate(("one [bold]", "two")):
            line.begin(number, 2, label)
            line.stage("first stage")
            line.stage("second stage")


def test_log_of_stages_has_few_lines(monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    stages_on(Console(file=stream, width=80))
    expected = ["plan: two parts", "1/2 one [bold]: starting", "2/2 two: starting"]
    assert stream.getvalue().splitlines() == expected
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    stream = io.StringIO()
    stages_on(Console(file=stream, width=80))
    assert stream.getvalue().splitlines()[2] == "1/2 one [bold]: first stage"


def test_terminal_shows_a_line_per_part():
    stream = io.StringIO()
    console = Console(
        file=stream, width=80, force_terminal=True, color_system=None,
        legacy_windows=False,
    )  # fmt: skip
    stages_on(console)
    shown = stream.getvalue()
    assert "plan: two parts" in shown
    ended = [line.split() for line in shown.splitlines() if "done" in line][-2:]
    assert ended[0][-5:-1] == ["1/2", "one", "[bold]", "done"]
    assert ended[1][-4:-1] == ["2/2", "two", "done"]


def test_stream_that_closes_does_not_stop_stages():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", buffering=1)
    stages_on(progress._LastingConsole(file=stream))
    with pytest.raises(BrokenPipeError):
        stream.close()


def terminal(stream: io.StringIO, width: int = 80) -> Console:
    return Console(
        file=stream, width=width, force_terminal=True, color_system=None,
        legacy_windows=False,
    )  # fmt: skip


def frames(stream: io.StringIO) -> list[str]:
    """Every line that was drawn, without the commands that move the cursor."""
    shown = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", stream.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", shown) if line.strip()]


def test_a_loss_that_is_no_square_is_told_as_it_is():
    stream = io.StringIO()
    with ProgressLine("ball siren", console=Console(file=stream, width=80)) as line:
        line(Moment(1, 1.0, 2.0, 100, 0.012345, {}, is_squared=False))
    last = stream.getvalue().splitlines()[-1]
    assert last == "ball siren: step 1, loss 0.0123, 0.00 M points/s, 0:02 taken"
    assert "PSNR" not in stream.getvalue()


def test_log_of_drawing_points_has_few_lines(monkeypatch: pytest.MonkeyPatch):
    def drawn() -> list[str]:
        stream = io.StringIO()
        with ProgressLine("ball", console=Console(file=stream, width=80)) as line:
            for done in (2_100_000, 3_000_000, 4_200_000):
                line.prepare(done, 4_200_000)
        return stream.getvalue().splitlines()

    assert drawn() == ["ball: starting"]
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1.0)
    first, *told, after = drawn()
    assert first == "ball: starting"
    assert told == [
        "ball: drawing points: 2.1 of 4.2 M",
        "ball: drawing points: 3.0 of 4.2 M",
    ]
    assert after.startswith("ball: starting (compiles")


@pytest.mark.parametrize("width", [30, 40, 80])
def test_terminal_shows_the_points_that_are_drawn(
    width: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_FRAMES", 0.0)
    stream = io.StringIO()
    with ProgressLine("ball siren", console=terminal(stream, width)) as line:
        line.prepare(2_100_000, 4_200_000)
        line.prepare(4_200_000, 4_200_000)
        line(moment(10))
    lines = frames(stream)
    assert all(len(words) <= width for words in lines)
    drawing = [n for n, words in enumerate(lines) if "drawing" in words]
    assert drawing
    assert "taken" in lines[-1] or width < 80
    assert not any("drawing" in words for words in lines[drawing[-1] + 1 :])
    if width >= 80:
        assert lines[drawing[0]].endswith("drawing points: 2.1 of 4.2 M")


def test_stream_that_closes_does_not_stop_drawing_points(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1.0)
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", buffering=1)
    console = progress._LastingConsole(file=stream)
    with ProgressLine("ball", console=console) as line:
        line.prepare(1, 2)
        line.prepare(2, 2)
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_is_for_terminals(is_terminal: bool, monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    plain = Console(file=stream, width=80)
    console = terminal(stream) if is_terminal else plain
    monkeypatch.setattr(progress, "_LastingConsole", lambda **_: console)
    with bar("extracting [bold]") as show:
        show(0, 8)
        show(8, 8)
    shown = stream.getvalue()
    assert ("100%" in shown) == is_terminal
    if is_terminal:
        assert "extracting" in shown
        # It disappears: the last words take the line back.
        assert shown.rstrip().endswith("\x1b[2K")
    else:
        assert shown == ""


def test_an_error_in_a_bar_comes_out():
    with pytest.raises(ZeroDivisionError), bar("extracting"):
        raise ZeroDivisionError
