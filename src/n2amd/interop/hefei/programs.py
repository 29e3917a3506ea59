"""The programs that read `inp`: their keys, their defaults, and how an `inp` tells which one it is for.

From the sources: QijingZheng/Hefei-NAMD, `src/namd`, `src/namdK` and `src/dish` (fileio.f90, main.f90,
couplings.f90; the keys are those of their first commits, 2019 and 2020), and WeibinChu/Hefei-NAMD-DEV
(fileio.f90, main.F90; every version from January to March 2023). All of them stop at a key that they do not
know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from n2amd.errors import InputError

#: `namd`, `namdk` (FSSH) and `dish`, the public programs; `dev` (Hefei-NAMD-DEV).
Code = Literal["namd", "namdk", "dish", "dev"]

#: Keys of every program.
_COMMON = (
    *("bmin", "bmax", "nsw", "potim", "ntraj", "nelm", "temp", "rundir", "lhole"),
    *("namdtime", "nsample", "tbinit"),
)


@dataclass(frozen=True)
class Program:
    """A program.

    Attributes
    ----------
    title
        Its name, for people.
    method
        What it runs unless told otherwise: `fssh` or `dish`.
    keys
        Keys of its &NAMDPARA group.
    couplings
        Whether it finds couplings to run on with these values: a program that would stop is not meant.
    without
        What it would lack otherwise, for people.
    nelm, ntraj, namdtime
        Defaults; without NAMDTIME, DEV makes no step.
    relative_bands
        Whether bands of INICON may count within the window.
    wraps
        Whether its DISH, or its FSSH, goes on from the beginning after the last frame.
    """

    title: str
    method: Literal["fssh", "dish"]
    keys: tuple[str, ...]
    couplings: Callable[[Mapping[str, Any]], bool]
    without: str
    nelm: int
    ntraj: int = 1000
    namdtime: int | None = 200
    relative_bands: bool = False
    wraps: tuple[str, ...] = ()


def _text_or_binary(values: Mapping[str, Any]) -> bool:
    # NATXT with LCPEXT, else COUPCAR, which holds NBANDS bands
    return bool(values.get("lcpext") or values.get("nbands"))


def _text(values: Mapping[str, Any]) -> bool:
    return bool(values.get("lcpext"))


#: In the order of preference where the keys leave a choice.
PROGRAMS: dict[Code, Program] = {
    "namd": Program(
        title="public namd (FSSH)",
        method="fssh",
        keys=(*_COMMON, "nbands", "lshp", "lcpext"),
        couplings=_text_or_binary,
        without="LCPEXT = .TRUE. or NBANDS",
        nelm=1000,
    ),
    "dish": Program(
        title="public dish (DISH)",
        method="dish",
        keys=(*_COMMON, "nbands", "ldish", "lcpext", "realtime", "diinit"),
        couplings=_text,
        without="LCPEXT = .TRUE.",
        nelm=10,
        wraps=("dish",),
    ),
    "namdk": Program(
        title="public namdK (FSSH)",
        method="fssh",
        keys=(*_COMMON, "nbands", "lshp", "lcpext", "realtime", "diinit"),
        couplings=_text,
        without="LCPEXT = .TRUE.",
        nelm=10,
    ),
    "dev": Program(
        title="Hefei-NAMD-DEV (DISH unless ALGO says FSSH)",
        method="dish",
        keys=(
            *(*_COMMON, "lshp", "algo", "algo_int", "lcptxt", "lspace", "nacbasis", "nacele", "npar"),
            *("lbinout", "diinit", "spinit", "debuglevel"),
            # of the versions before February and before March 2023
            *("lcpext", "npardish"),
        ),
        couplings=lambda values: True,
        without="",
        nelm=10,
        namdtime=None,
        relative_bands=True,
        wraps=("dish",),
    ),
}

#: Every key that some program knows.
KEYS = sorted({key for program in PROGRAMS.values() for key in program.keys})


def recognise(values: Mapping[str, Any], keys: list[str], file: Path) -> tuple[Code, str | None]:
    """Tell which program an `inp` is for.

    It is one that knows all of the keys and, if there is such a one, finds its couplings; of several, the
    first of `PROGRAMS`.

    Parameters
    ----------
    values
        What the keys that matter say, `lcpext` and `nbands` among them.
    keys
        All keys that were found, in lower case.
    file
        Named in errors and in the note.

    Returns
    -------
    code, note
        The program, and unless one program alone knows the keys, a sentence that says what it was taken for
        and why.

    Raises
    ------
    InputError
        If no program knows all of the keys.
    """
    known = [code for code, program in PROGRAMS.items() if set(keys) <= set(program.keys)]
    if not known:
        raise _no_program(keys, file)
    if len(known) == 1:
        return known[0], None
    able = [code for code in known if PROGRAMS[code].couplings(values)]
    chosen, *others = able or known
    reasons = [
        f"{PROGRAMS[code].title} would need {PROGRAMS[code].without}"
        for code in known
        if code not in (chosen, *others)
    ]
    if not able:
        reasons.append(f"each would need {PROGRAMS[chosen].without} to find its couplings")
    if others:
        reasons.append("as could be " + ", ".join(PROGRAMS[code].title for code in others))
    return chosen, (
        f"{file}: taken for {PROGRAMS[chosen].title}; no key of it is of one program alone, and "
        f"{', '.join(reasons)} (--method chooses another method)"
    )


def _no_program(keys: list[str], file: Path) -> InputError:
    """Two keys that no program knows together, or all of them where only three or more clash."""

    def knowing(key: str) -> list[str]:
        return [program.title for program in PROGRAMS.values() if key in program.keys]

    clash = next(
        (pair for pair in combinations(keys, 2) if not set(knowing(pair[0])) & set(knowing(pair[1]))), None
    )
    found = ", ".join(key.upper() for key in keys)
    problem = f"no Hefei-NAMD program knows all of {found}"
    if clash is not None:
        first, second = clash
        problem = (
            f"{first.upper()} is a key of {', '.join(knowing(first))} only, {second.upper()} one of "
            f"{', '.join(knowing(second))} only, and a program stops at a key that it does not know"
        )
    return InputError(
        problem,
        file=file,
        field=", ".join(key.upper() for key in clash) if clash else None,
        remedy="keep the keys of the program that you mean",
    )
