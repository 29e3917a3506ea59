"""Which frames train, validate and test: the same rule for the force field and the Hamiltonian network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from n2amd.errors import InputError
from n2amd.structure import Structure

#: Root mean square difference of the positions below which a frame is a near-copy of another, Angstrom. Steps
#: of 1 fs at 300 K move light atoms by 0.005, independent thermal frames lie 0.1 apart.
NEAR_COPY_A = 0.03


@dataclass(frozen=True)
class Split:
    """Disjoint frame indices, ascending; together all frames."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_frames(
    structures: Sequence[Structure], validation_fraction: float, test_fraction: float, seed: int
) -> Split:
    """Split frames at random, reproducibly, with near-copies of one frame on one side.

    Frames are held out of every size of cell in proportion; what is left over to the larger cells in the
    test, where a model is judged, and by the largest remainder in the validation. Where near-copies leave no
    choice (one trajectory), blocks of neighbours are held out.

    Parameters
    ----------
    structures
        Of all frames, in their order.
    validation_fraction, test_fraction, seed
        As for `split_indices`.

    Raises
    ------
    InputError
        As `split_indices`.
    """
    n = len(structures)
    sizes = [len(part) for part in vars(split_indices(n, validation_fraction, test_fraction, seed)).values()]
    groups = near_copies(structures)
    atoms = np.array([s.n_atoms for s in structures])
    rng = np.random.default_rng(seed)
    free = np.ones(n, dtype=bool)
    held = {}
    for name, wanted in (("test", sizes[2]), ("validation", sizes[1])):
        chosen: list[int] = []
        for size, count in _quotas(atoms, wanted, name == "test").items():
            chosen += _draw(np.flatnonzero(free & (atoms == size)), groups, count, rng)
        held[name] = np.sort(np.array(chosen, dtype=np.int64))
        free[held[name]] = False
    return Split(np.flatnonzero(free), held["validation"], held["test"])


def near_copies(structures: Sequence[Structure]) -> NDArray[np.int64]:
    """Group frames that are near-copies of each other, directly or through others, (n_frames,)."""
    kinds: dict[bytes, list[int]] = {}
    for k, structure in enumerate(structures):
        kinds.setdefault(structure.numbers.tobytes(), []).append(k)
    links: list[tuple[int, int]] = []
    for members in kinds.values():
        flat = np.array([structures[k].positions.ravel() for k in members])
        reach = NEAR_COPY_A * np.sqrt(flat.shape[1] / 3)
        links += [(members[a], members[b]) for a, b in cKDTree(flat).query_pairs(reach)]
    rows, columns = np.array(links, dtype=np.int64).reshape(-1, 2).T
    shape = (len(structures), len(structures))
    _, labels = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), shape), directed=False)
    return labels.astype(np.int64)


def _quotas(atoms: NDArray[np.int64], wanted: int, larger_first: bool) -> dict[int, int]:
    """Frames to hold out of each size of cell: in proportion, what is left over by size or by remainder."""
    values, counts = np.unique(atoms, return_counts=True)
    exact = wanted * counts / counts.sum()
    quota = np.floor(exact).astype(int)
    rest = np.zeros(len(values)) if larger_first else exact - quota
    for k in np.lexsort((-values, -rest))[: wanted - quota.sum()]:
        quota[k] += 1
    return {int(v): int(q) for v, q in zip(values[::-1], quota[::-1])}


def _draw(
    frames: NDArray[np.int64], groups: NDArray[np.int64], count: int, rng: np.random.Generator
) -> list[int]:
    """Draw whole groups that fit; where none does, neighbours at the end of the largest one."""
    chosen: list[int] = []
    for group in rng.permutation(np.unique(groups[frames])):
        members = [int(k) for k in frames if groups[k] == group]
        if len(chosen) + len(members) <= count and len(members) < len(frames):
            chosen += members
    if len(chosen) < count:
        rest = [int(k) for k in frames if k not in chosen]
        chosen += rest[len(rest) - (count - len(chosen)) :]
    return chosen


def split_indices(n: int, validation_fraction: float, test_fraction: float, seed: int) -> Split:
    """Split n frames at random, reproducibly.

    Parameters
    ----------
    n
        Number of frames.
    validation_fraction, test_fraction
        Parts held out; each set gets at least one frame.
    seed
        Seed of the shuffle.

    Returns
    -------
    split
        Ascending indices of the three sets.

    Raises
    ------
    InputError
        If a fraction is not between 0 and 1, or too few frames are left to train on.
    """
    for field, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 < fraction < 1:
            raise InputError(f"{fraction} is not between 0 and 1", field=field, remedy="choose e.g. 0.1")
    validation, test = max(1, round(n * validation_fraction)), max(1, round(n * test_fraction))
    if n - validation - test < 1:
        raise InputError(
            f"{n} frames cannot give {validation} for validation, {test} for the test and one for training",
            field="validation_fraction",
            remedy="add frames (at least 3) or hold out smaller fractions",
        )
    order = np.random.default_rng(seed).permutation(n)
    held_out = validation + test
    return Split(np.sort(order[held_out:]), np.sort(order[:validation]), np.sort(order[validation:held_out]))
