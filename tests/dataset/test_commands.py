"""The commands on raw frames: what passes, and what each planted defect is answered with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import read as ase_read
from hsx_writer import write_hsx
from typer.testing import CliRunner

from edited import edited
from n2amd.commands.dataset import app, available_cores
from n2amd.dataset.store import read_attributes, read_frames, read_gate
from n2amd.dft.files import read_text
from n2amd.dft.siesta.constants import LEGACY
from n2amd.dft.siesta.hsx import SparseMatrices, read_hsx
from n2amd.dft.siesta.ion_xml import read_ions
from n2amd.dft.siesta.tables import read_orbital_table
from n2amd.errors import InputError
from n2amd.frames.channels import occupied_bands

Copy = Callable[..., Path]


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*words: str | Path) -> InputError:
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value


def change_hsx(folder: Path, change: Callable[[SparseMatrices], SparseMatrices]) -> None:
    path = folder / "TiO2.HSX.xz"
    write_hsx(path, change(read_hsx(path)))


@pytest.fixture(scope="module")
def trajectory(resources, tmp_path_factory) -> Path:
    """Three consecutive frames as a data set, with the gate's figures beside it."""
    out = tmp_path_factory.mktemp("md") / "md.h5"
    folders = [resources / "TiO2_6_md" / f"frame_000{n}" for n in range(3)]
    options = ["--consecutive", "--timestep-fs", "1.0", "--json", out.with_suffix(".json")]
    output = run("ingest", *folders, "--code", "honpas", "--out", out, *options)
    assert "3 frames" in output
    return out


def test_ingest_writes_frames_figures_and_velocities(trajectory):
    attributes = read_attributes(trajectory)
    assert (attributes["consecutive"], attributes["timestep_fs"], attributes["functional"]) == (1, 1.0, "pbe")
    assert attributes["velocities"].startswith("derived")
    frames = list(read_frames(trajectory))
    assert [frame.name for frame in frames] == [f"TiO2_6_md/frame_000{n}" for n in range(3)]
    # the step from frame to frame is that of velocity Verlet: r' = r + v dt + a dt^2 / 2, so v is exact
    mean = (frames[2].structure.positions - frames[0].structure.positions) / 2
    assert frames[1].velocities == pytest.approx(mean, abs=1e-12)
    document = json.loads(trajectory.with_suffix(".json").read_text())
    assert [entry["name"] for entry in document["frames"]] == [frame.name for frame in frames]
    assert max(entry["eigenvalue_error"] for entry in document["frames"]) < 0.02
    assert read_gate(trajectory)["eigenvalue_error"].max() < 0.02


def test_check_info_split_and_export(trajectory, tmp_path):
    assert "ok (3 frames)" in run("check", trajectory)
    description = run("info", trajectory)
    assert "3 of Ti2O4" in description
    assert "19 orbitals: 3s, 4s, 4s z2, 3p, 4p, 3d, 3d z2" in description
    parts = json.loads(run("split", trajectory, "--settings", '{"seed": 4}'))
    assert sorted(parts["train"] + parts["validation"] + parts["test"]) == [0, 1, 2]
    run(
        "split",
        trajectory,
        "--section",
        "forcefield",
        "--settings",
        '{"seed": 4}',
        "--out",
        tmp_path / "s.json",
    )
    assert json.loads((tmp_path / "s.json").read_text())["test"] == parts["test"]
    assert "3 frames" in run("export", trajectory, "--out", tmp_path / "f.extxyz")
    for atoms, frame in zip(ase_read(tmp_path / "f.extxyz", ":"), read_frames(trajectory), strict=True):
        assert atoms.get_potential_energy() == pytest.approx(frame.energy, abs=1e-6)
        assert atoms.get_forces() == pytest.approx(frame.forces, abs=1e-7)
        assert atoms.positions == pytest.approx(frame.structure.positions, abs=1e-7)
        assert atoms.get_stress(voigt=False) == pytest.approx(frame.stress, abs=1e-7)


def test_check_writes_the_figures_of_every_frame(trajectory, tmp_path):
    output = run("check", trajectory, "--json", tmp_path / "check.json")
    assert "frame by frame" in output
    assert "TiO2_6_md/frame_0002" in output
    assert "frame by frame" not in run("check", trajectory, "--summary")
    ours = json.loads((tmp_path / "check.json").read_text())["frames"]
    theirs = json.loads(trajectory.with_suffix(".json").read_text())["frames"]
    for found, expected in zip(ours, theirs, strict=True):
        assert found["name"] == expected["name"]
        assert found["eigenvalue_error"] == pytest.approx(expected["eigenvalue_error"], abs=1e-6)


def test_check_compares_the_frames_with_each_other(trajectory, tmp_path):
    """A data set that was tampered with: the forces of the second frame reversed and put in the third."""
    spoilt = tmp_path / "d.h5"
    shutil.copy(trajectory, spoilt)
    with edited(spoilt) as file:
        file["atoms/forces"][12:] = file["atoms/forces"][6:12]
    assert "the forces are those of frame TiO2_6_md/frame_0001" in str(refusal("check", spoilt))


def test_info_as_json_and_merge(trajectory, resources, tmp_path):
    document = json.loads(run("info", trajectory, "--json"))
    assert document["code, functional"] == "honpas, pbe"
    run(
        "ingest",
        resources / "TiO2_6_md" / "frame_0003",
        "--code",
        "honpas",
        "--consecutive",
        "--out",
        tmp_path / "3.h5",
    )
    assert "4 frames" in run("merge", trajectory, tmp_path / "3.h5", "--out", tmp_path / "all.h5")


@pytest.mark.parametrize("fixed", [False, True])
def test_a_spin_polarised_frame_passes(copy_frames: Copy, tmp_path, fixed: bool):
    """The same bands twice, the second spin raised by 0.25 eV (a multiple of S), in HSX and in EIG.

    With FixSpin each spin has a Fermi level of its own, and zero stands for both in EIG.
    """
    folder = copy_frames(0) / "frame_0000"
    change_hsx(
        folder,
        lambda m: replace(
            m, hamiltonian=np.stack([m.hamiltonian[0], m.hamiltonian[0] + 0.25 / 13.6058 * m.overlap])
        ),
    )
    lines = read_text(folder / "TiO2.EIG.xz").splitlines()
    table = np.array(" ".join(lines[2:]).split(), float).reshape(60, 91)
    doubled = [" ".join(map(repr, [*row.tolist(), *(row[1:] + 0.25).tolist()])) for row in table]
    (folder / "TiO2.EIG.xz").unlink()
    level = " 0.00000" if fixed else lines[0]
    (folder / "TiO2.EIG").write_text("\n".join([level, " 90 2 60", *doubled]))
    if fixed:
        text = read_text(folder / "in.fdf.xz") + "\nFixSpin .true.\nTotalSpin 0.0\n"
        (folder / "in.fdf").write_text(text)
        for name in ("in.fdf.xz", "out.xz"):
            (folder / name).unlink()
    run("ingest", folder, "--code", "siesta", "--out", tmp_path / "d.h5")
    frame = next(read_frames(tmp_path / "d.h5"))
    assert frame.hamiltonian.n_spin == 2
    assert frame.bands.energies.shape == (60, 2, 90)
    assert read_gate(tmp_path / "d.h5")["eigenvalue_error"][0] < 0.02
    assert frame.fixed_moment == (0.0 if fixed else None)
    assert (frame.fermi_level is None) == fixed
    assert occupied_bands(frame) == (24, 24)


def truncated(folder: Path) -> None:
    path = folder / "TiO2.HSX.xz"
    path.write_bytes(path.read_bytes()[:-100_000])


def without_hsx(folder: Path) -> None:
    (folder / "TiO2.HSX.xz").unlink()


def other_radius(folder: Path) -> None:
    path = folder.parent / "Ti.ion.xml.xz"
    text = read_text(path).replace("<cutoff>      5.25371844433", "<cutoff>      5.35371844433")
    path.unlink()
    (folder / "Ti.ion.xml").write_text(text)
    shutil.copy(folder.parent / "O.ion.xml.xz", folder)


def other_shells(folder: Path) -> None:
    path = folder.parent / "Ti.ion.xml.xz"
    text = read_text(path).replace(' n="                        4"', ' n="                        5"')
    path.unlink()
    (folder.parent / "Ti.ion.xml").write_text(text)


def hamiltonian_in_electronvolt(folder: Path) -> None:
    change_hsx(folder, lambda m: replace(m, hamiltonian=m.hamiltonian * 13.6058))


def geometry_in_angstrom(folder: Path) -> None:
    path = folder / "TiO2.XV"
    lines = path.read_text().splitlines()
    rows = [
        [*line.split()[:-6], *(float(x) * 0.529177 for x in line.split()[-6:])]
        for line in lines
        if len(line) > 20
    ]
    text = [" ".join(map(str, row)) for row in rows]
    path.write_text("\n".join([*text[:3], lines[3], *text[3:]]))


def missing_odd_sign(folder: Path) -> None:
    quantum = read_orbital_table(folder.parent / "TiO2.ORB_INDX.xz").quantum
    sign = np.where(quantum[:, 2] % 2, -1.0, 1.0)

    def flip(m: SparseMatrices) -> SparseMatrices:
        both = sign[m.row] * sign[m.column]
        return replace(m, hamiltonian=m.hamiltonian * both, overlap=m.overlap * both)

    change_hsx(folder, flip)


def unknown_element(folder: Path) -> None:
    path = folder / "TiO2.XV"
    path.write_text(path.read_text().replace("  2     8  ", "  2   999  "))


def not_a_number(folder: Path) -> None:
    def spoil(m: SparseMatrices) -> SparseMatrices:
        values = m.hamiltonian.copy()
        values[0, 1234] = np.nan
        return replace(m, hamiltonian=values)

    change_hsx(folder, spoil)


def eigenvalues_of_another_frame(folder: Path) -> None:
    shutil.copy(folder.parent.parent / "other.EIG.xz", folder / "TiO2.EIG.xz")


def not_hermitian(folder: Path) -> None:
    def tilt(m: SparseMatrices) -> SparseMatrices:
        values = m.hamiltonian.copy()
        values[0, 7] += 0.01
        return replace(m, hamiltonian=values)

    change_hsx(folder, tilt)


@pytest.mark.parametrize(
    ("defect", "messages"),
    [
        (truncated, ["TiO2.HSX.xz", "cut or damaged", "copy it again"]),
        (without_hsx, ["frame_0001", "no file *.HSX"]),
        (other_radius, ["frame_0001", "another basis", "orbital 2 is 4s", "2.780 A in ORB_INDX", "2.833 A"]),
        (other_shells, ["another basis", "HSX has 3s, 4s, 4s z2", "the .ion.xml file 3s, 5s"]),
        (hamiltonian_in_electronvolt, ["TiO2_6_md/frame_0001", "eigenvalue_error", "in eV where Rydberg"]),
        (geometry_in_angstrom, ["frame_0001", "0.529 times", "XV holds Angstrom where Bohr is expected"]),
        (missing_odd_sign, ["TiO2_6_md/frame_0001", "two_centre_residual", "orbital order and signs"]),
        (unknown_element, ["TiO2.XV", "atomic number 999 is no element"]),
        (not_a_number, ["TiO2_6_md/frame_0001", "NaN or infinite"]),
        (
            eigenvalues_of_another_frame,
            ["TiO2_6_md/frame_0001", "eigenvalue_error", "meV, must be at most 1"],
        ),
        (not_hermitian, ["TiO2_6_md/frame_0001", "hermiticity_error"]),
    ],
)
def test_a_defect_is_refused_with_its_reason(defect, messages, copy_frames: Copy, resources, tmp_path):
    shutil.copy(resources / "TiO2_6_md" / "frame_0009" / "TiO2.EIG.xz", tmp_path / "other.EIG.xz")
    folder = copy_frames(1) / "frame_0001"
    (folder / "out.xz").unlink()  # it would tell some defects before the gate does
    defect(folder)
    sentence = str(refusal("ingest", folder, "--code", "honpas", "--out", tmp_path / "d.h5"))
    assert all(message in sentence for message in messages), sentence
    assert "\n" not in sentence
    assert not (tmp_path / "d.h5").exists()


def test_frames_without_eigenvalues_are_accepted_on_demand(copy_frames: Copy, tmp_path):
    frames = copy_frames(0)
    (frames / "frame_0000" / "TiO2.EIG.xz").unlink()
    words = ["ingest", frames, "--code", "honpas", "--out", tmp_path / "d.h5"]
    assert "(--without-bands)" in str(refusal(*words))
    run(*words, "--without-bands")
    assert "eigenvalue_error" not in read_gate(tmp_path / "d.h5")
    assert "ok (1 frames)" in run("check", tmp_path / "d.h5")


#: The files of a frame, and what the message about its first half says.
HALVES = {
    "TiO2.HSX.xz": "cut or damaged",
    "TiO2.EIG.xz": "cut or damaged",
    "in.fdf.xz": "cut or damaged",
    "TiO2.KP.xz": "cut or damaged",
    "TiO2.XV": "copy it again",
    "TiO2.FA": "copy it again",
}


@pytest.mark.parametrize("name", HALVES)
def test_half_of_any_file_is_refused(name, copy_frames: Copy, tmp_path):
    folder = copy_frames(1) / "frame_0001"
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    sentence = str(refusal("ingest", folder, "--code", "honpas", "--out", tmp_path / "d.h5"))
    assert name in sentence
    assert HALVES[name] in sentence


@pytest.mark.parametrize("name", ["Ti.ion.xml.xz", "TiO2.ORB_INDX.xz"])
def test_half_of_a_shared_file_is_refused(name, copy_frames: Copy, tmp_path):
    folder = copy_frames(1)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    sentence = str(refusal("ingest", folder, "--code", "honpas", "--out", tmp_path / "d.h5"))
    assert f"{name}: the compressed file is cut or damaged" in sentence


def test_a_duplicate_is_refused_or_dropped(copy_frames: Copy, tmp_path):
    frames = copy_frames(0)
    shutil.copytree(frames / "frame_0000", frames / "frame_0001")
    words = ["ingest", frames, "--code", "honpas", "--out", tmp_path / "d.h5"]
    assert "frame TiO2_6_md/frame_0001: the geometry is that of frame TiO2_6_md/frame_0000" in str(
        refusal(*words)
    )
    output = run(*words, "--skip-bad", "--json", tmp_path / "gate.json")
    assert "1 frames" in output
    assert "warning: dropped: frame TiO2_6_md/frame_0001" in output
    assert len(json.loads((tmp_path / "gate.json").read_text())["refused"]) == 1


def test_energies_and_functionals_must_agree(copy_frames: Copy, tmp_path):
    frames = copy_frames(0, 1)
    words = ["ingest", frames, "--code", "honpas", "--out", tmp_path / "d.h5"]
    (frames / "frame_0001" / "out.xz").unlink()  # it would tell before the frames are compared
    stress = frames / "frame_0001" / "FORCE_STRESS"
    text = stress.read_text()
    stress.write_text(text.replace("-380.", "-5171.", 1))
    assert "eV per atom from frame TiO2_6_md/frame_0000" in str(refusal(*words))
    stress.write_text(text)
    fdf = frames / "frame_0001" / "in.fdf.xz"
    hybrid = read_text(fdf).replace("XC.Authors PBE", "XC.Authors HSE06")
    fdf.unlink()
    (frames / "frame_0001" / "in.fdf").write_text(hybrid)
    assert "computed with functional HSE06, the frames before with PBE" in str(refusal(*words))


def test_frames_that_do_not_follow_in_time_are_refused(resources, tmp_path):
    folders = [resources / "TiO2_6_train" / f"frame_000{n}" for n in (0, 1)]
    sentence = str(
        refusal("ingest", *folders, "--code", "honpas", "--consecutive", "--out", tmp_path / "d.h5")
    )
    assert "a kinetic energy of" in sentence
    assert "--timestep-fs" in sentence


def test_consecutive_frames_cannot_be_skipped(resources, tmp_path):
    words = ["--code", "honpas", "--consecutive", "--skip-bad", "--out", tmp_path / "d.h5"]
    assert "leaves a gap in time" in str(refusal("ingest", resources / "TiO2_6_md", *words))


def test_no_frames_is_bad_input(tmp_path):
    (tmp_path / "empty").mkdir()
    words = ["--code", "honpas", "--out", tmp_path / "d.h5"]
    assert "no frame found" in str(refusal("ingest", tmp_path / "empty", *words))
    assert "no such folder" in str(refusal("ingest", tmp_path / "nowhere", *words))


def test_the_program_exits_with_2_and_one_sentence(copy_frames: Copy, tmp_path):
    folder = copy_frames(1) / "frame_0001"
    without_hsx(folder)
    words = ["dataset", "ingest", str(folder), "--code", "honpas", "--out", str(tmp_path / "d.h5")]
    done = subprocess.run(
        [sys.executable, "-m", "n2amd.cli", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert "no file *.HSX" in done.stderr


@pytest.mark.slow
def test_workers_give_the_same_file_contents(resources, tmp_path):
    """Eight frames through two worker processes equal the same frames read here, in the same order."""
    folders = [resources / "TiO2_6_md" / f"frame_{n:04d}" for n in range(8)]
    for jobs in ("1", "2"):
        run("ingest", *folders, "--code", "honpas", "--jobs", jobs, "--out", tmp_path / f"{jobs}.h5")
    for one, two in zip(read_frames(tmp_path / "1.h5"), read_frames(tmp_path / "2.h5"), strict=True):
        assert one.name == two.name
        assert all(
            np.array_equal(one.hamiltonian.values[k], two.hamiltonian.values[k])
            for k in one.hamiltonian.pairs
        )


def test_cores_are_shared_with_the_threads_claimed(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    found = []
    for claimed in ("1", "4", "16", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", claimed)
        found.append(available_cores())
    assert found == [8, 2, 1, 8]


def test_the_basis_of_the_data_set_is_the_basis_of_the_run(trajectory, resources):
    from n2amd.dataset.store import read_basis as stored_basis

    ions = read_ions(resources / "TiO2_6_md", LEGACY)
    assert stored_basis(trajectory).atoms == {ion.atom.number: ion.atom for ion in ions}
