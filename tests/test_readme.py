"""The README: its code runs and prints what it shows; its tables, maps and links are those of the project."""

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest
from test_architecture import FLOOR

import qmljax as qj
from tests.outputs import CELL, assert_same_output

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("page", ["README.md", "docs/analysis.md", "docs/dynamic.md", "docs/noise.md"])
def test_the_code_prints_what_is_shown(page):
    names = {}
    found = CELL.findall((ROOT / page).read_text(encoding="utf-8"))
    assert found
    for source, shown in found:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(source, page, "exec"), names)
        assert_same_output(printed.getvalue(), shown)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("[0.88 1.]", "[0.87 1.]"),
        ("(2, 3) float32\n", "(2, 3)  float32"),
        ("[ 1.00 -2]", "[1.00 -2]"),
        ("94% right", "95% right"),
        ("3.1e-08", "3.2e-08"),
        ("[1. 0.09137554]", "[1. 0.09137542]"),
    ],
)
def test_outputs_that_are_the_same(printed, shown):
    assert_same_output(printed, shown)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("0.88", "0.86"),
        ("0.88", ""),
        ("0.88", "-0.88"),
        ("loss 1.0", "gain 1.0"),
        ("1 2", "1"),
        ("nan", "0.88"),
        ("(8, 7)", "(8, 6)"),
        ("93%", "95%"),
        ("0.5", "2e-07"),
        ("3.4e-08", "3.2e-08"),
        ("0.091376", "0.091378"),
        ("0.0913755412345", "0.0913754212345"),
    ],
)
def test_outputs_that_differ(printed, shown):
    with pytest.raises(AssertionError):
        assert_same_output(printed, shown)


def test_the_tables_list_every_public_name():
    public = {name for name in vars(qj) if not name.startswith("_") and not inspect.ismodule(getattr(qj, name))}
    assert set(re.findall(r"^\| `qj\.(\w+)", README, re.MULTILINE)) == public


@pytest.mark.parametrize(("name", "signature"), re.findall(r"^\| `qj\.(\w+)\((.*?)\)` \|", README, re.MULTILINE))
def test_the_tables_show_the_parameters(name, signature):
    """In their order, with their defaults; trailing ones may be left out."""
    parameters = inspect.signature(getattr(qj, name)).parameters.values()
    expected = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    shown = [p for p in re.split(r", (?![)])", signature) if p != "*"]
    assert shown == expected[: len(shown)]


def test_the_map_lists_every_room():
    here = {p.name + "/" * p.is_dir() for p in (ROOT / "qmljax").glob("[!.]*") if p.suffix == ".py" or p.is_dir()}
    assert set(mapped()) == here - {"__pycache__/"}


def test_the_map_keeps_to_the_floors():
    heights = [FLOOR[(name.rstrip("/").removesuffix(".py"),)] for name in mapped()]
    assert heights == sorted(heights, reverse=True)


def mapped() -> list[str]:
    """The rooms on the map of the package, from the top."""
    return re.findall(r"^  (\w+(?:\.py|/)) ", README, re.MULTILINE)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(target):
    assert target.startswith("https://") or (ROOT / target).exists()
