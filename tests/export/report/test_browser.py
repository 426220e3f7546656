"""The report in a real browser: pictures are decoded, nothing is too wide, the text is there."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import pytest

from edge_lstm_export import export_run

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PROBE = """<script>addEventListener("load", () => {
  const pictures = [...document.images];
  document.body.dataset.pictures = pictures.length;
  document.body.dataset.decoded = pictures.filter(p => p.complete && p.naturalWidth > 300).length;
  const page = document.documentElement;
  document.body.dataset.overflow = page.scrollWidth - page.clientWidth;
  const shown = pictures.map(p => p.getBoundingClientRect().width / p.naturalWidth);
  document.body.dataset.smallest = Math.round(100 * Math.min(...shown));
  const cut = [...document.querySelectorAll("td")].filter(c => c.scrollWidth > c.clientWidth + 1);
  document.body.dataset.cut = cut.length;
  const first = document.querySelector("#recommendation").compareDocumentPosition(pictures[0]);
  document.body.dataset.first = first & Node.DOCUMENT_POSITION_FOLLOWING;
  document.body.dataset.rows = document.querySelectorAll("#accuracy tr").length;
})</script></body>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; install it to render the report"
    ),
]


@pytest.fixture(scope="module", params=["classify", "forecast"])
def report(request, tmp_path_factory):
    run = request.getfixturevalue(
        {"classify": "trained", "forecast": "forecast_run"}[request.param]
    )
    work = export_run(run, tmp_path_factory.mktemp("report") / "model.edge", schemes=())
    return work.out.with_suffix(".html")


def browse(*arguments):
    return subprocess.run(
        [CHROMIUM, *FLAGS.split(), *arguments], capture_output=True, check=True, timeout=120
    ).stdout


@pytest.mark.parametrize("width", [400, 1280])
def test_rendered(report, tmp_path, width):
    page = tmp_path / "report.html"
    page.write_text(report.read_text().replace("</body>", PROBE))
    dom = browse(
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        "--dump-dom",
        page.as_uri(),
    ).decode()
    assert 'data-pictures="4"' in dom
    assert 'data-decoded="4"' in dom
    assert 'data-overflow="0"' in dom
    assert 'data-first="4"' in dom  # the recommendation stands before the pictures
    assert 'data-cut="0"' in dom
    # A picture is no smaller than six tenths of its size, so that its letters can be read.
    assert int(re.search(r'data-smallest="(\d+)"', dom)[1]) >= 60
    # the header, numpy, native in float32, float16 and int8, and both ONNX forms
    assert 'data-rows="7"' in dom


def test_screenshot_is_not_blank(report, tmp_path):
    picture = tmp_path / "page.png"
    browse(
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1200,3000",
        f"--screenshot={picture}",
        report.as_uri(),
    )
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24]) == (1200, 3000)
    assert len(data) > 100_000  # a blank page of this size compresses to a few kilobytes
