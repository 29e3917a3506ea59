"""Writes OpenMX files: .scfout for round trips and planted defects, and the .out and .md of toy runs."""

from __future__ import annotations

import numpy as np

from n2amd.dft.openmx.scfout import LINE_LENGTH, Scfout

SPECIES = "Si Si7.0-s1p1 Si_PBE19"


def scfout_pieces(contents: Scfout, order: str = "<") -> list[tuple[str, bytes]]:
    """Named pieces of the file in their order; without a tail only those of a head."""

    def ints(values) -> bytes:
        return np.asarray(values).astype(order + "i4").tobytes()

    def floats(values) -> bytes:
        return np.asarray(values).astype(order + "f8").tobytes()

    def padded(vectors) -> np.ndarray:
        return np.pad(np.asarray(vectors), ((0, 0), (1, 0)), constant_values=0)

    n_atoms = len(contents.orbitals)
    cells, copy = np.unique(
        np.concatenate([np.zeros((1, 3), int), contents.shift]), axis=0, return_inverse=True
    )
    # the home cell is the first
    home = int(copy.ravel()[0])
    rank = np.argsort([k != home for k in range(len(cells))], kind="stable")
    cells, copy = cells[rank], np.argsort(rank)[copy.ravel()[1:]]
    counts = np.bincount(contents.i, minlength=n_atoms)
    n_elements, spin = len(contents.overlap), contents.spin
    pieces = [
        ("header", ints([n_atoms, spin + 4 * contents.layout, 0, 0, 0, len(cells) - 1])),
        ("order of the position matrices", ints([1]) if contents.layout == 3 else b""),
        ("translations of the cells", floats(padded(cells @ contents.cell))),
        ("indices of the cells", ints(padded(cells))),
        ("orbitals per atom", ints(contents.orbitals)),
        ("number of neighbours", ints(counts - 1)),
        ("neighbours", ints(contents.j + 1)),
        ("cells of the neighbours", ints(copy)),
        ("lattice vectors", floats(padded(contents.cell))),
        ("reciprocal lattice vectors", floats(padded(2 * np.pi * np.linalg.inv(contents.cell).T))),
        ("positions", floats(padded(contents.positions))),
        ("Hamiltonian", floats(contents.hamiltonian)),
        ("imaginary part of the Hamiltonian", floats(contents.imaginary)),
        ("overlap", floats(contents.overlap)),
    ]
    if contents.tail is None:
        return pieces
    lines = contents.tail.input.split("\n")
    numbers = [contents.tail.chemical_potential, 300.0, *np.zeros(6), contents.tail.n_electrons, 0.0]
    # after the end of a line the buffer holds what was there before
    echo = b"".join((line.encode() + b"\n\0").ljust(LINE_LENGTH, b"x")[:LINE_LENGTH] for line in lines)
    n_density = len(contents.hamiltonian) + (2 if contents.layout == 3 else 0)
    return [
        *pieces,
        ("position matrices", floats(np.full((3, n_elements), 7.0))),
        ("momentum matrices", floats(contents.momentum) if contents.layout == 3 else b""),
        ("density matrices", floats(np.full((n_density, n_elements), 9.0))),
        ("solver", ints([3])),
        ("chemical potential, dipoles and electrons", floats(numbers)),
        ("lines of the input", ints([len(lines)])),
        ("echo of the input", echo),
        ("end of the file", contents.tail.log.encode()),
    ]


def scfout_bytes(contents: Scfout, order: str = "<") -> bytes:
    return b"".join(piece for _, piece in scfout_pieces(contents, order))


def input_text(atoms: int = 1, **keywords: str) -> str:
    """An input with atoms of `SPECIES` at x = 0, 1, 2, ... Angstrom."""
    rows = "\n".join(f" {n + 1} Si {n}.0 0.0 0.0 2.0 2.0" for n in range(atoms))
    entries = {"scf.criterion": "1e-8", "scf.Kgrid": "2 1 1", **keywords}
    return "\n".join(
        [
            "System.Name toy",
            "<Definition.of.Atomic.Species",
            SPECIES,
            "Definition.of.Atomic.Species>",
            "Atoms.SpeciesAndCoordinates.Unit Ang # Ang or AU",
            "<Atoms.SpeciesAndCoordinates",
            rows,
            "Atoms.SpeciesAndCoordinates>",
            *(f"{key} {value}" for key, value in entries.items()),
        ]
    )


def log_text(keywords: str, steps: list[tuple[float, float]], fractional: np.ndarray) -> str:
    """A .out file without eigenvalues and forces; `steps` are total energies and Fermi levels, Hartree."""
    parts = ["This calculation was performed by OpenMX Ver. 3.9", keywords]
    for number, (energy, level) in enumerate(steps, 1):
        parts += [
            f"SCF history at MD={number:2d}",
            "   SCF=   1  NormRD=  1.0  Uele= -2.729982221656",
            "   SCF=   2  NormRD=  0.0  Uele= -2.729982221657",
            f"  Utot.  {energy:.12f}",
            f"  Chemical potential (Hartree)  {level:.12f}",
        ]
    rows = [f"  {n}  Si  {x:.14f}  {y:.14f}  {z:.14f}" for n, (x, y, z) in enumerate(fractional, 1)]
    parts += ["Fractional coordinates of the final structure", "*****", "", *rows, ""]
    return "\n".join([*parts, "Computational Time (second)", ""])


def md_text(positions: np.ndarray, forces: np.ndarray) -> str:
    """A .md file: (n_steps, n_atoms, 3) in Angstrom and Hartree/Bohr."""
    lines = []
    for n, (r, f) in enumerate(zip(positions, forces)):
        lines += [str(len(r)), f"time= {n}.000 (fs) Energy= -1.00000 (Hartree)"]
        lines += ["  Si " + " ".join(f"{x:10.5f}" for x in (*a, *b, 1.0, 2.0, 3.0)) for a, b in zip(r, f)]
    return "\n".join(lines) + "\n"
