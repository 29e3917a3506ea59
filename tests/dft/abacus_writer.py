"""Writes the files of an ABACUS run for a synthetic frame, in the layout of version 3.10 or of 3.11."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from two_centre_crystal import dense_by_lattice_vector

from n2amd.dataset.frame import Frame
from n2amd.dft.abacus.log import RYDBERG_EV
from n2amd.dft.abacus.stru import BOHR_ANGSTROM
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.conventions import from_canonical

LATTICE_CONSTANT = 1.7 / BOHR_ANGSTROM
TITLES = {
    "3.10": {"H": "data-HR-sparse_SPIN{}.csr", "S": "data-SR-sparse_SPIN0.csr", "E": "istate.info"},
    "3.11": {"H": "hrs{}_nao.csr", "S": "srs1_nao.csr", "E": "eig_occ.txt"},
}


def write_run(
    folder: Path,
    frame: Frame,
    basis: Basis,
    *,
    layout: str = "3.10",
    positions: str = "Direct",
    triangle: bool = False,
) -> Path:
    out = folder / "OUT.test"
    out.mkdir(parents=True)
    names = TITLES[layout]
    n_spin = frame.hamiltonian.n_spin
    (folder / "STRU").write_text(stru(frame, positions))
    (folder / "KPT").write_text("K_POINTS\n0\nGamma\n4 4 2 0 0 0\n")
    (out / "running_scf.log").write_text(log(frame, basis, layout, positions))
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
        files = {names["H"].format(0 if layout == "3.10" else 1): ("H", spinors), names["S"]: ("S", overlaps)}
    else:
        first = 0 if layout == "3.10" else 1
        files = {
            names["H"].format(first + spin): ("H", {R: m[spin] for R, m in h.items()})
            for spin in range(n_spin)
        }
        files[names["S"]] = ("S", {R: m[0] for R, m in s.items()})
    for name, (what, matrices) in files.items():
        unit = RYDBERG_EV if what == "H" else 1.0
        parts = {R: (np.triu(m) if triangle else m) / unit for R, m in sorted(matrices.items())}
        (out / name).write_text(csr(parts, what, layout))
    (out / names["E"]).write_text(eigenvalues(frame, layout))
    return folder


def _interleaved(m: NDArray) -> NDArray:
    """Matrix over spinor orbitals, up and down of an orbital next to each other, of (4, n, n)."""
    n = m.shape[1]
    return m.reshape(2, 2, n, n).transpose(2, 0, 3, 1).reshape(2 * n, 2 * n)


def csr(matrices: dict, what: str, layout: str) -> str:
    n = len(next(iter(matrices.values())))
    if layout == "3.10":
        lines = [
            "STEP: 0",
            f"Matrix Dimension of {what}(R): {n}",
            f"Matrix number of {what}(R): {len(matrices) + 1}",
        ]
        titles = ["", "", ""]
    else:
        lines = [
            " --- Ionic Step 1 ---", f" # print {what} matrix in real space {what}(R)",
            " 1 # number of spin directions", " 1 # spin index", f" {n} # number of localized basis",
            f" {len(matrices) + 1} # number of Bravais lattice vector R", "", " none", " 1.7", " 1 0 0",
            " 0 1 0", " 0 0 1", " Mo S", " 1 2", " Direct", " 0 0 0", " 0 0 0", " 0 0 0", "", "#----#",
            "# CSR Format #",
        ]  # fmt: skip
        titles = [" # CSR values\n", " # CSR column indices\n", " # CSR row pointers\n"]
    for R, m in matrices.items():
        row, column = np.nonzero(m)
        values = [
            f"({v.real:.16e},{v.imag:.16e})" if np.iscomplexobj(m) else f"{v:.16e}" for v in m[row, column]
        ]
        pointers = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))])
        arrays = [values, column, pointers] if values else []
        lines.append(" ".join(map(str, (*R, len(values)))))
        lines += [title + " " + " ".join(map(str, array)) for title, array in zip(titles, arrays)]
    lines.append("9 0 0 0")  # a lattice vector without elements
    if layout == "3.11":
        lines += ["# CSR values", "", "# CSR column indices", "", "# CSR row pointers", " 0" * (n + 1)]
    return "\n".join([*lines, ""])


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


def log(frame: Frame, basis: Basis, layout: str, positions: str) -> str:
    structure = frame.structure
    symbols = [chemical_symbols[z] for z in structure.numbers]
    lines = [f"  ABACUS v{layout}.0", f" lattice constant (Bohr) = {LATTICE_CONSTANT!r}"]
    for kind, symbol in enumerate(dict.fromkeys(symbols), 1):
        z = chemical_symbols.index(symbol)
        counts = np.bincount([shell.l for shell in basis[z].shells])
        lines += [f" READING ATOM TYPE {kind}", f" atom label = {symbol}"]
        lines += [f" L={l}, number of zeta = {count}" for l, count in enumerate(counts)]
    direct = positions == "Direct"
    table = structure.positions @ np.linalg.inv(structure.cell) if direct else structure.positions / 1.7
    lines += [f"{'DIRECT' if direct else 'CARTESIAN'} COORDINATES", "    atom    x    y    z"]
    lines += [
        f"tau{'d' if direct else 'c'}_{s}{n} " + " ".join(f"{x:.10f}" for x in row) + " 0 0 0 0"
        for n, (s, row) in enumerate(zip(symbols, table), 1)
    ]
    lines += ["", " Lattice vectors: (Cartesian coordinate: in unit of a_0)"]
    lines += [" " + " ".join(f"{x:+.6g}" for x in row) for row in structure.cell / 1.7]
    lines += ["      exchange-correlation functional = PBE"]
    for symbol in dict.fromkeys(symbols):
        charge = basis[chemical_symbols.index(symbol)].valence_charge
        lines.append(f"            electron number of element {symbol} = {charge:g}")
        lines.append(f"      total electron number of element {symbol} = {charge * symbols.count(symbol):g}")
    lines += [
        f"  AUTOSET number of electrons:  = {frame.n_electrons:g}",
        f"     nspin = {frame.hamiltonian.n_spin}",
    ]
    bands = frame.bands
    repeats = 2 if frame.hamiltonian.n_spin == 2 else 1
    lines += ["K-POINTS DIRECT COORDINATES", " KPOINTS DIRECT_X DIRECT_Y DIRECT_Z WEIGHT"]
    points = [*zip(bands.kpoints, bands.weights)] * repeats
    lines += [f" {n} " + " ".join(f"{x:.8f}" for x in k) + f" {w:.4f}" for n, (k, w) in enumerate(points, 1)]
    lines += ["", " charge density convergence is achieved" if layout == "3.10" else " #SCF IS CONVERGED#"]
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
            " TOTAL-STRESS (KBAR)",
            "-" * 60,
            *(" " + " ".join(f"{x:.10f}" for x in row) for row in pressure),
        ]
    return "\n".join([*lines, f" !FINAL_ETOT_IS {frame.energy} eV", ""])


def eigenvalues(frame: Frame, layout: str) -> str:
    """The lowest 12 bands."""
    energies = frame.bands.energies[:, :, :12]
    lines: list[str] = []
    if layout == "3.10":
        for k, spins in enumerate(energies, 1):
            lines.append(f"BAND  Energy(ev)  Occupation  Kpoint = {k}  (0 0 0)")
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
