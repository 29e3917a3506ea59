"""`n2amd analysis spectrum` from couplings and from run folders of Hefei-NAMD."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.analysis.spectra import spectrum_report
from n2amd.commands.analysis import app
from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.interop import hefei
from n2amd.units import HBAR_EV_FS, LIGHT_CM_FS

PARITY = Path(__file__).parents[1] / "data" / "hefei-namd-parity"


def vibrating_path(frames: int = 1200, *, complex_: bool = False, timestep: float = 1.0) -> ClassicalPath:
    """A gap driven at 300 cm^-1 by 40 meV and at 700 by 20, a coupling of 3 meV at 500."""
    time = timestep * np.arange(frames)
    angle = 2 * np.pi * LIGHT_CM_FS * time
    energies = np.zeros((frames, 3))
    energies[:, 1] = 1.5 + 0.04 * np.cos(300 * angle) + 0.02 * np.cos(700 * angle + 1)
    energies[:, 2] = 2.0 + 0.01 * np.cos(450 * angle)
    middle = 0.5 * (angle[1:] + angle[:-1])
    nac = np.zeros((frames - 1, 3, 3), dtype=complex if complex_ else float)
    nac[:, 0, 1] = 0.003 * np.cos(500 * middle) * (np.exp(0.7j) if complex_ else 1)
    nac[:, 1, 2] = 0.001 * np.cos(600 * middle)
    nac = nac - nac.conj().swapaxes(1, 2)
    return ClassicalPath(energies, timestep, "electron", np.arange(9, 12), 1, 0, nac=nac)


@pytest.mark.parametrize("complex_", [False, True])
def test_report_of_known_vibrations(complex_: bool) -> None:
    report = spectrum_report(vibrating_path(complex_=complex_), 0, 1, None)
    gap, coupling = report["gap"], report["coupling"]
    assert [round(line["wave_number_cm1"], -1) for line in gap["peaks"]] == [300, 700]
    for line, amplitude in zip(gap["peaks"], (40.0, 20.0)):
        assert line["amplitude_meV"] == pytest.approx(amplitude, rel=0.03)
    assert gap["mean_meV"] == pytest.approx(1500, rel=1e-3)
    (line,) = coupling["peaks"]
    assert line["wave_number_cm1"] == pytest.approx(500, abs=1)
    assert line["amplitude_meV"] == pytest.approx(3.0, rel=0.03)
    assert coupling["variance_meV2"] == pytest.approx(4.5, rel=0.01)
    for name in ("gap", "coupling"):
        area = np.trapezoid(report[name]["density_meV2_cm"], report[name]["wave_number_cm1"])
        assert area == pytest.approx(report[name]["variance_meV2"], rel=1e-9)
    assert (report["lag_fs"], report["bands"]) == (600.0, [9, 10])
    assert report["verdict"].startswith("lines are 71 cm^-1 wide (lag 600 fs of 1200 fs)")
    assert "trajectory of 17 ps" in report["verdict"]
    json.dumps(report, allow_nan=False)


def test_lag_of_the_settings() -> None:
    report = spectrum_report(vibrating_path(timestep=0.5), 0, 1, 100.0)
    assert report["lag_fs"] == 100.0
    assert report["resolution_cm1"] == pytest.approx(1.2753 / (LIGHT_CM_FS * 100), rel=1e-9)
    # 600 fs hold three parts of two lags: no scatter to take an error from
    assert report["gap"]["error_source"] == "chi-square"
    assert spectrum_report(vibrating_path(), 0, 1, 100.0)["gap"]["error_source"] == "blocks"
    with pytest.raises(InputError, match=r"spectrum_lag_fs'?: gap: a largest lag of 5000 fs"):
        spectrum_report(vibrating_path(), 0, 1, 5000.0)


def invoke(*arguments: object) -> str:
    made = CliRunner().invoke(app, ["spectrum", *map(str, arguments)])
    if made.exception and not isinstance(made.exception, SystemExit):
        raise made.exception
    assert made.exit_code == 0, made.output
    return made.output


def test_command_writes_everything(case_files: dict[str, Path], tmp_path: Path) -> None:
    out, table, libra = (tmp_path / name for name in ("s.json", "s.csv", "libra.csv"))
    said = invoke("--couplings", case_files["couplings"], "--out", out, "--table", table, "--libra", libra)
    report = json.loads(out.read_text())
    assert report["bands"] == [11, 12]
    assert "of the variance below" in said
    rows = list(csv.DictReader(table.open()))
    own = [row for row in rows if row["quantity"] == "gap"]
    np.testing.assert_allclose(
        [float(row["density_meV2_cm"]) for row in own], report["gap"]["density_meV2_cm"], rtol=1e-6
    )
    columns = list(csv.DictReader(libra.open()))
    assert len(columns) == 3000
    assert float(columns[0]["gap_J_acf1"]) == pytest.approx(0, abs=1e-6)  # deviations add up to zero
    assert set(columns[0]) == {
        "wave_number_cm1",
        *(f"{name}_{kind}_acf{n}" for name in ("gap", "coupling") for kind in ("J", "J2") for n in (0, 1)),
    }


def write_folder(folder: Path, *, hole: bool = False, complex_: bool = False, timestep: float = 1.0) -> None:
    path = vibrating_path(300, complex_=complex_, timestep=timestep)
    folder.mkdir()
    np.savetxt(folder / "EIGTXT", path.energies)
    numerator = path.nac.reshape(len(path.nac), -1) * 2 * timestep / HBAR_EV_FS
    if complex_:
        lines = [" ".join(f"({x.real:.12e},{x.imag:.12e})" for x in row) for row in numerator]
        (folder / "NATXT").write_text("\n".join(lines) + "\n")
    else:
        np.savetxt(folder / "NATXT", numerator, fmt="%.12e")
    (folder / "inp").write_text(
        f"&NAMDPARA\n BMIN = 10\n BMAX = 12\n NSW = 300\n POTIM = {timestep}\n"
        f" LHOLE = {'.TRUE.' if hole else '.FALSE.'}\n/\n"
    )


@pytest.mark.parametrize("complex_", [False, True])
def test_run_folder_gives_what_the_path_gives(tmp_path: Path, complex_: bool) -> None:
    """EIGTXT, NATXT and inp alone: an analysis needs no initial conditions."""
    write_folder(tmp_path / "run", complex_=complex_, timestep=0.5)
    invoke("--hefei", tmp_path / "run", "--out", tmp_path / "s.json")
    found = json.loads((tmp_path / "s.json").read_text())
    wanted = spectrum_report(vibrating_path(300, complex_=complex_, timestep=0.5), 0, 1, None)
    for name in ("gap", "coupling"):
        np.testing.assert_allclose(
            found[name]["density_meV2_cm"], wanted[name]["density_meV2_cm"], rtol=1e-6, atol=1e-9
        )


def test_edges_and_bands_of_a_run_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "run", hole=True)
    invoke("--hefei", tmp_path / "run", "--out", tmp_path / "hole.json")
    hole = json.loads((tmp_path / "hole.json").read_text())
    assert hole["bands"] == [10, 11]
    assert hole["coupling"]["std_meV"] == pytest.approx(1 / np.sqrt(2), rel=0.02)
    invoke("--hefei", tmp_path / "run", "--out", tmp_path / "named.json", "--bands", 10, 11)
    assert json.loads((tmp_path / "named.json").read_text())["bands"] == [9, 10]
    with pytest.raises(
        InputError, match="band 9 is not one of those that the file holds; choose two of 10, 11"
    ):
        invoke("--hefei", tmp_path / "run", "--out", tmp_path / "x.json", "--bands", 9, 10)


def test_the_parity_case_of_hefei_namd(tmp_path: Path) -> None:
    said = invoke("--hefei", PARITY, "--out", tmp_path / "s.json")
    report = json.loads((tmp_path / "s.json").read_text())
    assert report["n_frames"] == 2000
    assert report["coupling"]["peaks"][0]["wave_number_cm1"] == pytest.approx(517, abs=3)
    assert "lines are 43 cm^-1 wide (lag 1000 fs of 2000 fs)" in said


def test_what_cannot_be_analysed_is_told(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "s.json")
    with pytest.raises(InputError, match="give either --couplings or --hefei"):
        invoke(*out)
    write_folder(tmp_path / "run")
    shutil.copy(tmp_path / "run/NATXT", tmp_path / "whole")
    (tmp_path / "run/NATXT").write_text("\n".join((tmp_path / "whole").read_text().splitlines()[:100]))
    with pytest.raises(InputError, match=r"NATXT.*100 rows for the 299 intervals"):
        invoke("--hefei", tmp_path / "run", *out)
    (tmp_path / "run/NATXT").unlink()
    with pytest.raises(InputError, match=r"NATXT.*does not exist"):
        hefei.read_series(tmp_path / "run")
    assert not (tmp_path / "s.json").exists()
