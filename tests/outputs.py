"""What a page promises: its cells, what each prints, and when that is the same. The site asks here, too."""

import re

import pytest

# A cell, with the output that follows it; those inside of lists and directives, which are indented, are none.
CELL = re.compile(r"^```python\n(.*?)^```$(?:\s*^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")
FLOAT32 = 3e-7  # what the last of 7 or 8 decimals differ by from processor to processor, in arrays of numbers up to 1


def assert_same_output(printed: str, shown: str) -> None:
    """Equal but for white space next to brackets and between words, and for a last digit that is rounded otherwise."""
    both = f"printed:\n{printed}\nshown:\n{shown}"
    texts = [" ".join(re.sub(r"([\[\](),])", r" \1 ", NUMBER.sub("#", text)).split()) for text in (printed, shown)]
    assert texts[0] == texts[1], both
    for got, expected in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        assert float(got) == pytest.approx(float(expected), rel=1e-6, abs=_last_digit(expected)), both


def _last_digit(number: str) -> float:
    """How far from a number another one may be that is written the same, but for its last digit."""
    digits, _, exponent = number.partition("e")
    decimals = len(digits.partition(".")[2])
    if number.endswith("."):  # its zeros are left out
        return FLOAT32
    if not decimals and not exponent:
        return abs(int(number)) >= 10  # a small integer counts something, such as an axis
    return max(1.5 * 10.0 ** (int(exponent or 0) - decimals), FLOAT32 if decimals in (7, 8) and not exponent else 0.0)
