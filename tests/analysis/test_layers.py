"""Layers of structures, named and found."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.analysis.layers import assign_layers
from n2amd.errors import InputError
from n2amd.structure import Structure


def disulfide(n: int, distance: float, offset: float = 2.0, height: float = 30.0) -> Structure:
    """A stack of n MoS2 layers, 2H-like, `distance` apart, in a hexagonal cell."""
    a = 3.16
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, height]])
    positions, numbers = [], []
    for layer in range(n):
        z = offset + layer * distance
        for fraction, dz, number in (
            ((1 / 3, 2 / 3), 0, 42),
            ((2 / 3, 1 / 3), 1.56, 16),
            ((2 / 3, 1 / 3), -1.56, 16),
        ):
            positions.append(fraction[0] * cell[0] + fraction[1] * cell[1] + [0, 0, (z + dz) % height])
            numbers.append(number)
    return Structure(cell, np.array(positions), np.array(numbers))


@pytest.mark.parametrize("offset", [2.0, 0.5, 12.0, 29.5])
@pytest.mark.parametrize("n", [2, 3])
def test_a_stack_is_found_by_its_bonds_wherever_the_cell_begins(n, offset):
    names, label = assign_layers(disulfide(n, 6.2, offset))
    assert names == tuple(f"layer {k + 1}" for k in range(n))
    groups = label.reshape(n, 3)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0]) == list(range(n))
    if offset == 2.0:
        np.testing.assert_array_equal(groups[:, 0], np.arange(n))


def test_a_bulk_stack_without_vacuum():
    _, label = assign_layers(disulfide(2, 6.15, 1.0, height=12.3))
    assert len(set(label[:3])) == 1
    assert label[0] != label[3]


def test_planes_are_cut_where_bonds_hold_all_together():
    """Two sheets of caesium: radii so large that both hang together, 4 A apart."""
    positions = np.array([[0, 0, 1.0], [2.5, 2.5, 2.0], [0, 0, 6.0], [2.5, 2.5, 7.0]])
    structure = Structure(np.diag([5.0, 5.0, 20.0]), positions, np.full(4, 55))
    names, label = assign_layers(structure)
    assert names == ("layer 1", "layer 2")
    np.testing.assert_array_equal(label, [0, 0, 1, 1])
    across = structure.with_positions(positions + np.array([0, 0, -1.5]))
    np.testing.assert_array_equal(assign_layers(across)[1] == assign_layers(across)[1][0], [1, 1, 0, 0])


def test_layers_as_the_user_names_them():
    stack = disulfide(2, 6.2)
    names, label = assign_layers(stack, {"donor": ["0-2"], "acceptor": [3, "4-5"]})
    assert names == ("donor", "acceptor")
    np.testing.assert_array_equal(label, [0, 0, 0, 1, 1, 1])
    names, label = assign_layers(stack, {"metal": ["Mo"]})
    assert names == ("metal", "rest")
    np.testing.assert_array_equal(label, [0, 1, 1, 0, 1, 1])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"a": [6]}, r"layers\.a'?: 6 is no atom or range of the 6 atoms"),
        ({"a": ["4-6"]}, "4-6 is no atom or range"),
        ({"a": ["3-1"]}, "3-1 is no atom or range"),
        ({"a": ["W"]}, "'W' is neither a number, a range nor an element of the structure"),
        ({"a": ["0-3"], "b": ["S"]}, "atom 1 is in 'a' and in 'b'"),
    ],
)
def test_what_is_no_layer_is_told(wanted, said):
    with pytest.raises(InputError, match=said):
        assign_layers(disulfide(2, 6.2), wanted)


def test_one_piece_has_no_layers():
    from ase.build import bulk

    with pytest.raises(InputError, match=r"8 atoms hang together.*name them"):
        assign_layers(Structure.from_ase(bulk("Si", cubic=True)))
