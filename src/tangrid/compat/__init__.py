"""Interfaces of other libraries, on this one's operators."""

from tangrid.compat.installation import install_tinycudann as install_tinycudann
