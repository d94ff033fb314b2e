"""Show how work goes: a live line in a terminal, a line now and then elsewhere."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tangrid.training import Moment

Part = TypeVar("Part", bound=Sized)

_SECONDS_BETWEEN_FRAMES = 0.1
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_OF_MEMORY = 5.0
_BAR_WIDTH = 24
_SHORTEST_BAR = 6
_SHORTEST_LABEL = 20


class _LastingConsole(Console):
    """A console that falls silent when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Go on without a word; the program would end by default."""
        self.quiet = True


class Pace:
    """How fast training has been in the last seconds; the first step may compile."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()

    def add(self, moment: Moment) -> None:
        """Take one more step in.

        Args:
            moment: The step.
        """
        moments = self._moments
        moments.append(moment)
        # Two moments at least, or slow steps would have no pace.
        while len(moments) > 2 and moments[-1].seconds - moments[1].seconds > (
            _SECONDS_OF_MEMORY
        ):
            moments.popleft()

    @property
    def points_per_second(self) -> float:
        """Points per second of training; not a number before the second step."""
        return self._slope(self._moments[-1].points - self._moments[0].points)

    @property
    def seconds_left(self) -> float:
        """Expected wall time to the end; not a number before the second step."""
        first, last = self._moments[0], self._moments[-1]
        speed = self._slope(last.fraction - first.fraction)
        return (1 - last.fraction) / speed if speed > 0 else math.nan

    def _slope(self, difference: float) -> float:
        seconds = self._moments[-1].seconds - self._moments[0].seconds
        return difference / seconds if seconds > 0 else math.nan


class ProgressLine:
    """Show the steps of one training; use it in a ``with`` statement.

    In a terminal one line is drawn anew several times a second. Elsewhere a line is
    written every ten seconds. A stream that goes away ends the show, not the training.

    Args:
        label: What is trained, such as ``photo mulfagrid``.
        steps: Number of steps, if it is known.
        console: Where to write; standard error by default.
    """

    def __init__(
        self, label: str, *, steps: int | None = None, console: Console | None = None
    ) -> None:
        self._label = label
        self._steps = steps
        self._console = console or _LastingConsole(stderr=True, highlight=False)
        self._pace = Pace()
        self._last: Moment | None = None
        self._drawn = -math.inf
        self._is_over = False
        self._preparing: str | None = None
        self._judging = "judging"
        self._test_psnr: float | None = None
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # Drawn from the training loop: a thread would take time from the workers.
            self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Return itself, having said that it begins: a first step may take long."""
        with suppress(OSError):
            if self._live is not None:
                self._live.start()
                self._live.update(self._picture(), refresh=True)
            else:
                self._write(f"{self._label}: starting")
        self._drawn = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last line standing."""
        self._is_over = kind is None
        with suppress(OSError):
            if self._live is not None:
                self._live.update(self._picture(), refresh=True)
                self._live.stop()
            elif self._last is not None and self._last.fraction < 1:
                self._write(self._sentence(self._last))

    def prepare(self, done: int, total: int) -> None:
        """Show how far the points are that training waits for.

        Args:
            done: Points that are drawn.
            total: All points.
        """
        self._preparing = None
        if done < total:
            self._preparing = f"drawing points: {done / 1e6:.1f} of {total / 1e6:.1f} M"
        with suppress(OSError):
            if self._live is not None:
                self._live.update(self._picture(), refresh=True)
            elif time.monotonic() - self._drawn > _SECONDS_BETWEEN_LINES:
                self._write(f"{self._label}: {', '.join(self._waiting)}")
                self._drawn = time.monotonic()

    def judge(self, done: int, total: int) -> None:
        """Show how many views of a trained field are judged.

        Args:
            done: Views that are judged.
            total: All views.
        """
        self._judging = f"judging: {done} of {total} views"
        with suppress(OSError):
            if self._live is not None:
                self._live.update(self._picture(), refresh=True)

    def __call__(self, moment: Moment) -> None:
        """Show one step.

        Args:
            moment: The step.
        """
        self._pace.add(moment)
        self._last = moment
        self._test_psnr = moment.measures.get("test_psnr", self._test_psnr)
        live = self._live is not None
        pause = _SECONDS_BETWEEN_FRAMES if live else _SECONDS_BETWEEN_LINES
        is_last = moment.fraction >= 1
        if not is_last and time.monotonic() - self._drawn < pause:
            return
        with suppress(OSError):
            if self._live is not None:
                self._live.update(self._picture(), refresh=True)
            else:
                self._write(self._sentence(moment))
        self._drawn = time.monotonic()

    def _write(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def _picture(self) -> RenderableType:
        """Return the line; where it is short of room, bar and speed give way."""
        told = self._words(self._last) if self._last else self._waiting
        if len("  ".join(told)) > self._console.width - _SHORTEST_LABEL:
            told = [word for word in told if not word.endswith("points/s")]
        words = "  ".join(told)
        room = self._console.width - len(words) - 3
        label = Text(self._label, style="bold")
        label.truncate(max(room, 4), overflow="ellipsis")
        bar_width = min(room - label.cell_len - 1, _BAR_WIDTH)
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(no_wrap=True)
        cells: list[RenderableType] = [label]
        if bar_width >= _SHORTEST_BAR:
            row.add_column(width=bar_width)
            fraction = self._last.fraction if self._last else 0.0
            cells.append(ProgressBar(total=1.0, completed=fraction))
        row.add_column(no_wrap=True, overflow="ellipsis")
        row.add_row(*cells, words)
        return row

    @property
    def _waiting(self) -> list[str]:
        if self._is_over:
            return ["nothing was left to do"]
        if self._preparing is not None:
            return [self._preparing]
        return ["starting (compiles once on a new machine)"]

    def _sentence(self, moment: Moment) -> str:
        return f"{self._label}: {', '.join(self._words(moment))}"

    def _words(self, moment: Moment) -> list[str]:
        of = f"/{self._steps}" if self._steps else ""
        quality = f"loss {moment.loss:.3g}"
        if moment.psnr is not None:
            quality = f"PSNR {moment.psnr:.2f} dB"
        words = [f"step {moment.step}{of}", quality]
        if self._test_psnr is not None:
            words.append(f"test {self._test_psnr:.2f} dB")
        speed, left = self._pace.points_per_second, self._pace.seconds_left
        if moment.fraction >= 1:
            # At the end the whole counts, as it stands in the record.
            speed = moment.points / moment.seconds if moment.seconds else math.nan
        if math.isfinite(speed):
            words.append(f"{speed / 1e6:.2f} M points/s")
        if moment.fraction >= 1:
            is_judged = self._live is not None and not self._is_over
            words.append(
                self._judging if is_judged else f"{clock(moment.seconds)} taken"
            )
        elif math.isfinite(left):
            words.append(f"{clock(left)} left")
        return words


class StageLine:
    """Show which stage of some work is under way; use it in a ``with`` statement.

    In a terminal one line is drawn anew, also while a stage takes long. Elsewhere a
    line is written when a part begins and at stages that come ten seconds later.

    Args:
        console: Where to write; standard error by default.
    """

    def __init__(self, *, console: Console | None = None) -> None:
        self._console = console or _LastingConsole(stderr=True, highlight=False)
        hidden = not self._console.is_terminal or self._console.is_dumb_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[part]}[/]", markup=True),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=hidden,
        )
        self._is_live = not hidden
        self._task: TaskID | None = None
        self._part = ""
        self._written = -math.inf

    def __enter__(self) -> Self:
        """Return itself, waiting for the first part."""
        with suppress(OSError):
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the lines of all parts standing."""
        if kind is None:
            self._close()
        with suppress(OSError):
            self._progress.stop()

    def begin(self, number: int, count: int, label: str) -> None:
        """Open the line of one part and close the one before.

        Args:
            number: Its number, from 0.
            count: Number of parts.
            label: What it is.
        """
        self._close()
        self._part = f"{number + 1}/{count} {label}"
        if self._is_live:
            part = escape(self._part)
            self._task = self._progress.add_task("starting", total=None, part=part)
        else:
            self._write(f"{self._part}: starting")

    def stage(self, name: str) -> None:
        """Say what is done now.

        Args:
            name: The stage.
        """
        if self._task is not None:
            self._progress.update(self._task, description=name)
        elif time.monotonic() - self._written >= _SECONDS_BETWEEN_LINES:
            self._write(f"{self._part}: {name}")

    def say(self, text: str) -> None:
        """Write a line of its own.

        Args:
            text: The line.
        """
        with suppress(OSError):
            self._console.print(text, soft_wrap=True, markup=False)

    def _close(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, description="done", total=1, completed=1)
            self._task = None

    def _write(self, text: str) -> None:
        self.say(text)
        self._written = time.monotonic()


def counted(parts: Iterable[Part], total: int, label: str) -> Iterator[Part]:
    """Yield parts of something, such as rows of a picture, and show how many are done.

    Only in a terminal; the line disappears at the end.

    Args:
        parts: What is counted by its length.
        total: Length of all parts.
        label: What is done.

    Yields:
        The parts.
    """
    console = _LastingConsole(stderr=True, highlight=False)
    hidden = not console.is_terminal or console.is_dumb_terminal
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(label, total=total)
        for part in parts:
            yield part
            progress.advance(task, len(part))


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much of some work is done, in a terminal only.

    Args:
        label: What is done.

    Yields:
        A function to be told how many parts are done, and of how many.
    """
    console = _LastingConsole(stderr=True, highlight=False)
    hidden = not console.is_terminal or console.is_dumb_terminal
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(label, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show


def clock(seconds: float) -> str:
    """Return a span of time as a clock shows it.

    Args:
        seconds: How long.

    Example:
        >>> clock(7.4), clock(200), clock(7300)
        ('0:07', '3:20', '2:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
