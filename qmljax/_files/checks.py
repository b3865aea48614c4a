"""What is read from a file is not trusted: a schema that a header must have, and one kind of error for the rest."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever goes wrong while the content of a file is made sense of is a `ValueError` that names the file.

    A library that is missing stays an `ImportError`.
    """
    try:
        yield
    except ImportError:
        raise
    except BaseException as error:
        # What Rust calls a panic is no `Exception` for Python.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = f"{type(error).__name__}: {error}" if type(error) is not ValueError else str(error)
        raise ValueError(
            f"{os.fsdecode(path)!r} is damaged, or was not written by qmljax: {_short(said).rstrip('.')}. Take another "
            "copy."
        ) from error


def check(value: Any, schema: Any, what: str) -> None:
    """Refuses a value from JSON that does not have the form of the schema.

    A schema is a type, where truth values are no integers; a list of one schema, for lists of any length, or of
    several, for lists of these, where `[a, ..., b]` is one `a` and any number of `b`; a dictionary of schemas by key,
    where a key that ends in "?" may be missing and `...` stands for all others, or by `str` for any keys; a tuple of
    schemas, of which one must fit; or a value.

    Raises:
        ValueError: It has another form.
    """
    if not _fits(value, schema):
        raise ValueError(f"{what} must be {_said(schema)}, but is {_short(repr(value))}")


def _fits(value: Any, schema: Any) -> bool:
    match schema:
        case type():
            return isinstance(value, schema) and (schema in (bool, object) or not isinstance(value, bool))
        case tuple():
            return any(_fits(value, one) for one in schema)
        case [one]:
            return isinstance(value, list) and all(_fits(item, one) for item in value)
        case [first, rest_mark, one] if rest_mark is ...:
            return isinstance(value, list) and bool(value) and _fits(value[0], first) and _fits(value[1:], [one])
        case list():
            return isinstance(value, list) and len(value) == len(schema) and all(map(_fits, value, schema))
        case dict() if str in schema:
            return isinstance(value, dict) and all(_fits(item, schema[str]) for item in value.values())
        case dict():
            if not isinstance(value, dict) or not {k for k in schema if k is not ... and k[-1] != "?"} <= value.keys():
                return False
            rest = schema.get(..., ())  # which nothing fits
            return all(_fits(item, schema.get(key, schema.get(key + "?", rest))) for key, item in value.items())
        case _:
            return type(value) is type(schema) and value == schema


def _said(schema: Any) -> str:
    match schema:
        case type():
            return schema.__name__
        case tuple():
            return " or ".join(map(_said, schema))
        case [first, rest_mark, one] if rest_mark is ...:
            return f"[{_said(first)}, {_said(one)}, ...]"
        case [one]:
            return f"a list of {_said(one)}"
        case list():
            return f"[{', '.join(map(_said, schema))}]"
        case dict():
            names = {str: "str", ...: "..."}
            return "{" + ", ".join(f"{names.get(k, k)}: {_said(v)}" for k, v in schema.items()) + "}"
        case _:
            return repr(schema)


def _short(text: str) -> str:
    """A text as one line, without the colours of terminals."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    return text if len(text) < 300 else text[:297] + "..."
