"""Docstrings of public names and of what they return: what it is, every argument, what is raised, an example that runs.

The names are found, not listed: those of the public modules, the classes in their signatures, and the members of these.
That the examples print what they show is for `--doctest-modules` to say.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import qmljax
from qmljax._models.kernels.kernel import BaseKernel
from qmljax._models.qnn import QNN

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "References")  # in this order
OF_JAX = {"tree_flatten", "tree_unflatten"}  # JAX calls these, nobody else
ELSEWHERE = re.compile(r"(see|like|as( for| of| in| by)?) `|as (for|of) a call", re.IGNORECASE)
PROPERTIES = (property, functools.cached_property)


def modules() -> Iterator[Any]:
    """The public modules."""
    yield qmljax
    for found in pkgutil.iter_modules(qmljax.__path__, "qmljax."):
        if not found.name.partition(".")[2].startswith("_"):
            yield importlib.import_module(found.name)


def named() -> dict[str, Any]:
    """The functions and classes of public modules, by the names that users write."""
    found: dict[str, Any] = {}
    for module in modules():
        inside = module.__name__ if hasattr(module, "__path__") else module.__name__ + "/"
        for name, thing in vars(module).items():
            home = (getattr(thing, "__module__", None) or "") + "/"
            if callable(thing) and home.startswith(inside) and not name.startswith("_") and thing not in found.values():
                found[f"{module.__name__}.{name}"] = thing
    return found


def returned(things: dict[str, Any]) -> dict[str, type]:
    """The classes of qmljax that these return, those that their members return, and so on, without those given.

    Builders say that they return a `Model` or a `Kernel`; the classes behind these are among them.
    """
    found: dict[str, type] = {}
    left: list[Any] = [*things.values(), QNN, BaseKernel]
    while left:
        thing = left.pop()
        if inspect.isclass(thing):
            if thing not in found.values() and thing not in things.values():
                found[f"{thing.__module__}.{thing.__qualname__}"] = thing
                left += thing.__subclasses__() if issubclass(thing, QNN | BaseKernel) else ()
            elif thing in found.values():
                continue
        for function in map(function_of, members(thing).values()) if inspect.isclass(thing) else [thing]:
            left += [cls for cls in returns(function) if cls not in found.values() and cls not in things.values()]
    return found


def returns(function: Any) -> list[type]:
    """The classes of qmljax in the type of what a function returns."""
    try:
        return list(classes_in(typing.get_type_hints(function).get("return")))
    except NameError:  # it has a type that is imported for type checkers alone: matplotlib's
        return []


def classes_in(annotation: Any) -> Iterator[type]:
    """The classes of qmljax that a type consists of."""
    if inspect.isclass(annotation) and annotation.__module__.startswith("qmljax"):
        yield annotation
    for part in typing.get_args(annotation):
        yield from classes_in(part)


def members(cls: type) -> dict[str, Any]:
    """The methods and properties of a class that qmljax defines, by their names, and its call."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("qmljax"):
            found |= vars(base)
    plain = (staticmethod, classmethod, *PROPERTIES)
    return {
        name: member
        for name, member in found.items()
        if (name == "__call__" or not name.startswith("_") and name not in OF_JAX)
        and (inspect.isfunction(member) or isinstance(member, plain))
    }


def function_of(member: Any) -> Callable[..., Any]:
    """The function behind a function, method or property."""
    return getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)


def sections(text: str) -> dict[str, str]:
    """The sections of a docstring by their names; what comes before them is ""."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> dict[str, str]:
    """The descriptions in a section by their names: `name: text`, or `name, other: text`."""
    found = {}
    for entry in re.split(r"^(?=\S)", textwrap.dedent(section), flags=re.MULTILINE):
        names, _, text = entry.partition(":")
        if not re.fullmatch(r"[\w*]+(, [\w*]+)*", names):
            continue  # a sentence
        found |= {name.strip().lstrip("*"): " ".join(text.split()) for name in names.split(",") if name.strip()}
    return found


def raises(function: Any) -> bool:
    """Whether it raises on its own, or checks its arguments."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    checks = any(isinstance(f, ast.Name) and re.match(r"_?check_", f.id) for f in calls)
    return checks or any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def parameters(thing: Any) -> set[str]:
    """The names of its parameters; those of a class are of its constructor, whatever its metaclass makes of it."""
    own = inspect.isclass(thing) and "__init__" in vars(thing)
    found = inspect.signature(vars(thing)["__init__"] if own else thing).parameters
    return {name for name in found if name not in ("self", "cls")}


def of_text(text: str | None) -> Iterator[str]:
    """What is wrong with a docstring whatever it describes."""
    found = sections(text or "")
    summary = found[""].strip().partition("\n\n")[0]
    if not summary.endswith((".", ":")):
        yield "has no summary that ends in a full stop"
    if list(found) != ["", *(name for name in SECTIONS if name in found)]:
        yield f"has its sections in another order: {list(found)}"
    for name in ("Attributes", "Args", "Raises"):
        for argument, description in entries(found.get(name, "")).items():
            if not description or ELSEWHERE.match(description):
                yield f"sends the reader elsewhere for {argument!r}: {description}"
    if ELSEWHERE.match(" ".join(found.get("Returns", "").split())):
        yield f"sends the reader elsewhere for what it returns:{found['Returns']}"


def of_arguments(text: str | None, expected: set[str], constructed: bool = False) -> Iterator[str]:
    """What is wrong with the arguments that a docstring names."""
    found = sections(text or "")
    args, attributes = (set(entries(found.get(name, ""))) for name in ("Args", "Attributes"))
    if missing := expected - args - (attributes if constructed else set()):
        yield f"does not describe {sorted(missing)}"
    if more := args - expected:
        yield f"describes {sorted(more)}, which are no arguments"


def of_function(function: Any, is_member: bool, is_property: bool = False) -> Iterator[str]:
    text = inspect.getdoc(function)
    yield from of_text(text)
    yield from of_arguments(text, parameters(function))
    found = sections(text or "")
    if not is_property and "Raises" not in found and raises(inspect.unwrap(function)):
        yield "does not say what it raises"
    nothing = inspect.signature(function).return_annotation is None
    if not is_member and not nothing and not {"Returns", "Yields"} & set(found):
        yield "does not say what it returns"
    if not is_member and ">>> " not in found.get("Example", ""):
        yield "has no example"


def of_class(cls: type, is_named: bool) -> Iterator[str]:
    """What is wrong with the docstring of a class; users construct those that have a public name."""
    text = inspect.cleandoc(cls.__doc__ or "")
    yield from of_text(text)
    if is_named and not getattr(cls, "_is_protocol", False) and not issubclass(cls, Exception):
        yield from of_arguments(text, parameters(cls), constructed=True)
    if is_named and ">>> " not in sections(text).get("Example", ""):
        yield "has no example"


def faults(things: dict[str, Any], is_named: bool) -> list[str]:
    found: dict[str, None] = {}  # each once, though a method is inherited
    for name, thing in things.items():
        for fault in of_class(thing, is_named) if inspect.isclass(thing) else of_function(thing, False):
            found[f"{name} {fault}"] = None
        for own, member in members(thing).items() if inspect.isclass(thing) else ():
            function = function_of(member)
            attributes = entries(sections(inspect.getdoc(thing) or "").get("Attributes", ""))
            if own in attributes or not function.__doc__ and inspect.getdoc(getattr(thing, own)):
                continue  # described there, or where it is inherited from
            for fault in of_function(function, True, isinstance(member, PROPERTIES)):
                found[f"{function.__module__}.{function.__qualname__} {fault}"] = None
    return list(found)


NAMED = named()
RETURNED = returned(NAMED)


def test_public_names_say_what_they_take_and_give():
    found = faults(NAMED, True)
    assert not found, "\n".join(found)


def test_what_they_return_does_too():
    found = faults(RETURNED, False)
    assert not found, "\n".join(found)


def test_the_names_are_found():
    """A few of each kind, so that an empty list would be noticed; helpers that a module imports are none of its own."""
    assert len(NAMED) > 120 and len(RETURNED) > 30
    assert {"qmljax.fit", "qmljax.gram.clip", "qmljax.flax.uniform", "qmljax.sklearn.VQC"} <= set(NAMED)
    assert {"EstimatorQNN", "BackendQNN", "FidelityKernel", "OfShots"} <= {c.__name__ for c in RETURNED.values()}
    assert "qmljax.flax.shown" not in NAMED and "qmljax.flax.check_function" not in NAMED


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: m.__name__)
def test_public_modules_say_what_they_are_for(module):
    assert (module.__doc__ or "").partition("\n")[0].endswith((".", ":"))


def test_no_example_is_skipped():
    for thing in [*NAMED.values(), *RETURNED.values()]:
        assert "doctest: +SKIP" not in (inspect.getdoc(thing) or ""), thing


GOOD = """The sum.

Args:
    a, b: Two numbers.

Returns:
    Their sum.

Raises:
    ValueError: They are of no use.

Example:
    >>> 1 + 1
    2
"""


def of_docstring(text: str) -> list[str]:
    """What is found in a function of `a` and `b` that checks them, with this docstring."""

    def add(a, b):
        if a is b:
            raise ValueError("no")
        return a + b

    add.__doc__ = text
    return list(of_function(add, is_member=False))


def test_a_good_docstring():
    assert of_docstring(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("The sum.", "The sum", "has no summary"),
        ("a, b: Two numbers.", "a: A number.", "does not describe ['b']"),
        ("a, b: Two numbers.", "a, b, c: Numbers.", "describes ['c']"),
        ("Two numbers.", "As for `divmod`.", "sends the reader elsewhere"),
        ("Two numbers.", "See `divmod`.", "sends the reader elsewhere"),
        ("Their sum.", "As `sum`.", "sends the reader elsewhere"),
        ("Returns:\n    Their sum.\n\n", "", "what it returns"),
        ("Raises:\n    ValueError: They are of no use.\n\n", "", "what it raises"),
        (">>> 1 + 1", "1 + 1", "no example"),
        (
            "Raises:\n    ValueError: They are of no use.\n\nExample",
            "References:\n    None.\n\nExample",
            "another order",
        ),
    ],
)
def test_what_is_wrong_is_found(old, new, fault):
    assert old in GOOD
    assert any(fault in found for found in of_docstring(GOOD.replace(old, new)))
