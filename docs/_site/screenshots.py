"""Pictures of every page for a person to look at, wide and narrow, light and dark, in build/screenshots.

python docs/_site/screenshots.py [PAGE ...]
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.site.browser import BUILT, THEMES, WIDTHS, browser, pages, screen, served  # noqa: E402


def main() -> None:
    """Takes them, each as high as its page, up to 12,000 pixels."""
    chosen = sys.argv[1:] or pages()
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    with served(BUILT) as address, browser() as driver:
        for theme in THEMES:
            for width in WIDTHS:
                for page in chosen:
                    screen(driver, theme, width)
                    driver.get(f"{address}/{page}")
                    height = driver.execute_script("return document.documentElement.scrollHeight")
                    screen(driver, theme, width, min(height, 12_000))
                    name = page.removesuffix(".html").replace("/", "-")
                    driver.save_screenshot(str(folder / f"{name}-{width}-{theme}.png"))
    print(f"{len(chosen) * len(THEMES) * len(WIDTHS)} pictures are in {folder}.")


if __name__ == "__main__":
    main()
