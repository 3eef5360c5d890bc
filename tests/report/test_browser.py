"""The page in a real browser: it draws, answers to keys, mouse and touch, and nothing goes wrong in it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.replay.runner import ReplayOptions, replay_log
from agent.report import write_overview, write_report
from tests.report.browser import Browser, needs_browser
from tests.report.trips import CONFIG, made_hostile, replayed, write_log

pytestmark = needs_browser
PDFTOTEXT = shutil.which("pdftotext")

DRAWN = (
    "document.getElementById('viewer').dataset.incident === '{}' && "
    "!!document.querySelector('#viewer canvas')"
)
VIEW = "document.getElementById('span').textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the browser, once."""
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report on the small trip, as it is and with hostile names, and on both."""
    top = tmp_path_factory.mktemp("browser")
    out, log, log_map = replayed(top)
    write_report(out, log=log, map_path=log_map, config=CONFIG)
    many = top / "many"
    shutil.copytree(out, many / "plain")
    shutil.copytree(out, many / "hostile")
    made_hostile(many / "hostile")
    write_overview(many, config=CONFIG)
    return top


def clean(browser: Browser) -> None:
    assert browser.complaints() == []
    assert browser.requests() == [], "the page asks for something beside itself"


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_it_zooms_to_an_incident_by_key_and_by_click(browser: Browser, folder: Path, phone: bool) -> None:
    browser.open(folder / "out" / "report.html", width=380 if phone else 1280, phone=phone)
    browser.until("!!document.querySelector('#viewer canvas')")
    wide = browser.run("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{wide} px wider than the window"
    whole = browser.run(VIEW)
    chosen = int(browser.run("document.getElementById('viewer').dataset.incident"))
    browser.key("n")
    browser.until(DRAWN.format(chosen + 1))
    near = browser.run(VIEW)
    assert near != whole, f"the timeline did not zoom: {near}"
    browser.key("p")
    browser.until(DRAWN.format(chosen))
    assert browser.run("document.activeElement === document.body"), "keys must work from anywhere"
    browser.run("document.querySelector('[data-open=\"1\"]').scrollIntoView({block: 'center'}) || 1")
    x, y = browser.run(
        "(() => { const r = document.querySelector('[data-open=\"1\"]').getBoundingClientRect();"
        " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    browser.click(x, y)
    browser.until(DRAWN.format(1))
    browser.key("0")
    assert browser.run(VIEW) == whole
    clean(browser)


def test_the_timeline_zooms_and_pans_by_key_and_by_mouse(browser: Browser, folder: Path) -> None:
    browser.open(folder / "out" / "report.html")
    whole = browser.run(VIEW)
    browser.run("document.getElementById('charts').focus() || 1")
    browser.key("+")
    closer = browser.run(VIEW)
    browser.key("ArrowRight")
    later = browser.run(VIEW)
    assert len({whole, closer, later}) == 3, (whole, closer, later)
    browser.key("0")
    left, top, width, height = browser.run(
        "(() => { const r = document.querySelectorAll('#charts .u-over')[1].getBoundingClientRect();"
        " return [r.left, r.top, r.width, r.height]; })()"
    )
    browser.drag(left + 0.2 * width, left + 0.6 * width, top + height / 2)
    dragged = browser.run(VIEW)
    assert dragged not in {whole, ""}, dragged
    clean(browser)


def test_a_click_in_the_lane_opens_what_is_there(browser: Browser, folder: Path) -> None:
    browser.open(folder / "out" / "report.html")
    x, y = browser.run(
        "(() => { const r = document.querySelector('#charts .u-over').getBoundingClientRect();"
        " return [r.left + r.width * (0.015 + 20.0 / 60) / 1.03, r.top + 13]; })()"
    )
    browser.click(x, y)
    browser.until("document.querySelector('#viewer h3').textContent.startsWith('Drop')")
    clean(browser)


def test_what_is_filtered_away_is_passed_over(browser: Browser, folder: Path) -> None:
    browser.open(folder / "out" / "report.html")
    rows = "[...document.querySelectorAll('tr[data-event]')].filter((row) => !row.hidden).length"
    before = browser.run(rows)
    browser.run("document.querySelector('input[value=drop]').click() || 1")
    assert browser.run(rows) == before - 2
    browser.key("n")
    browser.until(
        "!!document.querySelector('#viewer h3') && "
        "!document.querySelector('#viewer h3').textContent.startsWith('Drop')"
    )
    clean(browser)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_hostile_names_run_nothing(browser: Browser, folder: Path, dark: bool) -> None:
    browser.open(folder / "many" / "hostile" / "report.html", dark=dark)
    browser.key("n")
    browser.until("!!document.querySelector('#viewer h3')")
    assert browser.run("document.title").startswith("Trip of "), "a name ran as a script"
    assert browser.run("document.querySelectorAll('img').length") == 0
    clean(browser)


def test_it_prints(browser: Browser, folder: Path, tmp_path: Path) -> None:
    browser.open(folder / "out" / "report.html", dark=True)
    browser.printed(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    clean(browser)


@pytest.mark.skipif(PDFTOTEXT is None, reason="no pdftotext (Debian's poppler-utils)")
def test_the_incident_that_is_chosen_is_printed(browser: Browser, folder: Path, tmp_path: Path) -> None:
    assert PDFTOTEXT is not None
    browser.open(folder / "out" / "report.html")
    browser.until("!!document.querySelector('#viewer canvas')")
    browser.key("n")
    browser.until("document.getElementById('viewer').dataset.drawn > 0")
    name = browser.run("document.querySelector('#viewer h3').firstChild.textContent.trim()")
    browser.printed(tmp_path / "page.pdf")
    said = subprocess.run(
        [PDFTOTEXT, "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert name in said and "samples," in said and "severity" in said, said
    assert "Previous" not in said, "controls are printed"


def test_one_reading_alone_is_a_dot(browser: Browser, tmp_path: Path) -> None:
    log, log_map = write_log(tmp_path)
    rows = log.read_text().splitlines()
    alone = [row if i == 1001 else row.rpartition(",")[0] + "," for i, row in enumerate(rows[1:], 1)]
    log.write_text("\n".join([rows[0], *alone]) + "\n")
    replay_log(log, tmp_path / "out", CONFIG, ReplayOptions(map_path=log_map))
    browser.open(write_report(tmp_path / "out"))
    blue = browser.run(
        "(() => { const c = [...document.querySelectorAll('#charts canvas')].pop();"
        " const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
        " for (let i = 0; i < p.length; i += 4) if (p[i] < 40 && p[i + 1] > 90 && p[i + 2] > 150) n++;"
        " return n; })()"
    )
    assert 4 <= blue <= 100, f"{blue} pixels"
    clean(browser)


def test_many_trips_are_sorted_by_a_press(browser: Browser, folder: Path) -> None:
    browser.open(folder / "many" / "report.html", width=380, phone=True)
    names = "[...document.querySelectorAll('table.sortable tbody tr')].map((row) => row.cells[0].textContent)"
    assert sorted(browser.run(names)) == ["hostile", "plain"]
    browser.run("document.querySelector('button.sort').click() || 1")
    assert browser.run(names) == ["plain", "hostile"]
    browser.run("document.querySelector('button.sort').click() || 1")
    assert browser.run(names) == ["hostile", "plain"]
    clean(browser)
