"""Types of flags, so that help and errors say it in words."""

from collections.abc import Callable
from typing import Annotated, Any

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec


def _spec(
    read: Callable[[str], Any], metavar: str, what: str
) -> PrimitiveConstructorSpec[Any]:
    """Return how tyro reads one word; unlike its own ways, None is not mentioned."""

    def instance_from_str(words: list[str]) -> Any:  # noqa: ANN401
        try:
            return read(words[0])
        except ValueError as error:
            message = f"expected {what}, got '{words[0]}'."
            raise ValueError(message) from error

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=instance_from_str,
        is_instance=lambda value: value is None or isinstance(value, (int, float, str)),
        str_from_instance=lambda value: [str(value)],
    )


# Where nothing is the default, tyro would say "(default: None)".
_SILENT = arg(help_behavior_hint="")

Switch = Annotated[bool, _SILENT]
"""On where it is given."""
Count = Annotated[int | None, _spec(int, "N", "a whole number"), _SILENT]
"""A whole number, or nothing."""
Number = Annotated[int, _spec(int, "N", "a whole number")]
"""A whole number with a default."""
Minutes = Annotated[float | None, _spec(float, "M", "a number"), _SILENT]
"""A span of time, or nothing."""
Real = Annotated[float | None, _spec(float, "X", "a number"), _SILENT]
"""A number, or nothing."""
Share = Annotated[float, _spec(float, "P", "a number")]
"""A share or a probability with a default."""
Crop = Annotated[str | None, _spec(str, "WxH+X+Y", "a crop"), _SILENT]
"""A rectangle of pixels, or nothing."""
Region = Annotated[str | None, _spec(str, "X0,Y0,X1,Y1", "a region"), _SILENT]
"""A rectangle of the unit square, or nothing."""
Folder = Annotated[str | None, _spec(str, "DIR", "a folder"), _SILENT]
"""A folder, or nothing."""
File = Annotated[str | None, _spec(str, "FILE", "a file"), _SILENT]
"""A file, or nothing."""
Device = Annotated[str, arg(metavar="DEVICE")]
"""Where to compute."""
Name = Annotated[str | None, _spec(str, "NAME", "a name"), _SILENT]
"""A name, or nothing."""
Steps = Annotated[str | None, _spec(str, "N,N,...", "numbers of steps"), _SILENT]
"""Numbers of steps with commas or a word, or nothing."""
