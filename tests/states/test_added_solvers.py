"""A direct solver that an installed package adds: found by its name, used, and refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from test_shards import LARGE, LargerCrystal, larger_frames

from n2amd.config.states import StatesSettings
from n2amd.errors import InputError
from n2amd.states.shards import solve_shard
from n2amd.states.solvers.registry import METHODS, added_solver

#: All a package needs: a LAPACK factor, five methods.
TOY = """
import numpy as np
import scipy.linalg
import torch

from n2amd.states.solvers.device_pencil import DevicePencil


class Toy:
    calls = []

    def __init__(self, device):
        self.calls.append(device)

    def place(self, pencil):
        return DevicePencil(pencil, "cpu")

    def prepare(self, pencil):
        self.pencil = pencil
        return self.place(pencil)

    def factor(self, shift):
        values = self.pencil.hamiltonian - shift * self.pencil.overlap
        self.matrix = self.pencil.csr(values).toarray()
        self.inertia_ = int((np.linalg.eigvalsh(self.matrix) < 0).sum())
        return self.inertia_

    def solve(self, block):
        return torch.from_numpy(scipy.linalg.solve(self.matrix, block.numpy(), assume_a="her"))

    @property
    def inertia(self):
        return self.inertia_


class Half:
    def __init__(self, device): ...

    def factor(self, shift): ...


def broken(device):
    raise OSError("no licence")
"""


def install(folder: Path, package: str, **entries: str) -> None:
    """Lay out a package as pip does, its module `toy_solver` included."""
    (folder / "toy_solver.py").write_text(TOY)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in entries.items()]
    (about / "entry_points.txt").write_text("\n".join(["[n2amd.solvers]", *lines, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "toy_solver", raising=False)
    return tmp_path


def test_an_added_solver_gives_the_states(site: Path) -> None:
    install(site, "toy", toy="toy_solver:Toy")
    settings = StatesSettings(**LARGE.model_dump() | {"factorisation": "toy", "device": "cpu"})
    crystal, frames = LargerCrystal(), larger_frames(4)
    mine, own = (solve_shard(frames, crystal, crystal.overlap, s, "exact") for s in (settings, LARGE))
    np.testing.assert_allclose(mine.energies, own.energies, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(mine.inertia, own.inertia)
    from toy_solver import Toy

    assert set(Toy.calls) == {"cpu"}


def test_a_name_that_no_package_adds_is_a_typo(site: Path) -> None:
    install(site, "toy", toy="toy_solver:Toy")
    with pytest.raises(ValidationError, match=r"'tou' is no direct solver.*block_ldl, pardiso, mumps, toy"):
        StatesSettings(factorisation="tou")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("toy_solver:Half", r"Half has no place, prepare, solve, inertia"),
        ("toy_solver:Missing", r"which toy adds but which cannot be loaded \(AttributeError"),
        ("nowhere:Solver", r"cannot be loaded \(ModuleNotFoundError.*install toy again"),
        ("toy_solver:broken", r"no licence"),
    ],
)
def test_a_package_that_does_not_work_is_one_sentence(site: Path, place: str, words: str) -> None:
    install(site, "toy", toy=place)
    with pytest.raises(InputError, match=rf"states\.factorisation.*{words}") as told:
        added_solver("toy", "cpu")
    assert "\n" not in str(told.value)


def test_two_packages_of_one_name_are_refused(site: Path) -> None:
    install(site, "toy", toy="toy_solver:Toy")
    install(site, "other", toy="toy_solver:Toy")
    with pytest.raises(InputError, match="the packages other and toy both add it"):
        added_solver("toy", "cpu")


def test_the_methods_are_those_of_the_protocol() -> None:
    from n2amd.states.solvers.protocol import Solver

    assert set(METHODS) == {name for name in vars(Solver) if not name.startswith("_")}
