"""Where states live: the weight of each on the atoms of the cell, or on each shell of each atom.

Of a state c of the generalised problem, c^dagger S c = 1, the weight on the orbitals G of a site is

    Mulliken  w_G = sum_{m in G} Re[c_m^* (S c)_m]        (Mulliken, J. Chem. Phys. 23, 1833 (1955)),
    Loewdin   w_G = sum_{m in G} |(S^1/2 c)_m|^2          (Loewdin, J. Chem. Phys. 18, 365 (1950)).

Both add up to one over all sites, and neither changes when the whole system is rotated: a site holds whole
shells. Mulliken's weights are free, but may lie slightly outside 0..1 where orbitals of neighbours overlap
much; Loewdin's lie within, and take the eigenvectors of S in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import h5py
import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure

Partition = Literal["mulliken", "loewdin"]
Level = Literal["atoms", "shells"]


@dataclass(frozen=True, eq=False)
class Sites:
    """What weights are given of: atoms, or shells of atoms.

    Attributes
    ----------
    structure
        The cell with its first geometry.
    atom
        Atom of each site, (g,).
    shell_l, shell
        Angular momentum and label of its shell, (g,); -1 and "" where a site is a whole atom.
    """

    structure: Structure
    atom: NDArray[np.int64]
    shell_l: NDArray[np.int64]
    shell: tuple[str, ...]

    @property
    def level(self) -> Level:
        """Whether sites are atoms or shells."""
        return "shells" if (self.shell_l >= 0).all() else "atoms"

    def same_as(self, other: Sites) -> bool:
        """Return whether both list the same sites of the same cell, whatever the positions."""
        return (
            np.array_equal(self.structure.numbers, other.structure.numbers)
            and np.array_equal(self.atom, other.atom)
            and np.array_equal(self.shell_l, other.shell_l)
            and self.shell == other.shell
        )


def sites_of(structure: Structure, basis: Basis, level: Level) -> Sites:
    """List the sites of a structure, atom by atom."""
    if level == "atoms":
        n = structure.n_atoms
        return Sites(structure, np.arange(n), np.full(n, -1), ("",) * n)
    shells = [(atom, shell) for atom, z in enumerate(structure.numbers) for shell in basis[z].shells]
    return Sites(
        structure,
        np.array([atom for atom, _ in shells]),
        np.array([shell.l for _, shell in shells]),
        tuple(shell.label for _, shell in shells),
    )


def first_orbitals(sites: Sites, basis: Basis) -> NDArray[np.int64]:
    """First orbital of each site, (g,)."""
    numbers = sites.structure.numbers
    if sites.level == "atoms":
        return basis.orbital_offsets(numbers)[:-1]
    sizes = [shell.n_orbitals for z in numbers for shell in basis[z].shells]
    return np.cumsum([0, *sizes[:-1]])


def mulliken(
    coefficients: NDArray, overlap_coefficients: NDArray, starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mulliken's weights, (w, g).

    Parameters
    ----------
    coefficients, overlap_coefficients
        C and S C, (n, w).
    starts
        First orbital of each site, (g,).
    """
    products = (coefficients.conj() * overlap_coefficients).real
    return np.add.reduceat(products, starts, axis=0).T


def loewdin(coefficients: NDArray, overlap_matrix: NDArray, starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Loewdin's weights, (w, g), from C, (n, w), and S, (n, n)."""
    values, vectors = scipy.linalg.eigh(overlap_matrix)
    # rounding may leave a tiny negative eigenvalue of a matrix that Cholesky found positive
    root = np.sqrt(np.clip(values, 0, None))[:, None]
    amplitudes = vectors @ (root * (vectors.conj().T @ coefficients))
    return np.add.reduceat(np.abs(amplitudes) ** 2, starts, axis=0).T


def site_weights(
    coefficients: NDArray,
    overlap_coefficients: NDArray,
    overlap_matrix: NDArray,
    starts: NDArray[np.int64],
    partition: Partition,
) -> NDArray[np.float32]:
    """Weights by either partition, (w, g), from C and S C, (n, w), S, (n, n), and first orbitals, (g,)."""
    if partition == "loewdin":
        return loewdin(coefficients, overlap_matrix, starts).astype(np.float32)
    return mulliken(coefficients, overlap_coefficients, starts).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Projection:
    """Weights of states along a trajectory.

    Attributes
    ----------
    sites
        What the weights are of.
    partition
        "mulliken" or "loewdin".
    weights
        (F, states, g); they add up to one over the sites.
    """

    sites: Sites
    partition: str
    weights: NDArray[np.float32]


def on_atoms(projection: Projection) -> NDArray[np.float64]:
    """Weight of every state on every atom, (F, states, n_atoms)."""
    sites = projection.sites
    # sites come atom by atom
    starts = np.searchsorted(sites.atom, np.arange(sites.structure.n_atoms))
    return np.add.reduceat(projection.weights.astype(np.float64), starts, axis=2)


def participation(projection: Projection) -> NDArray[np.float64]:
    """Number of atoms a state lives on, (F, states): the inverse of IPR = sum_a w_a^2 / (sum_a w_a)^2.

    N for a state spread evenly over N atoms, 1 for one on a single atom (Thouless, Phys. Rep. 13, 93
    (1974)).
    """
    weight = on_atoms(projection)
    return weight.sum(axis=2) ** 2 / (weight**2).sum(axis=2)


def write_projection(file: h5py.File, projection: Projection | None) -> None:
    """Write the group `projection`; nothing where there is none."""
    if projection is None:
        return
    group, sites = file.create_group("projection"), projection.sites
    group.attrs["partition"] = projection.partition
    group.create_dataset(
        "weights", data=projection.weights, dtype="f4", compression="gzip", compression_opts=1, shuffle=True
    )
    group["atom"], group["shell_l"] = sites.atom, sites.shell_l
    group.create_dataset("shell", data=list(sites.shell), dtype=h5py.string_dtype())
    group["numbers"], group["pbc"] = sites.structure.numbers, np.array(sites.structure.pbc)
    group["cell"], group["positions"] = sites.structure.cell, sites.structure.positions


def read_projection(file: h5py.File) -> Projection | None:
    """Read the group `projection`, None where the file has none (made without, or by an older version)."""
    if "projection" not in file:
        return None
    group = file["projection"]
    structure = Structure(
        group["cell"][...],
        group["positions"][...],
        group["numbers"][...],
        tuple(bool(p) for p in group["pbc"][...]),  # type: ignore[arg-type]
    )
    sites = Sites(
        structure, group["atom"][...], group["shell_l"][...], tuple(group["shell"].asstr()[...].tolist())
    )
    return Projection(sites, str(group.attrs["partition"]), group["weights"][...])
