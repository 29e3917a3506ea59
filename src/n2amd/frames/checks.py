"""The checks of the ingestion gate: what each figure means, the range it must lie in, what to do if not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: Bands above the highest occupied one whose energies are compared.
EXTRA_BANDS = 5


@dataclass(frozen=True)
class Check:
    """One figure of the gate and the range it must lie in.

    Attributes
    ----------
    name, unit
        Name in tables and in the data set, and its unit.
    meaning
        What the figure is.
    remedy
        What to do with a frame that fails.
    low, high
        Smallest and largest value that passes.
    warns
        A value outside is unusual but not impossible, so that other checks decide: see `refuses`.
    """

    name: str
    unit: str
    meaning: str
    remedy: str
    low: float = -np.inf
    high: float = np.inf
    warns: bool = False

    def passes(self, value: float) -> bool:
        """Tell whether a value lies in the range; not a number never does."""
        return self.low <= value <= self.high

    def refuses(self, value: float, *, lengths_known: bool) -> bool:
        """Tell whether a value that does not pass refuses the frame, or is worth a warning only.

        Molecules in boxes and stretched bonds lie above the range of lengths, and are as good as any frame;
        below it, closer together than any bond, nothing lies that was read in the right unit, unless S made
        of the positions says so (`lengths_known`).
        """
        return not self.warns or (value < self.low and not lengths_known) or bool(np.isnan(value))

    @property
    def bounds(self) -> str:
        """The range in words."""
        parts = [f">= {self.low:g}"] if self.low > -np.inf else []
        parts += [f"<= {self.high:g}"] if self.high < np.inf else []
        return ("usually " if self.warns else "") + ", ".join(parts)


_UNITS = "check that lengths are in the unit the code writes (Bohr or Angstrom)"
_WRITER = "check that H and S were written by one run and copied whole"

#: In the order in which a failure is reported: the cause before its consequences.
CHECKS: tuple[Check, ...] = (
    Check("not_finite", "", "values that are NaN or infinite", "run the frame again", high=0),
    Check("min_distance", "A", "smallest distance of two atoms", _UNITS, low=0.5),
    Check(
        "bond_ratio",
        "",
        "smallest distance over the sum of covalent radii",
        _UNITS,
        low=0.6,
        high=1.4,
        warns=True,
    ),
    Check("volume_per_atom", "A^3", "cell volume per atom", _UNITS, low=1.5, high=5000, warns=True),
    Check(
        "kinetic_temperature",
        "K",
        "temperature of the velocities",
        "check the unit of the velocities (A/fs, Bohr/fs or atomic units)",
        high=2e4,
    ),
    Check("hermiticity_error", "eV", "largest |M - M^dagger| in the file", _WRITER, high=1e-4),
    Check(
        "overlap_norm",
        "",
        "largest |<phi|phi> - 1| of an orbital",
        "check that S is the overlap and not another matrix",
        high=0.1,
    ),
    Check(
        "overlap_growth",
        "",
        "growth of the overlap of two atoms with their distance",
        "check the lattice vectors R: they must refer to the positions of the frame, not to wrapped atoms",
        high=0.1,
    ),
    Check(
        "two_centre_residual",
        "",
        "part of S that two centres forbid in the bond frame",
        "check orbital order and signs (pass the code that wrote the files, --code), the lattice vectors R, "
        "and that geometry and S are of one run",
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
        "bands_missing",
        "",
        f"bands up to n_occupied + {EXTRA_BANDS} that the code does not list",
        "let the code list more bands",
        high=0,
        warns=True,
    ),
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
