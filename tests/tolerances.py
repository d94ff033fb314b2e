"""How far two numbers may differ in a test, each with its reason; nowhere else."""

PARITY_FLOAT32 = 1e-5
"""Relative RMS between two implementations of an operator in float32.

Both sum the same few dozen products in another order: some ten roundings of 6e-8 each,
and a gradient adds the contributions of up to a few thousand points to one row.
"""

PARITY_FLOAT64 = 1e-12
"""Largest difference over largest value, between two implementations in float64.

The same sums as above with roundings of 1e-16. A wrong formula shows long before.
"""

EXACT_DESCENT = 1e-10
"""Largest difference between training predicted by a kernel and training simulated.

Both are float64 and the outputs are of order one. A few hundred steps add a few hundred
roundings of 1e-16; eigenvectors of a kernel are good to n times that.
"""

ROUNDING_FLOAT64 = 2e-15
"""Error of a kernel over its largest value, against the same formula at 60 digits.

Some ten roundings of 1e-16 in each of up to six layers, none of which is magnified.
"""

NEURAL_TANGENTS = 1e-7
"""Largest difference over largest value, to infinite kernels of neural-tangents.

That package takes angles from float64 cosines, which lose those below 1e-8: its own
values are off by a few 1e-9 at points that lie close.
"""

LINEAR_ALGEBRA = 1e-12
"""What is left of an identity in float64 among some hundred rows.

A sum of a few hundred products, a few hundred roundings of 1e-16 relative to its terms.
"""

FILTER_IS_REGRESSION = 1e-9
"""Largest difference between kernel regression, step by step, and a filter by FFT.

Targets are of order one and weights, which are the targets over small eigenvalues, of
order a thousand; both carry roundings of 1e-16 times a few hundred terms.
"""

NO_DRIFT = 1e-14
"""Relative change of a tangent kernel that is nothing but rounding in float64.

The kernel of a model that is linear in what is trained is the same sum of the same
products before and after; a real change is larger by ten orders of magnitude.
"""

KERNEL_TRICK = 1e-10
"""Largest difference between explicit features and their kernel, of outputs near one.

Hundreds of steps, or a system of condition 1e5, magnify roundings of 1e-16.
"""

LENS = 1e-10
"""Largest distance on the plane between a point and what is bent and bent back.

Newton's method squares its error with every step, so that it ends at some roundings of
1e-16, magnified by the slope of the lens.
"""

RAY_FLOAT32 = 1e-6
"""Largest difference between directions of rays in float32 and in float64.

Places and centres of some ten pixels, in units of the focal length, carry roundings of
6e-8 each; a lens magnifies them a little.
"""

RAY_PIXELS = 1e-4
"""Pixels between a ray of float32 and where the camera sees a point on it.

Roundings of 6e-8 in direction and origin, times a focal length of some ten pixels and a
distance of 14 camera heights.
"""

CELLS_FLOAT32 = 1e-3
"""Share of a cell next to its border in which a point may count to the neighbour.

Distances of a few box sides carry roundings of 3e-7 each, and 32 cells make a side.
"""

ROTATIONS = 1e-9
"""Largest difference between rotations that went through a quaternion, in float64.

Some roundings of 1e-16, and the distance from orthogonal axes that they begin with.
"""

STRIPS = 1e-5
"""Largest difference between a picture and its strips put together, in float32.

The rays of a strip have their directions from another sum, which differ by roundings of
float64 and, once rounded to float32, by 6e-8; distances of some units carry them.
"""

LPIPS_FLOAT32 = 1e-5
"""Relative difference between two LPIPS of the same weights and pictures in float32.

Up to 13 layers of sums of a few thousand products, whose roundings of 6e-8 differ with
the order of each sum; the last mean runs over some thousand pixels.
"""

CLOSED_FORMS = 1e-6
"""Largest difference between an encoding in float32 and its formula in float64.

Features are of size one or two and made by some ten operations, each with a rounding of
6e-8.
"""

PARITY_HALF = 5e-4
"""Relative RMS between two implementations that sum in float32 and round to 16 bits.

Sums that differ by 1e-7 are rounded to different neighbours where they lie next to the
middle of the two, which is one number of some thousand; it is then off by up to 2^-7 in
bfloat16, and the tests compare some five hundred numbers.
"""

PARITY_ROUNDED_GRADIENTS = 5e-4
"""Relative RMS of gradients that two implementations round to float16 layer by layer.

As PARITY_HALF, once for each of some ten roundings on the way; what one of them has
moved by 2^-11, and what it leads to on the other side of a bend, adds to the rest.
"""

HALF_PERCEPTRON = 1.5
"""Relative RMS error of a small smooth perceptron in half precision, in its epsilons.

Six roundings of at most half an epsilon on the way to the outputs and some ten to a
gradient, in a root of squares; steep activations magnify what lies before them.
"""

CUT_PERCEPTRON = 6.0
"""The same where bfloat16 is cut off, as Triton's interpreter does, and not rounded.

Each error is at most a whole epsilon, and all have one sign: they add, rather than
their squares.
"""

SINE_FLOAT32 = 5e-7
"""Largest error of a sine in float32 that a polynomial of five terms gives.

The polynomial is off by 6e-9; its terms, each rounded by half a unit of 1.2e-7, add up
to some three units.
"""

SUMS_IN_PIECES = 1e-5
"""Relative difference between a gradient and that of its batch in pieces, in float32.

The same products are added in another order: some thousand of them, each sum with a
rounding of 6e-8.
"""

SOLVED_REGRESSION = 1e-7
"""Largest difference between ridge regressions solved by different equations.

In the parameters, with the kernel, by its eigenvectors or columns: condition numbers of
some 1e4 times roundings of float64, and iterations that end at 1e-10.
"""

ITERATED_REGRESSION = 1e-5
"""The same with a field's kernel, where iterations end at a residual of 1e-9.

Values are of size one, and the smallest ridges a ten-thousandth of the mean diagonal.
"""

LINEAR_MODEL_BY_ITERATION = 1e-8
"""Largest difference between least-squares values by iteration and by factorisation.

The iteration ends when its residual is a rounding of float64, 1e-16, times a condition
number of some 1e5; values are of size one.
"""

PREDICTED_FALL = 1e-9
"""Relative difference between the fall of a quadratic and what conjugate gradients say.

A few dozen sums of float64 with roundings of 1e-16, times a condition number of 1e3.
"""

SAME_KERNEL_TWICE = 1e-12
"""Relative difference between numbers of a kernel and of its copy that should agree.

Sums over some ten thousand entries in float64, with roundings of 1e-16 each.
"""

TRAINED_TO_FIRST_ORDER = 1e-3
"""Relative difference between the errors of one training in two implementations.

A dozen or some more steps of Adam in float32, by compiled loops and by PyTorch's own:
gradients near 0 are moved by whole steps whatever their size, so that roundings of 6e-8
of the largest grow. Trainings that differ at all differ by a tenth.
"""

RENDERED_ROWS = 2e-6
"""Largest difference between a picture and the product of its matrix with colours.

Some fifty samples of a ray, each with shares and weights in float32 of size one, are
added in another order.
"""

KNOWN_COLOURS = 1e-3
"""Largest error of colours at voxels that are solved for from exact pictures.

The solver ends at a gradient of 1e-6 of the first one; what is left of it is divided by
the least eigenvalue, which belongs to voxels that share all rays with their neighbours.
"""

EXACT_SOLUTION = 1e-6
"""Relative difference of weights in float32 from those of a dense solver in float64.

Rounded weights are off by 6e-8; a gradient of 1e-9 of its start, in directions that a
ridge of 0.1 holds against squared columns of 100, is an error of 1e-6.
"""

STORED_SOLUTION = 1e-6
"""What float32 adds to the gradient of an exact solution, relative to A^T y.

Weights are rounded by up to 6e-8 of themselves, and those of nearly dependent features
are ten times as large as what they add up to.
"""

SAME_FINEST = 1e-12
"""Relative difference of a grid's finest resolution from one that a growth reaches.

The growth is a root and its power in float64; each rounds by 1e-16, up to 16 times.
"""
