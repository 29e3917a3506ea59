"""How matrix elements between states move with the coefficients of the density, to first order.

    d<n|H|m> / dc_f = int f(r) (v_H[psi_n* psi_m] + f_xc psi_n* psi_m) dr

v_H is the Hartree potential of the product, f_xc the exchange-correlation kernel. One product of states costs
one Poisson equation, whatever the number of coefficients, so that a network that predicts densities can be
trained on band edges and couplings directly. The kernel is that of the local density approximation: a slope,
whose small error only slows the way to the right coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.baseline.density_fit import Design, PlaneWaves
from n2amd.baseline.mesh_states import states_on_mesh
from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.blocks.zone_corners import INVARIANT
from n2amd.frames.channels import occupied_bands
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Basis

#: States on each side of the gap: one for this many atoms, but no fewer and no more than these.
ATOMS_PER_STATE, FEWEST_STATES, MOST_STATES = 6, 2, 8
#: States on each side whose elements with those of the other side are looked at too.
ACROSS = 4
#: Cells with more atoms than this are looked at at Gamma only.
GAMMA_FROM = 24


@dataclass(frozen=True)
class StateResponse:
    """First-order response of matrix elements between the states around the gap.

    Attributes
    ----------
    response
        Derivatives with the coefficients, (n_elements, n_functions), eV; with collinear spins those with the
        coefficients of the density and then of the magnetisation, (n_elements, 2 n_functions).
    missing
        DFT's matrix elements minus those of the reference Hamiltonian, (n_elements,), eV.
    edges
        Elements that are the energies of VBM and CBM, of each spin channel in turn.
    levels
        Elements that are energies of states.
    """

    response: NDArray[np.float32]
    missing: NDArray[np.float64]
    edges: tuple[int, ...]
    levels: tuple[int, ...] = ()


@dataclass(frozen=True)
class EdgeStates:
    """States on one side of the gap at one k point: (n_orbitals, n_states), real, with energies in eV."""

    kpoint: NDArray[np.float64]
    energies: NDArray[np.float64]
    vectors: NDArray[np.float64]


def edge_states(frame: Frame, basis: Basis, spin: int = 0) -> list[tuple[EdgeStates, EdgeStates]]:
    """Valence and conduction states of one spin of a frame's own H and S, at each k point looked at."""
    n_atoms, n = frame.structure.n_atoms, occupied_bands(frame)[spin]
    count = min(max(n_atoms // ATOMS_PER_STATE, FEWEST_STATES), MOST_STATES)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    found = []
    for k in INVARIANT[: None if n_atoms <= GAMMA_FROM else 1]:
        h, s = fold(frame.hamiltonian, offsets, k, spin).real, fold(frame.overlap, offsets, k).real
        wanted = [max(n - count, 0), min(n + count, len(h)) - 1]
        energies, vectors = scipy.linalg.eigh(h, s, subset_by_index=wanted)
        below = n - wanted[0]
        found.append(
            (
                EdgeStates(k, energies[:below], vectors[:, :below]),
                EdgeStates(k, energies[below:], vectors[:, below:]),
            )
        )
    return found


def elements_wanted(below: int, above: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of states whose elements are looked at: all on either side of the gap, the nearest across it.

    Those across it are what couplings are made of: their change in time over the gap.

    Parameters
    ----------
    below, above
        Valence and conduction states; all are counted from the lowest.
    """
    valence, conduction = np.triu_indices(below), np.triu_indices(above)
    across = np.meshgrid(
        np.arange(max(below - ACROSS, 0), below), below + np.arange(min(above, ACROSS)), indexing="ij"
    )
    first = [valence[0], conduction[0] + below, across[0].ravel()]
    second = [valence[1], conduction[1] + below, across[1].ravel()]
    return np.concatenate(first), np.concatenate(second)


def response_fields(
    products: NDArray[np.float64], waves: PlaneWaves, kernel: NDArray[np.float64], coulomb: float | None
) -> NDArray[np.complex128]:
    """Fourier integrals of v_H[p] + f_xc p for each product p of states, (n_products, n_waves), eV.

    Parameters
    ----------
    products
        psi_n psi_m on the mesh, (n_products, n1, n2, n3), 1/A^3.
    waves
        Wave vectors kept.
    kernel
        f_xc on the mesh, eV A^3.
    coulomb
        e^2, eV A; None: of f_xc p alone, as a magnetisation makes no field of charges.
    """
    # single precision: a slope need not be better, and half of the time goes here
    local, single = kernel.astype(np.float32), products.astype(np.float32)
    if coulomb is None:
        return np.stack([waves.transform(local * p) for p in single])
    hartree = 4 * np.pi * coulomb / waves.lengths**2
    return np.stack([hartree * waves.transform(p) + waves.transform(local * p) for p in single])


def state_response(
    frame: Frame,
    basis: Basis,
    ingredients: Ingredients,
    design: Design,
    mesh: Mesh,
    kernel: NDArray[np.float64],
    reference: BlockMatrix,
) -> StateResponse:
    """Response of the states around a frame's gap, of each spin channel in turn.

    Parameters
    ----------
    frame, basis, ingredients
        The DFT frame.
    design
        Density functions of the frame's atoms.
    mesh, kernel
        f_xc on a mesh of the frame's cell, eV A^3: `n2amd.baseline.slope_kernel`.
    reference
        H0 at the coefficients that `missing` refers to, eV.
    """
    orbitals = ingredients.orbitals(basis)
    coulomb = 2 * ingredients.rydberg * ingredients.bohr
    channels = [
        _channel_response(frame, basis, orbitals, coulomb, design, mesh, kernel, reference, spin)
        for spin in range(frame.hamiltonian.n_spin)
    ]
    if len(channels) == 1:
        return channels[0]
    starts = np.cumsum([0, *(len(c.missing) for c in channels)]).tolist()
    return StateResponse(
        np.concatenate([c.response for c in channels]),
        np.concatenate([c.missing for c in channels]),
        tuple(start + row for start, c in zip(starts, channels) for row in c.edges),
        tuple(start + row for start, c in zip(starts, channels) for row in c.levels),
    )


def _channel_response(
    frame: Frame,
    basis: Basis,
    orbitals: Basis,
    coulomb: float,
    design: Design,
    mesh: Mesh,
    kernel: NDArray[np.float64],
    reference: BlockMatrix,
    spin: int,
) -> StateResponse:
    waves = PlaneWaves.of(mesh)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    kernels = [kernel] if kernel.ndim == 3 else list(kernel[spin])
    fields: list[list[NDArray[np.complex128]]] = [[] for _ in kernels]
    missing, levels = list[float](), list[int]()
    edges = [(-np.inf, 0), (np.inf, 0)]
    for below, above in edge_states(frame, basis, spin):
        energies = np.concatenate([below.energies, above.energies])
        vectors = np.hstack([below.vectors, above.vectors])
        values = states_on_mesh(orbitals, frame.structure, mesh, vectors, below.kpoint)
        a, b = elements_wanted(len(below.energies), len(above.energies))
        products = values[a] * values[b]
        for kept, of_change, charge in zip(fields, kernels, (coulomb, None)):
            kept.append(response_fields(products, waves, of_change, charge))
        for side, edge in enumerate((len(below.energies) - 1, len(below.energies))):
            row = len(missing) + int(np.flatnonzero((a == edge) & (b == edge))[0])
            if energies[edge] > edges[0][0] if side == 0 else energies[edge] < edges[1][0]:
                edges[side] = (energies[edge], row)
        levels += (len(missing) + np.flatnonzero(a == b)).tolist()
        elements = vectors.T @ fold(reference, offsets, below.kpoint, spin).real @ vectors
        missing += (np.diag(energies) - elements)[a, b].tolist()
    responses = [design.integrals(np.concatenate(kept)) for kept in fields]
    response = responses[0] if len(responses) == 1 else np.concatenate(responses, axis=1)
    return StateResponse(response, np.array(missing), (edges[0][1], edges[1][1]), tuple(levels))
