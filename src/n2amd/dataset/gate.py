"""The ingestion gate: what a frame must satisfy before anything is learned from it.

Every check is a figure with a limit; the figures are stored with the data set. A frame that passes gives the
DFT code's own bands from its blocks, in the canonical orbital convention, with a usable overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.blocks.pairs import find_pairs
from n2amd.dataset.frame import Frame
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import two_centre_residual
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure
from n2amd.units import SIESTA_RYDBERG_EV

#: Bands above the highest occupied one whose energies are compared.
EXTRA_BANDS = 5
#: Overlap elements above this need a Hamiltonian block.
COVERED_OVERLAP = 1e-4


@dataclass(frozen=True)
class Check:
    """One figure of the gate and the range it must lie in.

    Attributes
    ----------
    name, unit
        Name in tables and in the data set, and its unit.
    low, high
        Smallest and largest value that passes.
    meaning
        What the figure is.
    remedy
        What to do with a frame that fails.
    """

    name: str
    unit: str
    meaning: str
    remedy: str
    low: float = -np.inf
    high: float = np.inf

    def passes(self, value: float) -> bool:
        """Tell whether a value lies in the range; not a number never does."""
        return self.low <= value <= self.high

    @property
    def bounds(self) -> str:
        """The range in words."""
        parts = [f">= {self.low:g}"] if self.low > -np.inf else []
        return ", ".join(parts + ([f"<= {self.high:g}"] if self.high < np.inf else []))


_UNITS = "check that lengths are in the unit the code writes (Bohr or Angstrom)"
_WRITER = "check that H and S were written by one run and copied whole"

#: In the order in which a failure is reported: the cause before its consequences.
CHECKS: tuple[Check, ...] = (
    Check("not_finite", "", "values that are NaN or infinite", "run the frame again", high=0),
    Check("min_distance", "A", "smallest distance of two atoms", _UNITS, low=0.5),
    Check("bond_ratio", "", "smallest distance over the sum of covalent radii", _UNITS, low=0.6),
    Check("volume_per_atom", "A^3", "cell volume per atom", _UNITS, low=1.5, high=5000),
    Check("hermiticity_error", "eV", "largest |M - M^dagger| in the file", _WRITER, high=1e-4),
    Check(
        "two_centre_residual",
        "",
        "part of S that two centres forbid in the bond frame",
        "check orbital order and signs: pass the code that wrote the files (--code)",
        high=1e-4,
    ),
    Check(
        "overlap_error",
        "",
        "off-site S against the radial functions",
        "use the radial functions and the geometry of this run",
        high=1e-4,
    ),
    Check(
        "overlap_error_on_site",
        "",
        "on-site S against the radial functions",
        "use the radial functions of this run",
        high=1e-3,
    ),
    Check(
        "uncovered_pairs",
        "",
        "atom pairs that overlap but have no Hamiltonian",
        "write H to its full range: it must not be cut shorter than S",
        high=0,
    ),
    Check(
        "overlap_min_eigenvalue",
        "",
        "smallest eigenvalue of S(k)",
        "remove nearly dependent orbitals from the basis",
        low=1e-6,
    ),
    Check("overlap_condition", "", "largest condition number of S(k)", "use a smaller basis", high=1e8),
    Check(
        "eigenvalue_error",
        "meV",
        f"bands of (H, S) against the code's own, up to n_occupied + {EXTRA_BANDS}",
        "keep H and the eigenvalues of one converged SCF step",
        high=1.0,
    ),
)

#: Checks by name.
BY_NAME: Mapping[str, Check] = {check.name: check for check in CHECKS}


def measure(frame: Frame, basis: Basis) -> dict[str, float]:
    """Measure every figure of the gate for one frame.

    Parameters
    ----------
    frame
        Frame in canonical order.
    basis
        Its basis; figures that need radial functions are measured where it has them.

    Returns
    -------
    figures
        Value per check name; absent where the frame lacks what the check needs.
    """
    broken = _count_not_finite(frame)
    figures = {"not_finite": float(broken)}
    if broken:
        return figures
    figures |= _distances(frame.structure)
    if frame.hermiticity_error is not None:
        figures["hermiticity_error"] = frame.hermiticity_error
    figures["two_centre_residual"] = two_centre_residual(frame.overlap, basis, frame.structure)
    if all(shell.radial is not None for atom in basis.atoms.values() for shell in atom.shells):
        figures |= _rebuilt_overlap(frame, basis)
    else:
        figures["uncovered_pairs"] = float(_uncovered(frame.overlap, frame.hamiltonian))
    return figures | _spectrum(frame, basis)


def verdict(frame: Frame, figures: Mapping[str, float]) -> None:
    """Refuse the frame if a figure is out of its range.

    Raises
    ------
    InputError
        Naming the frame, the first check that failed, its value and the remedy.
    """
    for check in CHECKS:
        value = figures.get(check.name)
        if value is None or check.passes(value):
            continue
        bound = f"at least {check.low:g}" if value < check.low else f"at most {check.high:g}"
        hint = _unit_hint(frame, check, figures)
        raise InputError(
            f"{check.meaning} ({check.name}) is {value:.4g} {check.unit}".rstrip()
            + f", must be {bound}{hint}",
            frame=frame.name,
            remedy=check.remedy,
        )
    if "eigenvalue_error" not in figures:
        raise InputError(
            "the code's own eigenvalues are missing, so H and S cannot be verified",
            frame=frame.name,
            field="eigenvalue_error",
            remedy="keep the eigenvalue file of the run",
        )


def _unit_hint(frame: Frame, check: Check, figures: Mapping[str, float]) -> str:
    """Name a wrong energy unit, seen as a common factor of all band energies."""
    ratio = figures.get("band_ratio", 1.0)
    if check.name != "eigenvalue_error" or abs(ratio - 1) < 0.05:
        return ""
    for factor, found in (
        (SIESTA_RYDBERG_EV, "eV"),
        (2.0, "Hartree"),
        (1 / SIESTA_RYDBERG_EV, "Rydberg, twice"),
    ):
        if abs(ratio / factor - 1) < 0.05:
            return f" (bands {ratio:.3g} times too wide: H seems to be in {found} where Rydberg was expected)"
    return f" (bands {ratio:.3g} times too wide)"


def _count_not_finite(frame: Frame) -> int:
    arrays = [frame.structure.cell, frame.structure.positions, np.array([frame.n_electrons])]
    arrays += [
        np.array(x) for x in (frame.energy, frame.forces, frame.stress, frame.fermi_level) if x is not None
    ]
    arrays += [values for matrix in (frame.hamiltonian, frame.overlap) for values in matrix.values.values()]
    if frame.bands is not None:
        arrays += [frame.bands.kpoints, frame.bands.weights, frame.bands.energies]
    return sum(int(np.count_nonzero(~np.isfinite(values))) for values in arrays)


def _distances(structure: Structure) -> dict[str, float]:
    from ase.data import covalent_radii

    radii = covalent_radii[structure.numbers]
    reach = 2 * float(radii.max()) + 1.0
    present = sorted({int(z) for z in structure.numbers})
    ranges = {(a, b): reach for a in present for b in present if a <= b}
    distances, ratios = [reach], [np.inf]
    for index in find_pairs(structure, ranges, half=True).values():
        bonds = index.select(~index.on_site)
        if len(bonds):
            lengths = np.linalg.norm(bonds.vectors(structure), axis=1)
            distances.append(float(lengths.min()))
            ratios.append(float((lengths / (radii[bonds.i] + radii[bonds.j])).min()))
    return {
        "min_distance": min(distances),
        "bond_ratio": min(ratios),
        "volume_per_atom": structure.volume / structure.n_atoms,
    }


@lru_cache(maxsize=4)
def _overlap_table(basis_json: str) -> OverlapTable:
    return OverlapTable.from_basis(Basis.from_json(basis_json))


def _rebuilt_overlap(frame: Frame, basis: Basis) -> dict[str, float]:
    """Compare S with the one made of the radial functions; count the overlapping pairs H does not have."""
    rebuilt = overlap(_overlap_table(basis.to_json()), frame.structure)
    off_site, on_site = 0.0, 0.0
    for key, index in rebuilt.pairs.items():
        stored = _on_pairs(frame.overlap, key, rebuilt)
        error = np.abs(stored - rebuilt.values[key])[0].max(axis=(-1, -2), initial=0.0)
        on_site = max(on_site, float(error[index.on_site].max(initial=0.0)))
        off_site = max(off_site, float(error[~index.on_site].max(initial=0.0)))
    return {
        "overlap_error": off_site,
        "overlap_error_on_site": on_site,
        "uncovered_pairs": float(_uncovered(rebuilt, frame.hamiltonian)),
    }


def _on_pairs(matrix: BlockMatrix, key: tuple[int, int], like: BlockMatrix) -> NDArray:
    """Blocks of `matrix` at the pairs of `like`, zero where it has none."""
    wanted = like.pairs[key]
    blocks = np.zeros(
        (matrix.n_spin, *like.values[key].shape[1:]), dtype=next(iter(matrix.values.values())).dtype
    )
    if key in matrix.pairs:
        have = matrix.pairs[key]
        position = {
            pair: n
            for n, pair in enumerate(zip(have.i.tolist(), have.j.tolist(), map(tuple, have.shift.tolist())))
        }
        source = [
            position.get(pair, -1)
            for pair in zip(wanted.i.tolist(), wanted.j.tolist(), map(tuple, wanted.shift.tolist()))
        ]
        found = np.array(source, dtype=np.int64)
        blocks[:, found >= 0] = matrix.values[key][:, found[found >= 0]]
    return blocks


def _uncovered(reference: BlockMatrix, hamiltonian: BlockMatrix) -> int:
    """Count the pairs of the overlap whose Hamiltonian block is absent or exactly zero."""
    count = 0
    for key, blocks in reference.values.items():
        overlapping = np.abs(blocks).max(axis=(0, 2, 3), initial=0.0) > COVERED_OVERLAP
        stored = np.abs(_on_pairs(hamiltonian, key, reference)).max(axis=(0, 2, 3), initial=0.0)
        count += int(np.count_nonzero(overlapping & (stored == 0)))
    return count


def _spectrum(frame: Frame, basis: Basis) -> dict[str, float]:
    """Extreme eigenvalues of S(k) and the bands of (H, S), over all k points of the code's own bands."""
    offsets = basis.orbital_offsets(frame.structure.numbers)
    kpoints = frame.bands.kpoints if frame.bands is not None else np.zeros((1, 3))
    lowest, condition, error = np.inf, 0.0, 0.0
    ours: list[NDArray] = []
    theirs: list[NDArray] = []
    for number, k in enumerate(kpoints):
        s = fold(frame.overlap, offsets, k)
        spectrum = np.linalg.eigvalsh(s)
        lowest = min(lowest, float(spectrum[0]))
        condition = max(condition, float(spectrum[-1] / spectrum[0]) if spectrum[0] > 0 else np.inf)
        if spectrum[0] < BY_NAME["overlap_min_eigenvalue"].low or frame.bands is None:
            continue
        for spin in range(frame.hamiltonian.n_spin):
            reference = frame.bands.energies[number, spin]
            count = min(int(np.ceil(frame.n_electrons / 2)) + EXTRA_BANDS, len(reference))
            h = fold(frame.hamiltonian, offsets, k, spin)
            ours.append(scipy.linalg.eigvalsh(h, s)[:count])
            theirs.append(reference[:count])
    figures = {"overlap_min_eigenvalue": lowest, "overlap_condition": condition}
    if ours:
        found, expected = np.concatenate(ours), np.concatenate(theirs)
        error = float(np.abs(found - expected).max())
        spread = float(np.std(expected))
        figures |= {
            "eigenvalue_error": 1e3 * error,
            "band_ratio": float(np.std(found)) / spread if spread else 1.0,
        }
    return figures
