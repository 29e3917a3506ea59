"""Which semilocal functionals H0 knows, and with which digits each code has their parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from n2amd.errors import InputError

#: gamma of PBE's correlation, Hartree.
GAMMA: Final = (1 - math.log(2)) / math.pi**2
#: Densities below are empty space, 1/Bohr^3.
DENSITY_FLOOR: Final = 1e-14
#: alpha_1 and beta_1..4 of Perdew and Wang (1992), Table I: unpolarised and polarised gas, spin stiffness.
PW92_SHAPES: Final = (
    (0.21370, 7.5957, 3.5876, 1.6382, 0.49294),
    (0.20548, 14.1189, 6.1977, 3.3662, 0.62517),
    (0.11125, 10.357, 3.6231, 0.88026, 0.49671),
)


@dataclass(frozen=True)
class GradientCorrection:
    """Parameters of the PBE form: F_x = 1 + kappa - kappa / (1 + mu s^2 / kappa), and beta of correlation.

    J. P. Perdew, K. Burke, M. Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996).
    """

    kappa: float
    mu: float
    beta: float


@dataclass(frozen=True)
class Functional:
    """Slater exchange with a correlation of the uniform gas, and perhaps a gradient correction to both.

    Attributes
    ----------
    label
        Its usual name.
    pw92
        Parameter A of Perdew and Wang (1992) for the unpolarised and the polarised gas and the spin
        stiffness, Hartree; None for the correlation of Perdew and Zunger (1981).
    gradient
        None for a local functional.
    """

    label: str
    pw92: tuple[float, float, float] | None
    gradient: GradientCorrection | None = None


# the digits of the paper, and those that PBE's own subroutine and libxc (LDA_C_PW_MOD) have
_PAPER = (0.031091, 0.015545, 0.016887)
_MODIFIED = (0.0310907, 0.01554535, 0.0168869)
_BETA_SIESTA = 0.066725
_BETA_LIBXC = 0.06672455060314922


def _family(pw92: tuple[float, float, float], beta: float, mu: float) -> dict[str, Functional]:
    """All functionals, by lower-case label, with one code's digits."""
    pbe = GradientCorrection(0.804, mu, beta)
    known = (
        Functional("PZ", None),
        Functional("PW92", pw92),
        Functional("PBE", pw92, pbe),
        Functional("revPBE", pw92, replace(pbe, kappa=1.245)),
        Functional("PBEsol", pw92, GradientCorrection(0.804, 10 / 81, 0.046)),
    )
    return {functional.label.lower(): functional for functional in known}


# SIESTA's mu is pi^2 / 3 of its beta, and it takes the paper's A; libxc's differ in the fifth digit, which is
# 0.5 meV in the exchange-correlation energy of six atoms of TiO2
_BY_DIGITS: Final = {
    "siesta": _family(_PAPER, _BETA_SIESTA, _BETA_SIESTA * math.pi**2 / 3),
    "libxc": _family(_MODIFIED, _BETA_LIBXC, 0.2195149727645171),
}
# SIESTA's names: the default of XC.functional LDA is Ceperley and Alder's gas by Perdew and Zunger
_ALIASES: Final = {"ca": "pz", "lda": "pz"}


def find_functional(label: str, digits: str = "siesta") -> Functional:
    """Return a functional by its label.

    Parameters
    ----------
    label
        "PBE", "revPBE", "PBEsol", "PW92", "PZ", "CA" or "LDA" (the last three are the same), as SIESTA's
        `XC.authors` has them; in capitals or not.
    digits
        Whose parameters: "siesta" or "libxc".

    Raises
    ------
    InputError
        If the functional or the digits are not known.
    """
    if digits not in _BY_DIGITS:
        raise InputError(
            f"no parameters of functionals by {digits!r}",
            field="digits",
            remedy=f"choose one of {', '.join(_BY_DIGITS)}",
        )
    name = label.strip().lower()
    known = _BY_DIGITS[digits]
    found = known.get(_ALIASES.get(name, name))
    if found is None:
        labels = ", ".join([f.label for f in known.values()] + [alias.upper() for alias in _ALIASES])
        raise InputError(
            f"H0 does not know the functional {label!r}",
            field="functional",
            remedy=f"H0 knows {labels}; train without H0 for another one",
        )
    return found
