"""The binary file LABEL.scfout: neighbour lists, Hamiltonian, overlap and the echo of the input.

C structures written raw, in the byte order of the machine. Layout 0 is that of OpenMX 3.4 to 3.8, layout 3
that of 3.9; 1 and 2 belong to unreleased versions in between. A *head* is a file that ends after the overlap.
Matrices are lists of blocks, one for each atom and each of its neighbours (itself first), row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from n2amd.dft.files import read_bytes
from n2amd.errors import InputError

REMEDY = "copy it again from the run, or run the frame again (HS.fileout on)"
#: Spins of a calculation by the number in the file: components of H, and of its imaginary part.
SPIN_COMPONENTS = {0: (1, 0), 1: (2, 0), 3: (4, 3)}
#: Largest number of atoms and of orbitals of an atom that is taken for a number and not for damage.
MAX_ATOMS, MAX_ORBITALS = 10**7, 10**4
#: Largest disagreement between the tables of lattice vectors, Bohr.
LATTICE_TOLERANCE = 1e-6
LINE_LENGTH = 256


@dataclass(frozen=True)
class Tail:
    """What follows the matrices.

    Attributes
    ----------
    chemical_potential
        Hartree.
    n_electrons
        Valence electrons in the cell.
    input
        The echo of the input file.
    log
        Text appended to the file: some users keep the .out there. Empty otherwise.
    """

    chemical_potential: float
    n_electrons: float
    input: str
    log: str


@dataclass(frozen=True)
class Scfout:
    """Contents of a .scfout file, energies in Hartree and lengths in Bohr.

    Attributes
    ----------
    layout
        Version of the file's layout, 0 to 3.
    spin
        0 off, 1 collinear, 3 non-collinear.
    cell, positions
        (3, 3) lattice vectors as rows, (n_atoms, 3).
    orbitals
        Orbitals of each atom, (n_atoms,).
    i, j, shift
        Atoms and lattice vector of every directed pair, (n_pairs,), (n_pairs,), (n_pairs, 3).
    hamiltonian
        Elements of all blocks in the order of the pairs, (n_components, n_elements): one component; up and
        down; or real parts of up-up, down-down and up-down and imaginary part of up-down.
    imaginary
        Of up-up, down-down and up-down (what adds to the fourth component), (3, n_elements); empty unless
        non-collinear.
    overlap
        (n_elements,).
    momentum
        <grad i|j> on the real-space grid, (3, n_elements), 1/Bohr; None in heads and in layout 0.
    tail
        None in a head.
    """

    layout: int
    spin: int
    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    orbitals: NDArray[np.int64]
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    shift: NDArray[np.int64]
    hamiltonian: NDArray[np.float64]
    imaginary: NDArray[np.float64]
    overlap: NDArray[np.float64]
    momentum: NDArray[np.float64] | None
    tail: Tail | None

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Elements of the block of every pair, (n_pairs,)."""
        return self.orbitals[self.i] * self.orbitals[self.j]


class _Stream:
    """Reads a file piece by piece, naming the piece in which it ends."""

    def __init__(self, path: Path, data: bytes, order: str) -> None:
        self.path, self.data, self.order, self.position = path, data, order, 0

    def fail(self, problem: str, field: str) -> InputError:
        return InputError(problem, file=self.path, field=field, remedy=REMEDY)

    def take(self, kind: str, shape: tuple[int, ...], field: str) -> NDArray:
        dtype = np.dtype(self.order + kind)
        count = int(np.prod(shape))
        left = len(self.data) - self.position
        if count * dtype.itemsize > left:
            raise self.fail(f"the file ends early: {left} bytes of {count * dtype.itemsize} are there", field)
        values = np.frombuffer(self.data, dtype, count, self.position)
        self.position += count * dtype.itemsize
        native: DTypeLike = np.int64 if kind == "i4" else np.float64
        return values.reshape(shape).astype(native)

    def skip(self, n_bytes: int, field: str) -> None:
        left = len(self.data) - self.position
        if n_bytes > left:
            raise self.fail(f"the file ends early: {left} bytes of {n_bytes} are there", field)
        self.position += n_bytes

    def vectors(self, kind: str, n: int, field: str) -> NDArray:
        """Read n vectors; the code's arrays start at 1, so each has an unused first column."""
        return self.take(kind, (n, 4), field)[:, 1:]

    @property
    def at_end(self) -> bool:
        return self.position == len(self.data)


def read_scfout(path: Path) -> Scfout:
    """Read LABEL.scfout, or its head.

    Raises
    ------
    InputError
        If the file is no .scfout, ends early, goes on after its end or contradicts itself.
    """
    data = read_bytes(path)
    stream = _Stream(path, data, _byte_order(path, data))
    n_atoms, version, *_, n_copies = (int(n) for n in stream.take("i4", (6,), "header"))
    layout, spin = divmod(version, 4)
    if layout in (1, 2):
        raise stream.fail(
            f"layout {layout} was written by unreleased versions of OpenMX 3.7 only and is not documented",
            "header",
        )
    order_max = int(stream.take("i4", (1,), "order of the position matrices")[0]) if layout == 3 else 1
    if order_max < 1:
        raise stream.fail(f"order {order_max}", "order of the position matrices")
    translations = stream.vectors("f8", n_copies + 1, "translations of the cells")
    cells = stream.vectors("i4", n_copies + 1, "indices of the cells")
    orbitals = stream.take("i4", (n_atoms,), "orbitals per atom")
    if orbitals.min() < 1 or orbitals.max() > MAX_ORBITALS:
        raise stream.fail(f"an atom with {orbitals.min()} or {orbitals.max()} orbitals", "orbitals per atom")
    i, j, shift = _neighbours(stream, n_atoms, cells)
    cell = stream.vectors("f8", 3, "lattice vectors")
    reciprocal = stream.vectors("f8", 3, "reciprocal lattice vectors")
    positions = stream.vectors("f8", n_atoms, "positions")
    mismatch = max(
        float(np.abs(cells @ cell - translations).max()),
        float(np.abs(reciprocal @ cell.T - 2 * np.pi * np.eye(3)).max()),
    )
    if not mismatch < LATTICE_TOLERANCE:
        raise stream.fail(
            f"lattice vectors, their inverse and the table of cells disagree by {mismatch:.3g}",
            "lattice vectors",
        )
    n_elements = int((orbitals[i] * orbitals[j]).sum())
    n_real, n_imaginary = SPIN_COMPONENTS[spin]
    hamiltonian = stream.take("f8", (n_real, n_elements), "Hamiltonian")
    imaginary = stream.take("f8", (n_imaginary, n_elements), "imaginary part of the Hamiltonian")
    overlap = stream.take("f8", (n_elements,), "overlap")
    momentum, tail = None, None
    if not stream.at_end:
        stream.skip(24 * order_max * n_elements, "position matrices")
        if layout == 3:
            momentum = stream.take("f8", (3, n_elements), "momentum matrices")
        n_density = n_real + (2 if layout == 3 else 0)
        stream.skip(8 * n_density * n_elements, "density matrices")
        tail = _tail(stream)
    return Scfout(
        layout, spin, cell, positions, orbitals, i, j, shift, hamiltonian, imaginary, overlap, momentum, tail
    )


def _byte_order(path: Path, data: bytes) -> str:
    """Return "<" or ">": the order in which the header makes sense."""
    for order in "<>":
        header = np.frombuffer(data[:24], order + "i4") if len(data) >= 24 else np.zeros(6, int)
        n_atoms, version, *regions, n_copies = (int(n) for n in header)
        sane = 0 < n_atoms <= MAX_ATOMS and 0 <= version <= 15 and version % 4 in SPIN_COMPONENTS
        # atoms of the central region and of the leads: zero unless the run is one of transport
        if sane and sum(regions) in (0, n_atoms) and n_copies >= 0:
            return order
    raise InputError(
        f"not a .scfout file: its {len(data)} bytes do not start with numbers of atoms and cells, "
        "in either byte order",
        file=path,
        field="header",
        remedy=REMEDY,
    )


def _neighbours(
    stream: _Stream, n_atoms: int, cells: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Directed pairs i, j, shift in the order of the blocks."""
    counts = stream.take("i4", (n_atoms,), "number of neighbours")
    if counts.min() < 0:
        raise stream.fail(f"an atom with {counts.min()} neighbours", "number of neighbours")
    n_pairs = int((counts + 1).sum())
    j = stream.take("i4", (n_pairs,), "neighbours") - 1
    copy = stream.take("i4", (n_pairs,), "cells of the neighbours")
    i = np.repeat(np.arange(n_atoms), counts + 1)
    if j.min() < 0 or j.max() >= n_atoms:
        raise stream.fail(f"atom {j.min() + 1} or {j.max() + 1} of {n_atoms} as a neighbour", "neighbours")
    if copy.min() < 0 or copy.max() >= len(cells):
        raise stream.fail(f"cell {copy.min()} or {copy.max()} of {len(cells) - 1}", "cells of the neighbours")
    itself = np.cumsum(counts + 1) - counts - 1
    if not np.array_equal(j[itself], np.arange(n_atoms)) or cells[copy[itself]].any():
        raise stream.fail("an atom is not the first of its own neighbours", "neighbours")
    return i, j, cells[copy]


def _tail(stream: _Stream) -> Tail:
    stream.take("i4", (1,), "solver")
    numbers = stream.take("f8", (10,), "chemical potential, dipoles and electrons")
    n_lines = int(stream.take("i4", (1,), "lines of the input")[0])
    start = stream.position
    stream.skip(max(n_lines, 0) * LINE_LENGTH, "echo of the input")
    lines = (
        stream.data[first : first + LINE_LENGTH].split(b"\0")[0]
        for first in range(start, stream.position, LINE_LENGTH)
    )
    echo = "\n".join(line.decode("utf-8", errors="replace").rstrip("\n") for line in lines)
    log = stream.data[stream.position :].decode("utf-8", errors="replace")
    if log and "OpenMX" not in log:
        raise stream.fail(f"{len(stream.data) - stream.position} bytes follow the end", "end of the file")
    return Tail(float(numbers[0]), float(numbers[8]), echo, log)
