"""The page in Chromium: what the first screen holds, what is printed, and that nothing is asked for."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_project import DOT, default_cases, write_results

from n2amd.analysis.page.document import write_page
from optional_programs import OPTIONAL, which

pytestmark = pytest.mark.chromium

DESK, PHONE = (1280, 800), (500, 844)
#: Put at the end of a copy of the page: where each element is, and what the browser fetched or refused.
PROBE = """<script>
const refused = [];
document.addEventListener("securitypolicyviolation", (event) => refused.push(event.blockedURI));
addEventListener("load", () => setTimeout(() => {
  const box = (element) => {
    const found = element.getBoundingClientRect();
    return [element.textContent.trim(), found.left, found.top, found.right, found.bottom];
  };
  const seen = {
    headline: box(document.querySelector("h1")),
    range: box(document.querySelector(".range")),
    badge: box(document.querySelector(".verdict .badge")),
    tiles: [...document.querySelectorAll(".tiles div")].map(box),
    errors: box(document.querySelector(".errors")),
    width: [document.documentElement.scrollWidth, innerWidth],
    images: [...document.images].map((image) => image.naturalWidth),
    fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
    refused,
  };
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify(seen);
  document.body.append(out);
}, 100));
</script>"""


def chromium(tmp_path: Path, page: Path, size: tuple[int, int], *options: str) -> str:
    program = next(p for p in OPTIONAL if p.marker == "chromium")
    command = next(found for name in program.commands if (found := which(name)))
    done = subprocess.run(
        [
            *(command, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--hide-scrollbars", "--no-first-run", "--disable-background-networking", "--disable-sync"),
            *("--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--window-size={size[0]},{size[1]}", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=tmp_path,
    )
    return done.stdout


def probed(tmp_path: Path, page: Path, size: tuple[int, int], more: str = "") -> dict[str, Any]:
    """Layout of the page at the size of a window; the copy allows the probe and nothing else."""
    text = page.read_text().replace(
        "default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';", 1
    )
    copy = tmp_path / "probed.html"
    copy.write_text(text.replace("</body>", f"{more}{PROBE}</body>"))
    dom = chromium(tmp_path, copy, size, "--virtual-time-budget=3000", "--dump-dom")
    return json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)[1]))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "rules.dot").write_text(DOT)
    results = write_results(folder / "results", default_cases())
    write_page(results, folder / "report.html", folder / "rules.dot")
    return folder / "report.html"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_first_screen_holds_the_answer(page: Path, size: tuple[int, int], tmp_path: Path) -> None:
    seen = probed(tmp_path, page, size)
    wide, high = size
    assert "18.2 ns" in seen["headline"][0]
    assert "9.72 to 61.3 ns" in seen["range"][0]
    assert seen["badge"][0] == "With care"
    for name in ("headline", "range", "badge"):
        _, left, top, right, bottom = seen[name]
        assert 0 <= left < right <= wide
        assert 0 <= top < bottom <= high
    assert [tile[0][:8] for tile in seen["tiles"]] == ["Band gap", "Dephasin", "Coupling", "Temperat"]
    if size == DESK:
        assert all(bottom <= high for *_, bottom in [*seen["tiles"], seen["errors"]])
    # nothing makes the page itself wider than the window
    assert seen["width"][0] <= seen["width"][1]
    assert len(seen["images"]) == 15
    assert min(seen["images"]) > 0


def test_nothing_is_asked_of_the_network(page: Path, tmp_path: Path) -> None:
    seen = probed(tmp_path, page, DESK)
    assert [name for name in seen["fetched"] if not name.startswith("data:")] == []
    assert seen["refused"] == []
    # the probe would see it, and the page's own rule forbids it
    foreign = '<img src="http://127.0.0.1:9/x.png">'
    assert probed(tmp_path, page, DESK, foreign)["refused"] == ["http://127.0.0.1:9/x.png"]


def test_lifetime_and_verdict_are_drawn(page: Path, tmp_path: Path) -> None:
    from matplotlib import image

    where = probed(tmp_path, page, DESK)
    chromium(tmp_path, page, DESK, f"--screenshot={tmp_path / 'screen.png'}")
    pixels = image.imread(tmp_path / "screen.png")[..., :3]
    assert pixels.shape[:2] == DESK[::-1]

    def part(name: str) -> np.ndarray:
        _, left, top, right, bottom = where[name]
        return pixels[int(top) : int(bottom), int(left) : int(right)]

    # #9a6700, the colour of "with care", fills most of the badge; letters of the lifetime are near black
    brown = np.array([0x9A, 0x67, 0x00]) / 255
    assert (np.abs(part("badge") - brown).max(axis=-1) < 0.05).mean() > 0.5
    assert (part("headline").max(axis=-1) < 0.25).mean() > 0.02
    # light: most of the screen is white or nearly so
    assert (pixels.min(axis=-1) > 0.9).mean() > 0.8


def test_it_is_printed_whole(page: Path, tmp_path: Path) -> None:
    """On paper the folded verdicts are open: as much is drawn as if a reader had opened them."""
    text = page.read_text()
    assert "<details>" in text
    versions = {
        "printed": text,
        "opened": text.replace("<details>", "<details open>"),
        "folded": text.replace("details::details-content", "details.none"),
    }
    size = {}
    for name, version in versions.items():
        (tmp_path / f"{name}.html").write_text(version)
        chromium(tmp_path, tmp_path / f"{name}.html", DESK, f"--print-to-pdf={tmp_path / name}.pdf")
        made = (tmp_path / f"{name}.pdf").read_bytes()
        assert made.startswith(b"%PDF")
        size[name] = len(made)
    assert abs(size["printed"] - size["opened"]) < 0.1 * abs(size["printed"] - size["folded"]), size
