import re
from pathlib import Path

import pytest
from synthetic import bands_report, doubt_report, write_populations
from typer.testing import CliRunner

from n2amd.analysis.case import CaseFiles, build_case
from n2amd.analysis.figures.draw import FROM_REPORT, draw
from n2amd.analysis.summary import build_summary
from n2amd.commands.analysis import What, app
from n2amd.errors import InputError
from n2amd.storage import write_json

#: What each figure is drawn from, and words its SVG must hold.
EXPECTED = {
    "forcefield-energy": (["forcefield"], ["meV/atom", "MAE"]),
    "forcefield-force": (["forcefield"], ["eV/Å", "3,456 components"]),
    "hamiltonian": (["hamiltonian"], ["Interatomic distance (Å)", "mean absolute", "MAE 0.71 meV"]),
    "doubt": (["doubt"], ["Predicted spread (meV)", "48 atoms", "24 edges of 12 frames", "normal errors"]),
    "bands": (["bands"], ["DFT", "network (MAE", "Γ"]),
    "dos": (["dos"], ["States (1/eV, both spins)", "all", "Ti", "O"]),
    "nac-parity": (["nac_parity"], ["from DFT (meV)", "Energy gap of the pair (eV)", "same sign"]),
    "population-parity": (["nac_parity"], ["DFT, 38", "network, 43", "hole, network", "Recombined (%)"]),
    "gap-and-coupling": (["couplings"], ["Gap (eV)", "Time (fs)", "rms"]),
    "dephasing": (["dephasing"], ["Dephasing function", "Pure dephasing: Gaussian", "Time (fs)"]),
    "spectral-density": (["spectrum"], ["Spectral density (meV", "Wave number (cm", "resolution"]),
    "populations": (["dish", "fssh", "lifetime"], ["Recombined (%)", "dish, seed 1", "CBM+1", "fit, 2"]),
    "lifetime-tau": (["lifetime"], ["Lifetime (ns)", "exponential waiting"]),
}


def words(svg: Path) -> str:
    """The text without spaces: mathematics is written letter by letter."""
    return re.sub(r"<[^>]+>|\s", "", svg.read_text())


def test_every_figure_of_the_command_line_is_drawn() -> None:
    assert {what.value for what in What} == {*EXPECTED, "scaling", "character", "phonons", "defect"}
    assert set(FROM_REPORT) <= {what.value for what in What}


@pytest.mark.parametrize("what", EXPECTED)
def test_figure_keeps_its_text_and_is_the_same_every_time(
    what: str, case_files: dict[str, Path], tmp_path: Path
) -> None:
    names, labels = EXPECTED[what]
    inputs = [case_files[name] for name in names]
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    draw(what, inputs, one)
    draw(what, inputs, two)
    text = words(one)
    for label in labels:
        assert label.replace(" ", "") in text
    assert one.read_bytes() == two.read_bytes()
    assert "<dc:date>" not in one.read_text()


def test_bands_without_dft_and_with_breaks(tmp_path: Path) -> None:
    report = bands_report() | {"dft_eV": None}
    report["distance"][31:] -= report["distance"][31] - report["distance"][30]
    report["labels"] = [[0, "G"], [30, "X_1"], [31, "SIGMA_0"], [60, "M"], [90, "G"]]
    write_json(tmp_path / "bands.json", report)
    draw("bands", [tmp_path / "bands.json"], tmp_path / "bands.svg")
    text = words(tmp_path / "bands.svg")
    assert "DFT" not in text
    assert "|Σ" in text
    # of 11 bands each is two lines, and nothing joins them over the break
    blue = r'<path d="([^"]*)"[^>]*style="fill: none; stroke: #0072b2'
    paths = re.findall(blue, (tmp_path / "bands.svg").read_text())
    assert len(paths) == 22


def test_scaling_is_drawn_with_and_without_a_power_law(case_files: dict[str, Path], tmp_path: Path) -> None:
    files = CaseFiles(
        (case_files["trajectory"], case_files["couplings"]), case_files["dephasing"], case_files["lifetime"]
    )
    case = build_case(files, functional="pbe")
    sizes = [
        {
            **case,
            "supercell": str(n),
            "n_atoms": n,
            "nac_rms_meV": 20 / n,
            "lifetime_ns": life,
            "nac_rms_interval_meV": {"low": 18 / n, "high": 23 / n},
        }
        for n, life in zip(
            (48, 216, 576),
            ({"value": v, "low": v / 2, "high": 2 * v, "method": "m"} for v in (4.0, 25.0, 100.0)),
        )
    ]
    for cases in (sizes, sizes[:2]):
        write_json(tmp_path / "summary.json", build_summary(cases))
        draw("scaling", [tmp_path / "summary.json"], tmp_path / "scaling.svg")
        text = words(tmp_path / "scaling.svg")
        assert "Atoms" in text
        assert "TiO2,pbe" in text
        assert ("±" in text) == (len(cases) == 3)


def test_a_run_without_hops_says_so(tmp_path: Path) -> None:
    run = write_populations(tmp_path / "none.h5", lifetime_fs=1e12)
    draw("populations", [run], tmp_path / "none.svg")
    assert "nothingrecombined" in words(tmp_path / "none.svg")


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_other_formats(ending: str, case_files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / f"figure.{ending}"
    made = CliRunner().invoke(
        app, ["figures", str(case_files["dephasing"]), "--what", "dephasing", "--out", str(out)]
    )
    assert made.exit_code == 0, made.output
    assert out.read_bytes()[1:4] == {"png": b"PNG", "pdf": b"PDF"}[ending]


def test_wrong_inputs_are_told(case_files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not written as '\.gif'; name it"):
        draw("dephasing", [case_files["dephasing"]], tmp_path / "figure.gif")
    with pytest.raises(InputError, match="2 input files"):
        draw("dephasing", [case_files["dephasing"]] * 2, tmp_path / "figure.svg")
    with pytest.raises(InputError, match="0 populations files"):
        draw("populations", [case_files["lifetime"]], tmp_path / "figure.svg")
    with pytest.raises(InputError, match=r"lifetime\.json, field 'time_fs': the report does not have it"):
        draw("dephasing", [case_files["lifetime"]], tmp_path / "figure.svg")
    assert not list(tmp_path.iterdir())


def test_doubt_of_several_rounds_is_told_apart(tmp_path: Path) -> None:
    files = [tmp_path / f"round_{k}.json" for k in (1, 2)]
    for file, scale in zip(files, (1.0, 3.0)):
        write_json(file, doubt_report(wrong_by=scale))
    draw("doubt", files, tmp_path / "doubt.svg")
    text = words(tmp_path / "doubt.svg")
    assert "round1,48atoms" in text
    assert "round2,48atoms" in text
    rows = [row for scale in (1.0, 3.0) for row in doubt_report(wrong_by=scale)["doubt"]["frames"]]
    ratio = [abs(row[f"{e}_error_meV"] / row[f"{e}_spread_meV"]) for row in rows for e in ("vbm", "cbm")]
    within = [100 * sum(r < k for r in ratio) / len(ratio) for k in (1, 2)]
    assert f"within1,2spreads:{within[0]:.0f}%,{within[1]:.0f}%" in text


def test_a_model_that_does_not_doubt_is_told(tmp_path: Path) -> None:
    file = tmp_path / "hamiltonian.json"
    write_json(file, {"frames": [{"n_atoms": 6}], "doubt": None})
    with pytest.raises(InputError, match="does not tell how far it may be wrong"):
        draw("doubt", [file], tmp_path / "doubt.svg")
    write_json(file, {**doubt_report(), "frames": [{"n_atoms": 6}]})
    with pytest.raises(InputError, match="do not belong together"):
        draw("doubt", [file], tmp_path / "doubt.svg")
