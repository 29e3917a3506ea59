"""The Rydberg and the Bohr of a run: SIESTA 5 changed them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from n2amd.units import SIESTA_BOHR_ANGSTROM, SIESTA_RYDBERG_EV


@dataclass(frozen=True)
class Constants:
    """One Rydberg in eV and one Bohr in Angstrom, as a version of SIESTA has them."""

    rydberg: float
    bohr: float


#: SIESTA up to 4.1, HONPAS, and SIESTA 5 where its input asks for them.
LEGACY = Constants(SIESTA_RYDBERG_EV, SIESTA_BOHR_ANGSTROM)
#: SIESTA 5.
CODATA_2018 = Constants(13.605693122994, 0.529177210903)

#: Largest relative disagreement of the two Fermi levels of one run; the two Rydbergs differ by 8e-6.
FERMI_TOLERANCE = 2e-6


def constants_of_run(fermi_ry: float | None, fermi_ev: float | None, version: str = "") -> Constants:
    """Find the constants a run was made with.

    Parameters
    ----------
    fermi_ry
        Fermi level in the file of the matrices, Ry, where it has one.
    fermi_ev
        Fermi level in LABEL.EIG, eV, where there is that file.
    version
        Version of the code in the log, where there is a log.

    Returns
    -------
    constants
        Those that make the two Fermi levels one; where that does not tell (HSX of version 0 has no Fermi
        level), those of the version, and of SIESTA 4.1 where that is unknown.
    """
    if fermi_ry and fermi_ev is not None:
        found = min((LEGACY, CODATA_2018), key=lambda known: abs(fermi_ry * known.rydberg - fermi_ev))
        if abs(fermi_ry * found.rydberg - fermi_ev) <= FERMI_TOLERANCE * abs(fermi_ev):
            return found
    major = re.match(r"\d+", version)
    return CODATA_2018 if major and int(major[0]) >= 5 else LEGACY
