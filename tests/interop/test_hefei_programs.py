"""Which program an `inp` is for, and what each does by itself, as its source has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from n2amd.commands import analysis
from n2amd.commands.dynamics import app
from n2amd.errors import InputError
from n2amd.interop import hefei
from n2amd.storage import open_hdf5

BANDS = "BMIN = 10\n BMAX = 12\n"


def a_folder(
    folder: Path, inp: str, *, frames: int = 60, dephasing: bool = True, start: str = "2 11"
) -> Path:
    """Three bands 10..12 with INICON and DEPHTIME; the last row of EIGTXT is the last that is needed."""
    generator = np.random.default_rng(4)
    levels = np.array([0.0, 1.5, 1.8]) + 0.03 * generator.standard_normal((frames, 3))
    upper = np.triu(0.01 * generator.standard_normal((frames, 3, 3)), 1)
    folder.mkdir(exist_ok=True)
    np.savetxt(folder / "EIGTXT", levels, "%.6f")
    np.savetxt(folder / "NATXT", (upper - upper.swapaxes(1, 2)).reshape(frames, 9), "%.8e")
    (folder / "INICON").write_text(f"{start}\n")
    np.savetxt(folder / "DEPHTIME", 12 * (1 - np.eye(3)), "%.3f")
    (folder / "inp").write_text(f"&NAMDPARA\n {inp}\n/\n")
    return folder


def run(folder: Path, **settings: object) -> tuple[Result, dict]:
    out = folder.with_suffix(".h5")
    options = ["--settings", json.dumps({"trajectories": 4, **settings})]
    done = CliRunner().invoke(app, ["run", "--hefei", str(folder), "--out", str(out), *options])
    if done.exception is not None:
        raise done.exception
    with open_hdf5(out, "populations") as source:
        return done, dict(source.attrs)


@pytest.mark.parametrize(
    ("inp", "code", "method", "times"),
    [
        # one program alone knows the keys
        ("LDISH = .TRUE.\n NAMDTIME = 10\n REALTIME = 5000", "dish", "dish", 5000),
        ("LSHP = .TRUE.\n NAMDTIME = 10\n REALTIME = 5000\n LCPEXT = T", "namdk", "fssh", 10),
        ("LSHP = .TRUE.\n NBANDS = 20\n DIINIT = 'DEPHTIME'", "namdk", "fssh", None),
        ("ALGO = 'FSSH'\n NAMDTIME = 30 ! steps / fs", "dev", "fssh", 30),
        ("ALGO = 'DISH'\n LCPEXT = .TRUE.", "dev", "dish", None),
        ("NPARDISH = 4", "dev", None, None),
    ],
)
def test_keys_of_one_program(
    tmp_path: Path, inp: str, code: str, method: str | None, times: int | None
) -> None:
    (tmp_path / "inp").write_text(f"&NAMDPARA\n {inp}\n&END")
    found = hefei.read_namelist(tmp_path / "inp")
    assert (found.code, found.method, found.times, found.note) == (code, method, times, None)


@pytest.mark.parametrize(
    ("inp", "code", "method", "because"),
    [
        # without LCPEXT `dish` and `namdK` stop, and `namd` reads COUPCAR
        ("NBANDS = 8", "namd", "fssh", "public dish (DISH) would need LCPEXT = .TRUE."),
        ("NBANDS = 8\n LSHP = .TRUE.", "namd", "fssh", "public namdK (FSSH) would need LCPEXT = .TRUE."),
        ("LCPEXT = .TRUE.", "namd", "fssh", "as could be public dish (DISH)"),
        ("NBANDS = 8\n LCPEXT = .TRUE.\n REALTIME = 300", "dish", "dish", "as could be public namdK (FSSH)"),
        ("POTIM = 1.0_q", "dev", None, "public namd (FSSH) would need LCPEXT = .TRUE. or NBANDS"),
        ("LSHP = .FALSE.", "dev", None, "public namd (FSSH) would need LCPEXT = .TRUE. or NBANDS"),
        # neither would find its couplings: here they are in NATXT all the same
        ("NBANDS = 8\n REALTIME = 20", "dish", "dish", "each would need LCPEXT = .TRUE. to find"),
    ],
)
def test_keys_of_several_are_said_aloud(
    tmp_path: Path, inp: str, code: str, method: str | None, because: str
) -> None:
    folder = a_folder(tmp_path / "run", f"{BANDS} NAMDTIME = 10\n {inp}")
    found = hefei.read_namelist(folder / "inp")
    assert (found.code, found.method) == (code, method)
    assert found.note is not None
    assert f"taken for {hefei.PROGRAMS[code].title}" in found.note  # type: ignore[index]
    assert because in found.note
    done, attributes = run(folder)
    assert f"note: {found.note}" in done.stderr
    assert attributes["method"] == (method or "dish")


@pytest.mark.parametrize(
    ("inp", "message"),
    [
        ("NBANDS = 8\n ALGO = 'DISH'", "NBANDS is a key of public namd .* ALGO one of Hefei-NAMD-DEV"),
        ("LDISH = T\n LSHP = T", "LDISH is a key of public dish .DISH. only, LSHP one of"),
        ("LDISH = F", "'LDISH': dish runs nothing but DISH"),
        ("ALGO_INT = 2", "'ALGO_INT': integrator 2 is not done here"),
    ],
)
def test_what_no_program_runs_or_we_do_not_is_refused(tmp_path: Path, inp: str, message: str) -> None:
    folder = a_folder(tmp_path / "run", BANDS + inp)
    with pytest.raises(InputError, match=message) as caught:
        run(folder)
    assert str(folder / "inp") in str(caught.value)


@pytest.mark.parametrize("nsw", [60, 61])
def test_public_fssh_without_lcpext(tmp_path: Path, nsw: int) -> None:
    """`namd` reads NSW - 1 rows of both files; NBANDS is its COUPCAR's."""
    inp = f"{BANDS} NBANDS = 20\n NSW = {nsw}\n NSAMPLE = 1\n NAMDTIME = 40\n NELM = 20\n NTRAJ = 7"
    _, attributes = run(a_folder(tmp_path / "run", inp))
    assert (attributes["method"], attributes["steps"]) == ("fssh", 39)
    assert (attributes["trajectories"], attributes["substeps"]) == (7, 20)


@pytest.mark.parametrize(
    ("inp", "method"),
    [
        ("ALGO = 'DISH'\n LSHP = .FALSE.", "dish"),
        ("LSHP = .FALSE.", "dish"),
        ("ALGO = 'FSSH'\n LSHP = .FALSE.", "ehrenfest"),
        ("LCPEXT = .TRUE.\n LSHP = .FALSE.", "ehrenfest"),
        ("ALGO = 'FSSH'\n LSHP = .TRUE.", "fssh"),
    ],
)
def test_lshp_is_of_fssh_only(tmp_path: Path, inp: str, method: str) -> None:
    _, attributes = run(a_folder(tmp_path / "run", f"{BANDS} NAMDTIME = 10\n {inp}"))
    assert attributes["method"] == method


@pytest.mark.parametrize(
    ("inp", "steps", "substeps"),
    [
        ("NBANDS = 20", 199, 1000),
        ("LCPEXT = T\n LDISH = T", 199, 10),
        ("LCPEXT = T\n LDISH = T\n NAMDTIME = 30", 199, 10),
        ("LCPEXT = T\n LDISH = T\n NAMDTIME = 300\n REALTIME = 250", 299, 10),
        ("LCPEXT = T\n LSHP = T\n DIINIT = 'DEPHTIME'\n NAMDTIME = 30\n REALTIME = 250", 29, 10),
    ],
)
def test_what_a_program_does_by_itself(tmp_path: Path, inp: str, steps: int, substeps: int) -> None:
    folder = a_folder(tmp_path / "run", f"{BANDS} NTRAJ = 3\n {inp}")
    _, attributes = run(folder)
    assert (attributes["steps"], attributes["substeps"], attributes["trajectories"]) == (steps, substeps, 3)
    _, attributes = run(folder, duration_fs=500, substeps=6)
    assert attributes["substeps"] == 6
    assert attributes["steps"] == (steps if "TIME =" in inp else 500)


def test_trajectories_by_default(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    folder = a_folder(tmp_path / "run", f"{BANDS} NBANDS = 20\n NAMDTIME = 5\n NELM = 2")
    done = CliRunner().invoke(app, ["run", "--hefei", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    with open_hdf5(out, "populations") as source:
        assert source.attrs["trajectories"] == 1000


@pytest.mark.parametrize(
    ("inp", "runs"),
    [("NBANDS = 20\n", False), ("LDISH = T\n LCPEXT = T\n", False), ("ALGO = 'DISH'\n", True)],
)
def test_bands_within_the_window_are_dev_s_alone(tmp_path: Path, inp: str, runs: bool) -> None:
    """The public programs subtract BMIN from any number: band 2 would be none of their arrays."""
    folder = a_folder(tmp_path / "run", f"{BANDS} {inp} NAMDTIME = 5\n NELM = 2", start="2 2")
    if runs:
        assert hefei.read(folder).start_states.tolist() == [1]
        return
    with pytest.raises(InputError, match="band 2 is none of the 3 bands from 10; give absolute bands"):
        hefei.read(folder)


@pytest.mark.parametrize(
    ("inp", "start", "frame"),
    [
        ("NBANDS = 20\n", "21 11", None),
        ("NBANDS = 20\n", "22 11", 62),
        ("ALGO = 'FSSH'\n", "22 11", None),
        ("ALGO = 'FSSH'\n", "23 11", 62),
        ("ALGO = 'DISH'\n", "50 11", None),
    ],
)
def test_runs_beyond_the_last_frame_are_said_aloud(
    tmp_path: Path, inp: str, start: str, frame: int | None
) -> None:
    """`namd` needs interval t0 + NAMDTIME - 1 of NSW - 1; DEV's FSSH stops beyond t0 + NAMDTIME - 1 = NSW."""
    folder = a_folder(tmp_path / "run", f"{BANDS} {inp} NSW = 61\n NAMDTIME = 40", start=start)
    np.savetxt(folder / "EIGTXT", np.tile([0.0, 1.5, 1.8], (61, 1)))
    said = [note for note in hefei.read(folder).notes if "goes on from the first frame" in note]
    assert [f"needs frame {frame} of 61" in note for note in said] == [True] * (frame is not None)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_no_generator_takes(tmp_path: Path, seed: int) -> None:
    folder = a_folder(tmp_path / "run", f"{BANDS} ALGO = 'DISH'\n NAMDTIME = 5")
    with pytest.raises(InputError, match=f"field 'seeds.0': is {seed}, must be at (least 0|most 4294967295)"):
        run(folder, seeds=[seed])


@pytest.mark.parametrize("rows", ["1 0 .5 .5\n1 0 .6 .4\n", "1 0 .5 .5\n2 0 -5 6\n"])
def test_shprop_that_is_no_decay(tmp_path: Path, rows: str) -> None:
    (tmp_path / "SHPROP.1").write_text(rows)
    done = CliRunner().invoke(analysis.app, ["decay", str(tmp_path / "SHPROP.1")])
    assert isinstance(done.exception, InputError)
    assert "SHPROP.1: times that do not ascend, or populations outside" in str(done.exception)
