"""The command ``tangrid``: find the verb, read its flags, run it."""

import difflib
import sys
from collections.abc import Sequence

from tangrid.cli.failure import guarded
from tangrid.cli.verbs import VERBS, Verb
from tangrid.errors import ConfigError
from tangrid.version import VERSION

_HELP = ("-h", "--help")
_WIDTH = 24
_EXAMPLES = {"export": "runs/scan", "check": "scenes/lego"}
"""What stands behind a verb of two words in advice."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The words after ``tangrid``; those of the process by default.

    Returns:
        0 if it did what was asked, 2 for wrong use, 1 for a failed run, 130 if it was
        interrupted.

    Example:
        >>> main(["--version"])  # doctest: +ELLIPSIS
        tangrid ...
        0
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _dispatch(words), debug="--debug" in words)


def _dispatch(words: list[str]) -> int:
    # Wrong use is told apart from a question, as other tools do.
    if not words:
        print(overview(), file=sys.stderr)
        return 2
    if words[0] in _HELP or words == ["help"]:
        print(overview())
        return 0
    if words[0] in ("--version", "-V"):
        print(f"tangrid {VERSION}")
        return 0
    is_group = words[0] in {verb.words[0] for verb in VERBS if verb.words[1:]}
    is_group &= (words[0],) not in {verb.words for verb in VERBS}
    if is_group and len(words) > 1 and words[1] in _HELP:
        print(overview())
        return 0
    verb = find_verb(words)
    request = verb.parse(words[len(verb.words) :])
    return verb.run(request, ("tangrid", *words))


def find_verb(words: Sequence[str]) -> Verb:
    """Return the verb that a command begins with.

    Args:
        words: The words after ``tangrid``.

    Raises:
        ConfigError: If it is none; the nearest one is named.
    """
    for verb in VERBS:
        if tuple(words[: len(verb.words)]) == verb.words:
            return verb
    known = [verb.name for verb in VERBS]
    begun = [name for name in known if name.startswith(f"{words[0]} ")]
    near = [
        (name, text)
        for text in (" ".join(words[:2]), words[0])
        for name in difflib.get_close_matches(text, known, n=1, cutoff=0.7)
    ]
    advice, got = " See `tangrid --help`.", words[0]
    if near:
        advice, got = f" Did you mean '{near[0][0]}'?", near[0][1]
    elif begun:
        got = " ".join(words[:2])
        example = _EXAMPLES.get(words[0], "photo.png")
        advice = f" Write for example `tangrid {begun[0]} {example}`."
    raise ConfigError(f"verb '{got}': expected one of {', '.join(known)}.{advice}")


def overview() -> str:
    """Return what ``tangrid --help`` shows."""
    lines = [
        "usage: tangrid VERB ... | tangrid --version",
        "",
        "Fit grid-based neural fields to signals, compare them, look at the result.",
        "",
    ]
    lines += [f"  {verb.name:<{_WIDTH}}{verb.summary}" for verb in VERBS]
    lines += [
        "",
        "Each verb explains its flags, for example: tangrid fit image --help",
        "A first fit, on a photograph that is installed already:",
        "",
        "  tangrid fit image astronaut --crop 256 --params 140000 --steps 500",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
