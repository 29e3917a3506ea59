"""The main output of CP2K as its versions print it, from our own runs rewritten in their formats."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from cp2k_versions import VERSIONS, as_version, with_forces
from two_centre_crystal import band_error

from n2amd.config.engines import Cp2kSettings
from n2amd.dft.cp2k.frame import read_frame
from n2amd.dft.cp2k.log import read_log
from n2amd.dft.engines.cp2k import Cp2k
from n2amd.errors import ComputationError, InputError


@pytest.fixture
def run(cp2k_runs, tmp_path):
    """A writable copy of the Si2 run."""
    return shutil.copytree(cp2k_runs / "si2", tmp_path / "si2")


@pytest.fixture(scope="module")
def expected(cp2k_runs):
    """Its log as version 2023.1 printed it."""
    return read_log(cp2k_runs / "si2" / "si2.out")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_log_of_every_version(version, expected, cp2k_runs, tmp_path):
    """The same numbers from the log as each version prints it."""
    path = tmp_path / "si2.out"
    path.write_text(as_version((cp2k_runs / "si2" / "si2.out").read_text(), version))
    log = read_log(path)
    assert log.origin["version"] == version
    assert log.pbc == (None if float(version) < 2023 else (True, True, True))
    assert log.energy == pytest.approx(expected.energy, abs=1e-12)
    for name in ("cell", "positions", "forces"):
        assert getattr(log, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    assert log.stress == pytest.approx(expected.stress, abs=1e-10)
    assert log.images["KS"].tolist() == expected.images["KS"].tolist()
    for name in ("numbers", "n_electrons", "charge", "n_spin", "fermi_level"):
        assert np.array_equal(getattr(log, name), getattr(expected, name))
    assert log.atoms == expected.atoms


@pytest.mark.parametrize("version", VERSIONS)
def test_eigenvalues_at_gamma_of_every_version(version, cp2k_runs, tmp_path):
    run = shutil.copytree(cp2k_runs / "h2o_gamma", tmp_path / "run")
    path = run / "h2o.out"
    expected = read_log(path).eigenvalues
    path.write_text(as_version(path.read_text(), version))
    assert expected.shape == (1, 10)
    frame, basis = read_frame(run)
    assert frame.bands.energies[0] == pytest.approx(expected, abs=1e-12)
    assert frame.fermi_level is None
    assert band_error(frame, basis) < 1e-8


@pytest.mark.parametrize("version", ["7.1", "2023.1", "2026.2"])
def test_a_run_that_the_engine_started_is_concluded(version, run):
    """`dft run` accepts the log of every version, and says so where the SCF cycle did not converge."""
    path = (run / "si2.out").rename(run / "cp2k.out")
    path.write_text(as_version(path.read_text(), version))
    engine = Cp2k(Cp2kSettings(basis="SZV-MOLOPT-SR-GTH", max_scf=50))
    engine.conclude(run)
    # the frame of asterisks in which CP2K aborts since 2024; a warning of one line before
    path.write_text(" *  \\___/     SCF run NOT converged. To continue the calculation regardless,   *\n")
    with pytest.raises(ComputationError, match="did not converge in 50 steps"):
        engine.conclude(run)


@pytest.mark.parametrize(
    ("energy", "force", "factor"), [("eV", "eV/angstrom", 0), ("Ry", "Ry/bohr", 2), ("hartree", "au_f", 1)]
)
def test_units_that_can_be_chosen_since_2025(energy, force, factor, expected, run):
    path = run / "si2.out"
    per_hartree = {"eV": 27.2113838565563, "Ry": 2, "hartree": 1}[energy]
    text = with_forces(path.read_text(), force, factor or per_hartree / 0.529177208590)
    text = as_version(text, "2025.1").replace("[hartree]", f"[{energy}]")
    value = f"{-7.792688957728517 * per_hartree:.15f}"
    text = re.sub(r"(\) energy \[\w+\]\s+)\S+", rf"\g<1>{value}", text)
    tensor = re.search(r"STRESS\|      x(?:\s+\S+){3}", text)[0].split()[2:]
    text = text.replace("tensor [bar]", "tensor [kbar]")
    path.write_text(text)
    log = read_log(path)
    assert log.energy == pytest.approx(expected.energy, rel=1e-12)
    assert log.forces == pytest.approx(expected.forces, rel=1e-7)
    assert log.stress[0] == pytest.approx(-np.array(tensor, dtype=float) / 1602.1766208)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("energy [hartree]", "energy [barn]", "ENERGY|"),
        ("forces [hartree/bohr]", "forces [dyne]", "FORCES|"),
        ("tensor [bar]", "tensor [psi]", "STRESS|"),
        ("CELL| Vector a [angstrom]", "CELL| Vector a [furlong]", "CELL"),
        ("COORDINATES IN ANGSTROM", "COORDINATES IN furlong", "ATOMIC COORDINATES"),
    ],
)
def test_a_unit_that_is_not_known_is_named(old, new, field, run):
    path = run / "si2.out"
    text = as_version(path.read_text(), "2026.2")
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match="is not known") as caught:
        read_log(path)
    assert caught.value.field == field


def test_the_fermi_level_of_a_smeared_run(run):
    path = run / "si2.out"
    smeared = "  Electronic entropic energy:    -0.00100000\n  Fermi energy:    0.20000000\n"
    path.write_text(path.read_text().replace("  *** SCF run converged", smeared + "  *** SCF run converged"))
    assert read_log(path).fermi_level == pytest.approx(0.2 * 27.2113838565563)


@pytest.mark.parametrize(
    ("keyword", "axes"),
    [("", (True, True, True)), ("PERIODIC xy", (True, True, False)), ("PERIODIC NONE", (False,) * 3)],
)
def test_periodicity_before_2023_is_that_of_the_input(keyword, axes, run):
    path = run / "si2.out"
    path.write_text(as_version(path.read_text(), "2022.1"))
    (run / "in.inp").write_text((run / "in.inp").read_text().replace("&CELL\n", f"&CELL\n{keyword}\n"))
    assert read_frame(run)[0].structure.pbc == axes


def test_a_thousand_images(run):
    """CP2K numbers them with three digits and prints asterisks from 1000 on."""
    path = run / "si2.out"
    head, rest = path.read_text().split(" KS CSR write| 279 periodic images\n", 1)
    title, *rows = rest.splitlines(keepends=True)
    table = [
        f"       {n if n < 1000 else '***':>3}{n % 11 - 5:7d}{n // 11 % 11 - 5:7d}{n // 121 - 5:7d}\n"
        for n in range(1, 1202)
    ]
    path.write_text("".join([head, " KS CSR write|1201 periodic images\n", title, *table, *rows[279:]]))
    images = read_log(path).images["KS"]
    assert images.shape == (1201, 3)
    assert images[-1].tolist() == [1201 % 11 - 5, 1201 // 11 % 11 - 5, 1201 // 121 - 5]
