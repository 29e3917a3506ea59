"""One frame with PySCF: `python -m n2amd.dft.engines.pyscf_job job.json`, in the folder of the frame.

The SCF cycle runs on its own k mesh. The converged density then gives H(k) on a mesh dense enough for H(R),
at the cost of one build of the potential: what H(R) needs does not make the SCF cycle slower.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyscf
from ase.data import atomic_numbers
from numpy.typing import NDArray
from pyscf.pbc import dft, gto
from pyscf.pbc.gto.cell import estimate_ke_cutoff

from n2amd.baseline.gth import GthPotential
from n2amd.config.engines import PyscfSettings
from n2amd.dft.engines.kmesh import half_mesh, off_mesh_points
from n2amd.dft.engines.pyscf import FAILURE, basis_name
from n2amd.dft.engines.pyscf_basis import crystal_overlap, shells_of
from n2amd.dft.engines.pyscf_hybrid import hybrid_fock
from n2amd.dft.pyscf.frame import Calculation, write_calculation
from n2amd.dft.pyscf.real_space import Mesh, to_real_space, unwrap, wrap
from n2amd.dft.pyscf.zeroth_order import gth_potential
from n2amd.errors import ComputationError
from n2amd.structure import Structure


def build_cell(structure: Structure, settings: PyscfSettings, log: Path | None = None) -> gto.Cell:
    """Return the PySCF cell of a structure."""
    symbols = structure.to_ase().get_chemical_symbols()
    cell = gto.Cell()
    cell.unit = "A"
    cell.a = structure.cell
    cell.atom = list(zip(symbols, structure.positions.tolist()))
    cell.basis = {symbol: basis_name(settings.basis_of(symbol)) for symbol in set(symbols)}
    cell.pseudo = settings.pseudopotential
    cell.ke_cutoff = settings.ke_cutoff_Ha
    cell.verbose = 4 if log else 0
    cell.output = str(log) if log else None
    cell.build(dump_input=False, parse_arg=False)
    return cell


def compute(
    structure: Structure, mesh: Mesh, settings: PyscfSettings, log: Path | None = None
) -> Calculation:
    """Run one frame.

    Parameters
    ----------
    structure
        Atoms.
    mesh
        K mesh of H(R).
    settings
        Options of the run.
    log
        PySCF's own log.

    Returns
    -------
    calculation
        Everything that the frame file holds.

    Raises
    ------
    ComputationError
        If the SCF cycle does not converge.
    """
    # PySCF's lattice sums are meant for atoms in one cell
    wrapped, translations = wrap(structure)
    cell = build_cell(wrapped, settings, log)
    if cell.nelectron % 2:
        raise ComputationError(f"{cell.nelectron} electrons: closed shells only")
    scf = _scf(cell, settings)
    half, weights = half_mesh(mesh)
    scf_points, scf_weights = half_mesh(settings.kpoints)
    off = off_mesh_points(mesh)
    fock = _fock(scf, settings, np.concatenate([half, scf_points, off]))
    basis = shells_of(cell)
    offsets = basis.orbital_offsets(structure.numbers)
    images, hamiltonian = to_real_space(fock[: len(half)], half, weights, mesh, wrapped, offsets)
    images, hamiltonian, overlap = crystal_overlap(cell, wrapped, images, hamiltonian)
    images, (hamiltonian, overlap) = unwrap(images, np.array([hamiltonian, overlap]), translations, offsets)
    energies = _bands(scf, settings, np.concatenate([scf_points, off]), fock[len(half) :])
    observables: dict[str, Any] = {}
    occupied, on_mesh = cell.nelectron // 2, energies[: len(scf_points)]
    if occupied < cell.nao:
        observables["fermi_level"] = 0.5 * (on_mesh[:, occupied - 1].max() + on_mesh[:, occupied].min())
    if settings.functional == "PBE" or settings.hybrid == "self-consistent":
        observables["energy"] = scf.e_tot
    observables |= _gradients(scf, settings)
    return Calculation(
        structure=structure,
        basis=basis,
        images=images,
        hamiltonian=hamiltonian,
        overlap=overlap,
        n_electrons=float(cell.nelectron),
        kpoints=np.concatenate([scf_points, off]),
        # the points off the mesh test H(R), they count for nothing in a sum over the zone
        weights=np.concatenate([scf_weights, np.zeros(len(off))]),
        energies=energies,
        observables=observables,
        origin=_origin(cell, settings, mesh),
        potentials=_potentials(cell, settings),
    )


def _scf(cell: gto.Cell, settings: PyscfSettings) -> Any:
    """Converge the SCF cycle: HSE06 itself, or PBE, on whose density a one-shot HSE06 stands."""
    own_cycle = settings.functional == "HSE06" and settings.hybrid == "self-consistent"
    kpoints = cell.make_kpts(list(settings.kpoints), wrap_around=True)
    scf = dft.KRKS(cell, kpoints)
    scf.xc = "hse06" if own_cycle else "pbe"
    scf.exxdiv = "ewald"
    if settings.integration == "multigrid" and settings.functional == "PBE":
        scf = scf.multigrid_numint()
    scf.conv_tol = settings.conv_tol
    scf.max_cycle = settings.max_scf
    scf.kernel()
    if not scf.converged:
        raise ComputationError(
            f"the SCF cycle did not converge in {settings.max_scf} steps: more max_scf, a looser conv_tol"
        )
    return scf


def _fock(scf: Any, settings: PyscfSettings, points: NDArray[np.float64]) -> NDArray[np.complex128]:
    """H(k) at any k points (fractional) from the converged density, (n_k, n, n), Hartree."""
    absolute = scf.cell.get_abs_kpts(points)
    if settings.functional == "HSE06":
        return hybrid_fock(scf, absolute)
    potential = scf.get_veff(scf.cell, scf.make_rdm1(), kpts=scf.kpts, kpts_band=absolute)
    return np.asarray(scf.get_hcore(scf.cell, absolute)) + np.asarray(potential)


def _bands(
    scf: Any, settings: PyscfSettings, points: NDArray[np.float64], fock: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """PySCF's own eigenvalues, (n_k, n), Hartree: of `get_bands`, or for HSE06 of H(k) itself."""
    absolute = scf.cell.get_abs_kpts(points)
    if settings.functional == "PBE":
        return np.array(scf.get_bands(absolute)[0])
    overlaps = scf.get_ovlp(scf.cell, absolute)
    return np.array([scf._eigh(h, s)[0] for h, s in zip(fock, overlaps)])


def _gradients(scf: Any, settings: PyscfSettings) -> dict[str, NDArray[np.float64]]:
    """Forces (Hartree/Bohr) and stress (Hartree/Bohr^3), as far as they are asked for."""
    if not (settings.forces or settings.stress):
        return {}
    from pyscf.pbc.dft.numint import KNumInt
    from pyscf.pbc.grad import krks_stress

    # the gradients know this integration only, whatever the SCF cycle used
    scf._numint = KNumInt()
    gradient = scf.nuc_grad_method()
    gradient.verbose = 0
    found = {}
    if settings.forces:
        found["forces"] = -gradient.kernel()
    if settings.stress:
        found["stress"] = krks_stress.kernel(gradient)
    return found


def _potentials(cell: gto.Cell, settings: PyscfSettings) -> dict[int, GthPotential]:
    """GTH pseudopotentials of the cell's elements, those that have one."""
    symbols = {cell.atom_symbol(atom) for atom in range(cell.natm)} & cell._pseudo.keys()
    return {
        atomic_numbers[symbol]: gth_potential(settings.pseudopotential, cell._pseudo[symbol])
        for symbol in sorted(symbols)
    }


def _origin(cell: gto.Cell, settings: PyscfSettings, mesh: Mesh) -> dict[str, str]:
    origin = {
        "version": pyscf.__version__,
        "functional": settings.functional,
        "k_mesh": " ".join(map(str, settings.kpoints)),
        "real_space_mesh": " ".join(map(str, mesh)),
        "density_grid": " ".join(map(str, cell.mesh)),
        "mesh_cutoff": f"{2 * (cell.ke_cutoff or estimate_ke_cutoff(cell)):.17g} Ry",
        "basis": json.dumps(settings.basis) if isinstance(settings.basis, dict) else settings.basis,
        "pseudopotential": settings.pseudopotential,
    }
    if settings.functional == "HSE06":
        origin |= {"hybrid": settings.hybrid, "exxdiv": "ewald"}
    return origin


def main(path: str) -> None:
    """Run the job of a file; write the frame, or the reason why there is none."""
    pyscf.lib.num_threads(1)
    job = json.loads(Path(path).read_text())
    settings = PyscfSettings.model_validate(job["settings"])
    structure = Structure(np.array(job["cell"]), np.array(job["positions"]), np.array(job["numbers"]))
    first, second, third = job["mesh"]
    try:
        result = compute(structure, (first, second, third), settings, Path("pyscf.log"))
    except ComputationError as error:
        Path(FAILURE).write_text(json.dumps({"reason": str(error)}))
        raise SystemExit(1) from None
    write_calculation(Path(), result, settings)


if __name__ == "__main__":
    main(sys.argv[1])
