"""Choice of frames to label, and whether the doubt is right, on made-up numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.commands.hamiltonian import app
from n2amd.errors import InputError
from n2amd.interop.extxyz import read_structures, write_structures
from n2amd.network.doubt_errors import DoubtErrors, reliability
from n2amd.network.selection import choose_frames, doubt_of_frames, random_frames, unlike


def gram(*directions):
    rows = np.array(directions, dtype=float)
    return rows.T @ rows


def test_the_most_doubtful_frame_goes_first_and_its_twins_last():
    frames = np.array([gram([3, 0, 0]), gram([3, 0.1, 0]), gram([0, 2, 0]), gram([0, 0, 1])])
    chosen, doubt = choose_frames(frames, [10] * 4, 4)
    assert chosen == [1, 2, 3, 0]
    assert doubt == sorted(doubt, reverse=True)
    assert doubt[0] > 1


def test_no_more_frames_than_there_are():
    chosen, doubt = choose_frames(np.array([np.eye(2), 2 * np.eye(2)]), [1, 1], 5)
    assert chosen == [1, 0]
    assert len(doubt) == 2


def test_near_copies_of_chosen_frames_are_left_out(rutile):
    """However doubtful they are; the frames of a trajectory are not all one because each is like the next."""
    rng = np.random.default_rng(2)
    step = rng.normal(size=rutile.positions.shape)
    step *= 0.02 / np.sqrt((step**2).sum(axis=1).mean())
    path = [rutile.with_positions(rutile.positions + k * step) for k in range(6)]
    frames = np.array([gram([3 - 0.01 * k, 0]) for k in range(6)])
    chosen, _ = choose_frames(frames, [1] * 6, 6, path)
    assert chosen[0] == 0
    assert 1 not in chosen
    assert all(abs(a - b) > 1 for a in chosen for b in chosen if a != b)
    assert choose_frames(frames, [1] * 6, 6)[0] == [0, 1, 2, 3, 4, 5]


def test_frames_like_labelled_ones_are_left_out(rutile):
    shift = np.random.default_rng(3).normal(scale=0.1, size=rutile.positions.shape)
    moved = [rutile.with_positions(rutile.positions + k * shift) for k in range(3)]
    # in another image, and shifted as a whole: the same frame
    image = rutile.with_positions(moved[1].positions + rutile.cell[0] + 0.3)
    assert unlike(moved, [image]) == [0, 2]
    strained = type(rutile)(1.02 * rutile.cell, 1.02 * rutile.positions, rutile.numbers)
    assert unlike([strained], [rutile]) == [0]
    assert unlike(moved, []) == [0, 1, 2]


def test_choice_leaves_less_doubt_than_chance():
    rng = np.random.default_rng(0)
    # many frames of a few kinds, seldom of some
    kinds = rng.normal(size=(6, 8))
    frames = np.array([gram(kinds[k]) for k in rng.choice(6, 60, p=[0.6, 0.3, 0.04, 0.02, 0.02, 0.02])])

    def left(chosen):
        precision = np.eye(8) + 50 * frames[chosen].sum(axis=0)
        return np.einsum("nij,ji->n", frames, np.linalg.inv(precision)).max()

    by_doubt = left(choose_frames(frames, [50] * 60, 5)[0])
    by_chance = [left(random_frames(60, 5, seed)) for seed in range(20)]
    assert by_doubt < np.median(by_chance)


def test_command_writes_frames_drawn_at_random(tmp_path, rutile):
    frames = [rutile.with_positions(rutile.positions + 0.01 * k) for k in range(12)]
    source, out = tmp_path / "frames.extxyz", tmp_path / "chosen.extxyz"
    write_structures(source, [(frame, {}) for frame in frames])
    arguments = ["select", "--model", "none.pt", "--structures", str(source)]
    more = ["--out", str(out), "--count", "3", "--candidates", "6", "--random"]
    result = CliRunner().invoke(app, arguments + more)
    assert result.exit_code == 0, result.output
    chosen = read_structures(out)
    assert len(chosen) == 3
    assert all(min(np.abs(c.positions - f.positions).max() for f in frames) < 1e-6 for c in chosen)


def test_a_model_without_draws_cannot_choose(rutile):
    predictor = SimpleNamespace(doubt=None, model=SimpleNamespace(zeroth=None))
    with pytest.raises(InputError, match="does not know what it does not know"):
        doubt_of_frames(predictor, [rutile], Path("frames.extxyz"))


def test_reliability_of_normal_errors():
    rng = np.random.default_rng(1)
    spreads = rng.uniform(0.005, 0.05, size=(3000, 3))
    errors = spreads * rng.normal(size=spreads.shape)
    found = reliability([DoubtErrors("f", e, s) for e, s in zip(errors, spreads)])
    assert found["error_over_spread"] == pytest.approx(1, abs=0.03)
    assert found["gap_error_over_spread"] == pytest.approx(1, abs=0.05)
    assert found["within_1"] == pytest.approx(0.68, abs=0.02)
    assert found["within_2"] == pytest.approx(0.954, abs=0.01)
    assert found["frames"][0]["cbm_spread_meV"] == pytest.approx(1000 * spreads[0, 1])
