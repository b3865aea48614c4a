"""What a page promises: its cells, what each prints, and when that is the same. The site asks here, too."""

import re

import pytest

# A cell, with the output that follows it; those inside of lists and directives, which are indented, are none.
CELL = re.compile(r"^```python\n(.*?)^```$(?:\s*^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")


def assert_same_output(printed: str, shown: str) -> None:
    """Equal but for white space next to brackets and between words, and for a last digit that is rounded otherwise."""
    texts = [" ".join(re.sub(r"([\[\](),])", r" \1 ", NUMBER.sub("#", text)).split()) for text in (printed, shown)]
    assert texts[0] == texts[1], f"printed:\n{printed}\nshown:\n{shown}"
    for got, expected in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        digits = len(expected.partition(".")[2])
        near = pytest.approx(float(expected), rel=1e-6, abs=1.5 * 10.0**-digits if digits else 1)
        assert float(got) == near, f"printed:\n{printed}\nshown:\n{shown}"
