"""Ingredients of H0 from .vps and .pao files, written here from functions whose potentials are known."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from n2amd.dft.openmx.frame import read_frame
from n2amd.dft.openmx.vps import read_atom
from n2amd.errors import InputError
from n2amd.units import OPENMX_BOHR_ANGSTROM as BOHR
from n2amd.units import OPENMX_HARTREE_EV as HARTREE

SAMPLES = Path(__file__).parents[1] / "data" / "openmx"
X = np.linspace(-8.0, 2.3, 500)
R = np.exp(X)
#: Width of the local potential's and of the electrons' charge, Bohr.
CORE, CLOUD = 0.7, 1.1
END = 2.5


def shape(width: float) -> np.ndarray:
    return np.where(R < END, (1 - (R / END) ** 2) ** 3 * np.exp(-((R / width) ** 2)), 0.0)


def block(name: str, *columns: np.ndarray) -> str:
    rows = "\n".join(" ".join(f"{x:.14e}" for x in row) for row in np.column_stack([X, R, *columns]))
    return f"<{name}\n{rows}\n{name}>\n"


def vps(*, split: bool = True, core: bool = True) -> str:
    """Charge 4; an s projector, and a p projector whose two spins differ."""
    local = -4 * erf(R / CORE) / R
    s, up, down = shape(1.0), R * shape(1.3), R * shape(0.9)
    energies = "0 1.0 1.0\n1 -2.0 1.0" if split else "0 1.0\n1 -2.0"
    columns = [local, s, s, up, down] if split else [local, s, up]
    return (
        f"valence.electron 4.0 # of it\ncharge.pcc.calc {'ON' if core else 'off'} # ON|OFF\n"
        f"j.dependent.pseudo.potentials {'on' if split else 'off'}\n"
        f"<project.energies\n 2\n{energies}\nproject.energies>\n"
        + block("Pseudo.Potentials", *columns)
        + (block("density.PCC", 0.3 * np.exp(-(R**2))) if core else "")
    )


def pao(cutoff: float = 7.0) -> str:
    """Electrons of a Gaussian; their number is not the valence charge."""
    density = 4.5 * np.exp(-((R / CLOUD) ** 2)) / (np.pi**1.5 * CLOUD**3)
    return f"radial.cutoff.pao {cutoff}\n" + block("valence.charge.density", density)


def write(folder: Path, pseudopotential: str, orbitals: str | None = None) -> tuple[Path, Path]:
    paths = folder / "Si_PBE19.vps", folder / "Si7.0.pao"
    for path, text in zip(paths, (pseudopotential, orbitals or pao())):
        path.write_text(text)
    return paths


@pytest.fixture
def atom(tmp_path):
    return read_atom(14, *write(tmp_path, vps()))


def table(radial):
    return radial.step * np.arange(len(radial.values)), radial.values


def test_neutral_potential_is_that_of_two_charges(atom):
    r, values = table(atom.neutral_potential)
    inside = (r > 0.02) & (r < 3.0)
    bohr = r[inside] / BOHR
    expected = 4 * HARTREE * (erf(bohr / CLOUD) - erf(bohr / CORE)) / bohr
    np.testing.assert_allclose(values[inside], expected, atol=2e-3)
    assert np.abs(values[r > 7.5 * BOHR]).max() < 1e-6


def test_density_holds_the_valence_electrons(atom):
    r, values = table(atom.density)
    assert np.trapezoid(4 * np.pi * r**2 * values, r) == pytest.approx(4.0, abs=1e-4)
    assert atom.density.cutoff == pytest.approx(7.0 * BOHR)
    r, values = table(atom.core_density)
    np.testing.assert_allclose(values[1:], 0.3 * np.exp(-((r[1:] / BOHR) ** 2)) / BOHR**3, atol=1e-4)


def test_projectors_are_averaged_over_the_spin_and_normalised(atom):
    s, p = atom.projectors
    assert (s.shell.l, p.shell.l) == (0, 1)
    for projector, l in ((s, 0), (p, 1)):
        r, values = table(projector.shell.radial)
        assert np.trapezoid(r ** (2 + 2 * l) * values**2, r) == pytest.approx(1.0, abs=1e-3)
        assert projector.shell.radial.cutoff == pytest.approx(END * BOHR, rel=0.05)
    mean = R * (2 * shape(1.3) + shape(0.9)) / 3
    norm = np.trapezoid(R**3 * mean**2, X)
    assert p.energy == pytest.approx((2 * -2.0 + 1.0) / 3 * norm * HARTREE, rel=1e-6)
    assert s.energy == pytest.approx(np.trapezoid(R**3 * shape(1.0) ** 2, X) * HARTREE, rel=1e-6)


def test_projectors_of_each_total_momentum_are_kept_apart(atom):
    upper, lower = atom.split_projectors
    assert (upper.upper, lower.upper) == (True, False)
    for projector, energy, width in ((upper, -2.0, 1.3), (lower, 1.0, 0.9)):
        assert projector.shell.l == 1
        norm = np.trapezoid(R**3 * (R * shape(width)) ** 2, X)
        assert projector.energy == pytest.approx(energy * norm * HARTREE, rel=1e-6)
        r, values = table(projector.shell.radial)
        assert np.trapezoid(r**4 * values**2, r) == pytest.approx(1.0, abs=1e-3)


def test_files_without_spin_and_core(tmp_path):
    atom = read_atom(14, *write(tmp_path, vps(split=False, core=False)))
    assert atom.core_density is None
    assert atom.split_projectors == ()
    assert atom.projectors[1].energy == pytest.approx(
        -2.0 * np.trapezoid(R**5 * shape(1.3) ** 2, X) * HARTREE, rel=1e-6
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("valence.electron", "electrons", "valence.electron"),
        ("<project.energies", "<energies", "no projectors"),
        ("Pseudo.Potentials>", "", "missing or cut"),
        ("\n1 -2.0 1.0", "\n1 -2.0 1.0\n2 -1.0 -1.0", "columns"),
    ],
)
def test_damaged_files_are_refused(tmp_path, old, new, message):
    paths = write(tmp_path, vps().replace(old, new))
    with pytest.raises(InputError, match=message):
        read_atom(14, *paths)


@pytest.fixture
def run(tmp_path):
    """Sample of silicene with tables beside it, made up but for the orbitals."""
    for path in (SAMPLES / "silicene").iterdir():
        shutil.copy(path, tmp_path)
    orbitals = lzma.decompress((SAMPLES / "pao" / "Si7.0.pao.xz").read_bytes()).decode()
    if "<valence.charge.density" not in orbitals:
        orbitals += pao().split("\n", 1)[1]
    (tmp_path / "Si7.0.pao").write_text(orbitals)
    return tmp_path


def test_a_run_with_its_tables_has_ingredients(run):
    (run / "vps").mkdir()
    (run / "vps" / "Si_PBE19.vps").write_text(vps())
    frame, _ = read_frame(run)
    found = frame.ingredients
    assert (found.scheme, found.functional, found.mesh_cutoff) == ("openmx", "PBE", 200.0)
    assert len(found[14].projectors) == 2
    assert "h0" not in frame.origin
    mesh = found.mesh_of(frame.structure.cell)
    assert mesh.shape == (28, 28, 128)  # as in its log
    # the middle of the mesh, between two points along even numbers, is the middle of the atoms
    placed = found.on_mesh(frame.structure)
    middle = placed.positions.mean(axis=0) @ np.linalg.inv(mesh.cell) * mesh.shape
    np.testing.assert_allclose(middle, [13.5, 13.5, 63.5], atol=1e-9)


def test_without_its_pseudopotential_a_run_says_so(run):
    frame, _ = read_frame(run)
    assert frame.ingredients is None
    assert frame.origin["h0"] == "no .vps file of Si_PBE19"
    assert frame.origin["smearing"] == "Fermi-Dirac of order 0, 0.02585199979 eV"


def test_what_h0_does_not_have():
    frame, _ = read_frame(SAMPLES / "mos2_soc")
    assert frame.ingredients is None
    assert "spin-orbit" in frame.origin["h0"]
