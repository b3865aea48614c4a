"""Every link inside of the built site leads to a page, and to a place on it, that is there."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

BUILT = Path(__file__).parents[2] / "docs" / "_build" / "html"
if not (BUILT / "index.html").exists():
    pytest.skip("there is no built site: `make docs` builds it", allow_module_level=True)


class Page(HTMLParser):
    """The places on a page, and what it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places, self.targets = {"", "top"}, []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            if (tag, name) in {("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")} and value:
                self.targets.append(value)


PAGES = {file: Page(file.read_text(encoding="utf-8")) for file in sorted(BUILT.rglob("*.html"))}


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(BUILT)))
def test_links_lead_somewhere(file):
    lost = []
    for target in PAGES[file].targets:
        url = urlsplit(target)
        if url.scheme:
            continue
        path = (file.parent / unquote(url.path)).resolve() if url.path else file
        place = unquote(url.fragment)
        if not path.is_file() or (path in PAGES and place not in PAGES[path].places):
            lost.append(target)
    assert not lost


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(BUILT)))
def test_text_is_not_taken_for_markup(file):
    """`2**n and 4**n` is not bold, "W." no list and "Runs: how many" no type; private modules are nobody's business."""
    text = re.sub(r"<(script|style).*?</\1>", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r".{20}\w<strong>|</strong>\w.{20}", text)
    if "api" in file.relative_to(BUILT).parts:
        assert not re.findall(r'<ol class="(?:upper|lower)(?:alpha|roman).{40}', text)
        assert not re.findall(r">Type<", text)
        words = re.sub(r"<[^>]*>", "", text)
        assert not re.findall(r"qmljax\.[\w.]*\b_[a-z][\w.]*|_NestedSequence", words)
