"""What a function of weights or inputs looks like: its gradients at random, its Fourier series, its landscape."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._checks import check_array, check_count, check_function, check_key, shown
from qmljax._models.parts import in_parts

PART = 32  # evaluations at a time, so that memory is bounded whatever the number of samples; a heuristic


def gradient_variance(
    function: Callable[[Array], Array], num_weights: int, *, key: Array, samples: int = 1000
) -> Array:
    """The variance of each derivative of a function over random weights, uniform in [0, 2 pi).

    A variance that falls exponentially with the number of qubits is a barren plateau.

    Args:
        function: Weights (W,), in radians, to a number, differentiable.
        num_weights: W.
        key: A JAX random key.
        samples: How many weights. The relative error is about sqrt(2 / samples), more where the tails are heavy.

    Returns:
        The variances, (W,), those of the sample.

    Raises:
        TypeError: `function` or `key` is none.
        ValueError: A number is not positive, or the function gives no single number.

    Example:
        >>> value = gradient_variance(lambda w: jnp.cos(w[0]), 2, key=jax.random.key(0))  # 1 / 2 and 0
        >>> value.round(1)
        Array([0.5, 0. ], dtype=float32)

    References:
        J. McClean et al., "Barren plateaus in quantum neural network training landscapes", Nature Communications 9,
        4812 (2018).
    """
    check_function(function, "function", "(W,) -> a number")
    check_key(key)
    samples = check_count(samples, "samples")
    weights = jax.random.uniform(key, (samples, check_count(num_weights, "num_weights")), maxval=2 * np.pi)
    shape = jax.eval_shape(function, weights[0]).shape
    if shape != ():
        raise ValueError(f"`function` must give a number, but gives an array of shape {shape}. Take one output.")
    return jnp.var(_over_rows(jax.grad(function), weights), axis=0)


def fourier_coefficients(function: Callable[[Array], Array], degree: Any) -> Array:
    """The Fourier coefficients c_k of a function of period 2 pi: ``f(x) = sum_k c_k exp(i k x)``.

    The function is evaluated at 2 degree + 1 points of a period for each input. The coefficients are exact if it has
    no higher frequencies; higher ones add to those that look alike at these points.

    Args:
        function: Of one input, a number, to an array of shape (...); of several inputs an array (d,), in radians.
        degree: The highest frequency, for one input; for several, one for each, such as (2, 2).

    Returns:
        Complex, of shape (..., 2 degree + 1), the frequencies from -degree to degree; with such an axis for each input.

    Raises:
        TypeError: `function` is none.
        ValueError: `degree` is no integer from 0 on, nor a sequence of such.

    Example:
        >>> fourier_coefficients(lambda x: 1 + jnp.cos(2 * x), 2).real.round(3) + 0.0
        Array([0.5, 0. , 1. , 0. , 0.5], dtype=float32)

    References:
        M. Schuld, R. Sweke, J. Meyer, "Effect of data encoding on the expressive power of variational
        quantum-machine-learning models", PRA 103, 032430 (2021), section II.
    """
    check_function(function, "function", "of one input or an array (d,)")
    several = isinstance(degree, list | tuple | np.ndarray) and np.ndim(degree) == 1
    degrees = [check_count(k, "degree", least=0) for k in (degree if several else [degree])]
    if not degrees:
        raise ValueError(f"`degree` must be an integer, or one for each input, but is {shown(degree)}.")
    counts = [2 * k + 1 for k in degrees]
    grid = np.meshgrid(*(2 * np.pi * np.arange(m) / m for m in counts), indexing="ij")
    points = jnp.asarray(np.stack(grid, axis=-1).reshape(-1, len(counts)), jnp.result_type(float))
    values = _over_rows(_of_row(function, several), points)
    values = jnp.moveaxis(values.reshape(*counts, *values.shape[1:]), range(len(counts)), range(-len(counts), 0))
    axes = tuple(range(-len(counts), 0))
    return jnp.fft.fftshift(jnp.fft.fftn(values, axes=axes), axes=axes) / points.shape[0]


def _of_row(function: Callable[[Array], Array], several: bool) -> Callable[[Array], Array]:
    """The function of an array (d,); one of a single input may take a number or an array (1,)."""
    if several:
        return function
    number = jax.ShapeDtypeStruct((), jnp.result_type(float))
    try:
        jax.eval_shape(function, number)
    except (TypeError, ValueError, IndexError):
        return function
    return lambda row: function(row[0])


def landscape(loss: Callable[[Array], Array], weights: Any, directions: Any, steps: Any = 21) -> Array:
    """The values of a loss on a grid around weights: ``loss(weights + s directions[0] + t directions[1])``.

    Args:
        loss: Weights (W,) to a number, or to an array of shape (...).
        weights: The centre, (W,).
        directions: (2, W) for a picture; (W,) for a curve; (K, W) for a grid with K axes.
        steps: How far along the directions, in units of these: an array (M,), or a list of one for each direction; or
            a number M of steps from -1 to 1.

    Returns:
        Of shape (M, M, ...): the first axis belongs to `directions[0]`, the second to `directions[1]`.

    Raises:
        TypeError: `loss` is no function, or an array holds no real numbers.
        ValueError: Shapes do not fit.

    Example:
        >>> landscape(lambda w: jnp.sum(w**2), jnp.zeros(2), jnp.eye(2), [0.0, 1.0, 2.0])
        Array([[0., 1., 4.],
               [1., 2., 5.],
               [4., 5., 8.]], dtype=float32)

    References:
        H. Li et al., "Visualizing the loss landscape of neural nets", NeurIPS (2018), equation (1).
    """
    check_function(loss, "loss", "(W,) -> a number")
    weights = _floats(check_array(weights, "weights", "of shape (W,)"))
    if weights.ndim != 1:
        raise ValueError(f"`weights` must have shape (W,), but is {shown(weights)}.")
    directions = jnp.asarray(check_array(directions, "directions", "of shape (W,) or (K, W)"), weights.dtype)
    if directions.ndim not in (1, 2) or directions.shape[-1] != len(weights) or not directions.size:
        raise ValueError(
            f"`directions` must have shape ({len(weights)},) or (K, {len(weights)}), but is {shown(directions)}."
        )
    directions = jnp.atleast_2d(directions)
    axes = [axis.astype(weights.dtype) for axis in _axes(steps, len(directions))]
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    points = weights[None] + jnp.matmul(grid, directions, precision="highest")
    values = _over_rows(loss, points)
    return values.reshape(*map(len, axes), *values.shape[1:])


def _axes(steps: Any, count: int) -> list[Array]:
    """The steps along each of some directions."""
    if isinstance(steps, int | np.integer) and not isinstance(steps, bool):
        return [jnp.linspace(-1, 1, check_count(steps, "steps"))] * count
    what = f"of shape (M,), or one for each of the {count} directions"
    own = isinstance(steps, list | tuple) and any(np.ndim(axis) for axis in steps)
    axes = list(steps) if own or np.ndim(steps) == 2 else [steps] * count
    arrays = [_floats(check_array(axis, "steps", what)) for axis in axes]
    if len(arrays) != count or any(array.ndim != 1 or not array.size for array in arrays):
        raise ValueError(f"`steps` must be an array {what}, but has shapes {[a.shape for a in arrays]}.")
    return arrays


def _floats(array: Any) -> Array:
    array = jnp.asarray(array)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _over_rows(function: Callable[[Array], Array], rows: Array) -> Array:
    """A function of each row, by parts."""
    of = jax.vmap(function)
    parts = -(-len(rows) // PART)
    return of(rows) if parts == 1 else in_parts(of, rows, -(-len(rows) // parts))
