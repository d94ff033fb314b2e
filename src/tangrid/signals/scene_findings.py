"""What is wrong with the files of a scene, collected so that all of it can be told."""

from dataclasses import dataclass, field
from pathlib import Path

from tangrid.errors import DataError

_MOST_OF_A_KIND = 3


@dataclass(kw_only=True)
class SceneFindings:
    """Collect errors and notes while a scene is read.

    Example:
        >>> findings = SceneFindings(folder=Path("garden"))
        >>> for number in range(9):
        ...     findings.add_error("pose", f"view {number}: no pose.")
        >>> findings.error_lines()[2:]
        ['view 2: no pose.', 'And 6 more of this kind.']
    """

    folder: Path
    """The scene, for messages."""
    errors: dict[str, list[str]] = field(default_factory=dict)
    """Paragraphs by kind of error; a scene with any of them is not usable."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of a scene that is usable."""

    def add_error(self, kind: str, message: str) -> None:
        """Keep an error.

        Args:
            kind: A word that errors of the same kind share.
            message: One paragraph: where, expected, got, what to do.
        """
        self.errors.setdefault(kind, []).append(message)

    def add_note(self, message: str) -> None:
        """Keep a remark.

        Args:
            message: One or two sentences.
        """
        self.notes.append(message)

    @property
    def num_errors(self) -> int:
        """Number of errors of all kinds."""
        return sum(len(messages) for messages in self.errors.values())

    def error_lines(self) -> list[str]:
        """Return a few errors of each kind and how many more there are."""
        lines = []
        for messages in self.errors.values():
            lines += messages[:_MOST_OF_A_KIND]
            more = len(messages) - _MOST_OF_A_KIND
            if more > 0:
                lines.append(f"And {more} more of this kind.")
        return lines

    def refuse_errors(self) -> None:
        """Raise the first error, if there is one.

        Raises:
            DataError: It; how many others there are is said, too.
        """
        if not self.errors:
            return
        first = next(iter(self.errors.values()))[0]
        others = self.num_errors - 1
        if others:
            first += (
                f" Errors besides this one: {others}; `tangrid check data "
                f"{self.folder}` lists them."
            )
        raise DataError(first)
