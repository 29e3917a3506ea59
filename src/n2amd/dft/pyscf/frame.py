"""The frame of a PySCF calculation: the file that the engine writes, and its reader.

Matrices are kept as PySCF has them, in Hartree and in its order of orbitals; the reader converts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.gth import GthPotential
from n2amd.baseline.smearing import Smearing
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, canonical_half
from n2amd.dft.files import find_frame_folders, frame_name, require
from n2amd.dft.pyscf.zeroth_order import HARTREE_EV, ingredients_of_run
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference, Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code, to_canonical
from n2amd.storage import create_hdf5, open_hdf5
from n2amd.structure import Structure
from n2amd.units import BOHR_ANGSTROM

FORMAT = "pyscf-frame"
NAME = "frame.h5"
#: Pairs of atoms whose elements are all below these are dropped: H in Hartree, S.
NEGLIGIBLE_H, NEGLIGIBLE_S = 1e-8, 1e-10
_OBSERVABLES = ("energy", "fermi_level", "forces", "stress")


@dataclass(frozen=True)
class Calculation:
    """What PySCF computed, in atomic units and PySCF's order of orbitals.

    Attributes
    ----------
    structure, basis
        Atoms (Angstrom) and shells.
    images
        Lattice vectors R, (n_R, 3).
    hamiltonian, overlap
        H(R) (Hartree) and S(R), (n_R, n, n).
    n_electrons
        Valence electrons.
    kpoints, weights, energies
        Fractional k points (n_k, 3), weights (n_k,), and PySCF's eigenvalues (n_k, n), Hartree.
    observables
        Of energy, fermi_level, forces (n_atoms, 3), stress (3, 3) those that were computed.
    origin
        DFT provenance.
    potentials
        GTH pseudopotentials by atomic number.
    """

    structure: Structure
    basis: Basis
    images: NDArray[np.int64]
    hamiltonian: NDArray[np.float64]
    overlap: NDArray[np.float64]
    n_electrons: float
    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    energies: NDArray[np.float64]
    observables: Mapping[str, NDArray[np.float64] | float]
    origin: Mapping[str, str]
    potentials: Mapping[int, GthPotential]


def write_calculation(folder: Path, result: Calculation, config: object) -> None:
    """Write the frame file; it appears under its name only when it is whole."""
    with create_hdf5(folder / NAME, FORMAT, config=config) as file:
        file.attrs["n_electrons"] = result.n_electrons
        file["basis"], file["origin"] = result.basis.to_json(), json.dumps(dict(result.origin))
        for name in ("cell", "positions", "numbers", "pbc"):
            file[f"structure/{name}"] = getattr(result.structure, name)
        for number, potential in result.potentials.items():
            file[f"pseudopotentials/{number}"] = potential.to_json()
        file["images"] = result.images
        for name in ("hamiltonian", "overlap"):
            file.create_dataset(name, data=getattr(result, name), compression="gzip", shuffle=True)
        for name in ("kpoints", "weights", "energies"):
            file[f"bands/{name}"] = getattr(result, name)
        for name, value in result.observables.items():
            file[f"observables/{name}"] = value


def find_frames(paths: Sequence[str | Path]) -> list[Path]:
    """List the frame folders under the paths; see `find_frame_folders`."""
    return find_frame_folders(paths, (NAME,), f"a {NAME} of PySCF")


def read_frame(folder: str | Path, code: Code = "pyscf") -> tuple[Frame, Basis]:
    """Read one frame.

    Parameters
    ----------
    folder
        Folder with frame.h5, written by `n2amd dft run --engine pyscf`.
    code
        "pyscf".

    Returns
    -------
    frame, basis
        The frame and the basis it was computed in (radial functions included).

    Raises
    ------
    InputError
        If the file is missing, damaged, or contradicts itself.
    """
    folder = Path(folder)
    path = require(folder, NAME, remedy="run the frame again (n2amd dft run --engine pyscf)")
    with open_hdf5(path, FORMAT) as file:
        try:
            geometry = {name: file[f"structure/{name}"][()] for name in ("cell", "positions", "numbers")}
            structure = Structure(**geometry, pbc=tuple(file["structure/pbc"][()]))
            basis = Basis.from_json(file["basis"].asstr()[()])
            origin = json.loads(file["origin"].asstr()[()])
            potentials = {
                int(number): GthPotential.from_json(entry.asstr()[()])
                for number, entry in file.get("pseudopotentials", {}).items()
            }
            images, h, s = (file[name][()] for name in ("images", "hamiltonian", "overlap"))
            bands = BandReference(
                file["bands/kpoints"][()],
                file["bands/weights"][()],
                HARTREE_EV * file["bands/energies"][()][:, None],
            )
            seen = {
                name: file[f"observables/{name}"][()]
                for name in _OBSERVABLES
                if f"observables/{name}" in file
            }
            n_electrons = float(file.attrs["n_electrons"])
        except (KeyError, ValueError, OSError) as error:
            raise InputError(
                f"the file is damaged ({error})", file=path, remedy="run the frame again"
            ) from None
    n = int(basis.orbital_counts(structure.numbers).sum())
    if not h.shape == s.shape == (len(images), n, n):
        raise InputError(
            f"H of shape {h.shape} and S of shape {s.shape} for {len(images)} images and {n} orbitals",
            file=path,
            remedy="run the frame again",
        )
    ingredients, note = ingredients_of_run(structure, origin, potentials)
    pairs, hamiltonian, overlap = _blocks(h, s, images, structure, basis)
    frame = Frame(
        name=frame_name(folder),
        structure=structure,
        hamiltonian=to_canonical(BlockMatrix(pairs, hamiltonian), basis, code),
        overlap=to_canonical(BlockMatrix(pairs, overlap), basis, code),
        n_electrons=n_electrons,
        energy=HARTREE_EV * float(seen["energy"]) if "energy" in seen else None,
        forces=HARTREE_EV / BOHR_ANGSTROM * seen["forces"] if "forces" in seen else None,
        stress=HARTREE_EV / BOHR_ANGSTROM**3 * seen["stress"] if "stress" in seen else None,
        fermi_level=HARTREE_EV * float(seen["fermi_level"]) if "fermi_level" in seen else None,
        charge=round(basis.valence_electrons(structure.numbers) - n_electrons, 6) + 0.0,
        bands=bands,
        hermiticity_error=_hermiticity_error(h, s, images),
        origin={
            "code": code,
            **origin,
            # PySCF fills levels from below
            "smearing": str(Smearing.filled()),
            **({"h0": note} if note else {}),
        },
        ingredients=ingredients,
    )
    return frame, basis


def _blocks(
    h: NDArray[np.float64],
    s: NDArray[np.float64],
    images: NDArray[np.int64],
    structure: Structure,
    basis: Basis,
) -> tuple[dict[SpeciesPair, PairIndex], dict[SpeciesPair, NDArray], dict[SpeciesPair, NDArray]]:
    """The Hermitian half as blocks per species pair: the pairs with anything in H (eV) or S."""
    starts = basis.orbital_offsets(structure.numbers)[:-1]
    present = sorted({int(z) for z in structure.numbers})
    pairs: dict[SpeciesPair, PairIndex] = {}
    values: tuple[dict[SpeciesPair, NDArray], dict[SpeciesPair, NDArray]] = ({}, {})
    for zi in present:
        for zj in (z for z in present if z >= zi):
            atoms = [np.flatnonzero(structure.numbers == z) for z in (zi, zj)]
            i, j, image = (x.ravel() for x in np.meshgrid(*atoms, np.arange(len(images)), indexing="ij"))
            rows = starts[i][:, None, None] + np.arange(basis[zi].n_orbitals)[:, None]
            columns = starts[j][:, None, None] + np.arange(basis[zj].n_orbitals)
            block_h, block_s = (m[image[:, None, None], rows, columns] for m in (h, s))
            there = (np.abs(block_h).max(axis=(1, 2)) > NEGLIGIBLE_H) | (
                np.abs(block_s).max(axis=(1, 2)) > NEGLIGIBLE_S
            )
            index = PairIndex(i, j, images[image])
            kept = there & canonical_half(index, zi == zj)
            pairs[zi, zj] = index.select(kept)
            values[0][zi, zj] = HARTREE_EV * block_h[kept][None]
            values[1][zi, zj] = block_s[kept][None]
    return pairs, *values


def _hermiticity_error(h: NDArray[np.float64], s: NDArray[np.float64], images: NDArray[np.int64]) -> float:
    """Largest difference between M(R) and M(-R)^T, in H (eV) or S; a missing partner counts as zero."""
    number = {tuple(image): n for n, image in enumerate(images.tolist())}
    worst = 0.0
    for n, image in enumerate(images):
        partner = number.get(tuple((-image).tolist()))
        for matrix, unit in ((h, HARTREE_EV), (s, 1.0)):
            mirrored = matrix[partner].T if partner is not None else 0.0
            worst = max(worst, unit * float(np.abs(matrix[n] - mirrored).max()))
    return worst
