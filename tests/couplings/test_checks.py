"""What energies, overlaps and couplings must satisfy: real ones do, with room; wrong ones are told."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from n2amd.config.states import StatesSettings
from n2amd.couplings.checks import (
    LARGEST_EXCESS,
    check_bands,
    check_couplings,
    check_edges,
    check_energies,
    check_mixing,
    check_overlaps,
    check_timestep,
)
from n2amd.couplings.nac import hammes_schiffer_tully
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.states.cross_time import frame_overlap
from n2amd.states.frame_solver import FrameSolver

FOLDER = Path(__file__).parents[2] / "resources" / "tio2-honpas" / "TiO2_6_md"


@pytest.fixture(scope="module")
def rutile():
    read = [read_frame(FOLDER / f"frame_{number:04d}") for number in range(3, 9)]
    return [frame for frame, _ in read], read[0][1]


@pytest.mark.parametrize("kpoint", [(0.0, 0.0, 0.0), (0.25, 0.0, 0.1)])
@pytest.mark.parametrize("kind", ["exact", "electron-translation-free"])
def test_real_overlaps_are_far_from_the_limits(rutile, kpoint, kind):
    """Rutile TiO2, PBE, 1 fs: singular values reach 1 - 2e-6 (exact) and 1 + 4e-5 (without translation)."""
    frames, basis = rutile

    class Model:
        pass

    model = Model()
    model.basis = basis
    settings = StatesSettings(kpoint=kpoint, valence=10, conduction=10)
    solver = FrameSolver.for_structure(model, settings, frames[0].structure)
    states = [solver.solve_matrices(frame.hamiltonian, frame.overlap, frame.name) for frame in frames]
    cross = partial(overlap, OverlapTable.from_basis(basis))
    found = np.array(
        [
            frame_overlap((one.structure, before), (two.structure, after), kind, cross, solver.folded)
            for one, two, before, after in zip(frames, frames[1:], states, states[1:])
        ]
    )
    excess = np.linalg.svd(found, compute_uv=False).max() - 1
    assert excess < 0.1 * LARGEST_EXCESS[kind]
    assert kind != "exact" or excess < 1e-9
    n = found.shape[1]
    check_overlaps(found, len(frames), n, "c.h5", kind)
    check_couplings(hammes_schiffer_tully(found, 1.0), 1.0, len(frames), n, "c.h5")
    # and the number of the issue: 2.7 times that is refused
    with pytest.raises(InputError, match=r"c\.h5, frame \d, field 'overlap': a singular value is 2\.7\d*,"):
        check_overlaps(2.7 * found, len(frames), n, "c.h5", kind)


def rotations(angles):
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.moveaxis(np.array([[cosine, sine], [-sine, cosine]]), 2, 0)


def test_limits_of_overlaps():
    good = rotations(np.array([0.1, 1.5, 3.0]))
    check_overlaps(0.2 * good, 4, 2, "c.h5")  # states may leave the window
    check_overlaps(1.0009 * good, 4, 2, "c.h5")
    bad = good.copy()
    bad[1] *= 1.0011
    with pytest.raises(InputError, match=r"frame 8, field 'overlap': a singular value is 1.0011"):
        check_overlaps(bad, 4, 2, "c.h5", start=7)
    check_overlaps(1.0011 * good, 4, 2, "c.h5", "electron-translation-free")


def test_limits_of_couplings():
    good = hammes_schiffer_tully(rotations(np.array([0.1, 1.5, 3.0])), 0.5)
    check_couplings(good, 0.5, 4, 2, "c.h5")
    check_couplings(good * 1j * np.array([[0, -1], [1, 0]]), 0.5, 4, 2, "c.h5")
    check_couplings(0 * good, 0.5, 4, 2, "c.h5")
    with pytest.raises(InputError, match=r"frame 1, field 'nac': not anti-Hermitian \(by 2\.6e\+03 meV\)"):
        check_couplings(np.abs(good), 0.5, 4, 2, "c.h5")
    with pytest.raises(InputError, match=r"frame 1, field 'nac': a coupling is .* more than half a turn"):
        check_couplings(1000 * good, 0.5, 4, 2, "c.h5")  # meV for eV
    for wrong in (good[:-1], good[:, :1, :1], good[0]):
        with pytest.raises(
            InputError, match=r"'nac': has shape .* where 4 frames of 2 states have \(3, 2, 2\)"
        ):
            check_couplings(wrong, 0.5, 4, 2, "c.h5")
    holed = good.copy()
    holed[2, 0, 1] = np.inf
    with pytest.raises(InputError, match="frame 2, field 'nac': not a finite number"):
        check_couplings(holed, 0.5, 4, 2, "c.h5")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_time_steps(value):
    with pytest.raises(InputError, match=r"field 'timestep_fs': .* fs between frames is not positive"):
        check_timestep(value, "c.h5")


def test_energies_bands_and_edges():
    for shape in ((0, 4), (1, 4), (5, 1), (5,)):
        with pytest.raises(InputError, match=r"frames of . states; surface hopping needs at least 2"):
            check_energies(np.zeros(shape), "c.h5")
    with pytest.raises(InputError, match="field 'energies': complex"):
        check_energies(np.zeros((3, 2), complex), "c.h5")
    check_bands(np.array([4, 6, 5]), 3, "c.h5", ordered=False)
    for wrong, said in (([4, 6, 5], "ascend"), ([4, 4, 5], "ascend"), ([4, 5], "2 bands of 3 states")):
        with pytest.raises(InputError, match=said):
            check_bands(np.array(wrong), 3, "c.h5")
    with pytest.raises(InputError, match="do not differ"):
        check_bands(np.array([4, 6, 4]), 3, "c.h5", ordered=False)
    check_edges(1, 2, 4, "c.h5")
    for vbm, cbm in ((3, 4), (-1, 0), (2, 1), (0, 2)):
        with pytest.raises(InputError, match="'vbm, cbm'"):
            check_edges(vbm, cbm, 4, "c.h5")


def test_mixing_of_transported_states_is_hermitian() -> None:
    mixing = np.zeros((3, 2, 2))
    mixing[1, 0, 1] = mixing[1, 1, 0] = 1e-3
    check_mixing(mixing, "c.h5")
    mixing[1, 1, 0] = 0.0
    with pytest.raises(InputError, match=r"frame 1, field 'window/mixing': not Hermitian"):
        check_mixing(mixing, "c.h5")
    mixing[1, 1, 0], mixing[2, 0, 0] = 1e-3, 1e-3
    with pytest.raises(InputError, match=r"frame 2, field 'window/mixing': not Hermitian"):
        check_mixing(mixing, "c.h5")
