"""LABEL.TSHS, H and S of SIESTA and HONPAS in double precision (TS.HS.Save .true.), format version 1.

It has the geometry, the auxiliary supercell and the Fermi level, but no species tables. Layout: SIESTA's
m_ts_io (`ts_write_TSHS`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from n2amd.dft.siesta.hsx import NO_FERMI_LEVEL, check_spin, orbital_atoms
from n2amd.dft.siesta.matrices import Geometry, SparseMatrices
from n2amd.dft.siesta.records import Records


def read_tshs(path: str | Path) -> SparseMatrices:
    """Read H, S and the geometry.

    Parameters
    ----------
    path
        LABEL.TSHS, plain or compressed.

    Raises
    ------
    InputError
        If the file is cut, damaged, of another format version, or has the overlap only.
    """
    records = Records(Path(path), "TSHS")
    first = records.next("the format version")
    version = int(np.frombuffer(first, "<i4")[0]) if len(first) == 4 else 0
    if version != 1:
        raise records.fail(
            f"TSHS format version {version} is not supported, only 1",
            "use LABEL.HSX instead, or run with SIESTA 4.1 or later",
        )
    n_atoms, n_orbitals, n_supercell, n_spin, n_elements = records.array("the dimensions", "<i4", 5).tolist()
    check_spin(records, n_spin)
    n_cells = records.array("the supercell", "<i4", 3)
    n_images = int(np.prod(n_cells))
    if min(n_atoms, n_orbitals, n_images) < 1 or n_supercell != n_orbitals * n_images:
        raise records.fail(f"{n_supercell} orbitals in {n_images} cells of {n_orbitals} orbitals")
    cell, positions = records.fields("the geometry", ("<f8", 9), ("<f8", 3 * n_atoms))
    is_gamma, _, overlap_only = records.array("the kind of run", "<i4", 3).astype(bool)
    if overlap_only:
        raise records.fail("the file has the overlap only", "run the frame again with TS.HS.Save .true.")
    records.fields("the k mesh", ("<i4", 9), ("<f8", 3))
    fermi, n_electrons, _temperature = records.array("the Fermi level", "<f8", 3)
    records.array("the phonon step", "<i4", 2)
    last_orbital = records.array("the orbitals of the atoms", "<i4", n_atoms + 1)[1:]
    counts, column = records.sparsity(n_orbitals, n_supercell)
    if counts.sum() != n_elements:
        raise records.fail(f"the rows hold {counts.sum()} elements, the header says {n_elements}")
    overlap = records.rows("the overlap", "<f8", counts)
    hamiltonian = np.array([records.rows("the Hamiltonian", "<f8", counts) for _ in range(n_spin)])
    if is_gamma and n_images > 1:
        raise records.fail(
            f"a Gamma-only run with {n_images} cells but no lattice vectors of them",
            "use LABEL.HSX instead, or run the frame again with ForceAuxCell .true.",
        )
    shifts = (
        np.zeros(3) if is_gamma else records.array("the supercell's lattice vectors", "<i4", 3 * n_images)
    )
    return SparseMatrices(
        n_orbitals,
        n_images,
        np.repeat(np.arange(n_orbitals), counts),
        column,
        hamiltonian,
        overlap,
        float(n_electrons),
        orbital_atoms(records, last_orbital, n_orbitals),
        double_precision=True,
        fermi_level=float(fermi) if abs(fermi) < NO_FERMI_LEVEL else None,
        geometry=Geometry(
            cell.reshape(3, 3), positions.reshape(-1, 3), shifts.reshape(-1, 3).astype(np.int64)
        ),
    )
