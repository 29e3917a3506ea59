"""The files of one run: LABEL.HSX, LABEL.EIG, ... beside those of other runs, logs and inputs."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from n2amd.dft.files import DECOMPRESSORS, locate, require
from n2amd.dft.siesta.fdf import find_input, system_label
from n2amd.dft.siesta.hsx import read_hsx
from n2amd.dft.siesta.matrices import SparseMatrices
from n2amd.dft.siesta.tshs import read_tshs
from n2amd.errors import InputError

#: Any of these files makes a folder the folder of a frame.
KINDS = ("HSX", "TSHS", "XV", "EIG")


@dataclass(frozen=True)
class Run:
    """A folder and the SystemLabel that begins the names of the run's files."""

    folder: Path
    label: str

    def find(self, kind: str, *, beside: bool = False) -> Path | None:
        """Return LABEL.KIND, plain or compressed; `beside`: or the one in the folder above."""
        return locate(self.folder, f"{glob.escape(self.label)}.{kind}", beside=beside)

    def require(self, kind: str) -> Path:
        """Return LABEL.KIND; raise `InputError` where there is none."""
        remedy = "copy it from the run, or run the frame again"
        return require(self.folder, f"{glob.escape(self.label)}.{kind}", remedy=remedy)


def find_run(folder: Path) -> Run:
    """Find the run of a folder; where files of several lie in it, the one that its input names.

    Raises
    ------
    InputError
        If the folder has no run, or several and no single input that names one of them.
    """
    labels = sorted({label for file in folder.iterdir() if (label := _label(file))})
    if len(labels) > 1:
        named = {system_label(folder, path) for path in find_input(folder)} & set(labels)
        if len(named) != 1:
            raise InputError(
                f"the output of {len(labels)} runs ({', '.join(labels)}), and no single fdf input whose "
                "SystemLabel says which is meant",
                file=folder,
                remedy="keep the output of one run in a folder",
            )
        labels = sorted(named)
    if not labels:
        raise InputError(
            f"no run: there is none of LABEL.{', LABEL.'.join(KINDS)}",
            file=folder,
            remedy="pass frame folders",
        )
    return Run(folder, labels[0])


def _label(file: Path) -> str | None:
    """SystemLabel in the name of a run's file, None for other files."""
    name = file.name.removesuffix(file.suffix) if file.suffix in DECOMPRESSORS else file.name
    label, _, kind = name.rpartition(".")
    return label if kind in KINDS and label else None


def read_matrices(run: Run) -> SparseMatrices:
    """Read H and S from the most precise file of the run.

    LABEL.TSHS is always in double precision, LABEL.HSX in single precision up to SIESTA 4.1. A TSHS file has
    no species tables, which are taken from HSX where that is there too.

    Raises
    ------
    InputError
        If the run has neither.
    """
    if (tshs := run.find("TSHS")) is not None:
        return read_tshs(tshs)
    if (hsx := run.find("HSX")) is not None:
        return read_hsx(hsx)
    raise InputError(
        "no file *.HSX or *.TSHS (plain or compressed)",
        file=run.folder,
        field="HSX",
        remedy="copy it from the run (SaveHS .true.), or run the frame again",
    )
