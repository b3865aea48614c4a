"""The pages of results: benchmarks and papers, from what the runs have left in benchmarks/results; and how to cite."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SECTIONS = ("How to read the results", "Rules")  # of benchmarks/README.md


def benchmarks() -> str:
    """The tables and plots of all machines, after how they were made."""
    about = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    parts = ["# Benchmarks", "`make bench` asks qmljax and other libraries the same questions in one run, checks that "]
    parts[1] += (
        "the answers agree, and then measures. What follows is generated from the results that are kept with the code."
    )
    parts += [section(about, title) for title in SECTIONS]
    for report in sorted(RESULTS.glob("*.md")):
        text = report.read_text(encoding="utf-8")
        text = text if text.startswith("# ") else f"# Results: {report.stem}\n\n{text}"  # a table alone
        text = re.sub(r"(!\[[^]]*\]\()", r"\1../benchmarks/results/", text)
        parts.append(demoted(text))
    return "\n\n".join(parts) + "\n"


def papers() -> str:
    """The published results that were redone."""
    parts = [
        "# Papers reproduced",
        "`python -m benchmarks.papers` redoes published results on public names. Here are the ",
    ]
    parts[1] += "published numbers beside ours, and what is equal, what is within error, what is not."
    parts += [demoted(file.read_text(encoding="utf-8")) for file in sorted((RESULTS / "papers").glob("*.md"))]
    return "\n\n".join(parts) + "\n"


def citing() -> str:
    """How to cite the project."""
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    authors = " and ".join(f"{{{author['name']}}}" for author in about["authors"])
    entries = {"author": authors, "title": about["title"], "version": about["version"], "license": about["license"]}
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in entries.items())
    return f"# Citing qmljax\n\n{about['message']}\n\n```bibtex\n@software{{qmljax,\n{lines}}}\n```\n"


def section(text: str, title: str) -> str:
    """A section of a page, with its title."""
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise ValueError(f"There is no section {title!r}.")
    return found[0].strip()


def demoted(text: str) -> str:
    """A page as a section: its titles are one level lower."""
    return re.sub(r"^#", "##", text.strip(), flags=re.MULTILINE)
