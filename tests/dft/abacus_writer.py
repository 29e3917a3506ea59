"""Writes the files of an ABACUS run for a synthetic frame, as the versions of ABACUS write them.

"3.2": the logs of 3.2; "3.10": up to 3.10; "3.9": the develop versions from 3.9.0.25, whose arrays break
before every 8th number and which leave out lattice vectors without elements; "3.11": arrays wrapped after 8
real numbers, 6 complex ones and 16 integers. From ABACUS' source: write_HS_sparse.cpp, single_R_io.cpp,
output_hcontainer.cpp, sparse_matrix.cpp, print_cell.cpp, klist.cpp, cal_nelec_nband.cpp,
write_istate_info.cpp, write_eig_occ.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase.data import chemical_symbols
from numpy.typing import NDArray
from two_centre_crystal import dense_by_lattice_vector

from n2amd.blocks.matrix import fold
from n2amd.dft.abacus.log import RYDBERG_EV
from n2amd.dft.abacus.stru import BOHR_ANGSTROM
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.conventions import from_canonical

LATTICE_CONSTANT = 1.7 / BOHR_ANGSTROM
LAYOUTS = ("3.2", "3.10", "3.9", "3.11")
_OLD = ("3.2", "3.10")
FOLDED = (
    "# representation: gamma-only folded matrix; stored R-space contributions are summed into R = (0, 0, 0)"
)


def names(layout: str, n_spin: int, step: int | None = None) -> tuple[list[str], str, str]:
    """Files of H by spin, S and the eigenvalues; with `step` those of `out_app_flag 0`."""
    spins = range(2 if n_spin == 2 else 1)
    if layout in _OLD:
        return [f"data-HR-sparse_SPIN{s}.csr" for s in spins], "data-SR-sparse_SPIN0.csr", "istate.info"
    of_step = "" if step is None else f"g{step}"
    overlap = "srs1" if layout == "3.9" else "sr"
    return [f"hrs{s + 1}{of_step}_nao.csr" for s in spins], f"{overlap}{of_step}_nao.csr", "eig_occ.txt"


def write_run(
    folder: Path,
    frame: Frame,
    basis: Basis,
    *,
    layout: str = "3.10",
    positions: str = "Direct",
    triangle: bool = False,
    step: int | None = None,
    pools: int = 1,
    explicit_electrons: bool = False,
    gamma_only: bool = False,
) -> Path:
    """Write a run; H and S of `gamma_only` are the sums over R, `pools` is kpar."""
    out = folder / "OUT.test"
    out.mkdir(parents=True)
    n_spin = frame.hamiltonian.n_spin
    hamiltonian, overlap, eigenvalue_file = names(layout, n_spin, step)
    (folder / "STRU").write_text(stru(frame, positions))
    (folder / "KPT").write_text("K_POINTS\n0\nGamma\n4 4 2 0 0 0\n")
    (out / "INPUT").write_text(settings(frame, basis, explicit_electrons, gamma_only))
    text = log(frame, basis, layout, positions, pools=pools, explicit_electrons=explicit_electrons)
    (out / "running_scf.log").write_text(text)
    # ABACUS wraps the atoms into the cell before it counts lattice vectors
    shifts = np.floor(frame.structure.positions @ np.linalg.inv(frame.structure.cell) + 1e-9).astype(int)
    numbers = frame.structure.numbers
    h, s = (
        dense_by_lattice_vector(from_canonical(m, basis, "abacus"), basis, numbers, shifts)
        for m in (frame.hamiltonian, frame.overlap)
    )
    if n_spin == 4:
        spinors = {R: _interleaved(m) for R, m in h.items()}
        overlaps = {
            R: _interleaved(np.concatenate([m, 0 * m, 0 * m, m]).astype(complex)) for R, m in s.items()
        }
        files = {hamiltonian[0]: ("H", spinors), overlap: ("S", overlaps)}
    else:
        files = {name: ("H", {R: m[spin] for R, m in h.items()}) for spin, name in enumerate(hamiltonian)}
        files[overlap] = ("S", {R: m[0] for R, m in s.items()})
    for name, (what, matrices) in files.items():
        unit = RYDBERG_EV if what == "H" else 1.0
        parts = {R: (np.triu(m) if triangle else m) / unit for R, m in sorted(matrices.items())}
        if gamma_only:
            parts = {(0, 0, 0): sum(parts.values())}
        (out / name).write_text(csr(parts, what, layout, folded=gamma_only, step=step or 1))
    (out / eigenvalue_file).write_text(eigenvalues(frame, layout))
    return folder


def _interleaved(m: NDArray) -> NDArray:
    """Matrix over spinor orbitals, up and down of an orbital next to each other, of (4, n, n)."""
    n = m.shape[1]
    return m.reshape(2, 2, n, n).transpose(2, 0, 3, 1).reshape(2 * n, 2 * n)


def csr(matrices: dict, what: str, layout: str, *, folded: bool = False, step: int = 1) -> str:
    n = len(next(iter(matrices.values())))
    without = [] if folded else [(-9, 0, 0), (9, 0, 0)]  # lattice vectors without elements
    count = len(matrices) + len(without)
    if layout in _OLD:
        lines = ["STEP: 0", f"Matrix Dimension of {what}(R): {n}", f"Matrix number of {what}(R): {count}"]
        lines += [line for R, m in matrices.items() for line in _old_block(R, m, n)]
        return "\n".join([*lines, *(f"{a} {b} {c} 0" for a, b, c in without), ""])
    lines = [
        f" --- Ionic Step {step} ---", f" # print {what} matrix in real space {what}(R)",
        " 1 # number of spin directions", " 1 # spin index", f" {n} # number of localized basis",
        f" {count} # number of Bravais lattice vector R", "", " user_defined_lattice", " 1.7", " 1 0 0",
        " 0 1 0", " 0 0 1", " Mo S", " 1 2", " Direct", " 0 0 0", " 0 0 0", " 0 0 0",
        *([FOLDED] if folded else []), "", " #" + 70 * "-" + "#",
        " #                               CSR Format                             #" if layout == "3.11"
        else " #                      CSR format                        #", " #" + 70 * "-" + "#", "",
    ]  # fmt: skip
    lines += [line for R, m in matrices.items() for line in _new_block(R, m, n, layout)]
    if layout == "3.11":
        lines += [line for R in without for line in _new_block(R, np.zeros((n, n)), n, layout)]
    return "\n".join([*lines, ""])


def _sparse(m: NDArray) -> tuple[list[str], NDArray, NDArray]:
    """Values, columns and row pointers."""
    row, column = np.nonzero(m)
    values = [f"({v.real:.16e},{v.imag:.16e})" if np.iscomplexobj(m) else f"{v:.16e}" for v in m[row, column]]
    return values, column, np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(m)))])


def _old_block(R: tuple[int, int, int], m: NDArray, n: int) -> list[str]:
    arrays = _sparse(m)
    head = " ".join(map(str, (*R, len(arrays[0]))))
    return [head, *(" " + " ".join(map(str, array)) for array in arrays if len(arrays[0]))]


def _new_block(R: tuple[int, int, int], m: NDArray, n: int, layout: str) -> list[str]:
    values, column, pointers = _sparse(m)
    reals = 6 if np.iscomplexobj(m) and layout == "3.11" else 8
    # before every 8th, that is after 7, in the first of these versions
    early = layout == "3.9"
    return [
        " " + " ".join(map(str, (*R, len(values)))),
        " # CSR values", *_wrapped(values, reals, early),
        " # CSR column indices", *_wrapped(column, 16, early),
        " # CSR row pointers", *_wrapped(pointers, 16, early=False), "",
    ]  # fmt: skip


def _wrapped(words: Sequence, width: int, early: bool) -> list[str]:
    first = width - 1 if early else width
    starts = [0, *range(first, len(words), width), len(words)]
    lines = [" " + " ".join(map(str, words[a:b])) for a, b in pairwise(starts) if b > a]
    return lines or [""]


def settings(frame: Frame, basis: Basis, explicit_electrons: bool, gamma_only: bool) -> str:
    """The echo of INPUT."""
    valence = basis.valence_electrons(frame.structure.numbers)
    nelec, delta = (frame.n_electrons, 0) if explicit_electrons else (0, frame.n_electrons - valence)
    return (
        "INPUT_PARAMETERS\n"
        f"nelec                          {nelec:g} #input number of electrons\n"
        f"nelec_delta                    {delta:g} #change in the number of total electrons\n"
        f"gamma_only                     {int(gamma_only)} #Only for localized orbitals set and gamma point\n"
    )


def stru(frame: Frame, positions: str) -> str:
    structure = frame.structure
    fractional = structure.positions @ np.linalg.inv(structure.cell)
    rows = {
        "Direct": fractional,
        "Cartesian": structure.positions / 1.7,
        "Cartesian_angstrom": structure.positions,
    }[positions]
    symbols = [chemical_symbols[z] for z in structure.numbers]
    lines = ["ATOMIC_SPECIES", *(f"{s} 1.0 {s}.upf" for s in dict.fromkeys(symbols)), ""]
    lines += ["NUMERICAL_ORBITAL", *(f"orbitals/{s}.orb" for s in dict.fromkeys(symbols)), ""]
    lines += ["LATTICE_CONSTANT", f"{LATTICE_CONSTANT!r} # Bohr", "", "LATTICE_VECTORS"]
    lines += [" ".join(f"{x:.16f}" for x in row) for row in structure.cell / 1.7]
    lines += ["", "ATOMIC_POSITIONS", f"{positions} // unit"]
    for symbol in dict.fromkeys(symbols):
        members = [k for k, s in enumerate(symbols) if s == symbol]
        lines += ["", symbol, "0.0", str(len(members))]
        lines += [" ".join(f"{x:.16f}" for x in rows[k]) + " m 1 1 1 v 0.1 0.2 0.3" for k in members]
    return "\n".join([*lines, ""])


def log(
    frame: Frame, basis: Basis, layout: str, positions: str, *, pools: int, explicit_electrons: bool
) -> str:
    structure = frame.structure
    symbols = [chemical_symbols[z] for z in structure.numbers]
    kinds = dict.fromkeys(symbols)
    old = layout in _OLD

    def out(name: str, value: object) -> str:
        return f" {name if old else name[0].upper() + name[1:]:>40} = {value}"

    lines = [f"                              ABACUS v{layout}.0", "", " READING UNITCELL INFORMATION"]
    lines += [f" {'ntype':>40} = {len(kinds)}", out("lattice constant (Bohr)", f"{LATTICE_CONSTANT:.6g}")]
    for kind, symbol in enumerate(kinds, 1):
        counts = np.bincount([shell.l for shell in basis[chemical_symbols.index(symbol)].shells])
        lines += ["", f" READING ATOM TYPE {kind}", out("atom label", symbol)]
        lines += [f" {f'L={l}, number of zeta':>40} = {count}" for l, count in enumerate(counts)]
        lines += [out("number of atoms for this type", symbols.count(symbol))]
    lines += ["", f" {'TOTAL ATOM NUMBER':>40} = {len(symbols)}", *_positions(frame, layout, positions), ""]
    lines += ["", " Lattice vectors: (Cartesian coordinate: in unit of a_0)"]
    lines += ["".join(f"{x:+20.6g}" for x in row) for row in structure.cell / 1.7]
    for symbol in kinds:
        lines += [
            "",
            f" Read in pseudopotential file is {symbol}.upf",
            out("exchange-correlation functional", "PBE"),
        ]
        lines += [out("valence electrons", f"{basis[chemical_symbols.index(symbol)].valence_charge:g}")]
    lines += ["", " SETUP THE ELECTRONS NUMBER", *_electrons(frame, basis, out, explicit_electrons)]
    lines += ["", " SETUP K-POINTS", f" {'nspin':>40} = {frame.hamiltonian.n_spin}"]
    lines += _kpoints(frame, layout, pools)
    lines += ["", " charge density convergence is achieved" if old else " #SCF IS CONVERGED#"]
    lines += [" E_Fermi        -0.1000000000        -1.3605698000"]
    if frame.forces is not None:
        lines += [" #TOTAL-FORCE (eV/Angstrom)#", "-" * 60, " Atoms Force_x Force_y Force_z", "-" * 60]
        lines += [
            f" {s}{n} " + " ".join(f"{x:.10f}" for x in f)
            for n, (s, f) in enumerate(zip(symbols, frame.forces))
        ]
    if frame.stress is not None:
        pressure = -frame.stress * 1602.1766208
        lines += [
            " TOTAL-STRESS (KBAR)" if old else " #TOTAL-STRESS (kbar)#",
            "-" * 60,
            *(" " + " ".join(f"{x:.10f}" for x in row) for row in pressure),
        ]
    return "\n".join([*lines, f" !FINAL_ETOT_IS {frame.energy} eV", ""])


def _positions(frame: Frame, layout: str, positions: str) -> list[str]:
    structure = frame.structure
    direct = positions == "Direct"
    table = structure.positions @ np.linalg.inv(structure.cell) if direct else structure.positions / 1.7
    symbols = [chemical_symbols[z] for z in structure.numbers]
    heading = (
        "DIRECT COORDINATES" if direct else f"CARTESIAN COORDINATES ( UNIT = {LATTICE_CONSTANT:15.8f} Bohr )"
    )
    axes = ("x", "y", "z", "mag")
    if layout not in _OLD:
        lines = [f" {heading}", " atom" + "".join(f"{axis:>19}" for axis in axes)]
        lines += [
            f"{s:>5}" + "".join(f"{x:19.12f}" for x in row) + f"{0:8.4f}" for s, row in zip(symbols, table)
        ]
        velocities = [f"{s:>5}" + 3 * f" {0:>18}" for s in symbols]
        return [*lines, "", " ATOMIC VELOCITIES", " atom   vx   vy   vz", *velocities]
    form = ">20.12g" if layout == "3.2" else "20.10f"
    prefix = "taud" if direct else "tauc"
    counted = [f"{prefix}_{s}{symbols[: n + 1].count(s)}" for n, s in enumerate(symbols)]
    rows = [
        f"{name:<12}" + "".join(f"{x:{form}}" for x in row) + "  0.0000   0 0 0"
        for name, row in zip(counted, table)
    ]
    return [
        "",
        f"{heading}.",
        "    atom" + "".join(f"{axis:>20}" for axis in (*axes, "vx", "vy", "vz")),
        *rows,
    ]


def _electrons(frame: Frame, basis: Basis, out: object, explicit: bool) -> list[str]:
    """What `cal_nelec` prints: nothing where INPUT sets `nelec`."""
    if explicit:
        return []
    numbers = list(frame.structure.numbers)
    lines = []
    for z in dict.fromkeys(numbers):
        charge = basis[z].valence_charge
        lines.append(out(f"electron number of element {chemical_symbols[z]}", f"{charge:g}"))
        lines.append(
            out(f"total electron number of element {chemical_symbols[z]}", f"{charge * numbers.count(z):g}")
        )
    total = basis.valence_electrons(frame.structure.numbers)
    old = lines[0].strip()[0].islower()
    lines.append(
        out("AUTOSET number of electrons: " if old else "Autoset the number of electrons", f"{total:g}")
    )
    if (delta := frame.n_electrons - total) != 0:
        warning = "nelec_delta is NOT zero, please make sure you know what you are doing! nelec_delta: "
        lines += [f"{warning} = {delta:g}", f" {'nelec now: ':>40} = {frame.n_electrons:g}"]
    return lines


def _kpoints(frame: Frame, layout: str, pools: int) -> list[str]:
    """All k points, then those of the first pool, spin after spin, Cartesian and direct."""
    bands = frame.bands
    every = [*zip(bands.kpoints, bands.weights)]
    pool = every[: -(-len(every) // pools)] * (2 if frame.hamiltonian.n_spin == 2 else 1)

    def table(axes: str, points: list) -> list[str]:
        if layout == "3.2":
            return [
                "", f"  KPOINTS{axes + '_X':>20}{axes + '_Y':>20}{axes + '_Z':>20}{'WEIGHT':>20}",
                *(f" {n:8}" + "".join(f"{x:20.6g}" for x in (*k, w)) for n, (k, w) in enumerate(points, 1)),
            ]  # fmt: skip
        title = f"K-POINTS {axes} COORDINATES"
        return [
            "", title if layout == "3.10" else f" {title}",
            f" KPOINTS{axes + '_X':>12}{axes + '_Y':>12}{axes + '_Z':>12}  WEIGHT",
            *(
                f"{n:8}" + "".join(f"{x:12.8f}" for x in k) + f"{w:8.4f}"
                for n, (k, w) in enumerate(points, 1)
            ),
        ]  # fmt: skip

    return [*table("DIRECT", every), *table("CARTESIAN", pool), *table("DIRECT", pool), ""]


def eigenvalues(frame: Frame, layout: str) -> str:
    """The lowest 12 bands."""
    energies = frame.bands.energies[:, :, :12]
    lines: list[str] = []
    if layout in _OLD:
        for k, spins in enumerate(energies, 1):
            point = " ".join(f"{x:g}" for x in frame.bands.kpoints[k - 1])
            lines.append(f"BAND{'Energy(ev)':>25}{'Occupation':>25}{'Kpoint = ':>25}{k}{'(':>25}{point})")
            lines += [
                f" {n} " + " ".join(f"{e:.12f} 1" for e in row) for n, row in enumerate(spins.T, 1)
            ] + ["", ""]  # fmt: skip
        return "\n".join(lines)
    lines = ["1     # ionic step", " Electronic state energy (eV) and occupations", " Spin number 1"]
    for spin in range(energies.shape[1]):
        for k in range(len(energies)):
            lines.append(f" spin={spin + 1} k-point={k + 1}/{len(energies)} Cartesian=0 0 0 (1 plane wave)")
            lines += [f" {n} {e:.12f} 1" for n, e in enumerate(energies[k, spin], 1)] + [""]
    return "\n".join(lines)


def orb(atom: AtomBasis) -> str:
    """An orbital file of the radial functions of an atom."""
    counts = np.bincount([shell.l for shell in atom.shells])
    step = atom.shells[0].radial.step / BOHR_ANGSTROM
    points = len(atom.shells[0].radial.values)
    lines = ["-----", f"Lmax {len(counts) - 1}"]
    lines += [f"Number of {'SPDF'[l]}orbital-->       {count}" for l, count in enumerate(counts)]
    lines += ["-----", "SUMMARY  END", "", f"Mesh {points}", f"dr {step!r}"]
    seen = dict.fromkeys(range(len(counts)), 0)
    for shell in atom.shells:
        r = shell.radial.step * np.arange(points)
        values = shell.radial.values * r**shell.l * BOHR_ANGSTROM**1.5
        lines += ["    Type    L    N", f"    0    {shell.l}    {seen[shell.l]}"]
        lines += [" ".join(f"{x:.14e}" for x in row) for row in np.array_split(values, points // 4)]
        seen[shell.l] += 1
    return "\n".join([*lines, ""])


def assert_same(found: Frame, expected: Frame, basis: Basis) -> None:
    """H and S agree element by element at a general k point, in every spin component."""
    k = np.array([0.137, -0.211, 0.379])
    offsets = basis.orbital_offsets(expected.structure.numbers)
    for ours, theirs in ((found.hamiltonian, expected.hamiltonian), (found.overlap, expected.overlap)):
        assert ours.n_spin == theirs.n_spin
        for spin in range(theirs.n_spin):
            assert fold(ours, offsets, k, spin) == pytest.approx(fold(theirs, offsets, k, spin), abs=1e-10)
