"""The page in Chromium: entered and left by mouse and keyboard, in dark, narrow and on paper;
no name runs, nothing is asked for, nothing complains. `make report-browser` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.report.page import report_page
from tests.report.browser import CHROMIUM, Browser, browser
from tests.report.systems import hostile, large

pytestmark = pytest.mark.slow

PLACE = "document.querySelector('.crumbs button:disabled').textContent"
FOCUS = "document.activeElement.getAttribute('aria-label') || ''"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM, "chromium is not installed"
    with browser(tmp_path_factory.mktemp("browser")) as found:
        found.look(1200, 900)
        yield found


@pytest.fixture
def page(opened: Browser, tmp_path: Path) -> Browser:
    """A page of twelve services."""
    (tmp_path / "page.html").write_bytes(report_page(large(12)))
    opened.look(1200, 900)
    opened.open(tmp_path / "page.html")
    return opened


def test_no_name_runs(opened: Browser, tmp_path: Path) -> None:
    (tmp_path / "evil.html").write_bytes(report_page(hostile()))
    opened.open(tmp_path / "evil.html")
    for _ in range(3):
        opened.value("document.querySelector('#map button')?.click()")
    assert opened.value("window.pwned === undefined")
    assert opened.value("document.querySelectorAll('img, iframe, object, a, link').length") == 0
    assert opened.value("document.querySelectorAll('script').length") == 2
    assert opened.value("document.querySelector('h1').textContent").startswith("</script>")
    assert opened.complaints() == []
    assert [one[:5] for one in opened.requests()] == ["file:"]


def test_the_policy_stops_what_would_run(page: Browser) -> None:
    """If a name did become markup."""
    page.value(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.pwned=1\">')"
    )
    page.value("new Promise((done) => setTimeout(done, 300))")
    assert page.value("window.pwned === undefined")
    assert any("Content Security Policy" in str(one) for one in page.complaints())


def test_by_mouse(page: Browser) -> None:
    assert page.value(PLACE).startswith("the system")
    page.click("#map button")
    inside = page.value(PLACE)
    assert inside.startswith("services[")
    page.click(".crumbs button")
    assert page.value(PLACE).startswith("the system")
    assert page.complaints() == []


def test_by_keyboard(page: Browser) -> None:
    page.value("document.querySelector('#map button').focus()")
    first = page.value(FOCUS)
    page.key("ArrowRight")
    second = page.value(FOCUS)
    assert first != second
    page.key("Enter")
    assert page.value(PLACE).startswith(second.split(",")[0])
    page.key("Escape")
    assert page.value(PLACE).startswith("the system")
    assert page.value(FOCUS) == second, "the focus is where it was"
    page.key("Escape")
    assert page.value(PLACE).startswith("the system")


def test_the_search(page: Browser) -> None:
    count = "document.querySelectorAll('#packages tbody tr').length"
    assert page.value(count) == 12
    page.value("document.getElementById('search').focus()")
    page.type("0003 DEB")
    assert page.value(count) == 1
    assert page.value("document.querySelector('#packages [aria-live]').textContent").startswith(
        "1 "
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1200])
def test_it_fits_and_can_be_read(page: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    page.look(width, 900, dark=dark)
    assert page.value("document.documentElement.scrollWidth") <= width
    dim, bright = (40, 215) if dark else (215, 40)
    colors = page.value(
        "['backgroundColor', 'color'].map((name) => "
        "+getComputedStyle(document.body)[name].match(/[0-9]+/)[0])"
    )
    assert (
        (colors[0] <= dim, colors[1] >= bright) == (True, True)
        if dark
        else (colors[0] >= dim and colors[1] <= bright)
    )
    sizes = page.value(
        "[...document.querySelectorAll('.tile')].map((tile) => tile.getBoundingClientRect().right)"
    )
    assert max(sizes) <= width
    page.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_on_paper(page: Browser) -> None:
    page.look(800, 1000, media="print")
    assert page.value("getComputedStyle(document.getElementById('search')).display") == "none"
    printed = page.call("Page.printToPDF")["data"]
    assert len(printed) > 10_000


def test_what_assistive_programs_are_told(page: Browser) -> None:
    """Every tile has a name, every column a header, the graph a description."""
    assert page.value("[...document.querySelectorAll('.tile')].every((one) => one.ariaLabel)")
    assert page.value("document.querySelector('svg').getAttribute('aria-label')").startswith(
        "service-0001 after service-0000 (healthy)"
    )
    assert page.value("document.querySelectorAll('table').length") == page.value(
        "document.querySelectorAll('table thead').length"
    )


def test_a_thousand_services(opened: Browser, tmp_path: Path) -> None:
    (tmp_path / "large.html").write_bytes(report_page(large(1000)))
    opened.look(1200, 900)
    opened.open(tmp_path / "large.html")
    ready = opened.value("performance.now()")
    assert opened.value("document.querySelectorAll('.tile').length") > 50
    assert opened.complaints() == []
    print(f"ready after {ready:.0f} ms")
