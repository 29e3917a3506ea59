"""The command and the ensemble: any number of processes, any interruption, the same bits."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from classical_paths import fluctuating, write_couplings
from typer.testing import CliRunner

from n2amd.commands.dynamics import app
from n2amd.config.scissor import Scissor
from n2amd.errors import ComputationError, InputError
from n2amd.hopping import dish, ensemble, propagators
from n2amd.hopping.methods import METHODS
from n2amd.hopping.parallel import Processes, processes
from n2amd.hopping.path import ClassicalPath, apply_scissor, read_couplings
from n2amd.storage import open_hdf5
from optional_programs import which

COMMAND = [
    sys.executable,
    "-c",
    "import sys\n"
    "from n2amd.commands.dynamics import app\n"
    "from n2amd.errors import N2amdError, StoppedElsewhereError\n"
    "try: app()\n"
    "except StoppedElsewhereError as error: sys.exit(error.exit_code)\n"
    "except N2amdError as error: print(f'error: {error}', file=sys.stderr); sys.exit(error.exit_code)\n",
    "run",
]
ALONE = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI", "SLURM", "MPI_"))}
ALONE["OMP_NUM_THREADS"] = "1"
MPIEXEC = which("mpiexec")


@pytest.fixture(scope="module")
def couplings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = fluctuating(4, 201, gap=0.4, across=0.02, within=0.01)
    return write_couplings(tmp_path_factory.mktemp("couplings") / "couplings.h5", path, 1)


def settings(**changes: object) -> str:
    return json.dumps({"samples": 5, "trajectories": 100, "duration_fs": 400, **changes})


def run(*arguments: object, launcher: tuple = (), code: int = 0) -> subprocess.CompletedProcess:
    command = [*map(str, launcher), *COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ALONE, check=False)
    assert done.returncode == code, done.stderr
    return done


def contents(file: Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with open_hdf5(file, "populations") as source:
        source.visititems(
            lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return arrays


def assert_same(a: Path, b: Path) -> None:
    first, second = contents(a), contents(b)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("method", ["dish", "fssh"])
def test_output_file(couplings: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "out.h5"
    run("--couplings", couplings, "--settings", settings(output_stride=10), "--method", method, "--out", out)
    found = contents(out)
    with open_hdf5(out, "populations") as source:
        attrs = dict(source.attrs)
    assert (attrs["method"], attrs["scheme"], attrs["carrier"]) == (method, "local_diabatic", "electron")
    assert (attrs["samples"], attrs["trajectories"], attrs["n_ranks"], attrs["final_state"]) == (5, 100, 1, 0)
    assert found["time"].tolist() == list(range(0, 401, 10))
    assert found["population"].shape == (5, 41, 4)
    np.testing.assert_allclose(found["population"].sum(axis=2), 1, atol=1e-12)
    np.testing.assert_allclose(found["mean_population"], found["population"].mean(axis=0))
    assert (found["population"][:, 0] == [0, 1, 0, 0]).all()
    assert found["band_index"].tolist() == [39, 40, 41, 42]
    assert (found["hops/source"] != 0).all()
    assert (np.diff(found["initial/frame"]) > 0).all()
    if method == "dish":
        absorbed = round(found["population"][:, -1, 0].sum() * 100)
        assert len(found["hops/step"]) == absorbed > 10
    assert not list(tmp_path.glob("*.work"))


#: Runs every method one after another, in as many processes as it is started in; argument: the folder.
ALL_METHODS = """
import sys
from pathlib import Path
from n2amd.commands.dynamics import app
from n2amd.hopping.methods import METHODS
folder, size, settings = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
for method in METHODS:
    couplings = folder / ("two.h5" if method == "dish_renewal" else "four.h5")
    options = ["--method", method, "--settings", settings, "--out", str(folder / f"{method}_{size}.h5")]
    app(["run", "--couplings", str(couplings), *options], standalone_mode=False)
"""
#: Runs one method and kills itself when the given number of units are kept.
KILLED = """
import os, signal, sys
from n2amd.commands.dynamics import app
from n2amd.hopping import ensemble
keep, units = ensemble._kept, int(sys.argv[1])
def kept(file, compute):
    global units
    if units == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    units -= 1
    return keep(file, compute)
ensemble._kept = kept
app(sys.argv[2:])
"""
SHORT = settings(trajectories=100, duration_fs=600, output_stride=5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Couplings of two and of four states, and what one process makes of them by every method."""
    folder = tmp_path_factory.mktemp("alone")
    write_couplings(folder / "two.h5", fluctuating(2, 201, gap=0.4, across=0.003), 1)
    write_couplings(folder / "four.h5", fluctuating(4, 201, gap=0.4, across=0.02, within=0.01), 1)
    command = [sys.executable, "-c", ALL_METHODS, str(folder), "1", SHORT]
    subprocess.run(command, capture_output=True, env=ALONE, check=True)
    return folder


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest, alone: Path) -> int:
    """The same by several processes, all methods in one launch."""
    command = [str(MPIEXEC), "-n", str(request.param), sys.executable, "-c", ALL_METHODS]
    done = subprocess.run(
        [*command, str(alone), str(request.param), SHORT],
        capture_output=True,
        text=True,
        env=ALONE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(request.param)


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("method", METHODS)
def test_any_number_of_processes(alone: Path, together: int, method: str) -> None:
    several = alone / f"{method}_{together}.h5"
    assert_same(alone / f"{method}_1.h5", several)
    with open_hdf5(several, "populations") as source:
        assert source.attrs["n_ranks"] == together
        # something happened that could have differed
        assert source["mean_population"][-1, 1] < 0.998


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_kill_and_resume(alone: Path, tmp_path: Path, method: str) -> None:
    couplings = alone / ("two.h5" if method == "dish_renewal" else "four.h5")
    out = tmp_path / "resumed.h5"
    arguments = ["--couplings", couplings, "--settings", SHORT, "--method", method, "--out", out]
    command = [sys.executable, "-c", KILLED, "3", "run", *map(str, arguments)]
    killed = subprocess.run(command, capture_output=True, env=ALONE, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    kept = list(tmp_path.glob("resumed.h5.work/*/unit_*.npz"))
    assert len(kept) == 3
    # a kill within a write leaves a part file behind
    kept[0].rename(f"{kept[0]}.part")
    kept[1].with_name(f"{kept[1].name}.part").write_bytes(b"torn")
    done = CliRunner().invoke(app, ["run", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert_same(alone / f"{method}_1.h5", out)
    assert not list(tmp_path.glob("resumed.h5.work"))


@pytest.mark.slow
def test_kill_from_outside_at_any_moment(couplings: Path, tmp_path: Path) -> None:
    long = settings(samples=12, duration_fs=40_000, output_stride=100)
    common = ("--couplings", couplings, "--settings", long, "--method", "dish", "--out")
    run(*common, tmp_path / "whole.h5")
    out = tmp_path / "resumed.h5"
    command = [*COMMAND, *map(str, common), str(out)]
    process = subprocess.Popen(command, env=ALONE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(tmp_path.glob("resumed.h5.work/*/unit_*.npz"))) < 3 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert len(list(tmp_path.glob("resumed.h5.work/*/unit_*.npz"))) >= 3
    run(*common, out)
    assert_same(tmp_path / "whole.h5", out)


def test_finished_units_are_not_run_again(tmp_path: Path) -> None:
    path = fluctuating(3, 101, gap=0.4, across=0.02)
    plan = a_plan(path)
    first = ensemble.run(path, plan, tmp_path / "work", Processes())
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").iterdir()}
    assert len(stamps) == 4
    again = ensemble.run(path, plan, tmp_path / "work", Processes())
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "work").iterdir()} == stamps
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.population, again.population)


def a_plan(path: ClassicalPath, **changes: object) -> ensemble.Plan:
    plan = ensemble.Plan(
        method="dish",
        scheme="hst",
        temperature=300.0,
        dephasing_time=12.0 * (1 - np.eye(path.states)),
        start_frames=np.array([0, 50]),
        start_states=np.array([1, 1]),
        trajectories=100,
        steps=200,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_frames": np.array([0, 100])}, "starts at frame 100"),
        ({"start_states": np.array([1, 3])}, "starts in state 3"),
        ({"steps": 0}, "no step"),
        ({"steps": 10**9}, "set it to"),
    ],
)
def test_bad_plans_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    path = fluctuating(3, 101)
    with pytest.raises(InputError, match=message):
        ensemble.run(path, a_plan(path, **changes), tmp_path / "work", Processes())


def test_carriers_see_their_own_side(tmp_path: Path) -> None:
    path = fluctuating(5, 60)
    file = write_couplings(tmp_path / "c.h5", path, 2)
    electron, hole = read_couplings(file, "electron"), read_couplings(file, "hole")
    assert electron.band_index.tolist() == [39, 40, 41, 42]
    assert hole.band_index.tolist() == [40, 39, 38]
    np.testing.assert_array_equal(hole.energies, path.energies[:, [2, 1, 0]])
    np.testing.assert_array_equal(hole.nac[:, 0, 2], path.nac[:, 2, 0])
    assert (electron.start, electron.final, hole.start, hole.final) == (1, 0, 1, 0)


@pytest.mark.parametrize("carrier", ["electron", "hole"])
def test_scissor_moves_conduction_states_only(tmp_path: Path, carrier: str) -> None:
    file = write_couplings(tmp_path / "c.h5", fluctuating(5, 60), 2)
    path = read_couplings(file, carrier)  # type: ignore[arg-type]
    moved, shift = apply_scissor(path, Scissor(gap_eV=3.0))
    gap = np.abs(moved.energies[:, 1] - moved.energies[:, 0]).mean()
    assert gap == pytest.approx(3.0)
    conduction = path.band_index >= 40
    np.testing.assert_allclose((moved.energies - path.energies)[:, conduction], shift)
    np.testing.assert_array_equal(moved.energies[:, ~conduction], path.energies[:, ~conduction])
    assert apply_scissor(path, Scissor(gap_eV=3.0, reference_gap_eV=1.0))[1] == pytest.approx(2.0)


def test_electrons_and_mirrored_holes_do_the_same() -> None:
    """Turning energies upside down turns an electron into a hole."""
    electron = fluctuating(3, 101, gap=0.3, across=0.02)
    hole = replace(electron, energies=-electron.energies, nac=electron.nac, carrier="hole")
    results = []
    for path in (electron, hole):
        tables = dish.prepare(
            path, propagators.hst(path.energies, path.nac, 1.0), 9.0 * (1 - np.eye(3)), 300.0
        )
        results.append(
            dish.run_block(
                tables,
                seed=1,
                sample=0,
                start_frame=0,
                start_state=1,
                steps=300,
                stride=1,
                trajectories=range(50),
            ).population
        )
    # complex conjugation of the amplitudes (real couplings) leaves all populations
    np.testing.assert_array_equal(results[0], results[1])


def test_frames_along_the_path() -> None:
    path = fluctuating(2, 5)
    assert path.frames_along(2, np.arange(8)).tolist() == [2, 3, 4, 1, 2, 3, 4, 1]
    assert path.frames_along(0, np.arange(5)).tolist() == [0, 1, 2, 3, 4]


def test_start_frames_are_spread() -> None:
    frames = ensemble.start_frames(20, 1000, 7)
    assert (frames // 50 == np.arange(20)).all()
    assert (frames != ensemble.start_frames(20, 1000, 8)).any()
    assert ensemble.start_frames(50, 10, 1).max() <= 9


def test_processes_without_an_mpi_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ComputationError, match=r"but MPI cannot be loaded .*; install it or start one"):
        processes()


def test_tasks_that_do_not_know_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("PMI", "OMPI", "MPI_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    assert processes() == Processes()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(InputError, match="do not know of each other"):
        processes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --couplings or --hefei"),
        (["--couplings", "nowhere.h5"], "does not exist"),
        (["--couplings", "nowhere.h5", "--method", "tully"], "unknown method 'tully'"),
        (["--couplings", "nowhere.h5", "--settings", '{"sample": 3}'], "no such option"),
    ],
)
def test_bad_input_exits_with_2_and_one_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, "--out", tmp_path / "out.h5", code=2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_unit_is_run_again(
    couplings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    monkeypatch.setattr(ensemble, "clean", lambda workdir: None)
    out = tmp_path / "out.h5"
    arguments = ["run", "--couplings", str(couplings), "--settings", settings(), "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    first, *_ = sorted((tmp_path / "out.h5.work").rglob("*.npz"))
    first.write_bytes(damage)
    whole = out.rename(tmp_path / "whole.h5")
    monkeypatch.undo()
    done = CliRunner().invoke(app, arguments)
    assert "unit_000000.npz is damaged" in done.output
    assert_same(whole, out)
    assert not (tmp_path / "out.h5.work").exists()


@pytest.mark.mpi
@pytest.mark.parametrize("where", ["missing input", "unwritable output", "file for the work folder"])
def test_what_stops_one_process_stops_all_with_one_sentence(
    couplings: Path, tmp_path: Path, where: str
) -> None:
    out, source = tmp_path / "out.h5", couplings
    if where == "missing input":
        source = tmp_path / "none.h5"
    elif where == "unwritable output":
        (tmp_path / "plain").touch()
        out = tmp_path / "plain" / "out.h5"
    else:
        (tmp_path / "out.h5.work").touch()
    command = [str(MPIEXEC), "-n", "2", *COMMAND, "--couplings", str(source), "--settings", settings()]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, env=ALONE, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1, done.stderr
    assert "Traceback" not in done.stderr
