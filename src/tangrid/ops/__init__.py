"""Stateless tensor operators; the only room that knows numba."""

from tangrid.ops.accumulation import accumulate_into as accumulate_into
from tangrid.ops.contract import forget_implementations as forget_implementations
from tangrid.ops.contract import implementation as implementation
from tangrid.ops.contract import single_threaded as single_threaded
from tangrid.ops.contract import unnoted_implementations as unnoted_implementations
from tangrid.ops.contract import used_implementations as used_implementations
