"""Ingredients of H0 from DFT frames alone, for runs whose pseudopotential files are not at hand.

With the density of a frame, made from its own H and S, everything in

    H = T + V_KB + <V_NA + V_H[rho - rho_atoms] + V_xc[rho + core]>

is known but three sets of radial functions per element: the local pseudopotential (that of a point charge
beyond some 1.5 A), projectors, and the partial core. H is linear in the first two; the core is found by
Gauss-Newton steps, since V_xc is not linear in it. What results is a pseudopotential that acts on this basis
as the code's does, not the code's own: projectors that no orbital feels are undetermined and kept small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from n2amd.baseline.fit_columns import (
    Layout,
    core_columns,
    core_fields,
    core_row,
    flatten,
    local_columns,
    nonlocal_columns,
    nonlocal_tables,
    zero_columns,
)
from n2amd.baseline.frame_rest import MeshFrame, kinetic_matrices
from n2amd.baseline.projector_table import ProjectorTable
from n2amd.baseline.spherical_atoms import (
    atomic_density,
    mean_populations,
    screened_nucleus,
    with_shifted_zero,
)
from n2amd.baseline.trial_functions import TrialSpace, combine, symmetric_directions
from n2amd.blocks.matrix import BlockMatrix
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import AtomIngredients, Ingredients, Projector
from n2amd.orbitals.basis import Basis, RadialFunction
from n2amd.orbitals.uniform_radial import uniform_basis

#: Regularisation, relative to the norms of the columns.
RIDGE = 1e-9
#: Gauss-Newton steps of the partial core at most, the shares of one that are tried, and the relative fall of
#: the squared error below which no other is made.
STEPS, SHARES, ENOUGH = 8, (1.0, 0.5, 0.2, 0.05), 0.005
#: Electrons in each Gaussian of the core to begin with.
FIRST_CORE = 0.02
#: Projectors of a smaller share of the largest energy of their l are left out.
SMALLEST_ENERGY = 1e-9


@dataclass(frozen=True)
class FitReport:
    """How well ingredients reproduce the frames that they are fitted to.

    Attributes
    ----------
    error
        Mean absolute error of H, eV.
    on_site, off_site
        The same of the blocks of one atom and of two.
    largest
        eV.
    gauge
        Multiple of S in the error of each frame, eV: zero for codes with the usual zero of potentials.
    """

    error: float
    on_site: float
    off_site: float
    largest: float
    gauge: tuple[float, ...]


@dataclass(frozen=True)
class _FrameColumns:
    """One frame's part of the linear problem; rows of the columns are unknowns."""

    frame: MeshFrame
    target: NDArray[np.float64]
    linear: NDArray[np.float64]
    core_fields: NDArray[np.float64]
    overlap: NDArray[np.float64]
    on_site: NDArray[np.bool_]


def fit_ingredients(
    frames: Sequence[Frame], basis: Basis, scheme: Ingredients, space: TrialSpace | None = None
) -> tuple[Ingredients, FitReport]:
    """Fit local potentials, projectors and partial cores to the Hamiltonians of frames.

    Parameters
    ----------
    frames
        Spinless, of every element; two or three small ones that differ are enough.
    basis
        With radial functions and valence charges.
    scheme
        Ingredients whose `atoms` do not count: functional, mesh and units of the code.
    space
        Trial functions; None: the usual ones.

    Returns
    -------
    ingredients, report

    Raises
    ------
    InputError
        If a frame has spins, or radial functions, k points or occupations are unknown.
    """
    space = space or TrialSpace()
    numbers = tuple(sorted({int(z) for frame in frames for z in frame.structure.numbers}))
    layout = Layout(numbers, space)
    used = Basis({z: basis[z] for z in numbers})
    orbitals = uniform_basis(used)
    on_mesh = [MeshFrame.of(frame, basis, scheme) for frame in frames]
    populations = mean_populations(orbitals, [(f.matrix, f.frame.overlap) for f in on_mesh])
    densities = {z: atomic_density(orbitals[z], populations[z]) for z in numbers}
    start = {
        z: screened_nucleus(
            densities[z], orbitals[z].valence_charge, space.core_charge_width, scheme.rydberg, scheme.bohr
        )
        for z in numbers
    }
    table = nonlocal_tables(orbitals, layout, scheme)
    columns = [
        _frame_columns(f, layout, table, kinetic, densities, start)
        for f, kinetic in zip(on_mesh, kinetic_matrices(on_mesh, used, scheme))
    ]
    unknowns, residuals = _solve(columns)
    local, projections, zeros, cores = layout.split(unknowns)
    atoms = {}
    for k, z in enumerate(numbers):
        density, nucleus = with_shifted_zero(densities[z], start[z], float(zeros[k, 0]), scheme)
        core = _sum(None, space.core_functions(), cores[k]) if cores[k].any() else None
        neutral = _sum(nucleus, space.local_functions(), local[k])
        atoms[z] = AtomIngredients(z, _projectors(space, projections[k]), neutral, density, core)
    return replace(scheme, atoms=atoms), _report(columns, residuals)


def _frame_columns(
    frame: MeshFrame,
    layout: Layout,
    table: ProjectorTable,
    kinetic: BlockMatrix,
    densities: Mapping[int, RadialFunction],
    start: Mapping[int, RadialFunction],
) -> _FrameColumns:
    """What the known parts leave of a frame, and what every trial function adds to it."""
    present = {int(z) for z in frame.structure.numbers}
    atoms, nuclei = frame.fields({z: [densities[z], start[z]] for z in present})
    target = flatten(frame.rest(kinetic, atoms)) - flatten(frame.integrate(nuclei))
    linear = np.concatenate(
        [local_columns(frame, layout), nonlocal_columns(frame, layout, table), zero_columns(frame, layout)]
    )
    hamiltonian = frame.frame.hamiltonian
    on_site = np.concatenate(
        [
            np.repeat(index.on_site, hamiltonian.values[key][0, 0].size)
            for key, index in hamiltonian.pairs.items()
        ]
    )
    return _FrameColumns(
        frame, target, linear, core_fields(frame, layout), flatten(frame.frame.overlap), on_site
    )


def _solve(columns: Sequence[_FrameColumns]) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Unknowns, and what they leave of each frame."""
    linear = np.concatenate([c.linear for c in columns], axis=1)
    target = np.concatenate([c.target for c in columns])
    n_cores = len(columns[0].core_fields)
    core = _partial_core(columns, linear, target) if n_cores else np.zeros(0)
    rest = target - _xc_rows(columns, core)
    free = _least_squares(linear, rest, len(linear))
    ends = np.cumsum([len(c.target) for c in columns])[:-1]
    return np.concatenate([free, core]), np.split(rest - free @ linear, ends)


def _xc_rows(columns: Sequence[_FrameColumns], core: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([core_row(c.frame, c.core_fields, core) for c in columns])


def _partial_core(
    columns: Sequence[_FrameColumns], linear: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Electrons in each Gaussian of the cores, by Gauss-Newton steps that are halved where they lead up."""
    # the linear unknowns follow each core, so they are projected out once
    known = np.linalg.qr(linear.T)[0]

    def left(core: NDArray[np.float64]) -> NDArray[np.float64]:
        rest = target - _xc_rows(columns, core)
        return rest - known @ (rest @ known)

    core = np.full(len(columns[0].core_fields), FIRST_CORE)
    residual = left(core)
    for _ in range(STEPS):
        slopes = np.concatenate([core_columns(c.frame, c.core_fields, core) for c in columns], axis=1)
        slopes -= (slopes @ known) @ known.T
        step = _least_squares(slopes, residual + core @ slopes, 0) - core
        before = float(residual @ residual)
        for share in SHARES:
            trial = left(core + share * step)
            if (after := float(trial @ trial)) < before:
                core, residual = core + share * step, trial
                break
        else:
            break
        if after > (1 - ENOUGH) * before:
            break
    return core


def _least_squares(
    rows: NDArray[np.float64], target: NDArray[np.float64], n_free: int
) -> NDArray[np.float64]:
    """Regularised solution; unknowns from `n_free` on, amounts of charge, are not negative."""
    norms = np.linalg.norm(rows, axis=1)
    norms[norms == 0] = 1.0
    n = len(rows)
    factor = np.asarray(np.linalg.qr(np.column_stack([(rows / norms[:, None]).T, target]), mode="r"))
    matrix = np.concatenate([factor[:n, :n], np.sqrt(RIDGE) * np.eye(n)])
    wanted = np.concatenate([factor[:n, n], np.zeros(n)])
    if n == n_free:
        solution = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    else:
        lower = np.where(np.arange(n) < n_free, -np.inf, 0.0)
        solution = lsq_linear(matrix, wanted, (lower, np.inf), method="bvls").x
    return solution / norms


def _projectors(space: TrialSpace, coefficients: NDArray[np.float64]) -> tuple[Projector, ...]:
    """Diagonal projectors of one element; the shapes are orthonormal, so energies are eigenvalues."""
    projectors: list[Projector] = []
    start = 0
    for l, n in enumerate(space.n_projectors):
        directions = symmetric_directions(n)
        part = coefficients[start : start + len(directions)]
        start += len(directions)
        energies, vectors = np.linalg.eigh((directions.T * part) @ directions)
        shapes = space.projector_shapes(l)
        for k, (energy, weights) in enumerate(zip(energies, vectors.T)):
            if abs(energy) > SMALLEST_ENERGY * np.abs(energies).max():
                projectors.append(Projector(combine(shapes, weights, f"l={l} {k + 1}"), float(energy)))
    return tuple(projectors)


def _sum(
    start: RadialFunction | None, functions: Sequence[RadialFunction], weights: NDArray[np.float64]
) -> RadialFunction:
    """A function plus a combination of others of the same spacing, each zero beyond its own end."""
    listed = list(zip(functions, weights))
    if start is not None:
        listed.append((start, np.float64(1.0)))
    length = max(len(f.values) for f, _ in listed)
    values = sum(w * np.pad(f.values, (0, length - len(f.values))) for f, w in listed)
    return RadialFunction(listed[0][0].step, np.asarray(values), max(f.cutoff for f, _ in listed))


def _report(columns: Sequence[_FrameColumns], residuals: Sequence[NDArray[np.float64]]) -> FitReport:
    left = np.abs(np.concatenate(residuals))
    on_site = np.concatenate([c.on_site for c in columns])
    gauges = tuple(float(r @ c.overlap / (c.overlap @ c.overlap)) for c, r in zip(columns, residuals))
    return FitReport(
        float(left.mean()),
        float(left[on_site].mean()),
        float(left[~on_site].mean()),
        float(left.max()),
        gauges,
    )
