import numpy as np
import pytest
import scipy.linalg
from synthetic_crystal import SyntheticCrystal, moving_frames

from n2amd.blocks.matrix import add_overlap, fold
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.parity import parity
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.units import HBAR_EV_FS

GENERAL = (0.1, 0.3, -0.2)


class Model(SyntheticCrystal):
    """The crystal with another energy zero and a kinetic energy that is off by a little."""

    def __init__(self, shift=0.0, error=0.0):
        super().__init__()
        self.shift, self.error = shift, error

    def predict(self, structure):
        h, s = super().predict(structure)
        return add_overlap(
            h.map({key: (1 + self.error) * v for key, v in h.values.items()}), s, self.shift
        ), s


def dft_frames(n_frames=6, electrons=8.0, amplitude=0.12):
    crystal, trajectory = SyntheticCrystal(), moving_frames(n_frames, amplitude)
    return [
        Frame(f"frame_{t:04d}", trajectory[t], *crystal.predict(trajectory[t]), n_electrons=electrons)
        for t in range(n_frames)
    ]


def compare(model, frames=None, kpoint=(0.0, 0.0, 0.0), **settings):
    states = StatesSettings(valence=2, conduction=2, margin=2, kpoint=kpoint)
    frames = dft_frames() if frames is None else frames
    return parity(frames, model, model.overlap, CouplingsSettings(**settings), states, 1.0)


@pytest.mark.parametrize("kpoint", [(0.0, 0.0, 0.0), GENERAL])
@pytest.mark.parametrize("order", ["energy", "character"])
def test_the_same_physics_has_no_error(kpoint, order):
    """Another energy zero changes neither states nor couplings, and parity must see none."""
    document = compare(Model(shift=0.7), kpoint=kpoint, order=order)
    assert document["mae_meV"] < 1e-7
    assert document["rms_dft_meV"] > 1.0
    edge = document["gap_edge"]
    assert edge["rms_model_meV"] == pytest.approx(edge["rms_dft_meV"], abs=1e-7)
    assert edge["gap_model_eV"] == pytest.approx(edge["gap_dft_eV"], abs=1e-10)


def hst_by_hand(frames, model, kpoint, i, j):
    """|hbar d_ij| of the full eigenvectors of a model, no tracking: valid where states do not cross."""
    offsets = model.basis.orbital_offsets(frames[0].structure.numbers)
    k = np.array(kpoint)
    vectors = [
        scipy.linalg.eigh(*(fold(m, offsets, k) for m in model.predict(f.structure)))[1] for f in frames
    ]
    result = []
    for t in range(len(frames) - 1):
        s = fold(model.overlap(frames[t].structure, frames[t + 1].structure), offsets, k)
        o = vectors[t].conj().T @ s @ vectors[t + 1]
        # the phases that make both states continue: O_ii real and positive
        phase = np.diagonal(o) / np.abs(np.diagonal(o))
        o = o / phase[None, :]
        result.append(1000 * HBAR_EV_FS * (o[i, j] - o[j, i].conj()) / 2)
    return np.array(result)


@pytest.mark.parametrize("kpoint", [(0.0, 0.0, 0.0), GENERAL])
def test_figures_against_couplings_by_hand(kpoint):
    frames, exact, model = dft_frames(), SyntheticCrystal(), Model(error=0.05)
    document = compare(model, frames, kpoint, degeneracy_meV=0.0)
    reference = np.abs(hst_by_hand(frames, exact, kpoint, 3, 4))
    predicted = np.abs(hst_by_hand(frames, model, kpoint, 3, 4))
    edge = document["gap_edge"]
    assert edge["rms_dft_meV"] == pytest.approx(np.sqrt((reference**2).mean()), rel=1e-6)
    assert edge["rms_model_meV"] == pytest.approx(np.sqrt((predicted**2).mean()), rel=1e-6)
    rows = [row for row in document["pairs"] if row["states"] == [3, 4]]
    np.testing.assert_allclose(np.abs([row["nac_dft_meV"] for row in rows]), reference, rtol=1e-6)
    np.testing.assert_allclose(np.abs([row["nac_model_meV"] for row in rows]), predicted, rtol=1e-6)
    assert edge["mae_meV"] >= np.abs(reference - predicted).mean() - 1e-9
    assert (
        edge["mae_meV"] < 0.5 * edge["rms_dft_meV"]
    )  # signs agree: with random signs it would be about 1.4 rms
    assert document["n_frames"] == 6
    assert sum(row["n"] for row in document["by_gap"]) == len(document["pairs"]) == 5 * 6


@pytest.mark.parametrize(("side", "edges"), [("filled", (2, 4)), ("empty", (3, 5))])
def test_levels_of_a_defect_are_no_band_edges(side, edges):
    frames, exact = dft_frames(), SyntheticCrystal()
    states = StatesSettings(valence=2, conduction=2, margin=2, defect={"edge": side})
    settings = CouplingsSettings(degeneracy_meV=0.0)
    edge = parity(frames, Model(), exact.overlap, settings, states, 1.0)["gap_edge"]
    reference = np.abs(hst_by_hand(frames, exact, (0.0, 0.0, 0.0), *edges))
    assert edge["rms_dft_meV"] == pytest.approx(np.sqrt((reference**2).mean()), rel=1e-6)
    assert edge["gap_dft_eV"] == pytest.approx(edge["gap_model_eV"], abs=1e-10)


def test_bins_hold_their_pairs():
    document = compare(Model(error=0.02))
    for row in document["by_gap"]:
        inside = [p for p in document["pairs"] if row["gap_from_eV"] <= p["gap_eV"] <= row["gap_to_eV"]]
        assert len(inside) == row["n"]
        error = np.mean([abs(p["nac_model_meV"] - p["nac_dft_meV"]) for p in inside])
        assert row["mae_meV"] == pytest.approx(error)


def test_one_frame_is_not_enough():
    with pytest.raises(InputError, match="1 frames hold no interval"):
        compare(Model(), dft_frames(1))


def test_electrons_must_be_those_of_the_model():
    with pytest.raises(InputError, match="10 electrons in the data set, 8 in the model"):
        compare(Model(), dft_frames(2, electrons=10.0))


def test_frames_that_do_not_follow_each_other_are_refused():
    frames = dft_frames(3)
    moved = frames[2].structure.with_positions(frames[2].structure.positions + 2.0)
    strange = Frame("frame_0002", moved, *SyntheticCrystal().predict(moved), n_electrons=8.0)
    with pytest.raises(InputError, match=r"moves by 3\.\d+ A"):
        compare(Model(), [*frames[:2], strange])
