# SPDX-License-Identifier: Apache-2.0
"""What the page tests share: Chromium, and programs built from this tree that write the pages."""
import pathlib
import shutil
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 1400, 900
LIBRARY = ["base/array.c", "base/buf.c", "base/map.c", "base/file.c", "base/json.c", "base/sha256.c",
           "base/strpool.c", "out/fmt.c", "out/frames.c", "out/flame.c", "out/flamepage.c",
           "out/protobuf.c", "out/pprof.c", "out/speedscope.c"]


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """build("x.c") compiles tests/pages/x.c with the writers of pages; gives the program's path."""
    where = tmp_path_factory.mktemp("pages")

    def make(source):
        program = where / pathlib.Path(source).stem
        if not program.exists():
            subprocess.run(["cc", "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-DHOSTPROF_VERSION=\"test\"",
                            "-Iinclude", "-Iuser", "-o", program, f"tests/pages/{source}",
                            *[f"user/{f}" for f in LIBRARY], "-lz", "-lm"], cwd=ROOT, check=True)
        return program

    return make


@pytest.fixture(scope="session")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium:
        pytest.skip("chromium is not installed")
    if not driver:
        pytest.skip("chromedriver (package chromium-driver) is not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="python3-selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        b = webdriver.Chrome(service=Service(driver), options=options)
        yield b
        b.quit()
