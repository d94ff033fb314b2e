"""The errors a user can meet; each is one paragraph: expected, found, what to do."""


class TangridError(Exception):
    """Any failure that tangrid explains in words."""

    exit_code = 2
    """Exit status of the command line: 2 for wrong use, 1 for a failed run."""


class ConfigError(TangridError, ValueError):
    """A setting is wrong, unknown or contradicts another."""


class ShapeError(TangridError, ValueError):
    """A tensor has the wrong shape, dtype, device or range."""


class DataError(TangridError, OSError):
    """A file or folder cannot be read or written as asked."""


class ImplementationError(TangridError, NotImplementedError):
    """The chosen operator implementation cannot run these inputs."""


class NumericalError(TangridError, ArithmeticError):
    """A computation left the finite numbers."""

    exit_code = 1


class ResourceError(TangridError, MemoryError):
    """The machine cannot hold what was asked for; the message says what would fit."""


class InterruptedRunError(TangridError):
    """The user stopped a run; its state was saved."""

    exit_code = 130


class NumericalWarning(UserWarning):
    """A number was repaired; the message says which and by how much."""
