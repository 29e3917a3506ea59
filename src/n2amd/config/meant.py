"""What a newcomer may have meant: other programs' names of an option, numbers as others write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What options are called elsewhere, without capitals: the first that a section has is meant.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dt", "step", "tstep", "potim", "time_step"), ("timestep_fs", "trajectory_timestep_fs")),
    **dict.fromkeys(("temp", "t", "tebeg", "temperature"), ("temperature_K", "temperatures_K")),
    **dict.fromkeys(("steps", "nsteps", "n_steps", "nsw", "length"), ("frames", "max_epochs")),
    **dict.fromkeys(("epochs", "n_epochs"), ("max_epochs", "steps")),
    **dict.fromkeys(("lr", "rate"), ("learning_rate",)),
    **dict.fromkeys(("cutoff", "r_max", "rcut", "radius"), ("message_cutoff_A", "cutoff_Ry", "ke_cutoff_Ha")),
    **dict.fromkeys(("time", "namdtime", "duration", "t_max"), ("duration_fs",)),
    **dict.fromkeys(("ntraj", "n_traj"), ("trajectories",)),
    **dict.fromkeys(("nsample", "nsamples"), ("samples",)),
    **dict.fromkeys(("bands", "nbands", "n_bands"), ("valence",)),
    **dict.fromkeys(("poscar", "cell", "geometry", "cif"), ("structure",)),
    **dict.fromkeys(("xc", "dft"), ("functionals",)),
    **dict.fromkeys(("data", "folder", "folders", "directory"), ("paths",)),
    **dict.fromkeys(("output", "out", "outdir", "output_dir"), ("results",)),
    **dict.fromkeys(("k", "kpt", "kpts"), ("kpoint", "kpoints")),
    **dict.fromkeys(("gap", "shift", "bandgap"), ("gap_eV",)),
}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"


def usual_name(name: str, known: Iterable[str]) -> str | None:
    """Return the option, of those a section has, that another program calls by a name.

    Examples
    --------
    >>> usual_name("dt", ["frames", "timestep_fs"])
    'timestep_fs'
    """
    options = set(known)
    return next((option for option in USUAL_NAMES.get(name.lower(), ()) if option in options), None)


def number_meant(text: str, whole: bool) -> str | None:
    """Return how to write a number that is written in a way which is not read; None where it is no number.

    Parameters
    ----------
    text
        What is there.
    whole
        Whether only whole numbers are read.

    Examples
    --------
    >>> number_meant("1.5d-3", whole=False)
    'write 1.5e-3'
    >>> number_meant("300 K", whole=False)
    'write 300 alone, in the unit of the option'
    """
    text = text.strip()
    if match := re.fullmatch(rf"({_NUMBER})[dD]([+-]?\d+)", text):
        return f"write {match[1]}e{match[2]}"
    if whole and re.fullmatch(rf"{_NUMBER}[eE]\+?\d{{1,2}}", text) and float(text).is_integer():
        return f"write {float(text):.0f}"
    if match := re.fullmatch(rf"({_NUMBER})\s*%", text):
        return f"write {float(match[1]) / 100:g}"
    if re.fullmatch(r"[+-]?\d+(?:,\d+)+(?:\.\d+)?", text):
        return "write decimals behind a point, and nothing between thousands"
    if match := re.fullmatch(rf"({_NUMBER}(?:[eE][+-]?\d+)?)\s*[^\W\d_][^\d,]*", text):
        return f"write {match[1]} alone, in the unit of the option"
    return None
