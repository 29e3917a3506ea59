"""The k points of a frame's SCF cycle."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.frames.frame import Frame


def scf_kpoints(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return k points (n_k, 3), fractional, and weights (n_k,) that sum to 1; of k and -k one is kept.

    A frame of OpenMX says its mesh, whose points lie at (i + 1/2) / n - 1/2 (its bands may lie on a path);
    one of CP2K lists the points. In SIESTA, HONPAS and PySCF the bands are those of the SCF cycle; bands
    without weight are of other points.

    Raises
    ------
    InputError
        If they are unknown.
    """
    if frame.origin.get("code") == "openmx":
        return _shifted_mesh(frame)
    if (listed := frame.origin.get("k_points")) is not None:
        return points_of_text(listed)
    if frame.bands is None or frame.origin.get("code") == "cp2k":
        raise InputError("the k points of the SCF cycle are unknown", frame=frame.name, field="bands")
    counted = frame.bands.weights > 0
    return frame.bands.kpoints[counted], frame.bands.weights[counted] / frame.bands.weights.sum()


def text_of_points(points: NDArray[np.float64], weights: NDArray[np.float64]) -> str:
    """K points (n_k, 3) and weights (n_k,) as the origin of a frame keeps them, `k_points`."""
    return json.dumps(np.column_stack([points, weights]).tolist())


def points_of_text(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inverse of `text_of_points`; the weights sum to 1."""
    table = np.array(json.loads(text), dtype=np.float64).reshape(-1, 4)
    return table[:, :3], table[:, 3] / table[:, 3].sum()


def mesh_counts(kpoints: NDArray[np.float64]) -> NDArray[np.int64]:
    """Points along each axis of a regular mesh, (3,), from its points (n_k, 3), of k and -k one."""
    both = np.concatenate([kpoints, -kpoints]) % 1.0
    return np.array([len(np.unique(np.rint(1e4 * axis) % 1e4)) for axis in both.T], dtype=np.int64)


def _shifted_mesh(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    text = frame.origin.get("k_mesh", "1 1 1")
    try:
        counts = [int(word) for word in text.split()]
        axes = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    except ValueError:
        raise InputError(f"k mesh {text!r}", frame=frame.name, field="scf.Kgrid") from None
    # (i + 1/2) / n - 1/2 changes its sign under i -> n - 1 - i: the second half mirrors the first
    n = len(points)
    weights = np.where(np.arange(n) < n // 2, 2.0, 1.0)[: (n + 1) // 2]
    return points[: (n + 1) // 2], weights / n
