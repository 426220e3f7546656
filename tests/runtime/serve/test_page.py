"""The live page in a real browser, at the width of a phone and of a desk."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time

import pytest

from helpers.served import service

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install it")
@pytest.mark.parametrize("width", [400, 1300])
def test_it_shows_streams_and_is_not_too_wide(width, served_file, xs, tmp_path):
    with service(served_file, "--backend", "native") as s:
        going = threading.Event()

        def feed():
            k = 0
            while not going.wait(0.03):
                for stream in ("hall", "cellar"):
                    s.predict(xs[k % 300 : k % 300 + 8].tolist(), stream)
                k += 8

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            picture = tmp_path / f"{width}.png"
            process = subprocess.Popen(
                [
                    CHROMIUM, *FLAGS.split(), "--dump-dom", "--timeout=4000",
                    f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900",
                    f"http://127.0.0.1:{s.port}/",
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            dom = process.communicate(timeout=60)[0].decode()
        finally:
            going.set()
            thread.join()
        time.sleep(0.1)
    assert dom.count("<canvas") == 4, dom[-3000:]
    assert "<h2>hall</h2>" in dom
    assert "<h2>cellar</h2>" in dom
    assert "µs a step" in dom
    assert "0 missed" in dom
    assert picture.name
