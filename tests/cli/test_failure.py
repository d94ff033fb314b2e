"""Disks that fail, keys that interrupt, and errors that nobody expected."""

import errno
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tangrid.cli.failure import guarded
from tangrid.errors import NumericalWarning
from tangrid.experiments import fit_image, fitting
from tangrid.progress import ProgressLine
from tangrid.training import Moment
from tests.cli.conftest import SMALL, Type, everything_in
from tests.cli.messages import MESSAGES

FIT = ("fit", "image", "wave.png", *SMALL, "--out", "run")


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def test_full_disk_is_noticed_before_training(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    usage = type(shutil.disk_usage("."))(10, 10, 0)
    monkeypatch.setattr(fitting.shutil, "disk_usage", lambda _: usage)
    before = everything_in(workplace)
    outcome = tangrid(*FIT)
    assert MESSAGES["disk"]["full-before"].matches(outcome.message)
    assert outcome.code == 2
    assert everything_in(workplace) == before


@pytest.mark.parametrize(("name", "files"), [("full-at-once", 0), ("full-later", 2)])
def test_full_disk(
    name: str,
    files: int,
    workplace: Path,
    tangrid: Type,
    monkeypatch: pytest.MonkeyPatch,
):
    written = []
    fsync = os.fsync

    def full(file: int) -> None:
        written.append(file)
        if len(written) > files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    before = everything_in(workplace)
    outcome = tangrid(*FIT)
    assert MESSAGES["disk"][name].matches(outcome.message)
    assert outcome.code == 2
    assert everything_in(workplace) == before


def test_read_only_disk(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    error = OSError(errno.EROFS, os.strerror(errno.EROFS))
    monkeypatch.setattr(Path, "mkdir", raising(error))
    outcome = tangrid(*FIT)
    assert MESSAGES["disk"]["read-only"].matches(outcome.message)
    assert outcome.code == 2
    assert not Path("run").exists()


def test_failed_overwrite_keeps_foreign_files(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    Path("run").mkdir()
    Path("run", "letter.txt").write_text("mine")
    monkeypatch.setattr(fit_image, "fit_tracked", raising(OSError("the disk is gone")))
    assert tangrid(*FIT, "--overwrite").code == 1
    assert [path.name for path in Path("run").iterdir()] == ["letter.txt"]


def test_interruption_saves_the_state(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(line: ProgressLine, moment: Moment) -> None:
        del line
        if moment.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ProgressLine, "__call__", interrupt)
    outcome = tangrid(*FIT)
    assert MESSAGES["interrupted"]["training"].matches(outcome.message)
    assert outcome.code == 130
    assert Path("run", "state.safetensors").exists()


def test_interruption_after_training_saves_the_state(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fit_image, "evaluate_image", raising(KeyboardInterrupt()))
    outcome = tangrid(*FIT)
    assert MESSAGES["interrupted"]["judging"].matches(outcome.message)
    assert outcome.code == 130


def test_interruption_before_training_leaves_nothing(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    before = everything_in(workplace)
    monkeypatch.setattr(fit_image, "fit_tracked", raising(KeyboardInterrupt()))
    outcome = tangrid(*FIT)
    assert MESSAGES["interrupted"]["starting"].matches(outcome.message)
    assert outcome.code == 130
    assert everything_in(workplace) == before


def test_loss_that_is_not_finite_is_a_failed_run(workplace: Path, tangrid: Type):
    rates = [f"--set=training.rates.{name}=1e30" for name in ("grid", "decoder")]
    outcome = tangrid(*FIT, *rates)
    assert "expected a finite loss" in outcome.message
    assert outcome.code == 1
    assert Path("run", "state.safetensors").exists()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero"),
        (RuntimeError("a\nb"), 1, "(RuntimeError: a)"),
        (MemoryError(), 1, "expected enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            1,
            "enough memory",
        ),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_other_errors_are_one_line(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
):
    assert guarded(raising(error)) == code
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)
    guarded(raising(error), debug=True)
    assert "Traceback" in capsys.readouterr().err


def test_warnings_are_notes(capsys: pytest.CaptureFixture[str]):
    def warn() -> int:
        warnings.simplefilter("always")
        warnings.warn("clipped 3 values.", NumericalWarning, stacklevel=1)
        return 0

    assert guarded(warn) == 0
    assert capsys.readouterr().err == "tangrid: note: clipped 3 values.\n"
