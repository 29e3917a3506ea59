"""MUMPS as direct solver, alone and shared by two processes; what is said where it cannot be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import mumps_runs
import numpy as np
import pytest
from synthetic_crystal import moving_frames
from test_shards import write_trajectory
from typer.testing import CliRunner

from n2amd.commands import states
from n2amd.errors import ComputationError, InputError
from n2amd.states.solvers import mumps, mumps_ranks
from n2amd.states.solvers.mumps_ranks import Order, Ranks, helping, ranks
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError
from n2amd.states.store import read_shard
from optional_programs import launcher_of_mumps

alone_and_together = pytest.mark.parametrize(
    "processes",
    [
        pytest.param(1, marks=pytest.mark.mumps),
        pytest.param(2, marks=pytest.mark.mumps_mpi),
    ],
)


@pytest.fixture(scope="module")
def found_by(tmp_path_factory: pytest.TempPathFactory):
    """What so many processes find, run once: `mumps_runs.main`; and the folder with the states."""
    done: dict[int, tuple[dict, Path]] = {}

    def run(processes: int) -> tuple[dict, Path]:
        if processes not in done:
            launcher = [] if processes == 1 else launcher_of_mumps()
            folder = tmp_path_factory.mktemp(f"mumps{processes}")
            write_trajectory(folder / "trajectory.h5", moving_frames(9))
            (folder / "model.pt").write_bytes(b"weights")
            ended = mumps_runs.run(launcher, str(Path(mumps_runs.__file__)), str(folder))
            assert ended.returncode == 0, ended.stdout + ended.stderr
            done[processes] = json.loads((folder / "found.json").read_text()), folder
        return done[processes]

    return run


@alone_and_together
def test_states_are_those_of_lapack(found_by, processes: int) -> None:
    found, _ = found_by(processes)
    assert found["processes"] == processes
    assert len(found["cases"]) == 3
    for case in found["cases"]:
        assert case["energy"] < 1e-9, case
        assert case["inertia"] == 0
        assert case["residual"] < 1e-6
        assert case["ends_counted"]


@pytest.mark.mumps
def test_one_process_repeats_its_bits(found_by) -> None:
    assert all(case["same_bits"] for case in found_by(1)[0]["cases"])


@alone_and_together
def test_states_below_each_shift_are_counted_for_each_pattern(found_by, processes: int) -> None:
    """A stale analysis, or the last front in ScaLAPACK, gives a wrong inertia without a word."""
    counted = found_by(processes)[0]["counts"]
    assert len(counted) == 8
    for mine, lapack, error in counted:
        assert mine == lapack
        assert error < 1e-7


@alone_and_together
def test_a_vanishing_pivot_is_refused(found_by, processes: int) -> None:
    assert "pivot that vanishes" in found_by(processes)[0]["on_an_eigenvalue"]


@alone_and_together
def test_the_command_gives_the_states_of_the_dense_factor(found_by, processes: int, monkeypatch) -> None:
    found, folder = found_by(processes)
    assert "solver block_si by mumps, frames 0..8" in found["output"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "n2amd.network.predict", None)
        mumps_runs.use_synthetic_crystal()
        command = mumps_runs.states_command(folder, "block_ldl")
        command[-1] = str(folder / "dense.h5")
        assert CliRunner().invoke(states.app, command, catch_exceptions=False).exit_code == 0
    one, other = read_shard(folder / "states.h5"), read_shard(folder / "dense.h5")
    np.testing.assert_allclose(one.energies, other.energies, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(one.inertia, other.inertia)
    np.testing.assert_allclose(
        np.linalg.svd(one.overlap)[1], np.linalg.svd(other.overlap)[1], rtol=0, atol=1e-7
    )


@pytest.mark.mumps
def test_processes_that_are_each_alone_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the launcher of another MPI starts them."""
    monkeypatch.setenv("MV2_COMM_WORLD_SIZE", "3")
    ask = "from n2amd.states.solvers.mumps_ranks import ranks; ranks()"
    said = mumps_runs.run([], "-c", ask).stderr
    assert "3 processes were started, but in the MPI of MUMPS" in said
    assert "start them with the mpirun of that MPI" in said


def test_without_the_package_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mumps", None)
    ranks.cache_clear()
    with pytest.raises(InputError, match=r"states\.factorisation.*pip install pymumps"):
        mumps.Mumps()


class Instance:
    """Part of an instance of MUMPS that answers with given codes; it notes what it is told."""

    codes: ClassVar[list[int]] = []
    told: ClassVar[list[tuple[str, int]]] = []
    negative = 1

    def __init__(self, par: int, sym: int, comm: object) -> None:
        self.told.append(("open", sym))
        self.code = 0
        self.id = SimpleNamespace()

    def set_icntl(self, number: int, value: int) -> None:
        self.told.append((f"icntl{number}", value))

    def run(self, job: int) -> None:
        self.told.append(("run", job))
        self.code = self.codes.pop(0) if self.codes else 0
        if self.code < 0:
            raise RuntimeError

    def get_infog(self, number: int) -> int:
        return {1: self.code, 12: self.negative}[number]

    def destroy(self) -> None:
        self.told.append(("close", 0))

    def set_shape(self, n: int) -> None: ...

    def set_centralized_assembled_rows_cols(self, rows: object, columns: object) -> None: ...

    def set_centralized_assembled_values(self, values: object) -> None: ...


class World:
    """A communicator of processes whose other members are lists of orders."""

    def __init__(self, rank: int = 0, size: int = 1, orders: list[Order] | None = None) -> None:
        self.rank, self.size, self.orders = rank, size, orders or []
        self.sent: list[tuple[Order, int]] = []
        self.asked = 0

    def Get_rank(self) -> int:  # noqa: N802
        return self.rank

    def Get_size(self) -> int:  # noqa: N802
        return self.size

    def Iprobe(self, source: int) -> bool:  # noqa: N802
        self.asked += 1
        return self.asked % 2 == 0

    def recv(self, source: int) -> Order:
        return self.orders.pop(0)

    def send(self, order: Order, dest: int) -> None:
        self.sent.append((order, dest))


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch):
    """Let MUMPS answer with codes, one for each job; return the processes and what they were told."""

    def answer(*codes: int, negative: int = 1) -> Ranks:
        monkeypatch.setattr(Instance, "codes", list(codes))
        monkeypatch.setattr(Instance, "told", [])
        monkeypatch.setattr(Instance, "negative", negative)
        here = Ranks(World(), Instance)
        monkeypatch.setattr(mumps, "ranks", lambda: here)
        return here

    return answer


def factorised(complex_: bool = False) -> int:
    matrix = np.diag([1.0, -2.0, 3.0]) * (1 + 0j if complex_ else 1)
    solver = mumps.Mumps()
    solver.prepare(Pencil.from_dense(matrix, np.eye(3)))
    return solver.factor(0.0)


def test_more_memory_is_tried_where_the_estimate_was_too_small(answering) -> None:
    answering(0, -9, -9, 0)
    assert factorised() == 1
    assert [value for name, value in Instance.told if name == "icntl14"] == [30, 100, 400]
    assert ("icntl13", 1) in Instance.told


@pytest.mark.parametrize(
    ("codes", "kind", "words"),
    [
        ((0, -9, -9, -9), ComputationError, "not enough memory for its factorisation"),
        ((-7,), ComputationError, "not enough memory for its analysis"),
        ((0, -13), ComputationError, "start more processes"),
        ((0, -10), FactorisationError, "the shift is an eigenvalue"),
        ((0, -99), FactorisationError, "error -99"),
    ],
)
def test_a_failure_is_one_sentence(answering, codes: tuple[int, ...], kind: type, words: str) -> None:
    answering(*codes)
    with pytest.raises(kind, match=words):
        factorised()


def test_a_complex_matrix_counts_each_state_twice(answering) -> None:
    answering(negative=4)
    assert factorised(complex_=True) == 2
    answering(negative=3)
    with pytest.raises(FactorisationError, match="half a state"):
        factorised(complex_=True)


def test_a_helper_makes_the_calls_of_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instance, "told", [])
    # the failure of one job is a failure on every process, and the next order comes all the same
    monkeypatch.setattr(Instance, "codes", [0, -9])
    orders = [
        Order("open", 1),
        Order("run", 1, 1, {13: 1}),
        Order("run", 1, 2, {14: 30}),
        Order("close", 1),
        Order("stop"),
    ]
    helper = Ranks(World(1, 2, list(orders)), Instance)
    monkeypatch.setattr(mumps_ranks, "ranks", lambda: helper)
    with helping("mumps") as leads:
        assert not leads
    assert Instance.told == [
        ("open", 2),
        ("icntl13", 1),
        ("run", 1),
        ("icntl14", 30),
        ("run", 2),
        ("close", 0),
    ]
    monkeypatch.setattr(mumps, "ranks", lambda: helper)
    with pytest.raises(InputError, match="start one process"):
        mumps.Mumps()


def test_the_others_end_when_the_first_process_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instance, "told", [])
    world = World(0, 3)
    first = Ranks(world, Instance)
    monkeypatch.setattr(mumps_ranks, "ranks", lambda: first)
    with pytest.raises(ZeroDivisionError), helping("mumps"):
        first.open() / 0
    assert [(order.kind, rank) for order, rank in world.sent] == [
        (kind, rank) for kind in ("open", "close", "stop") for rank in (1, 2)
    ]
    first.close(1)  # nobody is there any more
    assert len(world.sent) == 6


def test_other_solvers_need_no_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mumps", None)
    with helping("block_ldl") as leads:
        assert leads
