"""The axes of every tensor, named once.

====  ==============================  ====  ================================
n     points in a batch               d     coordinate dimensions
c     value channels                  f     feature channels
l     resolution levels               t     table rows
k     nodes or kernels per point      m     frequencies
h w   image rows and columns          g     gates of a multiplicative filter
====  ==============================  ====  ================================
"""

from jaxtyping import Float, Int64
from torch import Tensor

Coords = Float[Tensor, "n d"]
Features = Float[Tensor, "n f"]
Values = Float[Tensor, "n c"]
Table = Float[Tensor, "t f"]
Rows = Int64[Tensor, "n k"]
