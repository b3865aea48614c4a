"""The README and the pages: their code prints what it shows; their tables, maps and links are those of the project."""

import contextlib
import inspect
import io
import json
import re
from pathlib import Path

import pytest
from test_architecture import FLOOR, FLOORS

import qmljax as qj
from benchmarks._report import PEERS
from qmljax._models.compiled import FIRST
from tests.outputs import CELL, assert_same_output

ROOT = Path(__file__).parents[1]
GENERATED = {f"docs/{name}.md" for name in ("benchmarks", "changelog", "citing", "contributing", "index", "papers")}
FOUND = (path for folder in ("docs", "docs/concepts", "docs/from_qiskit_ml") for path in (ROOT / folder).glob("*.md"))
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "examples/README.md",
        *sorted({path.relative_to(ROOT).as_posix() for path in FOUND} - GENERATED),
    )
}
README, REFERENCE, CONTRIBUTING = (PAGES[name] for name in ("README.md", "docs/reference.md", "CONTRIBUTING.md"))
# Other tests run layers, hardware and scale; `make docs` runs them all.
RUN = ["README.md", *(f"docs/{page}.md" for page in "analysis dynamic noise start training".split())]
RUN += [page for page in PAGES if page.startswith("docs/concepts/") and "```python" in PAGES[page]]


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("page", RUN)
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
    assert set(re.findall(r"^\| `qj\.(\w+)", REFERENCE, re.MULTILINE)) == public


@pytest.mark.parametrize(("name", "signature"), re.findall(r"^\| `qj\.(\w+)\((.*?)\)` \|", REFERENCE, re.MULTILINE))
def test_the_tables_show_the_parameters(name, signature):
    """In their order, with their defaults; trailing ones may be left out."""
    parameters = inspect.signature(getattr(qj, name)).parameters.values()
    expected = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    shown = [p for p in re.split(r", (?![)])", signature) if p != "*"]
    assert shown == expected[: len(shown)]


def test_the_tables_list_every_public_module():
    public = {name for name in " ".join(FLOORS[""]).split() if not name.startswith("_")}
    assert set(re.findall(r"^\| `qmljax\.(\w+)` \|", REFERENCE, re.MULTILINE)) == public


def test_the_map_lists_every_room():
    here = {p.name + "/" * p.is_dir() for p in (ROOT / "qmljax").glob("[!.]*") if p.suffix == ".py" or p.is_dir()}
    assert set(mapped()) == here - {"__pycache__/"}


def test_the_map_keeps_to_the_floors():
    heights = [FLOOR[(name.rstrip("/").removesuffix(".py"),)] for name in mapped()]
    assert heights == sorted(heights, reverse=True)


def mapped() -> list[str]:
    """The rooms on the map of the package, from the top."""
    return re.findall(r"^  (\w+(?:\.py|/)) ", CONTRIBUTING, re.MULTILINE)


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 150


def test_every_example_is_described():
    here = {path.name for path in ROOT.glob("examples/[0-9]*.py")}
    assert set(re.findall(r"\]\((\w+\.py)\)", PAGES["examples/README.md"])) == here


def test_pages_say_after_how_many_calls_a_function_has_its_own_program():
    told = [(page, int(count)) for page, text in PAGES.items() for count in re.findall(r"[Tt]he first (\d+) ", text)]
    assert len(told) >= 5 and {count for _, count in told} == {FIRST}, told


LINKS = [(page, target) for page, text in PAGES.items() for target in re.findall(r"\]\(([^)\s]+)\)", text)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """To a file that is there, and to a heading in it."""
    lost = []
    for target in (target for of, target in LINKS if of == page and not target.startswith("https://")):
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            lost.append(target)
    assert not lost


def anchors(text: str) -> set[str]:
    """The headings of a page as GitHub, and the site, name them in links."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    names = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return names | set(re.findall(r"^\((.+)\)=$", text, re.MULTILINE))


# The rows of the table of speed: case, size, and who we are in it.
SPEED = {
    "QNN training step, 8 qubits, batch 32": ("training-step", "8/32", "qmljax"),
    "QNN training step, 12 qubits, batch 32": ("training-step", "12/32", "qmljax"),
    "1,000 steps of Adam, 8 qubits, batch 32": ("training-loop", "8/32", "qmljax"),
    "PyTorch layer, step with input gradients, 4 qubits, batch 32": ("torch-training-step", "4/32", "qmljax"),
    "through Qiskit's estimator interface, 1,000 bindings, 8 qubits": ("primitives", "8/1000", "qmljax-primitives"),
    "data re-uploading, 10 qubits, batch 64": ("data-reuploading", "10/64", "qmljax"),
    "Gram matrix, 500 points, 12 qubits": ("gram-matrix", "500/12", "qmljax"),
    "gradient, 20 qubits": ("large-gradient", "20", "qmljax"),
    "gradient, 24 qubits": ("large-gradient", "24", "qmljax"),
    "gradient, 10 qubits, 1,000 layers": ("depth", "1000", "qmljax"),
    "gradient under noise, 8 qubits, density matrix": ("noisy-gradient", "8", "qmljax"),
    "gradient through 10 teleported gates": ("feed-forward", "10", "qmljax"),
    "Hessian, 6 qubits, 36 weights": ("hessian", "6", "qmljax"),
}
LIBRARIES = {
    "TensorCircuit-NG": "tensorcircuit",
    "TensorCircuit-NG with scan": "tensorcircuit-scan",
    "PennyLane": "pennylane",
    "PennyLane lightning": "lightning",
    "Qiskit": "qiskit-ml",
}


def test_the_table_of_speed_is_that_of_the_results():
    """To the digits shown. After new measurements, write their numbers into the README."""
    times: dict[tuple[str, str], dict[str, float]] = {}
    for record in json.loads((ROOT / "benchmarks/results/cpu.json").read_text())["results"]:
        if record["status"] == "done":
            times.setdefault((record["case"], record["size"]), {})[record["contestant"]] = record["steady"]["median"]
    rows = re.findall(r"^\| (.+?) \| ([\d.,]+) \| ([\d.,]+) \((.+?)\) \| ([\d.,]+) \|$", README, re.MULTILINE)
    assert [what for what, *_ in rows] == list(SPEED)
    for what, own, other, library, ratio in rows:
        case, size, who = SPEED[what]
        found = times[case, size]
        peers = {name: time for name, time in found.items() if name in PEERS}
        assert min(peers, key=peers.__getitem__) == LIBRARIES[library], what
        best = min(peers.values())
        assert (own, other, ratio) == (
            alike(found[who] * 1e3, own),
            alike(best * 1e3, other),
            alike(best / found[who], ratio),
        ), what


def alike(number: float, text: str) -> str:
    """A number with as many decimals as another one has."""
    return f"{number:,.{len(text.partition('.')[2])}f}"
