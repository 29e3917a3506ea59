from __future__ import annotations

import numpy as np
import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st

from n2amd.network.wigner import bond_frames, bond_wigner, wigner_matrices

AXES = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [0.6, 0.8, 0], [-0.8, 0.6, 0]]
component = st.floats(-1, 1, allow_nan=False)


@given(st.tuples(component, component, component).filter(lambda v: np.linalg.norm(v) > 1e-3))
@settings(max_examples=60, deadline=None)
def test_frames_are_proper_rotations_onto_z(vector):
    direction = torch.tensor(vector, dtype=torch.float64)[None]
    direction = direction / direction.norm()
    frame = bond_frames(direction)
    torch.testing.assert_close((frame @ direction[:, :, None])[0, :, 0], torch.tensor([0, 0, 1.0]).double())
    torch.testing.assert_close(frame @ frame.mT, torch.eye(3).double()[None], atol=1e-14, rtol=0)
    assert torch.linalg.det(frame).item() == pytest.approx(1.0, abs=1e-14)


def test_wigner_matrices_rotate_real_harmonics():
    generator = torch.Generator().manual_seed(3)
    rotation = o3.rand_matrix(4, dtype=torch.float64)
    points = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    for l, matrix in enumerate(wigner_matrices(rotation, 6)):
        before = o3.spherical_harmonics(l, points[:, [1, 2, 0]], normalize=True)
        after = o3.spherical_harmonics(
            l, torch.einsum("nij,nj->ni", rotation, points)[:, [1, 2, 0]], normalize=True
        )
        torch.testing.assert_close(torch.einsum("nij,nj->ni", matrix, before), after, atol=1e-12, rtol=0)


@pytest.mark.parametrize("axis", AXES)
def test_value_and_tangent_are_finite_along_the_axes(axis):
    direction = torch.tensor([axis], dtype=torch.float64)
    tangent = torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64)
    tangent = tangent - direction * (tangent * direction).sum()

    def y_of(v):  # Y_l(r) = D^T Y_l(z): independent of the roll of the frame
        return torch.cat([matrix[:, l] for l, matrix in enumerate(bond_wigner(v, 4))], dim=1)

    value, slope = torch.func.jvp(y_of, (direction,), (tangent,))
    assert torch.isfinite(value).all()
    h = 1e-5
    shifted = [direction + s * h * tangent for s in (1, -1)]
    plus, minus = (y_of(v / v.norm()) for v in shifted)
    torch.testing.assert_close(slope, (plus - minus) / (2 * h), atol=1e-8, rtol=1e-7)


def test_both_charts_agree_at_their_border():
    e = 1e-12
    border = torch.tensor([[0.6, 0.8, e], [0.6, 0.8, -e], [0, 1, e], [0, 1, -e]], dtype=torch.float64)
    for l, matrix in enumerate(bond_wigner(border, 4)):
        torch.testing.assert_close(matrix[0, l], matrix[1, l], atol=1e-10, rtol=0)
        torch.testing.assert_close(matrix[2, l], matrix[3, l], atol=1e-10, rtol=0)
