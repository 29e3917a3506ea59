"""States of a frame do not depend on the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SOLVED = """
import sys
sys.path.insert(0, {here!r})
import numpy as np
import torch
from vector_models import md_frame, single_precision_models
from n2amd.config.states import StatesSettings
from n2amd.states.frame_solver import FrameSolver

torch.set_num_threads({threads})
structure = md_frame(3).supercell((2, 2, 2))
moves = np.random.default_rng(0).normal(scale=0.03, size=structure.positions.shape)
structure = structure.with_positions(structure.positions + moves)
found = {{}}
for solver in ("dense", "block_si"):
    settings = StatesSettings(valence=2, conduction=2, margin=2, solver=solver)
    predictor = single_precision_models()["density+pair"]
    found[solver] = FrameSolver.for_structure(predictor, settings, structure).solve(structure, 0).energies
np.savez({out!r}, **found)
"""


@pytest.mark.slow
def test_another_number_of_threads(tmp_path):
    """48 atoms, networks in the precision of the chain: to 1e-9 eV, by either solver."""
    found = []
    for threads in (1, 2):
        out = str(tmp_path / f"{threads}.npz")
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        program = SOLVED.format(here=str(Path(__file__).parent), threads=threads, out=out)
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        found.append(dict(np.load(out)))
    for solver in ("dense", "block_si"):
        np.testing.assert_allclose(found[1][solver], found[0][solver], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[0]["block_si"], found[0]["dense"], rtol=0, atol=1e-9)
