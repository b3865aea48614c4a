"""JAX functions as PyTorch functions, and quantum models as layers of PyTorch networks.

A function crosses the bridge as a whole: its values, its pullback and its derivative along a tangent are JAX functions
too, and cross the same bridge, so that every order of derivative exists in both modes. `jax.vmap` serves `torch.vmap`.
The memory of tensors and arrays is shared, never copied, where both can read it.

Install with ``pip install 'qmljax[torch]'``.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError("qmljax.torch needs PyTorch: pip install 'qmljax[torch]'.") from error

from torch import Tensor

from qmljax._models.functions import Compiled

WIDE = {torch.float64, torch.complex128, torch.int64, torch.uint64}
RECORDERS = (torch._C._TorchDispatchModeKey.PROXY, torch._C._TorchDispatchModeKey.FAKE)
DLPACK_CPU = 1
NUMPY = {torch.float32, torch.float64, torch.complex64, torch.complex128, torch.int32, torch.int64, torch.bool}


class _Flat:
    """A JAX function of leaves, (*leaves) -> pytree, compiled, with those derived from it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.run = jax.jit(function)
        self._derived: dict[Any, _Flat] = {}

    def derived(self, rule: Callable[..., Callable[..., Any]], *static: Any) -> "_Flat":
        if (found := self._derived.get((rule, static))) is None:
            found = self._derived[rule, static] = _Flat(rule(self.function, *static))
        return found


# The rules: a function of leaves -> another one. `wanted` says for each leaf whether to differentiate in it.


def _of_tree(f: Callable[..., Any], tree: Any) -> Callable[..., Any]:
    """(*leaves) -> what `f` gives for the arguments and keywords of this structure."""

    def of_leaves(*leaves: Any) -> Any:
        args, keywords = jax.tree.unflatten(tree, leaves)
        return f(*args, **keywords)

    return of_leaves


def _batched(f: Callable[..., Any], dims: tuple[int | None, ...]) -> Callable[..., Any]:
    """The function over a batch, which has these axes in the leaves and leads in the outputs."""
    return jax.vmap(f, in_axes=dims)


def _gradient(f: Callable[..., Any], wanted: tuple[bool, ...]) -> Callable[..., tuple]:
    """(*leaves, *cotangents) -> the gradients in the wanted leaves. The forward pass is run again: nothing is kept."""

    def gradient(*both: Any) -> tuple:
        leaves, cotangents = both[: len(wanted)], both[len(wanted) :]
        _, pull = jax.vjp(*_of_wanted(f, wanted, leaves))
        # PyTorch's gradient in a complex number is the conjugate of JAX's.
        return tuple(map(jnp.conj, pull(tuple(map(jnp.conj, cotangents)))))

    return gradient


def _derivative(f: Callable[..., Any], wanted: tuple[bool, ...]) -> Callable[..., tuple]:
    """(*leaves, *tangents of the wanted ones) -> the tangents of the differentiable outputs."""

    def derivative(*both: Any) -> tuple:
        leaves, tangents = both[: len(wanted)], both[len(wanted) :]
        function, *primals = _of_wanted(f, wanted, leaves)
        return jax.jvp(function, primals, list(tangents))[1]

    return derivative


def _of_wanted(f: Callable[..., Any], wanted: tuple[bool, ...], leaves: Sequence[Any]) -> tuple[Any, ...]:
    """The function (*wanted) -> differentiable outputs, and then the wanted leaves."""

    def of_wanted(*some: Any) -> tuple[Any, ...]:
        rest = iter(some)
        out = f(*(next(rest) if want else leaf for want, leaf in zip(wanted, leaves, strict=True)))
        arrays = map(jnp.asarray, jax.tree.leaves(out))
        return tuple(y for y in arrays if jnp.issubdtype(y.dtype, jnp.inexact))

    return of_wanted, *(leaf for want, leaf in zip(wanted, leaves, strict=True) if want)


class _Call:
    """One call of a function, on its way through the levels of PyTorch's transformations."""

    def __init__(self, function: _Flat) -> None:
        self.function = function
        self.tree: Any = None  # of the outputs, once they are there

    def __call__(self, *leaves: Any) -> tuple[Tensor, ...]:
        return _Bridge.apply(self, *leaves)

    @torch.compiler.disable  # JAX compiles this part
    def run(self, leaves: Sequence[Any]) -> tuple[Tensor, ...]:
        """The function itself, at the lowest level, where tensors have memory."""
        if torch._C._get_tracing_state() or any(map(torch._C._get_dispatch_mode, RECORDERS)):
            raise RuntimeError(
                "PyTorch records operations here, as torch.export, torch.jit.trace, make_fx and torch.func.linearize "
                "do, but JAX's would be missing from the record. Use torch.compile, or torch.func.jvp."
            )
        dims = tuple(0 if _is_legacy_batch(leaf) else None for leaf in leaves)
        if any(dim == 0 for dim in dims):
            return self._run_legacy_batch(dims, leaves)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if len({tensor.device for tensor in tensors}) > 1:
            found = sorted({str(tensor.device) for tensor in tensors})
            raise ValueError(f"All tensors must be on one device, but are on {', '.join(found)}. Move them by `.to`.")
        wide = jax.config.jax_enable_x64 or any(map(_is_wide, leaves))
        with jax.enable_x64(wide):
            arrays = [_to_jax(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            outputs, self.tree = jax.tree.flatten(self.function.run(*arrays))
            for output in outputs:
                output.block_until_ready()
        places = {tensor.data_ptr() for tensor in tensors}
        return tuple(_to_torch(y, places) for y in outputs)

    def _run_legacy_batch(self, dims: tuple[int | None, ...], leaves: Sequence[Any]) -> tuple[Tensor, ...]:
        """Under the first generation of vmap, which `is_grads_batched` and gradcheck use, and which calls no `vmap`."""
        level = torch._C._vmapmode_increment_nesting() - 1
        torch._C._vmapmode_decrement_nesting()
        batched = _Call(self.function.derived(_batched, dims))
        outputs = batched.run(
            [
                leaf if dim is None else torch._remove_batch_dim(leaf, level, 0, 0)
                for dim, leaf in zip(dims, leaves, strict=True)
            ]
        )
        self.tree = batched.tree
        return tuple(torch._add_batch_dim(y, 0, level) for y in outputs)


class _Bridge(torch.autograd.Function):
    """`_Bridge.apply(call, *leaves)`; leaves that are no tensors are constants."""

    @staticmethod
    def forward(call: _Call, *leaves: Any) -> tuple[Tensor, ...]:
        return call.run(leaves)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        call, *leaves = inputs
        ctx.function = call.function
        ctx.constants = [None if isinstance(leaf, Tensor) else (leaf,) for leaf in leaves]
        ctx.inexact = [_is_inexact(y) for y in output]
        ctx.mark_non_differentiable(*(y for y in output if not _is_inexact(y)))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        wanted = tuple(ctx.needs_input_grad[1:])
        some = [c for c, inexact in zip(cotangents, ctx.inexact, strict=True) if inexact]
        gradients = iter(_Call(ctx.function.derived(_gradient, wanted))(*_saved(ctx), *some))
        return None, *(next(gradients) if want else None for want in wanted)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        leaves = _saved(ctx)
        wanted = tuple(
            tangent is not None and _is_inexact(leaf) for tangent, leaf in zip(tangents, leaves, strict=True)
        )
        some = [tangent for tangent, want in zip(tangents, wanted, strict=True) if want]
        out = iter(_Call(ctx.function.derived(_derivative, wanted))(*leaves, *some))
        return tuple(next(out) if inexact else None for inexact in ctx.inexact)

    @staticmethod
    def vmap(_: Any, dims: tuple[int | None, ...], call: _Call, *leaves: Any) -> tuple[tuple[Tensor, ...], Any]:
        batched = _Call(call.function.derived(_batched, tuple(dims[1:])))
        outputs = batched(*leaves)
        call.tree = batched.tree
        return outputs, (0,) * len(outputs)


class _Positional(inspect.Signature):
    """The signature of a function without defaults, which PyTorch would look for among the arguments of every call.

    That would take a tenth of the time of a small step.
    """

    def bind(self, *args: Any, **_: Any) -> Any:
        return _Bound(args, {})


class _Bound(NamedTuple):
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def apply_defaults(self) -> None:
        """There are none."""


_Bridge.forward.__signature__ = _Positional()


def _saved(ctx: Any) -> list[Any]:
    """The leaves of a call. PyTorch refuses if a tensor was changed in place since."""
    tensors = iter(ctx.saved_tensors)
    return [constant[0] if constant else next(tensors) for constant in ctx.constants]


def _is_legacy_batch(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and torch._C._functorch.is_legacy_batchedtensor(leaf)


def _is_wide(leaf: Any) -> bool:
    if isinstance(leaf, Tensor):
        return leaf.dtype in WIDE
    return isinstance(leaf, jax.Array) and leaf.dtype in (np.float64, np.complex128, np.int64, np.uint64)


def _is_inexact(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _to_jax(tensor: Tensor) -> Any:
    """The array in the memory of a tensor: JAX has read it before the call is over, so it may be written to then."""
    if tensor.layout != torch.strided:
        raise TypeError(f"Tensors must be dense, but one has layout {tensor.layout}. Use `.to_dense()`.")
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if tensor.is_cpu and tensor.dtype in NUMPY and _by_default() == "cpu":
        return tensor.numpy()  # a compiled function shares its memory, too, and takes it sooner than by DLPack
    if (kind := tensor.device.type) not in _platforms():
        raise RuntimeError(
            f"A tensor is on the device {tensor.device}, where JAX cannot compute: it has {', '.join(_platforms())} "
            "here. Move the tensors by `.cpu()`"
            + (", or install jax[cuda12] or jax[cuda13]." if kind == "cuda" else ".")
        )
    return jax.dlpack.from_dlpack(tensor)


_by_default = functools.cache(jax.default_backend)


@functools.cache
def _platforms() -> tuple[str, ...]:
    """The devices of JAX, as PyTorch names them."""
    found = ["cpu"]
    try:
        found += ["cuda"] if jax.devices("gpu") else []
    except RuntimeError:
        pass
    return tuple(found)


def _to_torch(array: Any, places: set[int]) -> Tensor:
    """The tensor in the memory of an array that nobody else has; a copy if that memory, in `places`, is an input's."""
    on_cpu = array.__dlpack_device__()[0] == DLPACK_CPU  # has no stream to wait for, so the short way is enough
    tensor = torch.from_dlpack(array.__dlpack__() if on_cpu else array)
    return tensor.clone() if tensor.data_ptr() in places else tensor


@functools.lru_cache(maxsize=256)
def _shared(function: Compiled) -> _Flat:
    """One for all equal models, so that copies and unpickled ones compile nothing anew."""
    return _Flat(function)


class TorchFunction:
    """What `torch_function` returns: `f(*args, **keywords)`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._flat = _shared(function) if isinstance(function, Compiled) else _Flat(function)

    @torch.compiler.disable  # the graph breaks here
    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Pytrees of tensors -> a pytree of tensors."""
        leaves, tree = jax.tree.flatten((args, keywords))
        call = _Call(self._flat.derived(_of_tree, tree))
        outputs = call(*map(_checked, leaves))
        return jax.tree.unflatten(call.tree, outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        return TorchFunction, (self.function,)

    def __repr__(self) -> str:
        return f"torch_function({self.function!r})"


def _checked(leaf: Any) -> Any:
    if isinstance(leaf, Tensor | jax.Array | bool | int | float | complex):
        return leaf
    raise TypeError(
        "Arguments must be tensors, or JAX arrays and numbers, which are constants, but one is a "
        f"{type(leaf).__name__}. Make a tensor of it by `torch.as_tensor`, or bind it by `functools.partial` before "
        "the function is wrapped."
    )


def torch_function(function: Callable[..., Any]) -> TorchFunction:
    """A JAX function as a PyTorch function.

    It is differentiable in both modes and to any order, also by `torch.func`, and under `torch.vmap`. It is compiled by
    `jax.jit` once for each shape; its backward pass runs the forward pass again, so that a call keeps nothing but its
    arguments. Tensors in 64 bits are computed with as such, whatever JAX is set to: where there is one, 64-bit types
    are enabled for the call. PyTorch's and JAX's conventions for complex gradients, which are conjugate, are respected.

    Args:
        function: A JAX function that `jax.jit` can compile: pytrees of arrays -> a pytree of arrays. It must be pure.
            To pickle the result, it must be picklable.

    Returns:
        ``f(*args, **keywords)``: pytrees of tensors to a pytree of tensors, on the device of the arguments. JAX arrays,
        such as random keys, and numbers may be among the arguments; they are constants.

    Raises:
        TypeError: An argument is no tensor, JAX array or number, or a tensor is sparse.
        ValueError: The tensors are on several devices.
        RuntimeError: The tensors are on a device that JAX does not have, or PyTorch records operations to run them
            later, as `torch.export` and `torch.func.linearize` do: `torch.compile` works instead.

    Example:
        >>> f = torch_function(lambda x: {"sines": jnp.sin(x)})
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> f(x)["sines"].sum().backward()
        >>> x.grad
        tensor([1.0000, 0.5403])
    """
    return TorchFunction(function)


class TorchConnector(torch.nn.Module):
    """A quantum model as a layer of a PyTorch network.

    Its parameter `weight`, of shape (W,), is all of its state. `forward(x)` takes tensors (..., n_in) with any number
    of leading dimensions to (..., *output_shape), and is differentiable in `x` as well as in `weight`; see
    `torch_function` for how. The dtype is the wider one of `x` and `weight`; integers become the dtype of `weight`, and
    half precision, as under `torch.autocast`, is computed with in float32.

    Args:
        model: A function ``model(weights, x)`` with `num_weights`, `num_inputs` and `output_shape`, such as
            `estimator_qnn` and `sampler_qnn` return, on any backend.
        initial_weights: What `weight` starts from, of shape (W,). Tensors and arrays keep their floating point dtype.
            Default: uniform between -1 and 1 by PyTorch's generator, in PyTorch's default dtype.

    Raises:
        TypeError: `model` is not such a function, or the weights are not real.
        ValueError: `initial_weights` has another shape.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes, zz_feature_map
        >>> from qmljax import estimator_qnn
        >>> feature_map = zz_feature_map(2)
        >>> model = estimator_qnn(feature_map.compose(real_amplitudes(2, reps=1)), inputs=feature_map.parameters)
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2), TorchConnector(model), torch.nn.Linear(1, 1))
        >>> network(torch.zeros(10, 3)).shape
        torch.Size([10, 1])
    """

    def __init__(self, model: Callable[..., Any], initial_weights: Any = None) -> None:
        super().__init__()
        if not callable(model) or not all(hasattr(model, name) for name in ("num_weights", "num_inputs")):
            raise TypeError(
                "`model` must be a function model(weights, x) with `num_weights` and `num_inputs`, such as "
                f"estimator_qnn returns, but is {model!r}. For other JAX functions there is `torch_function`."
            )
        if initial_weights is None:
            weight = torch.empty(model.num_weights).uniform_(-1, 1)
        else:
            if isinstance(initial_weights, jax.Array | np.ndarray):
                initial_weights = np.array(initial_weights)  # a copy that may be written to, without gaps
            weight = torch.as_tensor(initial_weights).detach().clone()
        if weight.shape != (model.num_weights,):
            raise ValueError(
                f"`initial_weights` must have shape ({model.num_weights},), a number for each weight of the model, but "
                f"has shape {tuple(weight.shape)}."
            )
        if weight.is_complex():
            raise TypeError(f"`initial_weights` must be real, but has dtype {weight.dtype}. Angles are in radians.")
        self.weight = torch.nn.Parameter(weight if weight.is_floating_point() else weight.to(torch.get_default_dtype()))
        self.function = torch_function(model)

    def forward(self, x: Tensor | None = None) -> Tensor:
        """Inputs (..., n_in) -> (..., *output_shape). Without inputs if the model has none."""
        if x is None:
            x = self.weight.new_zeros(0)
        if not isinstance(x, Tensor):
            raise TypeError(f"`x` must be a tensor, but is a {type(x).__name__}. Use `torch.as_tensor`.")
        if x.is_complex():
            raise TypeError(f"`x` must be real, but has dtype {x.dtype}. Angles are in radians.")
        dtype = torch.promote_types(torch.promote_types(self.weight.dtype, x.dtype), torch.float32)
        return self.function(self.weight.to(dtype), x.to(dtype))

    def extra_repr(self) -> str:
        """What stands between the brackets of the printed layer."""
        model = self.function.function
        shape = f", output_shape={model.output_shape}" if hasattr(model, "output_shape") else ""
        return f"inputs={model.num_inputs}, weights={model.num_weights}{shape}"
