"""Names of choices, checked where they come in: a misspelt one never means another."""

from typing import get_args

from tangrid.errors import ConfigError


def check_choice(where: str, chosen: object, choices: object) -> None:
    """Refuse a name that is none of the choices.

    Args:
        where: Function and argument, for the message.
        chosen: What was given.
        choices: A ``Literal`` of all names.

    Raises:
        ConfigError: If it is not one of them.

    Example:
        >>> from typing import Literal
        >>> check_choice("paint(colour=...)", "red", Literal["red", "blue"])
    """
    names = get_args(choices)
    if chosen not in names:
        listed = ", ".join(f"'{name}'" for name in names)
        raise ConfigError(f"{where}: expected one of {listed}, got {chosen!r}.")
