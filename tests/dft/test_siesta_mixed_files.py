"""Files of another run, step or functional in the folder of a frame: each is told from the others."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from n2amd.dataset.gate import measure, verdict
from n2amd.dft.files import read_text
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError

HSE06 = Path(__file__).parents[1] / "data" / "honpas-gaas2-hse06-sz"


@pytest.fixture
def hse06(tmp_path: Path) -> Path:
    return next(Path(shutil.copytree(HSE06, tmp_path / "set")).glob("frame_*"))


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the first match of a pattern in a file of a folder, which becomes a plain one."""
    path = next(folder.glob(f"{name}*"))
    text = read_text(path)
    path.unlink()
    assert re.search(old, text)
    (folder / name).write_text(re.sub(old, new, text, count=1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TiO2.FA", r"TiO2\.FA, field 'forces': the forces differ from those of FORCE_STRESS by up to"),
        ("FORCE_STRESS", r"field 'energy': the energy is .* at the end of the log: of two runs or steps"),
        ("TiO2.EIG", r"field 'EIG, log': Fermi level .* eV in EIG, .* at the end of the log"),
        ("out", r"field 'EIG, log': Fermi level"),
    ],
)
def test_a_file_of_the_next_step_is_refused(name, message, frame_folder, resources):
    source = next((resources / "TiO2_6_md" / "frame_0001").glob(f"{name}*"))
    next(frame_folder.glob(f"{name}*")).unlink()
    shutil.copy(source, frame_folder)
    with pytest.raises(InputError, match=message):
        read_frame(frame_folder)


def test_forces_of_held_atoms_are_zero_in_one_file_only(frame_folder):
    lines = (frame_folder / "FORCE_STRESS").read_text().splitlines()
    words = lines[5].split()
    lines[5] = " ".join([*words[:2], "0.0", "0.0", "0.0", *words[5:]])
    (frame_folder / "FORCE_STRESS").write_text("\n".join(lines))
    assert read_frame(frame_folder)[0].forces[0].any()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("XC.Authors +HSE06", "XC.Authors PBE", "with the functional HSE06, its input names PBE"),
        ("NumberOfAtoms +2", "NumberOfAtoms 3", "NumberOfAtoms is 3 in the fdf input, 2 in the run"),
        ("SystemLabel", "NetCharge 1.d0\nSystemLabel", "NetCharge is 1 in the fdf input, 0 in the run"),
        ("SystemLabel", "Spin non-collinear\nSystemLabel", "is 4 in the fdf input, 1 in the run"),
        ("SystemLabel", "SpinPolarized T\nSystemLabel", "is 2 in the fdf input, 1 in the run"),
    ],
)
def test_an_input_of_another_run_is_refused(old, new, message, hse06):
    edit(hse06, "in.fdf", old, new)
    with pytest.raises(InputError, match=message):
        read_frame(hse06)


def test_the_log_names_the_functional_where_the_input_is_missing(hse06):
    next(hse06.glob("in.fdf*")).unlink()
    assert read_frame(hse06)[0].origin["functional"] == "HSE06"


def test_without_eigenvalues_a_frame_is_one_that_must_be_asked_for(frame_folder):
    fermi = read_frame(frame_folder)[0].fermi_level
    next(frame_folder.glob("TiO2.EIG*")).unlink()
    frame, basis = read_frame(frame_folder)
    assert frame.bands is None
    assert frame.fermi_level == pytest.approx(fermi, abs=1e-5)
    with pytest.raises(InputError, match=r"own eigenvalues are missing.*--without-bands"):
        verdict(frame, measure(frame, basis))


def test_k_points_out_of_order_are_refused(frame_folder):
    edit(frame_folder, "TiO2.EIG", r"\n +1 ", "\n         2 ")
    with pytest.raises(InputError, match="the k points are not numbered 1 to"):
        read_frame(frame_folder)
