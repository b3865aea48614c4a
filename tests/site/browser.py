"""The built site in a headless Chromium: a server for it, a driver, and what a page looks like there."""

import contextlib
import functools
import http.server
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUILT = Path(__file__).parents[2] / "docs" / "_build" / "html"
WIDTHS, THEMES = (1280, 390), ("light", "dark")
OF_SPHINX = ("genindex.html", "py-modindex.html", "search.html")
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars --disable-dev-shm-usage --force-device-scale-factor=1"""


def found() -> tuple[str, str] | None:
    """Where Chromium and its driver are, if both are."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


def pages() -> list[str]:
    """The pages of the site, without those that Sphinx makes of its own."""
    every = (str(file.relative_to(BUILT)) for file in BUILT.rglob("*.html"))
    return sorted(page for page in every if not page.startswith("_") and page not in OF_SPHINX)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A handler that keeps no log."""

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of a folder, on this machine alone."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A driver of a browser with an empty profile."""
    from selenium import webdriver  # part of the extra `docs`
    from selenium.webdriver.chrome.service import Service

    binaries = found()
    assert binaries is not None, "there is no Chromium with its driver"
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binaries[0]
        for flag in [*FLAGS.split(), f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(binaries[1]))
        driver.execute_cdp_cmd(
            "Emulation.setFocusEmulationEnabled", {"enabled": True}
        )  # only then is there a clipboard
        try:
            yield driver
        finally:
            driver.quit()


def screen(driver: Any, theme: str, width: int, height: int = 900) -> None:
    """The size of the screen, and the theme that its owner prefers."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preference = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
