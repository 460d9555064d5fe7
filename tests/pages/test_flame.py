# SPDX-License-Identifier: Apache-2.0
"""cpu.svg in a real browser: zoom, search, flip, keyboard, and what it shows without scripts.

The page under test comes from flame_sample.c, whose tree has a known shape. Runs where Chromium,
its driver and python3-selenium are installed; says which of them is missing where not.
"""
import subprocess
import time
import xml.etree.ElementTree as ET

import pytest

SVG = "{http://www.w3.org/2000/svg}"
WIDTH = 1400


@pytest.fixture(scope="module")
def page(build, tmp_path_factory):
    """The sample's SVG file, built from the tree as it is."""
    path = tmp_path_factory.mktemp("flame") / "cpu.svg"
    path.write_bytes(subprocess.run([build("flame_sample.c")], check=True,
                                    stdout=subprocess.PIPE).stdout)
    return path


@pytest.fixture
def flame(browser, page):
    browser.get(page.as_uri())
    return Flame(browser)


class Flame:
    def __init__(self, browser):
        self.b = browser

    def js(self, script, *args):
        return self.b.execute_script("return " + script, *args)

    def frames(self):
        """Every drawn frame: text or None, x, y, width, class."""
        return self.js("""[...document.querySelectorAll('#hp-frames > g')].map(g => {
            const r = g.querySelector('rect'), t = g.querySelector('text');
            return {text: t && t.textContent, x: +r.getAttribute('x'), y: +r.getAttribute('y'),
                    width: +r.getAttribute('width'), cls: g.getAttribute('class')}; })""")

    def frame(self, text):
        return next(f for f in self.frames() if f["text"] == text)

    def click(self, text):
        from selenium.webdriver.common.action_chains import ActionChains
        rects = self.js("""[...document.querySelectorAll('#hp-frames > g')].filter(g => {
            const t = g.querySelector('text'); return t && t.textContent === arguments[0];
            }).map(g => g.querySelector('rect'))""", text)
        ActionChains(self.b).move_to_element(rects[0]).click().perform()

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.b).send_keys(*keys).perform()

    def text(self, part):
        return self.js("document.querySelector('#hp-' + arguments[0]).textContent", part)

    def width(self):
        return self.js("+document.documentElement.getAttribute('width')")


def test_fills_the_window_and_is_quiet(flame):
    assert flame.width() > 1300
    everything = flame.frame("all")
    assert everything["x"] == 0 and abs(everything["width"] - flame.width()) < 1
    serve = flame.frame("serve (app.py)")
    assert serve["cls"].startswith("p")
    assert abs(flame.frame("parse")["width"] / flame.width() - 0.4) < 0.002
    assert flame.js("performance.getEntriesByType('resource').length") == 0
    assert [e for e in flame.b.get_log("browser") if e["level"] == "SEVERE"] == []


def test_names_from_outside_stay_text(flame):
    assert flame.js("document.title") != "owned"
    assert flame.js("document.querySelectorAll('script').length") == 2
    assert any(f["text"] and f["text"].startswith("</script><scr") for f in flame.frames())


def test_click_zooms_and_escape_resets(flame):
    from selenium.webdriver.common.keys import Keys
    before = flame.frames()
    assert not any(f["text"] and f["text"].startswith("leaf_") for f in before)
    flame.click("parse")
    parse = flame.frame("parse")
    assert parse["x"] == 0 and abs(parse["width"] - flame.width()) < 1
    hostile = [f for f in flame.frames() if f["text"] and f["text"].startswith("</scr")]
    assert abs(hostile[0]["width"] / flame.width() - 0.25) < 0.002
    # Callers stay as faded bars, strangers go away.
    assert {f["text"] for f in flame.frames() if " up" in f["cls"]} == {"all", "uvicorn"}
    assert "serve (app.py)" not in {f["text"] for f in flame.frames()}
    assert flame.text("details").startswith("parse · 400 samples, 40.0 %")
    flame.keys(Keys.ESCAPE)
    assert flame.frames() == before


def test_reset_button_and_backspace(flame):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    reset = flame.b.find_element(By.ID, "hp-reset")
    assert not reset.is_displayed()
    flame.click("needle")
    assert reset.is_displayed()
    flame.keys(Keys.BACKSPACE)
    assert abs(flame.frame("serve (app.py)")["width"] - flame.width()) < 1
    reset.click()
    assert not reset.is_displayed()
    assert abs(flame.frame("parse")["width"] / flame.width() - 0.4) < 0.002


def test_search_counts_recursion_once(flame):
    flame.keys("/")
    flame.keys("NEEDLE")
    assert flame.text("matched") == "matched 25.0 %"
    assert [f["text"] for f in flame.frames() if "hit" in f["cls"]] == ["needle", "needle"]
    flame.click("serve (app.py)")
    assert flame.text("matched") == "matched 41.7 % of view"


@pytest.mark.parametrize("term, matched", [
    ("^(serve|parse)", "matched 100 %"),
    ("_\\[k\\]$", "matched 20.0 %"),
    ("leaf_0[0-4]", "matched 5.00 %"),  # frames too narrow to be drawn count too
    ("(", "matched 60.0 %"),  # no expression: taken as it is, matches "serve (app.py)"
    ("nothing like it", "matched 0 %"),
])
def test_search_terms(flame, term, matched):
    flame.keys("/")
    flame.keys(term)
    assert flame.text("matched") == matched


def test_ctrl_f_searches_here_and_escape_clears(flame):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    ActionChains(flame.b).key_down(Keys.CONTROL).send_keys("f").key_up(Keys.CONTROL).perform()
    assert flame.js("document.activeElement.id") == "hp-input"
    flame.keys("parse")
    assert any("hit" in f["cls"] for f in flame.frames())
    flame.keys(Keys.ESCAPE)
    assert not any("hit" in f["cls"] for f in flame.frames())
    assert flame.text("matched") == ""


def test_flip_turns_the_graph(flame):
    before = {(f["text"], f["x"]): f["y"] for f in flame.frames()}
    flame.keys("i")
    after = {(f["text"], f["x"]): f["y"] for f in flame.frames()}
    assert after.keys() == before.keys()
    assert after[("all", 0)] == max(after.values()) == max(before.values())
    flame.keys("i")
    assert {(f["text"], f["x"]): f["y"] for f in flame.frames()} == before


def test_hover_tells_self_time(flame):
    from selenium.webdriver.common.action_chains import ActionChains
    rect = flame.js("""[...document.querySelectorAll('#hp-frames > g')].find(g =>
        g.textContent === 'serve (app.py)').querySelector('rect')""")
    ActionChains(flame.b).move_to_element(rect).perform()
    assert flame.text("details") == "serve (app.py) · 600 samples, 60.0 %, self 35.0 %"


def test_follows_the_window(flame):
    wide = flame.width()
    flame.b.set_window_size(900, 700)
    deadline = time.monotonic() + 5
    while flame.width() == wide and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 800 < flame.width() <= 900
    assert abs(flame.frame("all")["width"] - flame.width()) < 1
    flame.b.set_window_size(WIDTH, 900)


def test_picture_without_scripts(page):
    """Any SVG viewer: frames with names and figures are in the file, tools are hidden by style."""
    root = ET.parse(page).getroot()
    frames = root.find(f"{SVG}g[@id='hp-frames']")
    titles = [g.find(f"{SVG}title").text for g in frames]
    assert "serve (app.py) · 600 samples, 60.0 %" in titles
    rects = {g.find(f"{SVG}title").text.split(" · ")[0]: g.find(f"{SVG}rect") for g in frames}
    assert abs(float(rects["parse"].get("width")) / float(root.get("width")) - 0.4) < 0.002
    assert float(rects["parse"].get("x")) == 720
    # Deeper frames lie below their caller.
    assert float(rects["parse"].get("y")) > float(rects["uvicorn"].get("y"))
    assert ".tool{display:none" in root.find(f"{SVG}style").text
