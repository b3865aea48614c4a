"""Pages are plain Markdown: a block of Python is a cell, which the build runs; text after it, what it prints.

`read` makes a notebook of a page, which myst-nb executes and renders; `check` compares what was printed. Both take a
page as the tests do, by `tests/outputs.py`.
"""

import posixpath
import re
from pathlib import Path

import nbformat
from docutils import nodes
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx.application import Sphinx
from sphinx.util import logging

from docs._site import digest
from tests.outputs import CELL, assert_same_output

LINK = re.compile(r"\]\((\.\./[^)#\s:]+)(#[^)\s]*)?\)")
DEVICES = re.compile(r"^<!-- devices: (\d+) -->$", re.MULTILINE)
NOT_RUN = re.compile(r"^[ \t>]*(?:```+|~~~+)\s*python\b", re.MULTILINE)
# Where files outside of `docs/` have their pages.
HOMES = {
    r"examples/(\d\w+)\.py": r"gallery/\1.md",
    r"docs/(.+)": r"\1",
    r"README\.md": "index.md",
    r"examples/(README\.md)?": "gallery/index.md",
    r"CHANGELOG\.md": "changelog.md",
    r"CONTRIBUTING\.md": "contributing.md",
    r"CITATION\.cff": "citing.md",
    r"benchmarks/results/papers(/\w+\.md)?": "papers.md",
    r"benchmarks/(README\.md|NOTES\.md|results(/\w+\.md)?)?": "benchmarks.md",
}
SETUP = """\
import os
{environment}
get_ipython().ast_node_interactivity = "none"  # what is shown is printed, as by a script
"""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
logger = logging.getLogger(__name__)


def read(text: str) -> NotebookNode:
    """The notebook of a page. A comment `<!-- devices: 8 -->` asks for so many virtual devices."""
    found = list(CELL.finditer(text))
    devices = DEVICES.search(text)
    flags = f"--xla_force_host_platform_device_count={devices[1]}" if devices else ""
    setup = SETUP.format(environment=f'os.environ["XLA_FLAGS"] = {flags!r}')
    cells = [new_code_cell(setup, metadata={"tags": ["remove-cell"]})] if found else []
    lines, end = [0] * len(cells), 0
    for match in [*found, None]:
        prose = text[end : match.start() if match else len(text)]
        cells.append(new_markdown_cell(prose))
        lines.append(text.count("\n", 0, end))
        if match:
            cells.append(new_code_cell(match[1].rstrip("\n")))
            lines.append(text.count("\n", 0, match.start()))
            end = match.end()
    notebook = new_notebook(cells=cells)
    # The name of the kernel is part of what the cache of executed notebooks looks them up by.
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": f"qmljax {digest.of_library()}",
        "language": "python",
    }
    notebook.metadata["source_map"] = lines
    if not found:
        notebook.metadata["mystnb"] = {"execution_mode": "off"}
    return nbformat.from_dict(notebook)


def check(app: Sphinx, doctree: nodes.document) -> None:
    """Warns, which fails the build, where a cell prints something else than its page says."""
    shown = [match[2] or "" for match in CELL.finditer(Path(doctree["source"]).read_text(encoding="utf-8"))]
    cells = [node for node in doctree.findall(nodes.container) if node.get("nb_element") == "cell_code"]
    for cell, expected in zip(cells, shown, strict=True):
        blocks = [block for block in cell.findall(nodes.literal_block) if "stream" in block["classes"]]
        for block in blocks:
            block[:] = [nodes.Text(COLOURS.sub("", block.astext()))]
            block.rawsource = block.astext()
        try:
            assert_same_output("".join(block.astext() for block in blocks), expected)
        except (AssertionError, ValueError) as error:
            text = str(error).partition("\nassert")[0]
            logger.warning("a cell does not print what the page shows\n%s", text, location=cell, type="qmljax")


def lead_home(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lets links to files beside `docs/` lead to their pages: those to an example, to the gallery."""

    def home(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(docname), link[1]))
        for pattern, page in HOMES.items():
            if found := re.fullmatch(pattern, target):
                anchor = "" if page == "index.md" else link[2] or ""  # the front page has none of the README's titles
                return f"](/{found.expand(page)}{anchor})"
        return link[0]

    source[0] = LINK.sub(home, source[0])


def list_children(app: Sphinx, docname: str, source: list[str]) -> None:
    """An index lists the pages of its folder: by their numbers, else in the order in which it leads to them."""
    folder, _, name = docname.rpartition("/")
    if not folder or name != "index" or "toctree" in source[0]:
        return
    linked = [link[1] for link in re.finditer(r"\]\((\w+)\.md(?:#[^)]*)?\)", source[0])]
    here = sorted(page.rpartition("/")[2] for page in app.env.found_docs if posixpath.dirname(page) == folder)
    numbered = [page for page in here if page[0].isdigit()]
    pages = [page for page in dict.fromkeys([*numbered, *linked, *here]) if page in here and page != "index"]
    source[0] += "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"


def refuse_cells_within(app: Sphinx, docname: str, source: list[str]) -> None:
    """Warns of a block of Python in a list, a quotation or a directive: it would be shown, but not run."""
    for match in NOT_RUN.finditer(CELL.sub(lambda cell: "\n" * cell[0].count("\n"), source[0])):
        line = source[0].count("\n", 0, match.start()) + 1
        logger.warning(
            "a block of Python is run only at the left margin; write ```py for code that is only shown",
            location=(docname, line),
            type="qmljax",
        )
