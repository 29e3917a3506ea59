"""Speed and memory of `n2amd dataset ingest`: frames of 48 atoms, made of one real HONPAS frame of 6.

python benchmarks/ingestion.py [--frames 10 40 120 1000] [--jobs 1] [--out benchmarks/results/ingestion.csv]

A frame is the 2 x 2 x 2 supercell of a TiO2 frame of resources/, written as HSX, XV, EIG, ... as the code
does, with Gamma and one more k point; the frames differ by 1e-5 A. Each line is a process of its own, and its
peak memory is that of the process (workers apart), so that a growth with the number of frames would show.
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import datetime
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.linalg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "dft"))

from hsx_writer import shell_numbers, write_hsx
from record import processor, write_csv

from n2amd.blocks.matrix import fold_mesh
from n2amd.dft.siesta.frame import read_frame
from n2amd.dft.siesta.hsx import SparseMatrices, read_hsx
from n2amd.dft.siesta.tables import OrbitalTable, read_orbital_table
from n2amd.ingestion.ingest import ingest
from n2amd.structure import Structure
from n2amd.units import SIESTA_BOHR_ANGSTROM, SIESTA_RYDBERG_EV

SET = ROOT / "resources" / "tio2-honpas" / "TiO2_6_train"
REPEATS = np.array([2, 2, 2])
KPOINTS = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]])


def repeated(small: SparseMatrices, table: OrbitalTable) -> tuple[SparseMatrices, np.ndarray, np.ndarray]:
    """Matrices of the supercell; lattice vector and unit orbital of each of its auxiliary orbitals."""
    cells = np.array(list(np.ndindex(*REPEATS)))
    n_orbitals, n_atoms = small.n_orbitals * len(cells), len(small.atom_species)
    target = cells[:, None] + table.shift[small.column]
    shift, home = np.divmod(target, REPEATS)
    reach = int(np.abs(shift).max())
    lattice = np.array(sorted(np.ndindex(*(2 * reach + 1,) * 3), key=lambda r: r != (reach,) * 3)) - reach
    number = {tuple(r): k for k, r in enumerate(lattice.tolist())}
    of_shift = np.array([number[tuple(r)] for r in shift.reshape(-1, 3).tolist()]).reshape(len(cells), -1)
    of_home = home @ np.array([REPEATS[1] * REPEATS[2], REPEATS[2], 1])
    unit = table.unit_orbital[small.column]
    column = of_shift * n_orbitals + of_home * small.n_orbitals + unit
    row = np.arange(len(cells))[:, None] * small.n_orbitals + small.row
    matrices = replace(
        small,
        n_orbitals=n_orbitals,
        n_supercell=n_orbitals * len(lattice),
        row=row.ravel(),
        column=column.ravel(),
        unit_orbital=np.tile(np.arange(n_orbitals), len(lattice)),
        hamiltonian=np.tile(small.hamiltonian, len(cells)),
        overlap=np.tile(small.overlap, len(cells)),
        bonds=np.tile(small.bonds, (len(cells), 1)),
        n_electrons=small.n_electrons * len(cells),
        atom_species=np.tile(small.atom_species, len(cells)),
        orbital_atom=(np.arange(len(cells))[:, None] * n_atoms + small.orbital_atom).ravel(),
    )
    return matrices, np.repeat(lattice, n_orbitals, axis=0), matrices.unit_orbital


def lines(rows: np.ndarray) -> str:
    return "\n".join(" ".join(f"{x:.10g}" for x in row) for row in rows)


def write_shared(folder: Path) -> tuple[Structure, np.ndarray]:
    """Write what all frames have in common; return the geometry and the forces on it."""
    for file in SET.glob("*.ion.xml.xz"):
        shutil.copy(file, folder)
    table = read_orbital_table(SET / "TiO2.ORB_INDX.xz")
    small = read_hsx(SET / "frame_0000" / "TiO2.HSX.xz")
    frame, basis = read_frame(SET / "frame_0000")
    matrices, shift, unit = repeated(small, table)
    write_hsx(folder / "HSX", matrices)
    labels = [basis[z].shells for z in frame.structure.numbers]
    quantum = [
        (*shell_numbers(s.label), m, s) for shells in labels for s in shells for m in range(-s.l, s.l + 1)
    ]
    rows = [f"{matrices.n_orbitals} {matrices.n_supercell}", "orbitals"]
    for number, (home, r) in enumerate(zip(unit, shift), 1):
        n, l, zeta, m, shell = quantum[home % small.n_orbitals]
        radius = shell.radial.cutoff / SIESTA_BOHR_ANGSTROM
        atom = matrices.orbital_atom[home] + 1
        place = f"{r[0]} {r[1]} {r[2]} {home + 1}"
        rows.append(f"{number} {atom} 1 X 1 {n} {l} {m} {zeta} F sym {radius:.3f} {place}")
    (folder / "TiO2.ORB_INDX").write_text("\n".join(rows) + "\n")
    structure = frame.structure.supercell(REPEATS)
    reciprocal = 2 * np.pi * np.linalg.inv(structure.cell / SIESTA_BOHR_ANGSTROM).T
    points = np.column_stack([[1, 2], KPOINTS @ reciprocal, [0.5, 0.5]])
    (folder / "KP").write_text(f"{len(KPOINTS)}\n{lines(points)}\n")
    # the bands of the supercell are those of the cell at the k points that fold onto it
    offsets = basis.orbital_offsets(frame.structure.numbers)
    cells = np.array(list(np.ndindex(*REPEATS)))
    levels = []
    for k in KPOINTS:
        folded = (k + cells) / REPEATS
        h, s = (fold_mesh(matrix, offsets, folded) for matrix in (frame.hamiltonian, frame.overlap))
        levels.append(np.sort(np.concatenate([scipy.linalg.eigvalsh(a, b) for a, b in zip(h, s)])))
    header = f"{frame.fermi_level}\n{len(levels[0])} 1 {len(levels)}\n"
    (folder / "EIG").write_text(header + lines(np.column_stack([[1, 2], levels])) + "\n")
    assert frame.forces is not None
    return structure, np.tile(frame.forces, (len(cells), 1))


def write_frames(folder: Path, count: int) -> float:
    """Write frames; return their size, MB. Files that are equal in all frames are hard links to one."""
    structure, forces = write_shared(folder)
    rng = np.random.default_rng(1)
    cell_species = read_hsx(SET / "frame_0000" / "TiO2.HSX.xz").atom_species + 1
    species = np.tile(cell_species, int(REPEATS.prod()))
    for number in range(count):
        target = folder / "frames" / f"frame_{number:04d}"
        target.mkdir(parents=True)
        for name in ("HSX", "EIG", "KP"):
            os.link(folder / name, target / f"TiO2.{name}")
        moved = structure.positions + rng.uniform(-1e-5, 1e-5, structure.positions.shape)
        cell = np.column_stack([structure.cell / SIESTA_BOHR_ANGSTROM, np.zeros((3, 3))])
        atoms = np.column_stack(
            [species, structure.numbers, moved / SIESTA_BOHR_ANGSTROM, np.zeros_like(moved)]
        )
        (target / "TiO2.XV").write_text(f"{lines(cell)}\n{len(moved)}\n{lines(atoms)}\n")
        varied = np.column_stack([np.arange(len(moved)), forces + rng.uniform(-1e-4, 1e-4, forces.shape)])
        (target / "TiO2.FA").write_text(f"{len(moved)}\n{lines(varied)}\n")
        energy = (-22000 + rng.uniform(0, 1e-3)) / SIESTA_RYDBERG_EV
        stress = rng.uniform(-1e-3, 1e-3, (3, 3))
        (target / "FORCE_STRESS").write_text(f"{energy:.12f}\n{lines(stress)}\n")
    for name in ("TiO2.ORB_INDX", *(file.name for file in folder.glob("*.ion.xml.xz"))):
        shutil.move(folder / name, folder / "frames" / name)
    return sum(file.stat().st_size for file in (folder / "frames").rglob("*") if file.is_file()) / 1e6


def measure(frames: Path, out: Path, jobs: int) -> dict[str, float]:
    """Ingest in this process; CPU seconds and peak memory (MB), the latter without workers."""
    ingest([frames], out, code="honpas", jobs=jobs)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu_s": sum(u.ru_utime + u.ru_stime for u in usage),
        "peak_MB": usage[0].ru_maxrss / 1024,
        "worker_peak_MB": usage[1].ru_maxrss / 1024,
        "dataset_MB": out.stat().st_size / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 40, 120, 1000])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ingestion.csv")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder = arguments.measure
        print(json.dumps(measure(folder / "frames", folder / "dataset.h5", arguments.jobs)))
        return
    rows = []
    for count in arguments.frames:
        with tempfile.TemporaryDirectory() as name:
            size = write_frames(Path(name), count)
            command = [sys.executable, __file__, "--measure", name, "--jobs", str(arguments.jobs)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        row = {
            "date": datetime.date.today().isoformat(),
            "processor": processor(),
            "frames": count,
            "atoms": 48,
            "jobs": arguments.jobs,
            "input_MB": f"{size:.0f}",
            "dataset_MB": f"{found['dataset_MB']:.0f}",
            "cpu_s": f"{found['cpu_s']:.1f}",
            "MB_per_cpu_s": f"{size / found['cpu_s']:.1f}",
            "cpu_s_per_frame": f"{found['cpu_s'] / count:.3f}",
            "peak_MB": f"{found['peak_MB']:.0f}",
            "worker_peak_MB": f"{found['worker_peak_MB']:.0f}" if arguments.jobs > 1 else "",
        }
        rows.append(row)
        print(row, flush=True)
    write_csv(arguments.out, rows)


if __name__ == "__main__":
    main()
