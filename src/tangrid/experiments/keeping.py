"""The folder of an experiment: begun, gone on with, or removed again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tangrid.errors import ConfigError, InterruptedRunError, TangridError
from tangrid.runs.codec import to_plain
from tangrid.runs.store import RunFolder

_WORTH_KEEPING = (
    "state.safetensors", "field.safetensors", "metrics.json", "kernel.json",
    "table.json",
)  # fmt: skip
_OF_SEVERAL = (
    "compare-images", "compare-sdfs", "compare-scenes", "analyze-image", "analyze-run",
    "predict-image", "predict-sdf",
)  # fmt: skip
"""Kinds that know themselves which of their parts are done."""


@dataclass(frozen=True)
class Kept:
    """A folder that is ready to take an experiment.

    Attributes:
        folder: Where everything goes.
        resume: Whether it holds a state to go on from.
        is_finished: Whether nothing is left to train.
    """

    folder: RunFolder
    resume: bool = False
    is_finished: bool = False


def check_folder(
    path: str | Path | None, *, overwrite: bool = False, resume: bool = False
) -> None:
    """Refuse a folder that `keeping` would refuse, before anything long is done.

    Args:
        path: The folder; None for one that is not named yet.
        overwrite: Whether a run that is there is replaced.
        resume: Whether a run that is there is gone on with.

    Raises:
        ConfigError: If it holds something and may not be replaced, or no run to go on
            with.
    """
    if path is None:
        return
    path = Path(path).expanduser()
    _check_either(path, overwrite=overwrite, resume=resume)
    if resume:
        _opened(path)
    else:
        RunFolder.check_free(path, overwrite=overwrite)


def _check_either(path: Path, *, overwrite: bool, resume: bool) -> None:
    if resume and overwrite:
        raise ConfigError(
            f"{path}: expected either to go on with a run or to replace it, got "
            "--resume and --overwrite. Leave one of them out."
        )


def _opened(path: Path) -> RunFolder:
    if not path.exists():
        raise ConfigError(
            f"{path}: expected the folder of a run to go on with, got nothing there. "
            "Leave --resume out to begin a run, or name its folder with --out."
        )
    return RunFolder.open(path)


@contextmanager
def keeping(
    path: str | Path,
    experiment: object,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[Kept]:
    """Open the folder of an experiment; a failure without results leaves nothing there.

    Args:
        path: The folder.
        experiment: What will be done, with every setting resolved.
        overwrite: Whether a run that is there is replaced.
        resume: Whether a run that is there is gone on with; it begins anew if it was
            stopped before its first state was saved.

    Yields:
        The folder and what it holds.

    Raises:
        ConfigError: If the folder holds something and may not be replaced, or holds
            another experiment than the one to go on with.
    """
    path = Path(path).expanduser()
    plain = to_plain(experiment)
    _check_either(path, overwrite=overwrite, resume=resume)
    if resume:
        kept = _reopened(path, plain)
        with _discarding(path):
            yield kept
        return
    missing = [folder for folder in (path, *path.parents) if not _is_there(folder)]
    try:
        folder = RunFolder.create(path, overwrite=overwrite)
        with _discarding(path):
            yield Kept(folder)
    except BaseException:
        for made in missing:
            with suppress(OSError):
                made.rmdir()
        raise


@contextmanager
def _discarding(path: Path) -> Iterator[None]:
    """Remove what was written if the block fails before anything is worth keeping."""
    try:
        yield
    except BaseException as error:
        if not _is_worth_keeping(path):
            with suppress(OSError, TangridError):
                RunFolder.create(path, overwrite=True)
        elif isinstance(error, KeyboardInterrupt):
            raise InterruptedRunError(
                f"Interrupted; what was done is saved in {path}. Repeat the command "
                "with --resume to go on from there."
            ) from error
        raise


def _is_worth_keeping(path: Path) -> bool:
    """Return whether a run can go on from what is there, or be looked at."""
    return any(found for name in _WORTH_KEEPING for found in path.rglob(name))


def _is_there(path: Path) -> bool:
    # A folder that may not be searched was not made here.
    try:
        return path.exists()
    except OSError:
        return True


def _reopened(path: Path, asked: Mapping[str, Any]) -> Kept:
    folder = _opened(path)
    check_same(path, asked, folder.read_json("config.json"))
    if asked.get("kind") in _OF_SEVERAL:
        return Kept(folder, resume=True)
    is_finished = folder.has("metrics.json")
    if not is_finished and not folder.has("state.safetensors"):
        return Kept(RunFolder.create(path, overwrite=True))
    return Kept(folder, resume=True, is_finished=is_finished)


def check_same(path: Path, asked: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of other settings.

    Args:
        path: Its folder, for the message.
        asked: The settings asked for, in plain values.
        kept: Those of the run.

    Raises:
        ConfigError: If they differ; the first difference is named.
    """
    found = _first_difference(asked, kept, "")
    if found is None:
        return
    where, wanted, had = found
    raise ConfigError(
        f"{path}: expected a run with the settings asked for, got one in which {where} "
        f"is {_say(had)} and not {_say(wanted)}. Repeat the command that began it with "
        "--resume, or begin another run with another --out."
    )


def _first_difference(
    asked: Any,  # noqa: ANN401
    kept: Any,  # noqa: ANN401
    where: str,
) -> tuple[str, Any, Any] | None:
    if isinstance(asked, Mapping) and isinstance(kept, Mapping):
        for key in dict.fromkeys((*asked, *kept)):
            inner = f"{where}.{key}" if where else str(key)
            found = _first_difference(asked.get(key), kept.get(key), inner)
            if found is not None:
                return found
        return None
    if isinstance(asked, list) and isinstance(kept, list) and len(asked) == len(kept):
        pairs = enumerate(zip(asked, kept, strict=True))
        inner = (_first_difference(*pair, f"{where}[{k}]") for k, pair in pairs)
        return next((found for found in inner if found is not None), None)
    if asked == kept or (where.endswith("path") and _is_same_file(asked, kept)):
        return None
    return where, asked, kept


def _is_same_file(asked: object, kept: object) -> bool:
    if not isinstance(asked, str) or not isinstance(kept, str):
        return False
    first, second = (Path(name).expanduser().resolve() for name in (asked, kept))
    return first == second


def _say(value: object, limit: int = 60) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
