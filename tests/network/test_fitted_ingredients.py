"""When training fits the ingredients of H0, to which frames, and when it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2amd.baseline.ingredients_fit import FitReport
from n2amd.baseline.schemes import LARGEST, frames_for_fit, openmx_scheme, scheme_of_origin
from n2amd.blocks.matrix import BlockMatrix
from n2amd.dft.openmx.frame import read_frame
from n2amd.frames.ingredients import Ingredients
from n2amd.network import fitted_ingredients
from n2amd.network.fitted_ingredients import ingredients_to_train
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.structure import Structure

SAMPLE = Path(__file__).parents[1] / "data" / "openmx" / "silicene"
REPORT = FitReport(1e-4, 2e-4, 9e-5, 1e-3, (0.0, 0.0))


def cell(*numbers: int) -> Structure:
    return Structure(np.eye(3) * 9, np.zeros((len(numbers), 3)), np.array(numbers))


@pytest.fixture(scope="module")
def silicene():
    return read_frame(SAMPLE)


@pytest.fixture
def fits(monkeypatch):
    """Calls of the fit, which is not made."""
    calls = []

    def fit(frames, basis, scheme):
        calls.append((list(frames), scheme))
        return replace(scheme, functional="fitted"), REPORT

    monkeypatch.setattr(fitted_ingredients, "fit_ingredients", fit)
    return calls


def test_missing_pseudopotentials_are_fitted(silicene, fits):
    frame, basis = silicene
    found = ingredients_to_train(None, "no ingredients", [frame] * 3, basis)
    assert (found.ingredients.functional, found.lacking) == ("fitted", None)
    assert found.to_document()["error"] == 1e-4
    [(frames, scheme)] = fits
    assert len(frames) == 2
    assert (scheme.scheme, scheme.functional, scheme.mesh_cutoff) == ("openmx", "PBE", 200.0)


def test_what_the_data_set_has_is_taken(silicene, fits):
    frame, basis = silicene
    own = Ingredients("openmx", "PBE", 1.0, 1.0, 1.0)
    found = ingredients_to_train(own, None, [frame], basis)
    assert found.ingredients is own
    assert found.to_document() is None
    assert not fits


def test_no_fit_where_h_holds_more_than_h0_or_spins_or_no_radial_functions(silicene, fits):
    frame, basis = silicene
    hubbard = replace(frame, origin={**frame.origin, "h0": "the run has a Hubbard correction"})
    two = {k: np.concatenate([v, v]) for k, v in frame.hamiltonian.values.items()}
    spins = replace(frame, hamiltonian=BlockMatrix(frame.hamiltonian.pairs, two))
    for one in (hubbard, spins):
        assert ingredients_to_train(None, "why", [one], basis).ingredients is None
    bare = Basis({14: AtomBasis(14, (Shell(0, "s"),), 4.0)})
    found = ingredients_to_train(None, "why", [frame], bare)
    assert (found.ingredients, found.lacking) == (None, "why")
    assert not fits


def test_small_frames_of_every_element_are_chosen():
    assert frames_for_fit([cell(6, 6, 6), cell(6), cell(6, 6), cell(8, 8, 8, 8)]) == [1, 2, 3]
    assert frames_for_fit([cell(6), cell(*[8] * (LARGEST + 1))]) == []


def test_schemes():
    assert openmx_scheme("GGA-PBE", 150.0).functional == "PBE"
    assert openmx_scheme("EXX-TEST", 150.0) is None
    assert scheme_of_origin({"code": "siesta", "h0": "no .vps file of X"}) is None
