import lzma
from pathlib import Path

import numpy as np
import pytest

from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.interop import hefei
from n2amd.units import HBAR_EV_FS

DATA = Path(__file__).parents[1] / "data" / "hefei-namd-parity"


def a_path(carrier: str = "electron", *, complex_couplings: bool = False) -> ClassicalPath:
    generator = np.random.default_rng(1)
    energies = np.sort(generator.normal(size=(6, 3)), axis=1)
    nac = 0.01 * generator.normal(size=(5, 3, 3)) + (
        0.01j * generator.normal(size=(5, 3, 3)) * complex_couplings
    )
    nac = nac - nac.conj().swapaxes(1, 2)
    nac[:, range(3), range(3)] = 0
    bands = np.arange(9, 12)
    order = slice(None) if carrier == "electron" else slice(None, None, -1)
    return ClassicalPath(
        energies[:, order],
        0.5,
        carrier,  # type: ignore[arg-type]
        bands[order],
        1,
        0,
        nac=(nac if complex_couplings else nac.real)[:, order, order],
    )


@pytest.mark.parametrize("complex_couplings", [False, True])
@pytest.mark.parametrize("carrier", ["electron", "hole"])
def test_round_trip(tmp_path: Path, carrier: str, complex_couplings: bool) -> None:
    path = a_path(carrier, complex_couplings=complex_couplings)
    tau = np.array([[0, 11, 12], [11, 0, 13], [12, 13, 0.0]])
    namelist = hefei.Namelist(ntraj=7, nelm=4, temp=250.0, namdtime=30, algo="DISH")
    hefei.write(tmp_path, path, np.array([1, 3]), tau, namelist)
    back = hefei.read(tmp_path)
    order = np.argsort(path.band_index)
    assert back.path.carrier == carrier
    assert back.path.timestep_fs == 0.5
    assert back.path.band_index.tolist() == [9, 10, 11]
    np.testing.assert_allclose(back.path.energies, path.energies[:, order], atol=1e-9)
    np.testing.assert_allclose(back.path.nac, path.nac[:, order][:, :, order], rtol=1e-12)
    assert back.start_frames.tolist() == [1, 3]
    assert back.start_states.tolist() == [1, 1]
    assert back.path.final == (0 if carrier == "electron" else 2)
    np.testing.assert_allclose(back.dephasing_time, tau[order][:, order])
    assert (back.namelist.ntraj, back.namelist.nelm, back.namelist.temp) == (7, 4, 250.0)
    assert back.namelist.algo == "DISH"


def test_couplings_are_the_numerator_over_twice_the_step() -> None:
    source = hefei.read(DATA)
    with lzma.open(DATA / "NATXT.xz", "rt") as stream:
        row = np.array(stream.readline().split(), float).reshape(10, 10)
    np.testing.assert_allclose(source.path.nac[0] / HBAR_EV_FS * 2, row, rtol=1e-12)
    assert source.path.nac.shape == (1999, 10, 10)
    assert source.start_frames[0] == 9
    assert set(source.start_states) == {1}


def test_namelist_of_both_codes(tmp_path: Path) -> None:
    (tmp_path / "inp").write_text(
        "&NAMDPARA\n  BMIN = 297 ! first\n BMAX=305, NBANDS = 400\n POTIM = 0.5d0\n LHOLE = .TRUE.\n"
        "  RUNDIR = \"/a/b\"\n  ALGO = 'FSSH'\n NAMDTIME = 1000\n/\n"
    )
    found = hefei.read_namelist(tmp_path / "inp")
    assert (found.bmin, found.bmax, found.potim, found.lhole) == (297, 305, 0.5, True)
    assert (found.algo, found.namdtime, found.temp) == ("FSSH", 1000, None)


def test_initial_bands_absolute_or_within_the_window(tmp_path: Path) -> None:
    (tmp_path / "INICON").write_text("10 299\n20 300\n")
    frames, states = hefei.read_initial(tmp_path / "INICON", 297, 9)
    assert (frames.tolist(), states.tolist()) == ([9, 19], [2, 3])
    (tmp_path / "INICON").write_text("10 3\n20 4\n")
    assert hefei.read_initial(tmp_path / "INICON", 297, 9)[1].tolist() == [2, 3]


def test_shprop_round_trip(tmp_path: Path) -> None:
    path = a_path()
    population = np.zeros((3, 4, 3))
    population[:, :, 1] = [[1.0, 0.5, 0.5, 0.25]] * 3
    population[:, :, 0] = 1 - population[:, :, 1]
    population[2] = population[2][:, [1, 0, 2]]
    files = hefei.write_shprop(tmp_path, path, np.array([1, 2, 2]), population)
    assert [file.name for file in files] == ["SHPROP.2", "SHPROP.3"]
    time, energy, back = hefei.read_shprop(files[0])
    assert time.tolist() == [0.5, 1.0, 1.5, 2.0]
    np.testing.assert_allclose(back, population[0], atol=1e-6)
    assert energy[0] == pytest.approx(path.energies[1, 1], abs=1e-6)
    np.testing.assert_allclose(hefei.read_shprop(files[1])[2][:, :2], 0.5, atol=1e-6)
    assert files[0].read_text().splitlines()[0].startswith("         0.50")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("NATXT", "0 1\n", "2 columns, 3 bands need 9"),
        ("NATXT", "0 1 1 1 0 1 1 1 0\n" * 6, "not anti-Hermitian"),
        ("NATXT", "0 0 0 0 0 0 0 0 0\n" * 3, "3 rows for the 5 intervals"),
        ("EIGTXT", "a b c\n", "not a table"),
        ("INICON", "0 10\n", "count from one"),
        ("DEPHTIME", "0 1\n1 0\n", "times for 3 bands"),
        ("inp", "BMIN = 3\n", "no group"),
        ("inp", "&NAMDPARA\n BMIN = x\n/\n", "cannot be read"),
        ("inp", "&NAMDPARA\n BMIN = 10\n BMAX = 20\n/\n", "inp has bands 10..20"),
    ],
)
def test_bad_files_are_told(tmp_path: Path, name: str, text: str, message: str) -> None:
    hefei.write(tmp_path, a_path(), np.array([0]), 10 * (1 - np.eye(3)), hefei.Namelist())
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        hefei.read(tmp_path)
    assert name in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="EIGTXT"):
        hefei.read(tmp_path)
