"""One step of Adam in place, entries of zero gradient skipped where asked."""

from tangrid.ops.adam_update.operator import AdamState as AdamState
from tangrid.ops.adam_update.operator import adam_update as adam_update
