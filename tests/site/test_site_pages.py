"""How pages become notebooks, and what has an entry in the reference. Needs no browser and no built site."""

import inspect
import re
from pathlib import Path

import pytest

import qmljax as qj
from docs._site import digest, examples, reference

ROOT = Path(__file__).parents[2]
PAGE = """\
<!-- devices: 4 -->

# A title

```python
print(1)
```

```text
1
```

Some words.

```py
not_run()
```

```python
x = 2
```
"""


def test_every_public_name_has_an_entry():
    """By the modules that the package has, and the names that they give."""
    text = "\n".join(reference.pages().values())
    entries = re.findall(r"^\.\. auto(?:function|class|exception):: (\S+)$", text, re.MULTILINE)
    assert len(entries) == len(set(entries))
    own = {f"qmljax.{name}" for name, thing in vars(qj).items() if name[0] != "_" and not inspect.ismodule(thing)}
    assert own <= set(entries)
    modules = {path.stem for path in (ROOT / "qmljax").glob("[a-z]*") if path.suffix != ".typed"}
    assert modules == {name.split(".")[1] for name in entries if name.count(".") == 2 and "._" not in name}
    assert {"qmljax.gram.clip", "qmljax.flax.uniform", "qmljax.sklearn.QSVC", "qmljax.primitives.JobError"} <= set(
        entries
    )
    assert "qmljax.flax.shown" not in entries and "qmljax.losses.check_array" not in entries


def test_what_builders_return_has_an_entry():
    names = {cls.__name__ for cls in reference.returned().values()}
    assert {"EstimatorQNN", "SamplerQNN", "FidelityKernel", "ProjectedKernel", "BackendQNN", "Expectation"} <= names
    assert {"MeasuredModel", "OfShots"} <= names and "Program" not in names


def test_a_new_name_without_a_place_is_an_error(monkeypatch):
    monkeypatch.setattr(qj, "unheard_of", qj.fit, raising=False)
    with pytest.raises(ValueError, match="unheard_of"):
        reference.pages()


def test_code_leads_to_entries():
    linked = reference.linked()
    assert {"qmljax.fit", "qmljax.noise.NoiseModel.from_backend", "qmljax.sklearn.VQC.fit"} <= set(linked)


def test_a_page_as_a_notebook():
    pages = pytest.importorskip(
        "docs._site.pages", reason="the tools of the site are not installed: `make docs` does that"
    )
    notebook = pages.read(PAGE)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["code", "markdown", "code", "markdown", "code", "markdown"]  # the first one is hidden
    assert "device_count=4" in notebook.cells[0].source and "remove-cell" in notebook.cells[0].metadata["tags"]
    assert [cell.source for cell in notebook.cells[2::2]] == ["print(1)", "x = 2"]
    lines = notebook.metadata["source_map"]
    assert [PAGE.splitlines()[line] for line in lines[2::2]] == ["```python", "```python"]
    shown = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "not_run()" in shown and "```text" not in shown


def test_a_page_without_cells_starts_no_kernel():
    pages = pytest.importorskip(
        "docs._site.pages", reason="the tools of the site are not installed: `make docs` does that"
    )
    assert pages.read("# A title\n").metadata["mystnb"] == {"execution_mode": "off"}


def test_what_is_kept_depends_on_the_package(tmp_path):
    assert digest.of_library() == digest.of_library() != digest.of_library(ROOT / "examples" / "05_iris.py")


def test_the_helpers_of_an_example():
    found = {script.stem[:2]: {file.stem for file in examples.helpers(script)} for script in examples.scripts()}
    assert len(found) > 25
    assert {"_figures", "_lines"} <= found["08"] and {"_figures", "_hybrid"} <= found["14"]
