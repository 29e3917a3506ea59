import lzma
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from couplings_window import a_window
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from n2amd.commands import couplings as couplings_commands
from n2amd.commands import dynamics as dynamics_commands
from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.interop import hefei
from n2amd.interop.hefei.folder import read_initial
from n2amd.storage import open_hdf5
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


@pytest.mark.parametrize(
    ("code", "carrier", "complex_couplings"),
    [*product(("namd", "dish", "dev"), ("electron", "hole"), (False,)), ("dish", "hole", True)],
)
def test_round_trip(tmp_path: Path, code: hefei.Code, carrier: str, complex_couplings: bool) -> None:
    path = a_path(carrier, complex_couplings=complex_couplings)
    tau = np.array([[0, 11, 12], [11, 0, 13], [12, 13, 0.0]])
    namelist = hefei.Namelist(ntraj=7, nelm=4, temp=250.0, namdtime=30, algo="DISH")
    hefei.write(tmp_path, path, np.array([1, 3]), tau, namelist, code)
    back = hefei.read(tmp_path)
    order = np.argsort(path.band_index)
    assert back.path.carrier == carrier
    assert back.path.timestep_fs == 0.5
    assert back.path.band_index.tolist() == [9, 10, 11]
    np.testing.assert_allclose(back.path.energies, path.energies[:, order], atol=1e-11)
    np.testing.assert_allclose(back.path.nac, path.nac[:, order][:, :, order], rtol=1e-12)
    assert back.start_frames.tolist() == [1, 3]
    assert back.start_states.tolist() == [1, 1]
    assert back.path.final == (0 if carrier == "electron" else 2)
    np.testing.assert_allclose(back.dephasing_time, tau[order][:, order])
    assert (back.namelist.ntraj, back.namelist.nelm, back.namelist.temp) == (7, 4, 250.0)
    assert (back.namelist.times, back.namelist.code) == (30, code)
    assert back.namelist.method == {"namd": "fssh", "dish": "dish", "dev": "dish"}[code]
    assert back.namelist.absorbing == (code != "dish")
    assert (tmp_path / "COUPCAR").exists() == (code != "dev")
    assert ("(" in (tmp_path / "NATXT").read_text()) == (code == "dish")


@settings(max_examples=20, deadline=None)
@given(
    st.integers(2, 5),
    st.integers(2, 6),
    st.floats(0.1, 5.0),
    st.floats(-12, -1.5),  # larger ones would be no differences of two overlaps
    st.integers(1, 900),
    st.sampled_from(["electron", "hole"]),
    st.integers(0, 2**32 - 1),
)
def test_any_path_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    n: int,
    frames: int,
    timestep: float,
    decades: float,
    band: int,
    carrier: str,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    nac = 10**decades * generator.uniform(-1, 1, (frames - 1, n, n))
    path = ClassicalPath(
        energies=generator.normal(0, 20, (frames, n)),
        timestep_fs=timestep,
        carrier=carrier,  # type: ignore[arg-type]
        band_index=band - 1 + np.arange(n),
        start=1,
        final=0 if carrier == "electron" else n - 1,
        nac=nac - nac.swapaxes(1, 2),
    )
    folder = tmp_path_factory.mktemp("hefei")
    hefei.write(folder, path, np.array([0]), 10 * (1 - np.eye(n)), hefei.Namelist())
    back = hefei.read(folder).path
    assert back.timestep_fs == timestep
    assert (back.carrier, back.start, back.final) == (carrier, path.start, path.final)
    np.testing.assert_array_equal(back.band_index, path.band_index)
    np.testing.assert_allclose(back.energies, path.energies, atol=1e-12)
    np.testing.assert_allclose(back.nac, path.nac, rtol=1e-13)  # type: ignore[arg-type]


def test_couplings_are_the_numerator_over_twice_the_step() -> None:
    source = hefei.read(DATA)
    with lzma.open(DATA / "NATXT.xz", "rt") as stream:
        row = np.array(stream.readline().split(), float).reshape(10, 10)
    np.testing.assert_allclose(source.path.nac[0] / HBAR_EV_FS * 2, row, rtol=1e-12)
    assert source.path.nac.shape == (1999, 10, 10)
    assert source.start_frames[0] == 9
    assert set(source.start_states) == {1}


def test_values_of_a_namelist(tmp_path: Path) -> None:
    (tmp_path / "inp").write_text(
        "&NAMDPARA\n  BMIN = 297 ! first\n BMAX=305, NPAR = 4\n POTIM = 0.5d0\n LHOLE = .TRUE.\n"
        "  RUNDIR = \"/a/b\"\n  ALGO = 'FSSH'\n NAMDTIME = 1000\n/\n"
    )
    found = hefei.read_namelist(tmp_path / "inp")
    assert (found.bmin, found.bmax, found.potim, found.lhole) == (297, 305, 0.5, True)
    assert (found.algo, found.namdtime, found.temp) == ("FSSH", 1000, None)


def test_initial_bands_absolute_or_within_the_window(tmp_path: Path) -> None:
    (tmp_path / "INICON").write_text("10 299\n20 300\n")
    frames, states = read_initial(tmp_path / "INICON", 297, 9)
    assert (frames.tolist(), states.tolist()) == ([9, 19], [2, 3])
    (tmp_path / "INICON").write_text("10 3\n20 4\n")
    assert read_initial(tmp_path / "INICON", 297, 9)[1].tolist() == [2, 3]


def test_inp_cuts_longer_files_and_names_others(tmp_path: Path) -> None:
    """NSW frames and NSAMPLE rows are used, as by the programs; `namd` has one energy row less than NSW."""
    hefei.write(tmp_path, a_path(), np.array([0, 1, 2]), 10 * (1 - np.eye(3)), hefei.Namelist())
    (tmp_path / "INICON").rename(tmp_path / "starts")
    start = "&NAMDPARA\n BMIN = 10\n BMAX = 12\n TBINIT = 'starts'\n NSAMPLE = 2\n"
    for nsw, frames in ((4, 4), (6, 6), (7, 6)):
        program = " LCPEXT = .TRUE." if nsw == 7 else ""
        (tmp_path / "inp").write_text(f"{start}{program} NSW = {nsw}\n/\n")
        found = hefei.read(tmp_path)
        assert found.path.energies.shape == (frames, 3)
        assert found.path.nac.shape == (frames - 1, 3, 3)
        assert found.start_frames.tolist() == [0, 1]


def test_compressed_files_and_fortran_exponents(tmp_path: Path) -> None:
    hefei.write(tmp_path, a_path(), np.array([0]), 10 * (1 - np.eye(3)), hefei.Namelist())
    plain = hefei.read(tmp_path).path
    text = (tmp_path / "NATXT").read_text().replace("e", "D")
    (tmp_path / "NATXT").unlink()
    with lzma.open(tmp_path / "NATXT.xz", "wt") as stream:
        stream.write(text)
    np.testing.assert_array_equal(hefei.read(tmp_path).path.nac, plain.nac)


def test_files_as_list_directed_reading_takes_them(tmp_path: Path) -> None:
    """Wrapped records, comments, repeat counts, exponents without a letter, CRLF, other encodings."""
    hefei.write(tmp_path, a_path(), np.array([0]), 10 * (1 - np.eye(3)), hefei.Namelist())
    plain = hefei.read(tmp_path)
    for name, per_line in (("EIGTXT", 2), ("NATXT", 4)):
        wrapped = [line.split() for line in (tmp_path / name).read_text().splitlines()]
        lines = [" ".join(row[i : i + per_line]) for row in wrapped for i in range(0, len(row), per_line)]
        (tmp_path / name).write_text("# from another program\r\n" + " ! comment\r\n".join([*lines, ""]))
    couplings = (tmp_path / "NATXT").read_text()
    zero = "0.000000000000000e+00"
    assert zero in couplings
    (tmp_path / "NATXT").write_text(couplings.replace(zero, "-1.25-308", 1))
    (tmp_path / "DEPHTIME").write_text("0 2*1D1\n10. 0 10.\n2*10.0 0\n")
    (tmp_path / "INICON").write_text("  1  11  (CBM)\n")
    inp = (tmp_path / "inp").read_text().replace("&NAMDPARA", "$namdpara").replace("/\n", "$end\n")
    (tmp_path / "inp").write_bytes(inp.replace(" NSW", " RUNDIR = ../run\n NSW").encode() + b"! \xb2\xe2\n")
    found = hefei.read(tmp_path)
    np.testing.assert_array_equal(found.path.energies, plain.path.energies)
    np.testing.assert_allclose(found.path.nac, plain.path.nac, rtol=0, atol=1e-300)
    np.testing.assert_array_equal(found.dephasing_time, plain.dephasing_time)
    assert (found.start_states.tolist(), found.namelist) == ([1], plain.namelist)


def test_complex_couplings_below_a_long_comment(tmp_path: Path) -> None:
    path = a_path()
    path = replace(path, nac=path.nac.astype(complex))
    hefei.write(tmp_path, path, np.array([0]), 10 * (1 - np.eye(3)), hefei.Namelist(), "dish")
    plain = hefei.read(tmp_path).path.nac
    (tmp_path / "NATXT").write_text("# " + "x" * 300 + "\n" + (tmp_path / "NATXT").read_text())
    np.testing.assert_array_equal(hefei.read(tmp_path).path.nac, plain)


def test_inp_without_hops_or_carrier(tmp_path: Path) -> None:
    hefei.write(tmp_path, a_path(), np.array([0]), 10 * (1 - np.eye(3)), hefei.Namelist())
    (tmp_path / "inp").write_text("&NAMDPARA\n BMIN = 10\n BMAX = 12\n ALGO = 'FSSH'\n LSHP = .FALSE.\n/\n")
    found = hefei.read(tmp_path, default="hole")
    assert (found.namelist.method, found.path.carrier, found.path.final) == ("ehrenfest", "hole", 2)
    assert hefei.read(tmp_path).path.carrier == "electron"


@pytest.mark.parametrize(
    ("code", "method", "first", "last"),
    # 100 frames, 40 times, counted from one: what each program can run
    [("namd", "fssh", 1, 60), ("dish", "dish", 1, 99), ("dev", "dish", 2, 99), ("dev", "fssh", 2, 61)],
)
def test_start_frames_are_those_the_program_can_run(
    code: hefei.Code, method: str, first: int, last: int
) -> None:
    room = last - first + 1
    every = hefei.draw_start_frames(code, method, 100, 40, room, seed=1) + 1
    assert every.tolist() == list(range(first, last + 1))
    few = hefei.draw_start_frames(code, method, 100, 40, 5, seed=3) + 1
    assert len(set(few)) == 5
    assert few.min() >= first
    assert few.max() <= last
    with pytest.raises(InputError, match=rf"have room for {room} runs of 40 times, not {room + 1}"):
        hefei.draw_start_frames(code, method, 100, 40, room + 1, seed=1)


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


def test_recomb_counts_first_arrivals_by_source(tmp_path: Path) -> None:
    path = a_path("hole")  # columns of a hole run downwards in energy, files upwards
    population = np.full((2, 4, 3), 1 / 3)
    steps, sources = np.array([[1, -1], [3, 1]]), np.array([[1, -1], [2, 1]])
    files = hefei.write_recomb(tmp_path, path, np.array([2, 2]), population, steps, sources)
    assert [file.name for file in files] == ["RECOMB.3"]
    time, arrived = hefei.read_recomb(files[0])
    assert time.tolist() == [0.5, 1.0, 1.5, 2.0]
    # two samples of two trajectories: a quarter each; column 2 of the path is the lowest band
    np.testing.assert_allclose(arrived, [[0, 0, 0], [0, 0.5, 0], [0, 0.5, 0], [0.25, 0.5, 0]])


@pytest.mark.parametrize(
    "text",
    [
        "# BMIN = 1\n 1.0 -2.5 (0.6,0.0)\n (0.0,-0.8)\n 2.0 -2.5 (1.0,0.0) ( 0.0 , 0.0 )\n",
        "         1.00  -2.500000 0.600000+0.000000i 0.000000-0.800000i\n 2.00 -2.5 1.0+0.0i 0.0-0.0i\n",
    ],
)
def test_amplitudes_of_namd_and_dev(tmp_path: Path, text: str) -> None:
    (tmp_path / "PSICT.1").write_text(text)
    time, energy, amplitudes = hefei.read_psict(tmp_path / "PSICT.1", 2)
    assert (time.tolist(), energy.tolist()) == ([1.0, 2.0], [-2.5, -2.5])
    np.testing.assert_allclose(amplitudes, [[0.6, -0.8j], [1, 0]])
    hefei.write_psict(tmp_path / "PSICT.2", time, energy, amplitudes)
    np.testing.assert_allclose(hefei.read_psict(tmp_path / "PSICT.2", 2)[2], amplitudes)
    with pytest.raises(InputError, match=r"8 numbers, where rows of 5"):
        hefei.read_psict(tmp_path / "PSICT.1", 3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("NATXT", "0 1\n", "2 columns, 3 bands need 9"),
        ("NATXT", "0 1 1 1 0 1 1 1 0\n" * 6, "not anti-Hermitian"),
        ("NATXT", "0 0 0 0 0 0 0 0 0\n" * 3, "3 rows for the 5 intervals"),
        (
            "NATXT",
            "0 .1 0 -.1 0 0 0 0 0\n" * 4 + "0 .1 0 -.1",
            "the last row has 4 numbers, not 9",
        ),
        ("NATXT", "0 7 0 -7 0 0 0 0 0\n" * 6, "frame 1: 7 is no difference of two overlaps"),
        ("NATXT", "0 nan 0 -1 0 0 0 0 0\n" * 6, "frame 1: not a finite number"),
        ("EIGTXT", "a b c\n", "'a' in line 1 is not a number"),
        ("EIGTXT", "1 2 3\n4 ******** 6\n", "too wide for its format"),
        ("EIGTXT", "", "the file is empty"),
        ("EIGTXT", "1 2 3\n" * 4, "4 rows of 3 energies, inp has NSW = 6"),
        ("INICON", "2.5 10\n", "not two whole numbers"),
        ("INICON", "6 10\n", "start frame 6 of 6"),
        ("DEPHTIME", "0 1 1\n1 0 0\n1 1 0\n", "0 fs between bands 2 and 3"),
        ("inp", "&NAMDPARA\n NTARJ = 3\n/\n", "no Hefei-NAMD program knows this key; write NTRAJ"),
        ("inp", "&NAMDPARA\n NTRAJ = 3\n", "no group"),
        ("inp", "&NAMDPARA\n POTIM = 0.0\n/\n", "is not positive"),
        ("inp", "&NAMDPARA\n LSPACE = .TRUE.\n/\n", "several electrons are not read"),
        ("inp", "&NAMDPARA\n ALGO = 'DCSH'\n/\n", "'DCSH'; write"),
        ("inp", "&NAMDPARA\n NSAMPLE = 4\n/\n", "1 rows, inp has NSAMPLE = 4"),
        ("INICON", "0 10\n", "count from one"),
        ("DEPHTIME", "0 1\n1 0\n", "times for 3 bands"),
        ("inp", "BMIN = 3\n", "no group"),
        ("inp", "&NAMDPARA\n BMIN = x\n/\n", "cannot be read"),
        ("inp", "&NAMDPARA\n BMIN = 10\n BMAX = 20\n/\n", "inp has bands 10..20"),
        ("inp", "&NAMDPARA\n BMIN = 10\n BMAX = 12\n NSW = 7\n/\n", "6 rows of 3 energies, inp has NSW = 7"),
        ("inp", "&NAMDPARA\n NSW 6\n/\n", "'NSW' belongs to no KEY = value"),
        ("inp", "&NAMDPARA\n NSW = 6.0\n/\n", "'6.0' cannot be read; write a whole number"),
        ("inp", "&NAMDPARA\n NSW =\n POTIM = 1.0\n/\n", "'NSW': '' cannot be read"),
        ("inp", "&NAMDPARA\n POTIM = inf\n/\n", "not positive and finite"),
        ("inp", "&NAMDPARA\n NELM = 99999999999999999999\n/\n", "more than a Fortran integer holds"),
        ("inp", "&NAMDPARA\n NAMDTIME = 1\n/\n", "'NAMDTIME': one stored time is the start alone"),
        ("INICON", "99999999999999999999 10\n", "not two whole numbers"),
        ("INICON", "1 17\n2 11\n", "row 1: band 17 is none of the 3 bands from 10"),
        ("EIGTXT", "# nothing but this\n", "the file is empty"),
        ("EIGTXT", "1 2 3\n\0\0\n", "it is no text"),
        ("DEPHTIME", "0 5 5\n7 0 5\n5 5 0\n", "5 fs between bands 1 and 2, but 7 fs the other way"),
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


def test_paths_that_a_program_cannot_read_are_refused(tmp_path: Path) -> None:
    tau = 10 * (1 - np.eye(3))
    with pytest.raises(InputError, match="complex, which dev cannot read"):
        hefei.write(tmp_path, a_path(complex_couplings=True), np.array([0]), tau, hefei.Namelist())
    path = a_path()
    gaps = ClassicalPath(**{**vars(path), "band_index": np.array([3, 5, 6])})
    with pytest.raises(InputError, match=r"bands \[4, 6, 7\] leave gaps"):
        hefei.write(tmp_path, gaps, np.array([0]), tau, hefei.Namelist())
    with pytest.raises(InputError, match="no couplings to write"):
        hefei.write(
            tmp_path, ClassicalPath(**{**vars(path), "nac": None}), np.array([0]), tau, hefei.Namelist()
        )
    assert not list(tmp_path.iterdir())


def test_exported_couplings_run_again_as_the_program_would(tmp_path: Path) -> None:
    """`couplings export`, then `dynamics run --hefei` with all settings from inp, and its SHPROP, RECOMB."""
    run, file = CliRunner(), a_window(tmp_path / "couplings.h5")
    folder = tmp_path / "run"
    chosen = '{"samples": 3, "trajectories": 5, "duration_fs": 20, "dephasing_time_fs": 4.0}'
    made = run.invoke(
        couplings_commands.app,
        [
            *("export", str(file), "--format", "hefei-dish", "--out", str(tmp_path / "run")),
            "--settings",
            chosen,
        ],
    )
    assert made.exit_code == 0, made.output
    assert "30 frames of bands 11..12" in made.output
    ours = tmp_path / "ours.h5"
    arguments = ["--out", str(ours), "--hefei", str(folder), "--shprop", str(tmp_path)]
    made = run.invoke(dynamics_commands.app, ["run", *arguments])
    assert made.exit_code == 0, made.output
    with open_hdf5(ours, "populations") as source:
        assert (source.attrs["method"], source.attrs["steps"], source.attrs["absorbing"]) == ("dish", 40, 0)
        assert source["population"].shape == (3, 41, 2)
        assert source["dephasing_time"][0, 1] == 4.0
        starts = source["initial/frame"][()] + 1
    assert {file.name for file in tmp_path.glob("*.*") if file.name[:6] in ("SHPROP", "RECOMB")} == {
        f"{name}.{frame}" for name in ("SHPROP", "RECOMB") for frame in starts
    }
