"""The files that ABACUS leaves in OUT.SUFFIX, by the names that its versions give them.

Matrices: data-HR-sparse_SPIN0.csr up to version 3.10, hrs1_nao.csr since 3.9.0.25, hrs1g1_nao.csr where every
geometry step has its own file (`out_app_flag 0`); likewise data-SR-sparse_SPIN0.csr, srs1_nao.csr, later
sr_nao.csr. The same names end in .dat or .npz where `out_hsr` is 2 or 3.
"""

from __future__ import annotations

import re
from pathlib import Path

from n2amd.dft.files import DECOMPRESSORS, locate, require
from n2amd.errors import InputError

#: Any of these files makes a folder the folder of a frame.
MARKS = (
    "OUT.*/running_scf.log", "OUT.*/data-HR-sparse_SPIN0.csr", "OUT.*/hrs1_nao.csr", "OUT.*/hrs1g*_nao.csr",
    "OUT.*/istate.info", "OUT.*/eig_occ.txt",
)  # fmt: skip
ONE_RUN = "keep the files of one run together"
RERUN = (
    "copy it from the run (basis_type lcao, gamma_only 0, out_mat_hs2 1 or out_hsr 1), or run the frame again"
)
_EIGENVALUES = ("istate.info", "eig_occ.txt", "eig.txt")
_END = r"\.(csr|dat|npz)(" + "|".join(map(re.escape, DECOMPRESSORS)) + ")?"


def find_output_folder(folder: Path) -> Path:
    """Find the one OUT.SUFFIX of a run."""
    found = sorted(path for path in folder.glob("OUT.*") if path.is_dir())
    if len(found) != 1:
        raise InputError(
            f"{len(found)} folders OUT.*" + (f": {', '.join(p.name for p in found)}" if found else ""),
            file=folder,
            field="OUT",
            remedy="keep the output of one run in a folder",
        )
    return found[0]


def find_log(out: Path) -> Path:
    """Find running_scf.log; the log of another calculation is refused by its name."""
    if locate(out, "running_scf.log") is None and (other := sorted(out.glob("running_*.log*"))):
        raise InputError(
            f"{other[0].name} is not the log of a single point (running_scf.log)",
            file=out,
            field="calculation",
            remedy="run every geometry with `calculation scf` in a folder of its own",
        )
    return require(out, "running_scf.log", remedy="copy the log of the run")


def find_matrices(out: Path, n_spin: int) -> tuple[list[Path], Path]:
    """Find H of every spin (one for spinors) and S, all of one geometry step.

    Raises
    ------
    InputError
        If one is missing, binary, or there are several runs or steps.
    """
    spins = range(1, 3 if n_spin == 2 else 2)
    names = [(f"data-HR-sparse_SPIN{spin - 1}.csr", rf"hrs{spin}(?:g(\d+))?_nao") for spin in spins]
    names.append(("data-SR-sparse_SPIN0.csr", r"srs?1?(?:g(\d+))?_nao"))
    found = [_find_matrix(out, *name) for name in names]
    if len(steps := {step for step, _ in found}) > 1:
        raise InputError(
            f"{' and '.join(path.name for _, path in found)} are of {len(steps)} geometry steps or runs",
            file=out,
            field="step",
            remedy=ONE_RUN,
        )
    *hamiltonian, overlap = (path for _, path in found)
    return hamiltonian, overlap


def find_eigenvalues(out: Path) -> Path | None:
    """Find the file of eigenvalues; None where there is none."""
    return next((path for name in _EIGENVALUES if (path := locate(out, name))), None)


def _find_matrix(out: Path, old: str, new: str) -> tuple[str, Path]:
    """Geometry step (none, or as in the name) and path of a matrix, by its old name and its new one."""
    pattern = re.compile(rf"(?:{re.escape(old.removesuffix('.csr'))}|{new}){_END}")
    matches = [(path, match) for path in sorted(out.iterdir()) if (match := pattern.fullmatch(path.name))]
    found = [(match[1] or "", path) for path, match in matches if match[2] == "csr"]
    if len(found) > 1:
        steps = [step for step, _ in found]
        what = f"of {len(found)} geometry steps" if len(set(steps) - {""}) > 1 else f"of {len(found)} runs"
        raise InputError(
            f"{' and '.join(path.name for _, path in found)} are {what}",
            file=out,
            field="step",
            remedy="run every geometry with `calculation scf` in a folder of its own",
        )
    if found:
        return found[0]
    if matches:
        raise InputError(
            f"{matches[0][0].name} is not text",
            file=out,
            field="out_hsr",
            remedy="run the frame again with `out_hsr 1`, which writes *_nao.csr",
        )
    return "", require(out, old, remedy=RERUN)
