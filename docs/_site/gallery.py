"""The gallery: a page for each example, with its text, its figure, what it prints, its code, and both as downloads."""

import ast
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from docs._site import examples

WORDS = {"flax": "Flax", "torch": "PyTorch", "qcnn": "QCNN", "gan": "GAN", "bayesian": "Bayesian"}
THUMBNAIL = (640, 280)
INTRODUCTION = """\
# Gallery

Scripts that each tell one story in about a minute. A page has the text of a script, its figure, what it prints and its
code, to download as a script or as a notebook. `make examples` runs all of them.

::::{grid} 1 2 2 3
:gutter: 3
"""
CARD = """
:::{{grid-item-card}} {title}
:link: {name}
:link-type: doc
:img-top: files/{name}-small.png
:img-alt: {title}

{sentence}
:::
"""
PAGE = """\
# {title}

{text}

{{download}}`Script <files/{name}.py>` {{download}}`Notebook <files/{name}.ipynb>`
{{download}}`Script with the files that it imports <files/{name}.zip>`

![{title}](files/{name}.png)

## What it prints

In {seconds:.0f} seconds on the machine that built this page:

```text
{output}
```

## The script

```{{literalinclude}} files/{name}.py
:language: python
:lines: {first}-
```
"""


def pages() -> dict[str, bytes]:
    """The files of the gallery by their names in `docs/gallery/`. Runs what has not been run."""
    found, cards, scripts = {}, [], examples.scripts()
    with ThreadPoolExecutor(2) as pool:  # each waits for a process, most of whose time is on one core
        runs = list(pool.map(done, scripts))
    for script, run in zip(scripts, runs, strict=True):
        name, source = script.stem, script.read_text(encoding="utf-8")
        tree = ast.parse(source)
        text, begin = ast.get_docstring(tree) or "", (tree.body[0].end_lineno or 0) + 2  # the code, after the text
        about = {"name": name, "title": title(name), "text": text, "sentence": text.partition("\n\n")[0]}
        cards.append(CARD.format(**about))
        page = PAGE.format(
            **about, first=begin, output=run.output.strip("\n").replace(f"{examples.ROOT}/", ""), seconds=run.seconds
        )
        found |= {f"{name}.md": page.encode(), f"files/{name}.py": source.encode()}
        found |= {f"files/{name}.ipynb": notebook(script).encode(), f"files/{name}.zip": archive(script)}
        found |= {f"files/{name}.png": run.figure.read_bytes(), f"files/{name}-small.png": thumbnail(run.figure)}
    names = "\n".join(script.stem for script in scripts)
    index = f"{INTRODUCTION}{''.join(cards)}\n::::\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    return found | {"index.md": index.encode()}


def done(script: Path) -> examples.Run:
    """What a script does: it is run if it has not been."""
    found = examples.kept(script)
    if found is None:
        print(f"running {script.name}", flush=True)
        found = examples.run(script, show=lambda line: None)
    return found


def title(name: str) -> str:
    """The title of an example, of the name of its file."""
    first, *words = [WORDS.get(word, word) for word in name.split("_")[1:]]
    if words and words[-1] in ("Flax", "PyTorch") and "and" not in words:
        words.insert(-1, "in")
    return " ".join([first[0].upper() + first[1:], *words])


def notebook(script: Path) -> str:
    """A script as a notebook that runs anywhere: it writes the files that it needs beside itself."""
    source = script.read_text(encoding="utf-8")
    tree = ast.parse(source)
    text, *rest = tree.body
    needed = [*examples.helpers(script), *([script] if "subprocess" in source else [])]
    cells = [new_markdown_cell(f"# {title(script.stem)}\n\n{ast.get_docstring(tree)}")]
    cells += [new_code_cell(f"%%writefile {file.name}\n{file.read_text(encoding='utf-8')}") for file in needed]
    cells.append(new_code_cell(f"import sys\n\n__file__ = {script.name!r}\nsys.argv = [__file__]  # no arguments"))
    lines = source.splitlines()
    starts = [text.end_lineno or 0, *[_start(node) - 1 for node in rest if _is_own_cell(node)], len(lines)]
    for start, end in zip(starts, starts[1:], strict=False):
        if part := "\n".join(lines[start:end]).strip():
            cells.append(new_code_cell(part))
    cells.append(new_code_cell("from IPython.display import Image\n\nImage(str(FIGURE))"))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # not a random one
    book = new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.writes(book)


def _is_own_cell(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)


def _start(node: ast.stmt) -> int:
    """The first line of a statement, its decorators included."""
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *[decorator.lineno for decorator in decorators]])


def archive(script: Path) -> bytes:
    """A script with the files that it imports."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
        for part in [script, *examples.helpers(script)]:
            pack.writestr(zipfile.ZipInfo(part.name), part.read_bytes())
    return file.getvalue()


def thumbnail(figure: Path) -> bytes:
    """A small picture of a figure, all of the same shape."""
    with Image.open(figure) as whole:
        small = whole.convert("RGB")
    small.thumbnail(THUMBNAIL)
    card = Image.new("RGB", THUMBNAIL, "white")
    card.paste(small, ((THUMBNAIL[0] - small.width) // 2, (THUMBNAIL[1] - small.height) // 2))
    file = io.BytesIO()
    card.save(file, "PNG", optimize=True)
    return file.getvalue()
