"""The CP2K input of a single point that leaves H(R), S(R), bands, energy, forces and stress behind.

Keywords: CP2K reference manual, version 2023.1. HSE06: a quarter of PBE's short-range exchange is replaced,
with omega = 0.11 / Bohr (A. V. Krukau et al., J. Chem. Phys. 125, 224106, 2006).
"""

from __future__ import annotations

from n2amd.config.engines import Cp2kSettings
from n2amd.dft.engines.engine import require_name
from n2amd.dft.engines.kmesh import half_mesh, off_mesh_points
from n2amd.structure import Structure

PROJECT = "n2amd"
#: Empty bands in the band file.
EMPTY_BANDS = 20
#: Elements of H and S below this (Hartree) are not written.
THRESHOLD = 1e-12

_PBE = ["&XC_FUNCTIONAL PBE", "&END XC_FUNCTIONAL"]
_HSE06 = """\
&XC_FUNCTIONAL
  &PBE
    SCALE_X 0.0
    SCALE_C 1.0
  &END PBE
  &XWPBE
    SCALE_X -0.25
    SCALE_X0 1.0
    OMEGA 0.11
  &END XWPBE
&END XC_FUNCTIONAL
&HF
  FRACTION 0.25
  &SCREENING
    EPS_SCHWARZ 1.0E-8
  &END SCREENING
  &INTERACTION_POTENTIAL
    POTENTIAL_TYPE SHORTRANGE
    OMEGA 0.11
  &END INTERACTION_POTENTIAL
&END HF""".splitlines()

_EIGENVALUES_AT_GAMMA = """\
EIGENVALUES T
OCCUPATION_NUMBERS T
NDIGITS 10
&EACH
  QS_SCF 0
&END EACH""".splitlines()


def render_input(structure: Structure, settings: Cp2kSettings) -> str:
    """Return the input file.

    Parameters
    ----------
    structure
        Atoms, written where they are: the reader knows that CP2K counts R between wrapped atoms.
    settings
        Options of the run.

    Raises
    ------
    InputError
        If an element has no basis or pseudopotential.
    """
    symbols = structure.to_ase().get_chemical_symbols()
    lines = [
        ("&GLOBAL", [f"PROJECT {PROJECT}", "RUN_TYPE ENERGY_FORCE", "PRINT_LEVEL MEDIUM"]),
        ("&FORCE_EVAL", _force_eval(structure, symbols, settings)),
    ]
    if not settings.forces:
        lines[0][1][1] = "RUN_TYPE ENERGY"
    return "\n".join(line for head, body in lines for line in _section(head, body)) + "\n"


def _section(head: str, body: list[str]) -> list[str]:
    return [head, *(f"  {line}" for line in body), f"&END {head.split()[0].removeprefix('&')}"]


def _force_eval(structure: Structure, symbols: list[str], settings: Cp2kSettings) -> list[str]:
    stress = settings.stress and settings.forces
    return [
        "METHOD QUICKSTEP",
        f"STRESS_TENSOR {'ANALYTICAL' if stress else 'NONE'}",
        *_section("&DFT", _dft(settings)),
        *_section("&PRINT", [*_section("&FORCES", []), *_section("&STRESS_TENSOR", [])]),
        *_section("&SUBSYS", _subsystem(structure, symbols, settings)),
    ]


def _dft(settings: Cp2kSettings) -> list[str]:
    csr = ["REAL_SPACE T", f"THRESHOLD {THRESHOLD:.1E}"]
    body = [
        f"BASIS_SET_FILE_NAME {settings.basis_file}",
        f"POTENTIAL_FILE_NAME {settings.potential_file}",
        *_section("&MGRID", [f"CUTOFF {settings.cutoff_Ry:g}", f"REL_CUTOFF {settings.rel_cutoff_Ry:g}"]),
        *_section("&QS", ["EPS_DEFAULT 1.0E-12"]),
        *_section("&SCF", _scf(settings)),
        *_section("&XC", _PBE if settings.functional == "PBE" else _HSE06),
    ]
    prints = [*_section("&S_CSR_WRITE", csr), *_section("&KS_CSR_WRITE", csr)]
    if settings.functional == "PBE":
        body += _section("&KPOINTS", _kpoints(settings))
        prints += _section("&BAND_STRUCTURE", _bands(settings))
    else:
        prints += _section("&MO", _EIGENVALUES_AT_GAMMA)
    return [*body, *_section("&PRINT", prints)]


def _scf(settings: Cp2kSettings) -> list[str]:
    smearing = ["METHOD FERMI_DIRAC", f"ELECTRONIC_TEMPERATURE {settings.smearing_K:g}"]
    return [
        "SCF_GUESS ATOMIC",
        f"EPS_SCF {settings.eps_scf:.1E}",
        f"MAX_SCF {settings.max_scf}",
        "ADDED_MOS -1",
        *(_section("&SMEAR ON", smearing) if settings.smearing_K else []),
        *_section("&MIXING", ["METHOD BROYDEN_MIXING", f"ALPHA {settings.mixing:g}"]),
    ]


def _kpoints(settings: Cp2kSettings) -> list[str]:
    """A mesh with Gamma in it: MacDonald's, shifted by half a step where the number is even.

    An even mesh without Gamma breaks the point group of a primitive fcc cell, which shows as 3 meV in H.
    """
    mesh = " ".join(str(n) for n in settings.kpoints)
    shift = " ".join("0.0" if n % 2 else f"{0.5 / n:.12f}" for n in settings.kpoints)
    return [f"SCHEME MACDONALD {mesh} {shift}", "SYMMETRY F", "FULL_GRID F", "PARALLEL_GROUP_SIZE -1"]


def _bands(settings: Cp2kSettings) -> list[str]:
    """Eigenvalues at the SCF mesh, and off it, where H(R) must interpolate."""
    points = [*half_mesh(settings.kpoints)[0].tolist(), *off_mesh_points(settings.kpoints).tolist()]
    listed = [f"SPECIAL_POINT K{n} {x:.12f} {y:.12f} {z:.12f}" for n, (x, y, z) in enumerate(points, 1)]
    return [
        f"FILE_NAME {PROJECT}.bs",
        f"ADDED_MOS {EMPTY_BANDS}",
        # one segment between special points is the points themselves
        *_section("&KPOINT_SET", ["UNITS B_VECTOR", "NPOINTS 1", *listed]),
    ]


def _subsystem(structure: Structure, symbols: list[str], settings: Cp2kSettings) -> list[str]:
    periodic = "".join(axis for axis, p in zip("XYZ", structure.pbc) if p) or "NONE"
    cell = [f"{name} {_numbers(vector)}" for name, vector in zip("ABC", structure.cell)]
    atoms = [f"{symbol} {_numbers(position)}" for symbol, position in zip(symbols, structure.positions)]
    kinds = []
    for symbol in sorted(set(symbols)):
        basis = require_name("basis", settings.basis_of(symbol), symbol)
        potential = require_name("potential", settings.potential_of(symbol), symbol)
        kinds += _section(
            f"&KIND {symbol}", [f"ELEMENT {symbol}", f"BASIS_SET {basis}", f"POTENTIAL {potential}"]
        )
    return [
        *_section("&CELL", [*cell, f"PERIODIC {periodic}"]),
        *_section("&COORD", atoms),
        *kinds,
    ]


def _numbers(values: object) -> str:
    return " ".join(f"{value:.12f}" for value in values)  # type: ignore[attr-defined]
