"""CP2K run for real, where it is installed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from n2amd.config.engines import Cp2kSettings
from n2amd.dft.engines.campaign import run_frames
from n2amd.dft.engines.cp2k import Cp2k
from n2amd.dft.engines.kmesh import half_mesh
from n2amd.structure import Structure

pytestmark = [pytest.mark.slow, pytest.mark.cp2k, pytest.mark.usefixtures("data_of_programs")]
SETTINGS = Cp2kSettings(basis="SZV-MOLOPT-SR-GTH", cutoff_Ry=120.0, kpoints=(2, 2, 2))


def silicon() -> Structure:
    perfect = Structure.from_ase(bulk("Si", a=5.43))
    return perfect.with_positions(perfect.positions + np.array([[0, 0, 0], [0.05, -0.02, 0.03]]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cp2k")
    campaign = run_frames(Cp2k(SETTINGS), SETTINGS, [(0, silicon())], out)
    assert not campaign.failed, campaign.failed
    return out / "frame_0000"


def test_a_frame_is_left_whole(folder: Path) -> None:
    """Gamma is in the mesh, and the bands are those of the mesh and of two points off it."""
    log = (folder / "cp2k.out").read_text()
    assert "BRILLOUIN| K-Point grid                                             2    2    2" in log
    assert "BRILLOUIN|     1           0.12500        0.00000        0.00000        0.00000" in log
    kpoints, _ = half_mesh(SETTINGS.kpoints)
    points = [
        line.split()[5:8] for line in (folder / "n2amd.bs").read_text().splitlines() if "Spin 1:" in line
    ]
    assert np.array(points, dtype=float)[: len(kpoints)] == pytest.approx(kpoints)
    assert len(points) == len(kpoints) + 2
    images = len(list(folder.glob("n2amd-KS_SPIN_1_R_*.csr")))
    assert images == len(list(folder.glob("n2amd-S_SPIN_1_R_*.csr"))) > 100
    assert json.loads((folder / "run.json").read_text())["provenance"]["cpu_seconds"] > 0


def test_the_frame_passes_the_gate(folder: Path) -> None:
    from n2amd.dataset.gate import measure, verdict
    from n2amd.dft.readers import reader_for

    frame, basis = reader_for("cp2k").read(folder, "cp2k")
    figures = measure(frame, basis)
    verdict(frame, figures)
    assert figures["eigenvalue_error"] < 0.01
    assert frame.structure.positions == pytest.approx(silicon().positions, abs=1e-9)
    assert frame.forces is not None
    assert frame.stress is not None
    assert np.abs(frame.forces.sum(axis=0)).max() < 1e-3


@pytest.mark.pyscf
def test_cp2k_and_pyscf_agree(folder: Path, tmp_path: Path) -> None:
    """The same basis, pseudopotential and k mesh in two programs: total energy, forces, stress."""
    from n2amd.config.engines import PyscfSettings
    from n2amd.dft.cp2k.log import read_log
    from n2amd.dft.engines.pyscf_job import _gradients, _scf, build_cell
    from n2amd.dft.pyscf.frame import HARTREE_EV
    from n2amd.units import BOHR_ANGSTROM

    settings = PyscfSettings(basis=SETTINGS.basis, kpoints=SETTINGS.kpoints, ke_cutoff_Ha=40.0, stress=True)
    scf = _scf(build_cell(silicon(), settings), settings)
    found = _gradients(scf, settings)
    log = read_log(folder / "cp2k.out")
    bohr = BOHR_ANGSTROM
    assert log.energy / log.hartree == pytest.approx(scf.e_tot, abs=2e-5)
    assert log.forces * bohr / log.hartree == pytest.approx(found["forces"], abs=5e-5)
    assert log.stress == pytest.approx(HARTREE_EV / bohr**3 * found["stress"], abs=0.05 / 160.21766208)


def test_a_cycle_that_does_not_converge_fails_alone(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"max_scf": 2})
    campaign = run_frames(Cp2k(settings), settings, [(3, silicon())], tmp_path)
    assert "the SCF cycle did not converge in 2 steps" in campaign.failed["frame_0003"]


def test_what_cp2k_complains_of_is_passed_on(tmp_path: Path) -> None:
    """Two atoms at one place."""
    broken = silicon().with_positions(np.zeros((2, 3)))
    campaign = run_frames(Cp2k(SETTINGS), SETTINGS, [(0, broken)], tmp_path)
    assert "CP2K stopped" in campaign.failed["frame_0000"] or "converge" in campaign.failed["frame_0000"]
    assert len(campaign.failed["frame_0000"]) < 600
