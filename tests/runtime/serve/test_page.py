"""The live page in a real browser, at the width of a phone and of a desk."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
import time
import urllib.request

import pytest

from edge_lstm_runtime.serve.http import PAGE
from helpers.served import free_port, service

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
# A picture that takes its time: the browser looks at the page when all pictures are there.
PROBE = """<img src="slow" width=1 height=1><script>addEventListener("load", () => {
  const page = document.documentElement;
  document.body.dataset.overflow = page.scrollWidth - page.clientWidth;
})</script></html>"""


def between(port):
    """A server with the service's page and the probe in it, which asks the service for the rest."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path == "/slow":
                time.sleep(2.5)
            self.send_response(200)
            kind = "text/event-stream" if self.path == "/events" else "text/html"
            self.send_header("Content-Type", kind)
            self.end_headers()
            if self.path == "/":
                self.wfile.write(PAGE.read_text("utf-8").replace("</html>", PROBE).encode())
            elif self.path in ("/models", "/events"):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{self.path}") as r:
                    try:
                        while data := r.read1(65536):
                            self.wfile.write(data)
                    except OSError:
                        return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install it")
@pytest.mark.parametrize("width", [500, 1300])
def test_it_shows_streams_and_is_not_too_wide(width, served_file, xs, tmp_path):
    """Chromium has no window below 500 pixels."""
    with service(served_file, "--backend", "native") as s:
        server = between(s.port)
        stop = threading.Event()

        def feed():
            k = 0
            while not stop.wait(0.03):
                for stream in ("hall", "cellar"):
                    s.predict(xs[k % 300 : k % 300 + 8].tolist(), stream)
                k += 8

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            words = [CHROMIUM, *FLAGS.split(), f"--window-size={width},900", "--dump-dom"]
            words += [f"--user-data-dir={tmp_path}", f"--screenshot={tmp_path}/page.png", url]
            dom = subprocess.run(words, capture_output=True, timeout=40, check=True).stdout.decode()
        finally:
            stop.set()
            thread.join()
            server.shutdown()
            server.server_close()
    assert dom.count("<canvas") == 4, dom[-3000:]
    assert "<h2>hall</h2>" in dom
    assert "<h2>cellar</h2>" in dom
    assert "µs a step" in dom
    assert len(re.findall(r"</i>temp <b>[\d.]+</b>", dom)) == 2
    assert len(re.findall(r"</i>class3 <b>0?\.?[\d.]+(e-\d)?</b>", dom)) == 2
    assert "0 missed" in dom
    assert re.search(r'data-overflow="0"', dom)
