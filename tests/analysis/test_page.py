"""The page of a job: what stands on it, in which order, and that nothing of it is elsewhere."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page_project import DOT, FIGURES, default_cases, sizes_of, write_results
from typer.testing import CliRunner

from n2amd.analysis.page.captions import STAGES
from n2amd.analysis.page.document import write_page
from n2amd.analysis.page.gallery import figures_of, within_limit
from n2amd.analysis.page.intervals import WIDTH, interval_bar
from n2amd.analysis.page.rule_graph import draw_graph, read_graph
from n2amd.commands.analysis import app
from n2amd.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "img", "br", "link", "input"}


class Outline(HTMLParser):
    """Sections and figures in order, everything that is referred to, and whether tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.alts: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "section":
            self.sections.append(known["id"] or "")
        if tag == "img":
            self.alts.append(known["alt"] or "")
        self.references += [known[key] or "" for key in ("src", "href", "srcset", "action") if key in known]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def outline(page: Path) -> Outline:
    parser = Outline()
    parser.feed(page.read_text())
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "rules.dot").write_text(DOT)
    return write_results(tmp_path / "results", default_cases())


def test_the_page_opens_on_the_answer_and_ends_with_the_rules(results: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(results), "--graph", str(results.parent / "rules.dot")])
    assert done.exit_code == 0, done.output
    assert done.output == f"report: {results}/report.html\n"
    found = outline(results / "report.html")
    stages = ["force-field-and-trajectory", "hamiltonian-network", "couplings", "dephasing-and-dynamics"]
    assert found.sections == ["answer", "comparison", *stages, "making", "rules"]
    # the verdict's reasons, gap, dephasing time, coupling and errors stand before any comparison
    answer = found.text[: found.text.index("Comparison of 2 cases")]
    for said in (
        *("18.2 ns", "95 % interval 9.72 to 61.3 ns", "With care", "Take this lifetime with care, because"),
        *("1.91 eV", "13.6 fs", "9.66 to 18.6 fs", "1.03 meV", "311 K", "300 K asked for"),
        *("15 meV", "1 frame of 48 atoms", "53.3 meV/Å", "6.4 % of their rms", "rms; DFT 0.267 meV"),
        "about 1100 frames instead of 500",
    ):
        assert said in answer, said
    assert "Do not believe" in found.text
    assert "solve states" in found.text
    assert "draw" not in found.text[found.text.index("What was computed from what") :].replace(
        "those that draw", ""
    )


def test_every_figure_is_in_the_page_in_the_order_of_the_stages(results: Path) -> None:
    assert write_page(results, results / "report.html") == 0
    found = outline(results / "report.html")
    assert len(found.alts) == sum(map(len, FIGURES.values()))
    titles = [caption.title for stage in STAGES.values() for caption in stage.values()]
    places = [next(k for k, title in enumerate(titles) if alt.startswith(title)) for alt in found.alts]
    assert places == sorted(places)
    numbers = [int(n) for n in re.findall(r"Fig\. (\d+)\.", found.text)]
    assert numbers == list(range(1, len(numbers) + 1))
    # the text of a caption stands once for all figures of its kind
    assert found.text.count("what has recombined in each run") == 1
    images = [reference for reference in found.references if reference.startswith("data:")]
    drawn = [base64.b64decode(image.split(",")[1]).decode() for image in images]
    assert all(
        any(f"{place} {name}<" in one for one in drawn) for place in FIGURES for name in FIGURES[place]
    )


def test_nothing_on_the_page_is_elsewhere(results: Path) -> None:
    write_page(results, results / "report.html")
    page = (results / "report.html").read_text()
    found = outline(results / "report.html")
    assert {r.split(":")[0] if r.startswith("data:") else r[0] for r in found.references} == {"data", "#"}
    assert {r[1:] for r in found.references if r[0] == "#"} <= {*found.sections, "tip"}
    assert "<script" not in page
    assert not re.search(r"@import|url\((?!#)|https?://", page)
    assert "default-src 'none'" in page


def test_one_case_is_not_compared(tmp_path: Path) -> None:
    results = write_results(tmp_path, default_cases()[:1])
    write_page(results, tmp_path / "elsewhere.html")
    found = outline(tmp_path / "elsewhere.html")
    assert "comparison" not in found.sections
    assert "rules" not in found.sections
    assert not any("experiment" in alt for alt in found.alts)


def test_a_sweep_is_compared_with_its_scaling(tmp_path: Path) -> None:
    cases = sizes_of(default_cases()[0])
    results = write_results(tmp_path, cases, {**FIGURES, ".": ("scaling",), "TiO2/9x9x9": ("phonons",)})
    write_page(results, results / "report.html")
    found = outline(results / "report.html")
    assert found.alts[0] == "Finite-size scaling, 3 cases"
    assert found.text.count("judged on cells of up to 48 atoms, not 216") == 2
    assert "value = prefactor × atoms ^ exponent" in found.text
    for case in cases:
        assert f">{case['supercell']}</td>" in (results / "report.html").read_text()
    # figures of a supercell that is not in the summary are left alone
    assert not any("9x9x9" in alt for alt in found.alts)


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    (case,) = default_cases()[:1]
    case["material"] = '<b onclick="x">&TiO2'
    case["warnings"] = ["</table><script>alert(1)</script>"]
    results = write_results(tmp_path, [case, {**case, "supercell": "1x1x1"}])
    write_page(results, results / "report.html")
    found = outline(results / "report.html")
    assert '<b onclick="x">&TiO2' in found.text
    assert "<script" not in (results / "report.html").read_text()


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    (case,) = default_cases()[:1]
    case |= {"hamiltonian": None, "forcefield": None, "nac_parity": None, "model_doubt": None, "states": None}
    case["lifetime_ns"] |= {"high": None}
    case["tau_band_ns"] = {"low": None, "high": None}
    case["dephasing_interval_fs"] = {"low": 9.7, "high": None}
    case["nac_rms_interval_meV"] = {"low": None, "high": None}
    results = write_results(tmp_path, [case], {})
    write_page(results, results / "report.html")
    found = outline(results / "report.html")
    assert found.text.count("not known") >= 5
    assert "95 % interval 9.72 to ? ns" in found.text
    assert "Do not believe this lifetime, because" in found.text
    assert "Not known, and not taken as good:" in found.text


def test_a_page_holds_so_many_bytes_of_figures(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures_of(results, default_cases())
    kept = within_limit(found, 1000)
    assert 0 < len(kept) < len(found)
    assert kept == found[: len(kept)]
    assert sum(figure.path.stat().st_size for figure in kept) <= 1000
    monkeypatch.setattr("n2amd.analysis.page.document.within_limit", lambda figures: figures[:4])
    done = CliRunner().invoke(app, ["report", str(results)])
    assert f"note: {len(found) - 4} figures were left out" in done.output
    assert f"{len(found) - 4} more figures are in" in (results / "report.html").read_text()


def test_the_workflow_draws_what_the_page_has_words_for() -> None:
    rules = (ROOT / "workflow/rules/figures.smk").read_text()
    drawn = {*re.findall(r'^    "([a-z-]+)": \(', rules, re.MULTILINE)}
    assert drawn == {name for stage in STAGES.values() for name in stage} | {"scaling"}


def test_rules_are_drawn_below_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "g.dot").write_text(DOT)
    graph = read_graph(tmp_path / "g.dot")
    assert graph == {
        "summary": {"case"},
        "case": {"ingest_dataset", "solve_states"},
        "ingest_dataset": set(),
        "solve_states": {"ingest_dataset"},
    }
    drawn = draw_graph(graph)
    height = {
        name: float(y) for y, name in re.findall(r'<text x="[\d.]+" y="([\d.]+)">([a-z ]+)</text>', drawn)
    }
    assert height["ingest dataset"] < height["solve states"] < height["case"] < height["summary"]
    # the way from the data to the case goes through the states anyway
    assert drawn.count("<path d=") == 3 + 1


def test_a_long_arrow_goes_past_the_boxes_between() -> None:
    graph = {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"c", "x"}, "x": {"a"}}
    drawn = draw_graph(graph)
    (past,) = re.findall(r'd="(M[^"]*V[^"]*)"', drawn)
    boxes = {
        name: (float(x), float(y))
        for x, y, name in re.findall(r'<rect x="([-\d.]+)" y="([\d.]+)"[^>]*/><text[^>]*>(\w)</text>', drawn)
    }
    x = float(re.findall(r" ([\d.]+) [\d.]+V", past)[0])
    assert not boxes["c"][0] <= x <= boxes["c"][0] + 172


def test_rounds_that_close_a_circle_are_drawn_dashed() -> None:
    graph = {
        "train_round": {"label", "train_round"},
        "label": {"choose"},
        "choose": {"train", "train_round"},
        "train": set(),
        "states": {"train_round"},
    }
    drawn = draw_graph(graph)
    assert drawn.count('class="back"') == 1
    height = {name: float(y) for y, name in re.findall(r'<text[^>]* y="([\d.]+)">([a-z ]+)</text>', drawn)}
    assert sorted(height, key=height.__getitem__) == ["train", "choose", "label", "train round", "states"]


@pytest.mark.parametrize(
    "text", ["", "digraph {}", "Building DAG of jobs...", '0[label = "draw_bands", color = "red"]']
)
def test_what_is_no_graph_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "g.dot").write_text(text)
    with pytest.raises(InputError, match=r"g\.dot: holds no rule"):
        read_graph(tmp_path / "g.dot")
    with pytest.raises(InputError, match="cannot be read"):
        read_graph(tmp_path / "none.dot")


@pytest.mark.parametrize("quoted", [(1e-6, None, None), (0.0, 0.0, 0.0), (5.0, 1e-6, 1e9), (3e7, 3e7, 3e7)])
def test_any_lifetime_fits_on_its_axis(quoted: tuple[float, float | None, float | None]) -> None:
    (case,) = default_cases()[:1]
    case["lifetime_ns"] |= dict(zip(("value", "low", "high"), quoted))
    drawn = interval_bar(case)
    places = [float(x) for x in re.findall(r' (?:x|cx)="([-\d.]+)"', drawn)]
    assert all(0 <= x <= WIDTH for x in places)
    words = re.findall(r'<text x="([\d.]+)"[^>]*>([^<]+)<', drawn)
    assert 2 <= len(words) <= 8
    assert len({word for _, word in words}) == len(words)


def test_results_without_a_summary_or_with_an_old_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"summary\.json: the file does not exist"):
        write_page(tmp_path, tmp_path / "report.html")
    (tmp_path / "summary.json").write_text('{"cases": [{"material": "TiO2"}], "scaling": []}')
    with pytest.raises(InputError, match=r"cases\[0\]\.\w+"):
        write_page(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
