# SPDX-License-Identifier: Apache-2.0
"""cpu.html in a real browser. Every figure is compared with profiles.Model, which counts stacks one by
one; what is on the canvas is read from canvas.frames, the list that clicks are looked up in, and from
its pixels."""
import re
import subprocess
import time
from urllib.parse import parse_qs, urlsplit

import pytest

import profiles
from conftest import HEIGHT, WIDTH

PLAIN = [profiles.parse(line) for line in """
uvicorn:o 100
uvicorn:o serve:p 150
uvicorn:o serve:p fib:p 50
uvicorn:o serve:p fib:p fib:p sys_write_[k]:k 200
uvicorn:o serve:p [jit]:n 40
uvicorn:o parse:n 160
worker:o serve:p fib:p 120
worker:o serve:p fib:p fib:p fib:p 10
worker:o libfoo.so+0x1f2a:u 80
worker:o parse:n memcpy:n 90
""".strip().splitlines()]
# Twice the time, four times the requests; serve's writes are gone, flush is new.
AFTER = [profiles.parse(line) for line in """
uvicorn:o 200
uvicorn:o serve:p 300
uvicorn:o serve:p fib:p 400
uvicorn:o serve:p flush:n 300
uvicorn:o parse:n 80
worker:o serve:p fib:p 240
worker:o libfoo.so+0x1f2a:u 160
worker:o parse:n memcpy:n 720
""".strip().splitlines()]
SECONDS, REQUESTS = (10, 20), (100, 400)  # before and after, as page_tool.c says


class Page:
    def __init__(self, browser, path):
        self.b = browser
        self.path = path

    def open(self, hash=""):
        self.b.get("about:blank")
        self.b.get(self.path.as_uri() + hash)
        self.wait(lambda: self.js("document.body.dataset.ready") == "1")
        return self

    def wait(self, what, seconds=10):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "the page did not get there"
            time.sleep(0.02)

    def js(self, script, *args):
        return self.b.execute_script("return " + script, *args)

    def frames(self, where="flame", faded=False):
        """Drawn frames: {i, text, x, y, w, fill, mark, hit}, without the zoomed frame's callers."""
        return [f for f in self.js(f"document.querySelector('#{where} canvas').frames")
                if faded or not f["faded"]]

    def paths(self, where="flame", root=1):
        """{path of texts: width share} of what is drawn, put together from places alone."""
        frames = self.frames(where)
        rows = sorted({f["y"] for f in frames})
        if self.flipped(where):
            rows.reverse()
        width = max(f["w"] for f in frames)
        found, above = {}, []
        for y in rows:
            row = [f for f in frames if f["y"] == y]
            for f in row:
                up = [p for p, g in above if g["x"] - 1e-6 <= f["x"] and
                      f["x"] + f["w"] <= g["x"] + g["w"] + 1e-6]
                assert len(up) == (0 if y == rows[0] else 1), f
                f["path"] = (up[0] if up else ()) + (f["text"],)
                assert f["path"] not in found
                found[f["path"]] = f["w"] / width
            above = [(f["path"], f) for f in row]
        return {p[root:]: w for p, w in found.items() if len(p) > root}

    def flipped(self, where):
        return where == "callers" or (where == "flame" and
                                      self.text("#flip") == "Root at top")

    def frame(self, text, where="flame"):
        return next(f for f in self.frames(where, True) if f["text"] == text)

    def click(self, text, where="flame", shift=False):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys
        f = self.frame(text, where)
        box = self.js(f"(r => [r.x, r.y, r.width, r.height])"
                      f"(document.querySelector('#{where} canvas').getBoundingClientRect())")
        canvas = self.b.find_element("css selector", f"#{where} canvas")
        chain = ActionChains(self.b)
        if shift:
            chain.key_down(Keys.SHIFT)
        chain.move_to_element_with_offset(canvas, int(f["x"] + f["w"] / 2 - box[2] / 2),
                                          int(f["y"] + 9 - box[3] / 2)).click()
        if shift:
            chain.key_up(Keys.SHIFT)
        chain.perform()

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.b).send_keys(*keys).perform()

    def text(self, selector):
        return self.js("document.querySelector(arguments[0]).textContent", selector)

    def press(self, selector):
        self.b.find_element("css selector", selector).click()

    def search(self, term):
        from selenium.webdriver.common.keys import Keys
        self.keys(Keys.ESCAPE, "/")
        self.keys(term)
        return self.text("#matched")

    def state(self):
        return {k: v[0] for k, v in parse_qs(urlsplit(self.b.current_url).fragment).items()}

    def table(self):
        """Rows of the functions table: name -> the other cells."""
        rows = self.js("[...document.querySelectorAll('#rows tr')].map(r => "
                       "[...r.children].map(c => c.textContent))")
        names = [r[0] for r in rows]
        assert len(set(names)) == len(names)
        return {r[0]: r[1:] for r in rows}

    def severe(self):
        return [e for e in self.b.get_log("browser") if e["level"] == "SEVERE"]


def percent(x):
    p = 100 * x
    return (f"{p:.0f}" if abs(p) >= 99.95 or p == 0 else f"{p:.1f}" if abs(p) >= 10 else
            f"{p:.2f}") + " %"


def samples(n):
    return f"{n:,} samples"


@pytest.fixture(scope="module")
def make(build, browser, tmp_path_factory):
    """make(stacks, before, format) writes a page and opens it."""
    where = tmp_path_factory.mktemp("flamepage")
    made = {}

    def page(stacks, before=None, form="html", hash=""):
        key = repr((stacks, before, form))
        if key not in made:
            n = len(made)
            args = [build("page_tool.c"), form, profiles.write(where / f"{n}.stacks", stacks)]
            if before:
                args.append(profiles.write(where / f"{n}.before", before))
            made[key] = where / f"{n}.html"
            made[key].write_bytes(subprocess.run(args, check=True, stdout=subprocess.PIPE).stdout)
        return Page(browser, made[key]).open(hash)

    return page


@pytest.fixture
def page(make):
    return make(PLAIN)


@pytest.fixture
def compared(make):
    return make(AFTER, PLAIN)


def same_shares(drawn, model):
    """Every path of the model is drawn as wide as it weighs, and nothing else is."""
    assert drawn.keys() == model.tree.keys()
    for path, share in drawn.items():
        assert share == pytest.approx(model.tree[path] / model.all, abs=1e-9), path


# ---- the graph ----

def test_draws_every_frame_at_its_place(page):
    same_shares(page.paths(), profiles.Model(PLAIN))
    everything = page.frame("all")
    assert everything["x"] == 0 and everything["w"] == page.js("innerWidth")
    assert page.text("#details") == "all · 1,000 samples (10 s), 100 %, self 0 %"
    assert page.severe() == []


@pytest.mark.parametrize("seed", range(4))
def test_draws_random_profiles(make, seed):
    stacks = profiles.at_random(seed)
    model = profiles.Model(stacks)
    drawn = make(stacks).paths()
    # Frames under half a pixel are left out with all below them, others never.
    least = 0.5 / WIDTH
    want = {p for p in model.tree if model.tree[p] / model.all >= least}
    assert want == drawn.keys()
    for path in want:
        assert drawn[path] == pytest.approx(model.tree[path] / model.all, abs=1e-9)


def test_pixels_have_the_kinds_colours(page):
    for text in ("serve", "sys_write_[k]", "libfoo.so+0x1f2a", "parse", "[jit]"):
        f = page.frame(text)
        pixel = page.js("""(() => { const c = document.querySelector('#flame canvas');
            const s = c.width / c.clientWidth;
            return [...c.getContext('2d').getImageData((arguments[0] + 1.5) * s,
                    (arguments[1] + 2) * s, 1, 1).data.slice(0, 3)]; })()""", f["x"], f["y"])
        assert "#" + "".join(f"{v:02x}" for v in pixel) == f["fill"], text
    kinds = {page.frame(t)["fill"] for t in ("serve", "sys_write_[k]", "libfoo.so+0x1f2a", "parse",
                                             "[jit]")}
    assert len(kinds) == 5
    assert page.text("#legend") == "kernelnativepythonjitunnamed"


def test_click_zooms_and_escape_resets(page):
    from selenium.webdriver.common.keys import Keys
    before = page.frames()
    page.click("fib")
    assert page.frame("fib")["w"] == page.js("innerWidth")
    assert [f["text"] for f in page.frames("flame", True) if f["faded"]] == ["serve", "uvicorn", "all"]
    assert {f["text"] for f in page.frames()} == {"fib", "sys_write_[k]"}
    assert page.text("#details") == ("fib · 250 samples (2.5 s), 25.0 % (100 % of view), self 5.00 %")
    page.keys(Keys.ESCAPE)
    assert page.frames() == before


def test_reset_backspace_and_the_back_button(page):
    from selenium.webdriver.common.keys import Keys
    assert page.js("document.querySelector('#reset').disabled")
    page.click("fib")
    page.keys(Keys.BACKSPACE)
    assert page.frame("serve")["w"] == page.js("innerWidth")
    page.b.back()
    page.wait(lambda: page.frame("fib")["w"] == page.js("innerWidth"))
    page.press("#reset")
    assert not page.state() and page.frame("all")["w"] == page.js("innerWidth")


def test_flip_puts_the_root_at_the_bottom(page):
    before = page.paths()
    page.keys("i")
    assert page.text("#flip") == "Root at top"
    ys = {f["text"]: f["y"] for f in page.frames()}
    assert ys["all"] == max(ys.values()) and ys["uvicorn"] < ys["all"]
    assert page.paths() == before
    page.press("#flip")
    assert {f["text"]: f["y"] for f in page.frames()}["all"] == 0


def test_keyboard_walks_the_tree(page):
    from selenium.webdriver.common.keys import Keys
    page.b.execute_script("document.querySelector('#flame').focus()")
    said = []
    for key in (Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ARROW_UP,
                Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.ARROW_RIGHT):
        page.keys(key)
        said.append(page.text("#details").split(" · ")[0])
    assert said == ["uvicorn", "serve", "fib", "[jit]", "serve", "parse", "uvicorn", "worker"]
    page.keys(Keys.ARROW_DOWN, Keys.ENTER)
    assert page.frame("serve")["w"] == page.js("innerWidth")
    assert page.text("#details").startswith("serve · 130 samples")


def test_follows_the_window(page):
    page.b.set_window_size(900, 700)
    try:
        page.wait(lambda: page.frame("all")["w"] == page.js("innerWidth") < 1000)
        same_shares(page.paths(), profiles.Model(PLAIN))
    finally:
        page.b.set_window_size(WIDTH, HEIGHT)


def test_deep_stacks_are_scrolled_and_not_drawn_whole(make):
    deep = [([("t", "o")] + [(f"level{i:04}", "n") for i in range(3000)], 7)]
    page = make(deep)
    height = page.js("document.querySelector('#flame canvas').height")
    assert height < 2 * HEIGHT
    assert 20 < len(page.frames()) < 80
    page.b.execute_script("document.querySelector('#flame').scrollTop = 18 * 2000")
    page.wait(lambda: any(f["text"] == "level2000" for f in page.frames()))
    assert len(page.frames()) < 80
    page.keys("i")
    page.wait(lambda: any(f["text"] == "all" for f in page.frames()))
    assert page.frame("all")["y"] > page.frame("t")["y"]


# ---- search ----

@pytest.mark.parametrize("term", ["fib", "^(serve|parse)$", "_\\[k\\]$", "nothing", "worker", "FIB",
                                  "ALL", "memcpy|sys_"])
def test_search_counts_nested_matches_once(page, term):
    assert page.search(term) == "matched " + percent(profiles.Model(PLAIN).matched(term))
    assert {f["text"] for f in page.frames() if f["hit"]} == \
        {f["text"] for f in page.frames() if re.search(term, f["text"], re.I)}


def test_search_of_no_expression_and_within_a_view(page):
    assert page.search("[k") == "matched 20.0 %"
    page.search("fib")
    page.click("serve")
    assert page.text("#matched") == "matched " + percent(
        profiles.Model(PLAIN).matched("fib", ("uvicorn", "serve"))) + " of view"


def test_next_and_previous_match(page):
    from selenium.webdriver.common.keys import Keys
    page.search("fib")
    page.b.execute_script("document.querySelector('#flame').focus()")
    said = []
    for key in "nnnnnnN":
        page.keys(key)
        said.append(re.match(r"fib · (\d+)", page.text("#details")).group(1))
    assert said == ["250", "200", "130", "10", "10", "250", "10"]
    page.keys(Keys.ESCAPE)
    assert page.text("#matched") == "" and not any(f["hit"] for f in page.frames())


# ---- functions, callers, callees ----

@pytest.mark.parametrize("stacks", [PLAIN, *map(profiles.at_random, range(3))])
def test_table_of_functions(make, stacks):
    page, model = make(stacks), profiles.Model(stacks)
    page.press("[data-tab=sandwich]")
    rows = page.table()
    assert rows.keys() == model.total.keys()
    for name, (own, own_share, total, total_share) in rows.items():
        assert own == samples(model.own[name]) and total == samples(model.total[name]), name
        assert own_share == percent(model.own[name] / model.all)
        assert total_share == percent(model.total[name] / model.all)


@pytest.mark.parametrize("stacks", [PLAIN, *map(profiles.at_random, range(3))])
def test_callers_and_callees(make, stacks):
    page, model = make(stacks), profiles.Model(stacks)
    page.press("[data-tab=sandwich]")
    for name in list(page.table())[:8]:
        row = page.js("[...document.querySelectorAll('#rows tr')]"
                      ".find(r => r.children[0].textContent === arguments[0])", name)
        row.click()
        assert page.text("#chosen").startswith(f"{name} · total {samples(model.total[name])}")
        for where, up in (("callers", True), ("callees", False)):
            want = model.beside(name, up)
            shown = self_scrolled(page, where)
            least = 0.5 / page.js(f"document.querySelector('#{where}').clientWidth")
            assert shown.keys() <= want.keys()
            for path, weight in want.items():
                share = weight / want[(name,)]
                if path in shown:
                    assert shown[path] == pytest.approx(share, abs=1e-9)
                elif share >= least:  # outside the viewport, or below what is
                    assert len(path) > max(map(len, shown))


def self_scrolled(page, where):
    return page.paths(where, root=0)


def test_sorting_of_the_table(page):
    page.press("[data-tab=sandwich]")
    model = profiles.Model(PLAIN)
    for key, want in [("total", lambda n: (-model.total[n], n)), ("name", lambda n: n)]:
        page.press(f"#columns [data-key={key}] button")
        assert list(page.table()) == sorted(model.total, key=want)
    assert page.js("document.querySelector('[data-key=name]').ariaSort") == "ascending"
    page.press("#columns [data-key=name] button")
    assert list(page.table()) == sorted(model.total, reverse=True)
    assert page.js("document.querySelector('[data-key=total]').ariaSort") == "none"


def test_ways_into_the_sandwich(page):
    page.click("parse", shift=True)
    assert page.text("#chosen").startswith("parse · total 250 samples")
    page.click("memcpy", "callees")
    assert page.text("#chosen").startswith("memcpy · total 90 samples")
    page.b.back()
    page.wait(lambda: page.text("#chosen").startswith("parse"))
    page.search("fib|serve")
    assert page.table().keys() == {"fib", "serve"}


# ---- threads ----

def test_threads_are_switched_off_and_on(page):
    page.press("#threads summary")
    labels = page.js("[...document.querySelectorAll('#thread-list label')].map(l => l.textContent)")
    assert labels == ["uvicorn70.0 %", "worker30.0 %"]
    page.press("#thread-list label:first-child input")
    model = profiles.Model(PLAIN, {"worker"})
    same_shares(page.paths(), model)
    assert page.text("#details").startswith("all · 300 samples")
    assert page.text("#thread-count") == "1 of 2"
    assert page.search("fib") == "matched " + percent(model.matched("fib"))
    page.press("[data-tab=sandwich]")
    page.keys("\ue00c")
    assert {n: r[0] for n, r in page.table().items()} == \
        {n: samples(model.own[n]) for n in model.total}
    page.open("#" + urlsplit(page.b.current_url).fragment)
    assert page.table().keys() == model.total.keys()
    page.press("#threads summary")
    page.press("#thread-none")
    assert page.table() == {}
    page.press("#thread-all")
    assert page.table().keys() == profiles.Model(PLAIN).total.keys()
    assert page.severe() == []


# ---- differences ----

NORMS = {"share": (1000, 2400), "second": SECONDS, "request": REQUESTS}


def norm_text(norm, v):
    if norm == "share":
        return percent(v)
    text = f"{v:,.0f}" if v == int(v) else f"{v:#.3g}"
    return f"{text} samples/{norm}".replace("/second", "/s")


@pytest.mark.parametrize("norm", NORMS)
def test_difference_by(compared, norm):
    page, by = compared, NORMS[norm]
    from selenium.webdriver.support.ui import Select
    Select(page.b.find_element("id", "norm")).select_by_value(norm)
    a, b = profiles.Model(PLAIN), profiles.Model(AFTER)
    mean = {p: a.tree[p] / by[0] + b.tree[p] / by[1] for p in a.tree | b.tree}
    all_ = a.all / by[0] + b.all / by[1]
    drawn = page.paths()
    assert drawn.keys() == mean.keys()
    marks = {}
    for f in page.frames():
        marks.setdefault(f["text"], set()).add(f["mark"].strip())
    for path, share in drawn.items():
        assert share == pytest.approx(mean[path] / all_, abs=1e-9), path
    assert marks["flush"] == {"✚"} and marks["sys_write_[k]"] == {"✖"} and marks["[jit]"] == {"✖"}
    assert marks["memcpy"] == {"▼" if norm == "request" and 720 / 400 < .9 else "▲"}
    page.press("[data-tab=sandwich]")
    for name, cells in page.table().items():
        plain = name[2:] if name[0] in "▲▼✚✖" else name
        own = a.own[plain] / by[0], b.own[plain] / by[1]
        total = a.total[plain] / by[0], b.total[plain] / by[1]
        want = []
        for x, y in (own, total):
            want += [y - x, x, y]
        for cell, v in zip(cells, want):
            got = re.match(r"[+]?(-?[\d,.e+-]+)", cell).group(1).replace(",", "")
            scale = 100 if norm == "share" else 1
            assert float(got) == pytest.approx(v * scale, rel=6e-3, abs=6e-3), (name, cell, v)
    assert page.severe() == []


def test_difference_tells_states_and_colours(compared):
    page = compared
    page.b.execute_script("document.querySelector('#flame').focus()")
    fills = {f["text"]: f["fill"] for f in page.frames()}
    assert fills["flush"] == "#ffee58" and fills["sys_write_[k]"] == "#3c3c46"
    page.click("flush")
    assert page.text("#details") == "flush · new · before 0 %, after 12.5 % (+12.5 %)"
    page.press("#reset")
    page.click("sys_write_[k]")
    assert page.text("#details") == "sys_write_[k] · gone · before 20.0 %, after 0 % (-20.0 %)"
    assert page.text("#legend") == "▲ more▼ less✚ new✖ gonesame"


def test_a_profile_compared_with_itself(make):
    page = make(PLAIN, PLAIN)
    same_shares(page.paths(), profiles.Model(PLAIN))
    assert {f["mark"] for f in page.frames()} == {""}


@pytest.mark.parametrize("seed", range(3))
def test_random_differences(make, seed):
    before, after = profiles.at_random(seed, 120), profiles.at_random(seed + 50, 120)
    page, a, b = make(after, before), profiles.Model(before), profiles.Model(after)
    drawn = page.paths()
    for path in a.tree | b.tree:
        share = (a.tree[path] / a.all + b.tree[path] / b.all) / 2
        assert (path in drawn) == (share >= 0.5 / WIDTH), path
        if path in drawn:
            assert drawn[path] == pytest.approx(share, abs=1e-9)


# ---- looks, address, safety ----

def scheme(page, value):
    page.b.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": value}]})
    return page.js("getComputedStyle(document.body).backgroundColor")


def test_dark_and_light(page):
    try:
        assert scheme(page, "light") == "rgb(255, 255, 255)"
        assert scheme(page, "dark") == "rgb(22, 24, 29)"
        page.keys("d")
        assert scheme(page, "dark") == "rgb(255, 255, 255)"
        assert page.state() == {"c": "light"}
        page.press("#theme")
        assert scheme(page, "light") == "rgb(22, 24, 29)"
    finally:
        scheme(page, "light")


def test_the_address_holds_the_state(page):
    page.click("serve")
    page.keys("i")
    page.search("fib")
    hash = "#" + urlsplit(page.b.current_url).fragment
    assert page.state().keys() == {"o", "q"}  # Escape in search() left the zoom
    page.click("fib")
    hash = "#" + urlsplit(page.b.current_url).fragment
    frames, matched = page.frames(), page.text("#matched")
    page.open(hash)
    assert page.frames() == frames and page.text("#matched") == matched == "matched 100 % of view"
    assert page.js("document.querySelector('#search').value") == "fib"


@pytest.mark.parametrize("hash", ["#z=99999999&f=77777&t=9.x.-1&n=zero&s=q&v=none&c=blue", "#z=1.5",
                                  "#z=-1&q=(((", "#n=request", "#t=" + "9." * 50, "#%%%", "#z=1e3"])
def test_an_address_of_another_page(make, hash):
    page = make(PLAIN, hash=hash)
    assert page.frame("all")["w"] == page.js("innerWidth")
    assert page.severe() == []


HOSTILE = ["</script><script>document.title='owned'</script>", "<img src=x onerror=\"document.title='o'\">",
           "a\nb\r\nc", "\"'`${document.title='owned'}\\u0022", "\u202egnp.exe", "שלום עולם", "-->]]>",
           b"\xff\xfe\xc0\xaf<", "\U0001f600\U0001f600", "&lt;b&gt;&amp;", "", " ", "x" * 5000, "\x1b[31m",
           "__proto__", "constructor", "漢字" * 3000]


def shown(name):
    text = name if isinstance(name, str) else None
    if text is None:
        return "....<"
    text = "".join("." if ord(c) < 32 or c == "\u202e" else c for c in text)
    return text


def test_names_from_outside_stay_text(make):
    stacks = [([("t\x1b</script>", "o"), (name, "n")], 100) for name in HOSTILE]
    page = make(stacks)
    assert page.js("document.title") == 'CPU flame graph: <b>sample</b> & "co" (pid 1)'
    assert page.text("#title") == page.js("document.title")
    assert page.js("document.querySelectorAll('script').length") == 2  # the data's is taken away
    assert page.js("document.querySelectorAll('img, b').length") == 0
    drawn = {f["text"] for f in page.frames()}
    for name in HOSTILE:
        want = shown(name)
        if len(want) > 1000:
            assert any(d.startswith(want[:500]) and d.endswith("…") for d in drawn)
        else:
            assert want in drawn, name
    page.press("[data-tab=sandwich]")
    assert page.table().keys() == drawn - {"all", "t.</script>"}
    raw = page.path.read_bytes()
    assert raw.count(b"<script") == raw.count(b"</script>") == 3
    assert b"owned" not in raw and b"\x1b" not in raw
    assert page.severe() == []


def test_nothing_is_fetched_and_nothing_can_be(page):
    assert page.js("performance.getEntriesByType('resource').length") == 0
    raw = page.path.read_text()
    assert not re.search(r"\b(src|href)=|url\(|@import|fetch\(|XMLHttpRequest|WebSocket|https?://", raw)
    refused = page.b.execute_async_script("""
        const done = arguments[0], seen = [];
        document.addEventListener('securitypolicyviolation', (e) => {
            seen.push(e.effectiveDirective);
            if (seen.length === 3) done(seen.sort()); });
        fetch('http://127.0.0.1:9/').catch(() => 0);
        const i = new Image(); i.src = 'http://127.0.0.1:9/x.png';
        const s = document.createElement('script'); s.textContent = 'document.title = "ran"';
        document.body.append(s);""")
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert page.js("document.title") != "ran"
    page.severe()  # what was refused above is no fault


def test_controls_have_names_and_order(page):
    bare = page.js("""[...document.querySelectorAll('button, input, select, [role=application]')]
        .filter(e => !(e.textContent.trim() || e.ariaLabel || (e.labels && e.labels.length)))
        .map(e => e.outerHTML)""")
    assert bare == []
    assert page.js("document.querySelector('#details').ariaLive") == "polite"
    assert page.js("[...document.querySelectorAll('[tabindex]')].every(e => e.tabIndex === 0)")
    page.wait(lambda: page.js("document.querySelector('#top-rows').children.length") > 0)
    top = page.js("[...document.querySelectorAll('#top-rows tr')].map(r => [...r.children]"
                  ".map(c => c.textContent))")
    model = profiles.Model(PLAIN)
    assert [r[1] for r in top] == [samples(n) for n in sorted((model.own[t] for t in model.total),
                                                              reverse=True)]
    for name, own, _, total, _ in top:
        assert (own, total) == (samples(model.own[name]), samples(model.total[name]))


def test_table_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys
    page.keys("s")
    page.b.execute_script("document.querySelector('#rows tr:nth-child(2)').focus()")
    name = list(page.table())[1]
    page.keys(Keys.ENTER)
    assert page.text("#chosen").startswith(name + " · total")
    page.keys("?")
    assert page.js("document.querySelector('#help').open")


def test_off_cpu_weights_are_times(make):
    page = make(PLAIN, form="offcpu")
    assert page.text("#details") == "all · 1 ms, 100 %, self 0 %"
    page.press("[data-tab=sandwich]")
    assert page.table()["serve"] == ["150 µs", "15.0 %", "570 µs", "57.0 %"]


IDLE = [([("loop", "o"), ("(idle)", "o"), ("main", "n"), ("epoll_wait", "n")], 9000),
        ([("loop", "o"), ("main", "n"), ("recv", "n")], 300),
        ([("pool", "o"), ("(idle)", "o"), ("futex", "n")], 500),
        ([("pool", "o"), ("main", "n"), ("read_[k]", "k")], 200)]


PROCESSES = [([("web (7)", "P"), *stack], n) for stack, n in IDLE] + [
    ([("web (8)", "P"), ("loop", "o"), ("(idle)", "o"), ("epoll_wait", "n")], 4000),
    ([("web (8)", "P"), ("loop", "o"), ("main", "n"), ("send", "n")], 1000)]


def test_processes_are_switched_off_with_their_threads(make):
    page = make(PROCESSES, form="offcpu")
    busy = [(s, n) for s, n in PROCESSES if ("(idle)", "o") not in s]
    same_shares(page.paths(), profiles.Model(busy))
    page.press("#threads summary")
    labels = page.js("[...document.querySelectorAll('#thread-list label')].map(l => l.textContent)")
    assert labels == ["(idle)90.0 %", "web (8)6.67 %", "loop · web (8)6.67 %", "web (7)3.33 %",
                      "loop · web (7)2.00 %", "pool · web (7)1.33 %"]
    page.press("#thread-list label:nth-child(2) input")
    same_shares(page.paths(), profiles.Model([(s, n) for s, n in busy if s[0][0] == "web (7)"]))
    page.press("#thread-list label:nth-child(5) input")
    same_shares(page.paths(), profiles.Model([(s, n) for s, n in busy if s[:2] == PROCESSES[2][0][:2]]))


def test_what_is_idle_is_off_at_first(make):
    """Waits for work are most of an off-CPU profile, and nothing that anybody can speed up."""
    page = make(IDLE, form="offcpu")
    busy = [(s, n) for s, n in IDLE if s[1][0] != "(idle)"]
    same_shares(page.paths(), profiles.Model(busy))
    assert page.text("#thread-count") == "2 of 3" and page.text("#details").startswith("all · 500 µs, 100 %")
    page.click("loop")
    assert page.text("#details").startswith("loop · 300 µs, 60.0 % (100 % of view)")
    page.press("#threads summary")
    labels = page.js("[...document.querySelectorAll('#thread-list label')].map(l => l.textContent)")
    assert labels == ["(idle)95.0 %", "loop3.00 %", "pool2.00 %"]
    page.press("#thread-all")
    page.press("#reset")
    same_shares(page.paths(), profiles.Model(IDLE))
    page.open("#" + urlsplit(page.b.current_url).fragment)
    same_shares(page.paths(), profiles.Model(IDLE))
    page.press("#threads summary")
    page.press("#thread-list label:nth-child(2) input")  # the loop, with what is idle in it
    page.press("#thread-list label:nth-child(1) input")
    same_shares(page.paths(), profiles.Model(busy, {"pool"}))
    page.press("[data-tab=sandwich]")
    assert {n: r[0] for n, r in page.table().items()} == {"main": "0 µs", "read_[k]": "200 µs"}
    assert page.severe() == []


def test_an_empty_profile(make):
    page = make([])
    assert [f["text"] for f in page.frames()] in ([], ["all"])
    page.press("[data-tab=sandwich]")
    assert page.table() == {} and page.severe() == []
