from pathlib import Path

import numpy as np
import pytest
from couplings_window import a_window
from typer.testing import CliRunner

from n2amd.commands.couplings import app
from n2amd.couplings.store import read_couplings

RYDBERG_EV, HARTREE_EV, FS_IN_ATOMIC_UNITS = 13.605693, 27.211386, 41.341373


def matrix(folder: Path, name: str) -> np.ndarray:
    return np.loadtxt(folder / f"{name}_re") + 1j * np.loadtxt(folder / f"{name}_im")


@pytest.mark.parametrize("complex_couplings", [False, True])
def test_libra_finds_its_own_definition_in_atomic_units(tmp_path: Path, complex_couplings: bool) -> None:
    """Hvib = E_mid - i (St - St^dagger) / 2 dt, all in atomic units, from the written St alone."""
    file = a_window(tmp_path / "c.h5", complex_couplings=complex_couplings)
    made = CliRunner().invoke(app, ["export", str(file), "--format", "libra", "--out", str(tmp_path / "res")])
    assert made.exit_code == 0, made.output
    assert "29 Hamiltonians for libra" in made.output
    energies = read_couplings(file).energies / HARTREE_EV
    for k in (0, 28):
        st = matrix(tmp_path / "res", f"St_sd_{k}")
        expected = np.diag(0.5 * (energies[k] + energies[k + 1])) - 1j * (st - st.conj().T) / (
            2 * 0.5 * FS_IN_ATOMIC_UNITS
        )
        np.testing.assert_allclose(matrix(tmp_path / "res", f"Hvib_sd_{k}"), expected, rtol=1e-6)
    assert len(list((tmp_path / "res").iterdir())) == 4 * 29


def test_pyxaid_is_in_rydberg_and_hermitian(tmp_path: Path) -> None:
    file = a_window(tmp_path / "c.h5")
    made = CliRunner().invoke(
        app, ["export", str(file), "--format", "pyxaid", "--out", str(tmp_path / "res")]
    )
    assert made.exit_code == 0, made.output
    couplings = read_couplings(file)
    hamiltonian = matrix(tmp_path / "res", "0_Ham_7")
    np.testing.assert_array_equal(hamiltonian, hamiltonian.conj().T)
    np.testing.assert_allclose(hamiltonian.imag[0, 1] * RYDBERG_EV, -couplings.nac[7, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(
        np.diag(hamiltonian).real * RYDBERG_EV, couplings.energies[7:9].mean(axis=0), rtol=1e-6
    )
    assert len(list((tmp_path / "res").iterdir())) == 2 * 29


def test_export_says_what_is_wrong(tmp_path: Path) -> None:
    file = a_window(tmp_path / "c.h5")
    arguments = ["export", str(file), "--out", str(tmp_path / "run")]
    short = CliRunner().invoke(app, [*arguments, "--format", "hefei"])
    assert "30 frames have room for 0 runs of 2001 times" in str(short.exception)
    method = CliRunner().invoke(app, [*arguments, "--method", "ehrenfest"])
    assert "unknown method 'ehrenfest'" in str(method.exception)
    assert not (tmp_path / "run").exists()
