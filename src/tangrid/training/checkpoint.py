"""Save and restore a training state exactly; tensors only, no pickle."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tangrid.errors import DataError
from tangrid.fields.contract import Field
from tangrid.runs.store import RunFolder
from tangrid.training.gauss_newton import GaussNewton
from tangrid.training.loss_scale import LossScale
from tangrid.training.optimizer import Adam
from tangrid.training.settings import TrainingSettings

FIELD_FILE = "field.safetensors"
STATE_FILE = "state.safetensors"
_FORMAT = "tangrid-1"
_LEARNED = "task/"


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Attributes:
        step: Steps taken.
        seconds: Wall time of training so far.
        points: Points seen so far.
    """

    step: int = 0
    seconds: float = 0.0
    points: int = 0

    def fraction(self, settings: TrainingSettings) -> float:
        """Return how much of training is done, 0 to 1, by steps or by time.

        Args:
            settings: When it ends.
        """
        parts = [0.0]
        if settings.steps is not None:
            parts.append(self.step / settings.steps)
        if settings.minutes is not None:
            parts.append(self.seconds / (60 * settings.minutes))
        return min(max(parts), 1.0)


class RunningMean:
    r"""An exponential moving average of a field's parameters.

    Its n-th update keeps :math:`\min(\beta, n / (n + 9))` of the past, so that the
    field as it was before training is soon forgotten.

    Args:
        field: What is trained; its mean starts at its present parameters.
        decay: Weight of the past.
    """

    def __init__(self, field: Field, decay: float) -> None:
        self.field = copy.deepcopy(field)
        self._decay = decay

    def update(self, field: Field, number: int) -> None:
        """Move the mean towards the present parameters.

        Args:
            field: What is trained.
            number: Number of the update, from 1.
        """
        decay = min(self._decay, number / (number + 9))
        with torch.no_grad():
            pairs = zip(self.field.parameters(), field.parameters(), strict=True)
            for mean, present in pairs:
                mean.lerp_(present, 1 - decay)


def save_field(folder: RunFolder, field: Field) -> None:
    """Write a field's parameters and buffers.

    Args:
        folder: The run.
        field: What to save.
    """
    save_tensors(folder, FIELD_FILE, dict(field.state_dict()), {})


def load_field(path: Path, field: Field) -> None:
    """Fill a field from a saved one of the same settings.

    Args:
        path: The ``field.safetensors`` of a run.
        field: Built from the run's config; changed in place.

    Raises:
        DataError: If the file is damaged or belongs to other settings.
    """
    load_tensors(path, field.state_dict())


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """All that a step of training changes.

    Attributes:
        field: What is trained.
        optimizer: Its moments and counts, or diagonals and damping.
        mean: The running mean of the parameters, if one is kept.
        learned: What the task has learned.
        scale: Factor of the loss, if there is one.
    """

    field: Field
    optimizer: Adam | GaussNewton
    mean: RunningMean | None
    learned: Mapping[str, Tensor]
    scale: LossScale | None = None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Everything by name; changing it changes the state."""
        tensors = {f"field/{k}": v for k, v in self.field.state_dict().items()}
        tensors |= self.optimizer.state_tensors()
        tensors |= {f"{_LEARNED}{key}": value for key, value in self.learned.items()}
        if self.mean is not None:
            means = self.mean.field.state_dict()
            tensors |= {f"mean/{key}": tensor for key, tensor in means.items()}
        if self.scale is not None:
            state = self.scale.state
            tensors |= {f"loss_scale/{key}": tensor for key, tensor in state.items()}
        return tensors


def save_state(folder: RunFolder, state: TrainingState, progress: Progress) -> None:
    """Write all that training needs to go on as if it had not stopped, in one file.

    Args:
        folder: The run.
        state: What training changes.
        progress: Steps, seconds and points so far.
    """
    words = {"step": str(progress.step), "seconds": progress.seconds.hex()}
    words["points"] = str(progress.points)
    save_tensors(folder, STATE_FILE, state.tensors, words)
    folder.write_json(
        "state.json", {"step": progress.step, "seconds": progress.seconds}
    )


def saved_progress(folder: RunFolder) -> Progress:
    """Return how far a saved run had come.

    Args:
        folder: The run.

    Raises:
        DataError: If its state is missing or damaged.
    """
    words = _load(folder.path / STATE_FILE)[1]
    seconds = float.fromhex(words["seconds"])
    return Progress(int(words["step"]), seconds, int(words["points"]))


def load_state(folder: RunFolder, state: TrainingState) -> None:
    """Restore what `save_state` wrote, in place.

    Args:
        folder: The run.
        state: Made for the run's config, and grown as far as the run had come.

    Raises:
        DataError: If the file is missing, damaged or belongs to other settings.
    """
    load_tensors(folder.path / STATE_FILE, state.tensors)


def load_learned(folder: RunFolder, learned: Mapping[str, Tensor]) -> None:
    """Fill some of what a task has learned from the state that was saved last.

    Args:
        folder: The run, which may be going on.
        learned: Tensors by the names that the task gives them; changed in place.

    Raises:
        DataError: If the file is missing, damaged or belongs to other settings.
    """
    path = folder.path / STATE_FILE
    saved = _load(path)[0]
    own = {f"{_LEARNED}{key}": tensor for key, tensor in learned.items()}
    _fill(path, own, {key: saved[key] for key in own if key in saved})


def save_tensors(
    folder: RunFolder, name: str, tensors: dict[str, Tensor], words: dict[str, str]
) -> None:
    """Write tensors by name, whole or not at all; no file knows of their device.

    Args:
        folder: The run.
        name: Name of the file.
        tensors: What to save.
        words: What else the file says of itself.
    """
    plain = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
    with folder.atomic_path(name) as path:
        try:
            save_file(plain, path, {"format": _FORMAT, **words})
        except SafetensorError as error:
            # The library reports a full disk in its own words.
            number = re.search(r"os error (\d+)", str(error))
            code = (int(number[1]),) if number else ()
            raise OSError(*code, str(error)) from error


def load_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors from a file that `save_tensors` wrote.

    Args:
        path: The file.
        tensors: Those that it must hold, by name; changed in place.

    Raises:
        DataError: If the file is damaged or belongs to other settings.
    """
    _fill(path, tensors, _load(path)[0])


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            words = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: expected a saved field or state, found no such file. If the fit "
            "was stopped, repeat its command with --resume; or name the folder of one "
            "that was saved."
        ) from error
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path}: expected a safetensors file written by tangrid, found one that "
            f"cannot be read ({error}). It is damaged or foreign; run the fit again."
        ) from error
    if words.get("format") != _FORMAT:
        raise DataError(
            f"{path}: expected a file of format '{_FORMAT}', found "
            f"'{words.get('format', 'no format')}'. It was not written by this tangrid."
        )
    return tensors, words


def _fill(path: Path, own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        return {key: tuple(tensor.shape) for key, tensor in tensors.items()}

    expected, found = shapes(own), shapes(saved)
    if expected != found:
        wrong = sorted(
            key
            for key in expected.keys() | found.keys()
            if expected.get(key) != found.get(key)
        )
        raise DataError(
            f"{path}: expected the tensors of this run's config, found another set "
            f"(first difference: '{wrong[0]}' should be {expected.get(wrong[0])}, is "
            f"{found.get(wrong[0])}). The file belongs to other settings."
        )
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(saved[key])
