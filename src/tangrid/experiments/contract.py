"""What an experiment is: one frozen dataclass per thing one can run."""

from tangrid.registry import Registry

EXPERIMENTS = Registry("experiment")
"""Every experiment by the name that stands in ``config.json``."""
