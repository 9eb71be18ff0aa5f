"""The page in a real browser: no errors, plots drawn, filters, sorting and sliders at work."""

import contextlib
import json
import shutil
import time

import pytest
from reports.fake_runs import DOMAINS, write_cases, write_training

from mmssl.reports import write_report

selenium = pytest.importorskip('selenium', reason='selenium is not installed')
BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
DRIVER = shutil.which('chromedriver')
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason='there is no Chromium with its chromedriver on this machine'
)
FLAGS = (
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
)  # fmt: skip


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f'--user-data-dir={tmp_path_factory.mktemp("profile")}'):
        options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    with contextlib.suppress(Exception):
        driver.quit()


@pytest.fixture(scope='module')
def page(browser, tmp_path_factory):
    """Open a report of two methods, three domains and volumes of three slices."""
    folder = tmp_path_factory.mktemp('page')
    for name, error in (('good <i>', 0.02), ('bad', 0.2)):
        run = write_training(folder / name, method=name)
        write_cases(run / 'cases', 1, error, slices=3, unmasked=DOMAINS[2:])
    write_report([folder / 'good <i>', folder / 'bad'], folder / 'page.html')
    browser.get((folder / 'page.html').as_uri())
    return browser


def script(page, text):
    return page.execute_script(text)


def choose(page, name, value):
    script(
        page,
        f'const s = document.getElementById({name!r}); s.value = {value!r}; s.onchange ? '
        's.onchange() : s.oninput();',
    )


def wait_until(page, text):
    """Ask a script again and again, at most a minute, and return what it gives."""
    until = time.monotonic() + 60
    while not (found := script(page, text)):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def badges(page):
    return script(
        page,
        'return [...document.querySelectorAll("#g-grid .badge")].map(b => b.textContent)',
    )


def test_it_opens_from_a_file_without_an_error_and_draws_every_plot(page):
    wait_until(page, 'return document.documentElement.dataset.ready')
    assert page.current_url.startswith('file://')
    assert page.get_log('browser') == []
    shown = script(
        page,
        'return [...document.querySelectorAll(".chart")].filter(c => !c.closest("figure").hidden)'
        '.map(c => c.querySelectorAll(".main-svg").length > 0 && c._fullData.length > 0)',
    )
    assert len(shown) >= 8 and all(shown)
    wide, room = script(
        page, 'const r = document.documentElement; return [r.scrollWidth, r.clientWidth]'
    )
    assert wide <= room, 'nothing stands out to the side'
    assert script(page, 'return window.alerted') is None
    assert 'alert(1)' in script(page, 'return document.body.innerText')


def test_the_worst_come_first_and_filters_leave_what_they_say(page):
    values = [float(b) for b in badges(page) if b != '-']
    assert values == sorted(values) and len(badges(page)) == 12 and badges(page)[-4:] == ['-'] * 4
    choose(page, 'g-sort', 'best')
    values = [float(b) for b in badges(page) if b != '-']
    assert values == sorted(values, reverse=True)
    choose(page, 'g-sort', 'worst')
    choose(page, 'g-domain', DOMAINS[1])
    assert len(badges(page)) == 4
    lines = script(
        page, 'return [...document.querySelectorAll("#g-grid small")].map(s => s.textContent)'
    )
    assert all(line.startswith(DOMAINS[1]) for line in lines)
    before = badges(page)
    choose(page, 'g-part', 'cup')
    assert badges(page) != before, 'another part, other scores'
    choose(page, 'g-part', '')
    script(page, 'document.getElementById("g-failed").click()')
    assert badges(page) and all(float(b) < 50 for b in badges(page))
    script(page, 'document.getElementById("g-failed").click()')
    choose(page, 'g-name', '01_0')
    choose(page, 'g-name', '')
    choose(page, 'g-domain', '')
    assert len(badges(page)) == 12


def test_pictures_have_the_shape_of_the_image(page):
    """Two thirds as high as wide, in the gallery and beside each other."""
    shapes = (
        'return [...document.querySelectorAll("{} .stack")].map(s => s.getBoundingClientRect())'
        '.map(r => [r.width, r.height])'
    )
    found = script(page, shapes.format('#g-grid'))
    assert len(found) == 12
    script(page, 'document.querySelector("#g-grid .cell").click()')
    found += script(page, shapes.format('#d-panels'))
    script(page, 'document.getElementById("d-close").click()')
    assert len(found) == 12 + 4
    assert all(wide > 50 and wide / high == pytest.approx(1.5, rel=0.02) for wide, high in found)


def test_a_printed_page_has_plots_of_its_width_and_no_closed_tables(page):
    widths = (
        'return [...document.querySelectorAll(".chart")].filter(c => !c.closest("figure").hidden)'
        '.map(c => c._fullLayout.width)'
    )
    closed = 'return document.querySelectorAll("#scores details:not([open])").length'
    before, shut = script(page, widths), script(page, closed)
    script(page, 'dispatchEvent(new Event("beforeprint"))')
    assert {*script(page, widths)} == {335, 670} and script(page, closed) == 0 < shut
    script(page, 'dispatchEvent(new Event("afterprint"))')
    assert script(page, widths) == before and script(page, closed) == shut


def test_slider_layers_and_comparison_of_a_case(page):
    name = 'return document.querySelector("#g-grid .cell b").textContent'
    move = (
        'const s = document.querySelector("#g-grid .cell input[type=range]"); '
        's.value = {}; s.oninput();'
    )
    script(page, move.format(0))
    first = script(page, name)
    script(page, move.format(2))
    assert script(page, name) != first
    layers = 'return document.querySelectorAll("#g-grid .cell:first-child .over").length'
    before = script(page, layers)
    script(page, 'document.querySelector("[data-layer=error]").click()')
    assert script(page, layers) == before + 1
    script(page, 'document.querySelector("#g-grid .cell").click()')
    assert script(page, 'return document.getElementById("case").open')
    panels = 'return [...document.querySelectorAll("#d-panels figcaption")].map(c => c.innerText)'
    assert script(page, panels)[:2] == ['image', 'truth']
    assert [text.split(':')[0] for text in script(page, panels)[2:]] == ['good <i>', 'bad']
    numbers = 'return [...document.querySelectorAll("#d-scores td[data-v]")].map(t => t.dataset.v)'
    there = script(page, numbers)
    assert len(there) == 2 * 2 * 4
    script(page, 'document.getElementById("d-next").click()')
    assert script(page, 'return document.getElementById("case").open')
    script(page, 'document.getElementById("d-close").click()')
    assert not script(page, 'return document.getElementById("case").open')


def test_tables_sort_tabs_change_and_dark_redraws(page):
    column = (
        'return [...document.querySelectorAll("table[data-metric=DSC] tbody tr")]'
        '.map(r => Number(r.cells[2].dataset.v))'
    )
    head = 'document.querySelector("table[data-metric=DSC]").tHead.rows[0].cells[2].click()'
    script(page, head)
    down = script(page, column)
    script(page, head)
    assert down == sorted(down, reverse=True) and script(page, column) == down[::-1]
    script(page, 'document.querySelectorAll(".tabs [data-tab]")[2].click()')
    shown = 'return [...document.querySelectorAll(".tabbed")].findIndex(t => !t.hidden)'
    assert script(page, shown) == 2
    colour = 'return document.querySelector(".chart")._fullLayout.font.color'
    light = script(page, colour)
    script(page, 'document.getElementById("theme").click()')
    assert script(page, colour) != light
    smooth = 'return [...document.querySelectorAll("figure.curve .chart")][0]._fullData[0].y[1]'
    rough = script(page, smooth)
    choose(page, 'c-smooth', '0.9')
    assert script(page, smooth) != rough
    assert page.get_log('browser') == []


def test_a_page_that_follows_keeps_what_was_chosen(browser, tmp_path):
    """It loads itself anew, but not while a case is looked at."""
    run = write_training(tmp_path / 'run')
    write_cases(run / 'cases', 1, 0.05)
    page = tmp_path / 'page.html'
    write_report([run], page, refresh=6)
    browser.get(page.as_uri())
    wait_until(
        browser,
        f"""if (document.documentElement.dataset.ready !== "yes") return false;
        const domain = document.getElementById("g-domain");
        domain.value = {json.dumps(DOMAINS[1])}; domain.onchange(); window.old = true;
        document.querySelector("#g-grid .cell").click(); return true;""",
    )
    time.sleep(8)
    assert script(browser, 'return window.old'), 'a case is open'
    script(browser, 'document.getElementById("d-close").click()')
    found = wait_until(
        browser,
        """if (window.old || document.documentElement.dataset.ready !== "yes") return null;
        return [document.getElementById("g-domain").value,
                document.querySelectorAll("#g-grid .badge").length];""",
    )
    assert found == [DOMAINS[1], 4]
