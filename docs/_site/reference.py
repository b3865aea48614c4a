"""The pages of the reference, from the docstrings: every public name as users write it, and what the builders return.

`GROUPS` says which name of `qmljax` stands on which page, as the tables of the README do; those of a module have a page
of their own. A name without a place is an error.
"""

import contextlib
import functools
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator
from typing import Any

import qmljax
from qmljax._models.kernels.kernel import BaseKernel
from qmljax._models.qnn import QNN

GROUPS = {
    "Circuits as functions": (
        "A builder takes a circuit, and returns a pure function of its parameters.",
        "parse Program statevector unitary probabilities expectation sample counts density_matrix fidelity shadow "
        "Shadow metric_tensor geometric_tensor term_variances",
    ),
    "Models and kernels": (
        "Quantum neural networks and quantum kernels, and what may execute them.",
        "estimator_qnn sampler_qnn fidelity_kernel projected_kernel kernel_alignment Model Kernel Backend Shots "
        "save load",
    ),
    "Training": (
        "The training loop, searches, and optimizers for optax.",
        "fit FitResult grid_search natural_gradient spsa qnspsa rotosolve",
    ),
}
RETURNED = "Returned objects"


def modules() -> dict[str, Any]:
    """The public modules by their names, without the package itself."""
    names = [found.name for found in pkgutil.iter_modules(qmljax.__path__) if not found.name.startswith("_")]
    return {f"qmljax.{name}": importlib.import_module(f"qmljax.{name}") for name in names}


def public(module: Any) -> dict[str, Any]:
    """The functions and classes of a public module: of a folder what it gives a name, of a file what it defines."""
    inside = module.__name__ + "." * hasattr(module, "__path__")
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_") and callable(thing) and (_home(thing) + ".").startswith(inside)
    }


def named() -> dict[str, Any]:
    """All functions and classes by the names that users write."""
    found = {f"qmljax.{name}": thing for name, thing in public(qmljax).items()}
    for module, content in modules().items():
        found |= {f"{module}.{name}": thing for name, thing in public(content).items()}
    return found


def returned() -> dict[str, type]:
    """The classes without a public name of what public functions, and the methods of what these return, return."""
    known = list(named().values())
    left, seen = [*known, QNN, BaseKernel], []
    while left:
        thing = left.pop()
        if thing in seen:
            continue
        seen.append(thing)
        if inspect.isclass(thing):
            left += [cls for function in methods(thing).values() for cls in _returns(function)]
            left += thing.__subclasses__() if issubclass(thing, QNN | BaseKernel) else ()
        else:
            left += _returns(thing)
    found = {_path(thing): thing for thing in seen if inspect.isclass(thing) and thing not in known}
    return dict(sorted(found.items(), key=lambda item: item[1].__name__))


def methods(cls: type) -> dict[str, Any]:
    """The public methods and properties that qmljax defines for a class, as functions, and its call."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("qmljax"):
            found |= {name: member for name, member in vars(base).items() if name == "__call__" or name[0] != "_"}
    functions = {
        name: getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
        for name, member in found.items()
    }
    return {name: function for name, function in functions.items() if inspect.isfunction(function)}


@functools.cache
def linked() -> dict[str, str]:
    """What may be linked where it stands in a text as code: the names, and the methods of classes, to themselves."""
    found = {}
    for name, thing in named().items():
        found[name] = name
        for method in methods(thing) if inspect.isclass(thing) else ():
            found[f"{name}.{method}"] = f"{name}.{method}"
    return found


def pages() -> dict[str, str]:
    """The pages as reStructuredText, by their names in `docs/api/`."""
    found = {}
    placed = [name for _, names in GROUPS.values() for name in names.split()]
    here = public(qmljax)
    if set(placed) != set(here) or len(placed) != len(here):
        raise ValueError(f"GROUPS and the public names differ in {sorted(set(placed) ^ set(here))}.")
    for title, (about, names) in GROUPS.items():
        found[_file(title)] = _page(title, about, {f"qmljax.{name}": here[name] for name in names.split()})
    for name, module in modules().items():
        things = {f"{name}.{own}": thing for own, thing in public(module).items()}
        found[name.rpartition(".")[2]] = _page(name, inspect.getdoc(module) or "", things, module=name)
    about = "What builders return, and what these return in turn. Nobody constructs them by name."
    found[_file(RETURNED)] = _page(RETURNED, about, returned())
    found["index"] = _index(found)
    return found


def _index(found: dict[str, str]) -> str:
    entries = "\n".join(f"   {name}" for name in found)
    text = "Every public name, generated from the docstrings. ``import qmljax as qj`` gives all but the connectors to "
    text += "other libraries (``flax``, ``torch``, ``sklearn``, ``primitives``), which are imported by their names."
    return f"{_title('API reference')}\n{text}\n\n.. toctree::\n   :maxdepth: 2\n\n{entries}\n"


def _page(title: str, about: str, things: dict[str, Any], module: str = "") -> str:
    lines = [_title(title), *([f".. module:: {module}", ""] if module else []), about, ""]
    for name, thing in things.items():
        kind = "autofunction" if not inspect.isclass(thing) else "autoclass"
        kind = "autoexception" if inspect.isclass(thing) and issubclass(thing, Exception) else kind
        lines += [f".. {kind}:: {name}"]
        if kind == "autoclass":
            calls = "__call__" in methods(thing)
            lines += ["   :members:", "   :inherited-members:", *["   :special-members: __call__"] * calls]
        lines += [""]
    return "\n".join(lines)


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _file(title: str) -> str:
    return title.lower().replace(" ", "_")


def _home(thing: Any) -> str:
    return getattr(thing, "__module__", None) or ""


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _returns(function: Any) -> list[type]:
    """The classes of qmljax in the types of what a function returns, by each of its overloads."""
    found = []
    for overload in [function, *typing.get_overloads(function)]:
        with contextlib.suppress(NameError):  # of a type that is imported for type checkers alone
            found += _classes(typing.get_type_hints(overload).get("return"))
    return found


def _classes(annotation: Any) -> Iterator[type]:
    if inspect.isclass(annotation) and annotation.__module__.startswith("qmljax"):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _classes(part)
