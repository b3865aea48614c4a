"""The built site as its readers see it: in a browser, at the widths of a desk and a phone, light and dark.

`make docs` builds it, `make docs-test` runs this. Skipped, saying so, where there is no browser or no built site.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.site.browser import BUILT, THEMES, WIDTHS, browser, found, pages, screen, served

if not (BUILT / "index.html").exists():
    pytest.skip("there is no built site: `make docs` builds it", allow_module_level=True)
pytest.importorskip("selenium", reason="selenium is not installed: it is in the extra `docs`, as in `make docs-test`")
if not found():
    pytest.skip("there is no Chromium, or no chromedriver", allow_module_level=True)

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions as until
from selenium.webdriver.support.ui import WebDriverWait

WORDS = ["COBYLA", "EffectiveDimension", "StronglyEntanglingLayers", "SamplerQNN", "initial_point", "algorithm_globals"]
# What is wider than the screen, of what nothing else scrolls; and images that are not there.
FAULTS = """
const faults = [];
if (document.documentElement.scrollWidth > window.innerWidth)
    faults.push(`${document.documentElement.scrollWidth} pixels wide`);
for (const image of document.images)
    if (!image.complete || !image.naturalWidth) faults.push(`no image ${image.getAttribute("src")}`);
for (const thing of performance.getEntriesByType("resource"))
    if (!thing.name.startsWith(location.origin)) faults.push(`asks for ${thing.name}`);
return faults;
"""
BRIGHTNESS = """
const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
return (r + g + b) / 3 / 255;
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(BUILT) as address:
        yield address


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser() as driver:
        yield driver


def wait(driver: Any, condition: Any) -> Any:
    return WebDriverWait(driver, 20).until(condition)


@pytest.mark.parametrize("page", pages())
def test_a_page_fits(driver, address, page):
    driver.get(f"{address}/{page}")
    for image in driver.find_elements(By.CSS_SELECTOR, "img[loading=lazy]"):
        driver.execute_script("arguments[0].loading = 'eager'", image)
    wait(driver, lambda d: d.execute_script("return [...document.images].every(image => image.complete)"))
    for theme in THEMES:
        for width in WIDTHS:
            screen(driver, theme, width)
            assert driver.execute_script(FAULTS) == [], f"{theme}, {width} pixels wide"
            assert (driver.execute_script(BRIGHTNESS) < 0.5) == (theme == "dark")
    assert [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("word", WORDS)
def test_search_finds(driver, address, word):
    screen(driver, "light", WIDTHS[0])
    driver.get(f"{address}/index.html")
    driver.find_element(By.CSS_SELECTOR, "input[name=q]").send_keys(word, Keys.ENTER)
    results = wait(driver, until.presence_of_all_elements_located((By.CSS_SELECTOR, "#search-results li a")))
    target = results[0].get_attribute("href")
    results[0].click()
    wait(
        driver,
        lambda d: d.current_url.partition("?")[0].partition("#")[0] == target.partition("?")[0].partition("#")[0],
    )
    assert word.lower() in driver.find_element(By.CSS_SELECTOR, "article").text.lower()


def test_search_says_that_it_found_nothing(driver, address):
    driver.get(f"{address}/search.html?q=xyzzyplugh")
    wait(driver, lambda d: "did not match any documents" in d.find_element(By.ID, "search-results").text)


def test_the_sidebar_leads_to_every_part(driver, address):
    screen(driver, "light", WIDTHS[0])
    driver.get(f"{address}/index.html")
    links = driver.find_elements(By.CSS_SELECTOR, ".sidebar-tree a.reference.internal")
    assert {"API reference", "Gallery", "Noise and shots", "Changelog"} <= {link.text for link in links}
    press(driver, next(link for link in links if link.text == "API reference"))
    wait(driver, until.title_contains("API reference"))
    press(driver, driver.find_element(By.CSS_SELECTOR, "article a[href='training.html']"))
    wait(driver, lambda d: "qmljax.fit" in d.find_element(By.CSS_SELECTOR, "article").text)


def test_the_next_page_follows(driver, address):
    screen(driver, "light", WIDTHS[0])
    driver.get(f"{address}/noise.html")
    for direction in ("next-page", "prev-page"):
        link = driver.find_element(By.CSS_SELECTOR, f"a.{direction}")
        target = link.get_attribute("href").partition("#")[0]
        assert not target.endswith("/noise.html") or direction == "prev-page"
        press(driver, link)
        wait(driver, until.url_contains(target))
    assert driver.current_url.endswith("/noise.html")


def test_a_phone_has_the_sidebar_behind_a_button(driver, address):
    screen(driver, "light", WIDTHS[1])
    driver.get(f"{address}/noise.html")
    link = driver.find_element(By.CSS_SELECTOR, ".sidebar-tree a[href$='api/index.html']")
    assert not within(driver, link)
    driver.find_element(By.CSS_SELECTOR, ".nav-overlay-icon").click()
    wait(driver, lambda d: within(d, link))
    press(driver, link)
    wait(driver, until.title_contains("API reference"))


def press(driver: Any, element: Any) -> None:
    """Clicks an element, which may be further down than the screen reaches."""
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def within(driver: Any, element: Any) -> bool:
    """Whether an element is on the screen."""
    return driver.execute_script("return arguments[0].getBoundingClientRect().right > 0", element)


@pytest.mark.parametrize(
    ("page", "block"), [("noise.html", ".cell_input"), ("api/training.html", ".highlight-default, .highlight-pycon")]
)
def test_code_is_copied_without_prompts(driver, address, page, block):
    screen(driver, "light", WIDTHS[0])
    permissions = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": address}
    driver.execute_cdp_cmd("Browser.grantPermissions", permissions)
    driver.get(f"{address}/{page}")
    first = wait(driver, until.presence_of_element_located((By.CSS_SELECTOR, f":is({block}) button.copybtn")))
    shown = driver.find_element(By.CSS_SELECTOR, f":is({block}) pre").get_attribute("textContent")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", first)
    first.click()
    read = "navigator.clipboard.readText().then(arguments[0])"
    copied = wait(driver, lambda d: d.execute_async_script(read))
    lines = shown.strip().splitlines()
    code = [line[4:] for line in lines if line.startswith((">>> ", "... "))] or lines
    assert copied.strip().splitlines() == code


def test_what_is_printed_has_no_button(driver, address):
    driver.get(f"{address}/noise.html")
    wait(driver, until.presence_of_element_located((By.CSS_SELECTOR, "button.copybtn")))
    assert not driver.find_elements(By.CSS_SELECTOR, ".cell_output button.copybtn")


def test_dark_is_chosen_and_stays(driver, address):
    screen(driver, "light", WIDTHS[0])
    driver.get(f"{address}/index.html")
    toggle = (By.CSS_SELECTOR, ".content-icon-container .theme-toggle")
    try:
        for _ in range(3):  # auto, light, dark, by turns
            if driver.execute_script(BRIGHTNESS) < 0.5:
                break
            wait(driver, until.element_to_be_clickable(toggle)).click()
        assert driver.execute_script(BRIGHTNESS) < 0.5
        driver.get(f"{address}/noise.html")
        assert driver.execute_script(BRIGHTNESS) < 0.5
    finally:
        driver.execute_script("localStorage.clear()")


def test_the_gallery_leads_to_a_page_with_downloads(driver, address):
    screen(driver, "light", WIDTHS[0])
    driver.get(f"{address}/gallery/index.html")
    driver.find_element(By.CSS_SELECTOR, ".sd-card").click()
    wait(driver, until.presence_of_element_located((By.CSS_SELECTOR, "a.download")))
    targets = [link.get_attribute("href") for link in driver.find_elements(By.CSS_SELECTOR, "a.download")]
    assert [target.rpartition(".")[2] for target in targets] == ["py", "ipynb", "zip"]
    sizes = "Promise.all(arguments[0].map(url => fetch(url).then(r => r.ok))).then(arguments[1])"
    assert driver.execute_async_script(sizes, targets) == [True, True, True]
