"""What a run leaves on disk: configs, measurements, pictures; free of torch."""

from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.environment import describe_environment
from tangrid.runs.overrides import with_overrides
from tangrid.runs.record import (
    KernelRecord,
    RunRecord,
    TableRecord,
    read_kernels,
    read_run,
    read_table,
)
from tangrid.runs.store import RunFolder

__all__ = [
    "KernelRecord",
    "RunFolder",
    "RunRecord",
    "TableRecord",
    "describe_environment",
    "from_plain",
    "read_kernels",
    "read_run",
    "read_table",
    "to_plain",
    "with_overrides",
]
