"""`inp`, the &NAMDPARA group of all three programs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from n2amd.errors import InputError
from n2amd.interop.hefei.text import read_text, write_text

#: `namd` (public, FSSH), `dish` (public), `dev` (Hefei-NAMD-DEV).
Code = Literal["namd", "dish", "dev"]

#: Keys that each program knows; it stops at any other.
_KEYS: dict[str, tuple[str, ...]] = {
    "namd": (
        *("bmin", "bmax", "nbands", "nsw", "potim", "ntraj", "nelm", "temp", "rundir", "lhole", "lshp"),
        *("lcpext", "namdtime", "nsample", "tbinit"),
    ),
    "dish": (
        *("bmin", "bmax", "nbands", "nsw", "potim", "ntraj", "nelm", "temp", "rundir", "lhole", "ldish"),
        *("lcpext", "namdtime", "realtime", "nsample", "tbinit", "diinit"),
    ),
    "dev": (
        *("bmin", "bmax", "nsample", "ntraj", "nsw", "nelm", "temp", "namdtime", "potim", "lhole", "lshp"),
        *("algo", "algo_int", "lcptxt", "lspace", "nacbasis", "nacele", "npar", "npardish", "lbinout"),
        *("rundir", "tbinit", "diinit", "spinit", "debuglevel"),
    ),
}


@dataclass(frozen=True)
class Namelist:
    """What `inp` says, in the words of its &NAMDPARA group; None where it does not.

    Keys of all programs are known; those that concern neither bands, path nor dynamics are left alone.
    """

    bmin: int | None = None
    bmax: int | None = None
    nsw: int | None = None
    potim: float | None = None
    ntraj: int | None = None
    nelm: int | None = None
    temp: float | None = None
    namdtime: int | None = None
    realtime: int | None = None
    nsample: int | None = None
    lhole: bool | None = None
    lshp: bool | None = None
    lspace: bool | None = None
    ldish: bool | None = None
    algo: str | None = None
    lcpext: bool | None = None
    tbinit: str = "INICON"
    diinit: str = "DEPHTIME"

    @property
    def code(self) -> Code:
        """The program it was written for: public `dish` has LDISH or REALTIME, `namd` else LCPEXT."""
        if self.ldish is not None or self.realtime is not None:
            return "dish"
        return "namd" if self.lcpext is not None and self.algo is None else "dev"

    @property
    def method(self) -> str | None:
        """`dish` or `fssh` where it says, `ehrenfest` where LSHP switches hops off, else None."""
        if self.lshp is False:
            return "ehrenfest"
        if self.algo is not None:
            return self.algo.lower()
        return {"dish": "dish", "namd": "fssh", "dev": None}[self.code]

    @property
    def times(self) -> int | None:
        """Stored times of a run, the start among them: REALTIME of public `dish`, else NAMDTIME."""
        return self.realtime if self.code == "dish" and self.realtime else self.namdtime

    @property
    def absorbing(self) -> bool:
        """Whether trajectories end at the final state: only the public `dish` goes on."""
        return self.code != "dish"


#: A value in quotes, or a path without them: the / in it does not end the group.
_SLASHED = r"\"[^\"]*\"|'[^']*'|=[ \t]*(?:\.{1,2}/[^\s,]*|[^\s,\"'/&$]*/[^\s,]+)"
#: The group, which older programs write $NAMDPARA ... $END.
_GROUP = re.compile(rf"[&$]NAMDPARA\b((?:{_SLASHED}|[^\"'/&$])*)(?:/|[&$]END)", re.IGNORECASE)
_ENTRY = re.compile(r"(\w+)[ \t]*=[ \t]*(\"[^\"]*\"|'[^']*'|[^\s,=]*(?=[\s,]|$))")


def read_namelist(file: Path) -> Namelist:
    """Read the &NAMDPARA group of `inp`.

    Raises
    ------
    InputError
        If there is no whole group, a key that no program knows, or a value that cannot be read or be right.
    """
    # comments run from ! to the end of the line, unless it stands within quotes
    text = re.sub(r"(\"[^\"\n]*\"|'[^'\n]*')|![^\n]*", lambda m: m.group(1) or "", read_text(file))
    group = _GROUP.search(text)
    if group is None:
        raise InputError(
            "no group &NAMDPARA ... /", file=file, remedy="write one, closed by / on a line of its own"
        )
    body = group.group(1)
    known = sorted({key for keys in _KEYS.values() for key in keys})
    values: dict[str, Any] = {}
    for key, text_value in _ENTRY.findall(body):
        name = key.lower()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise InputError(
                "no Hefei-NAMD program knows this key",
                file=file,
                field=key,
                remedy=f"write {near[0].upper()}" if near else "remove it",
            )
        if name in _KINDS:
            try:
                values[name] = _KINDS[name](text_value)
            except (ValueError, KeyError):
                raise InputError(
                    f"{text_value!r} cannot be read",
                    file=file,
                    field=key,
                    remedy="write a whole number" if _KINDS[name] is int else "correct it",
                ) from None
    rest = _ENTRY.sub(" ", body).replace(",", " ").split()
    if rest:
        raise InputError(
            f"{rest[0][:40]!r} belongs to no KEY = value",
            file=file,
            remedy="write `=`; comments begin with !",
        )
    found = Namelist(**values)
    _check(found, file)
    return found


def _check(namelist: Namelist, file: Path) -> None:
    for key in ("bmin", "nsw", "potim", "ntraj", "nelm", "temp", "namdtime", "realtime", "nsample"):
        value = getattr(namelist, key)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(
                f"{value} is not positive and finite", file=file, field=key.upper(), remedy="correct it"
            )
    if namelist.times == 1:
        raise InputError(
            "one stored time is the start alone",
            file=file,
            field="REALTIME" if namelist.realtime and namelist.code == "dish" else "NAMDTIME",
            remedy="make it longer",
        )
    if namelist.bmin is not None and namelist.bmax is not None and namelist.bmax <= namelist.bmin:
        raise InputError(
            f"bands {namelist.bmin}..{namelist.bmax}",
            file=file,
            field="BMIN, BMAX",
            remedy="surface hopping needs at least two bands",
        )
    if namelist.algo is not None and namelist.algo.lower() not in ("dish", "fssh"):
        raise InputError(f"{namelist.algo!r}", file=file, field="ALGO", remedy='write "DISH" or "FSSH"')
    if namelist.lspace:
        raise InputError(
            "states of several electrons are not read",
            file=file,
            field="LSPACE",
            remedy="set it to .FALSE. and give one-electron bands",
        )


def write_namelist(file: Path, namelist: Namelist, code: Code) -> None:
    """Write `inp` with the keys that a program knows.

    Parameters
    ----------
    file
        To write.
    namelist
        Values; what is None is left to the program's default.
    code
        For which program.
    """
    assert code in get_args(Code)
    values: dict[str, Any] = {key: getattr(namelist, key, None) for key in _KEYS[code]}
    if code == "dev":
        values |= {"lcptxt": True, "algo": namelist.algo or "DISH"}
    else:
        # energies and couplings come from text; NBANDS is that of a wave function file nobody reads
        values |= {"lcpext": True, "nbands": namelist.bmax}
        values |= (
            {"realtime": namelist.realtime or namelist.namdtime, "ldish": True} if code == "dish" else {}
        )
        values |= {"lshp": True} if code == "namd" else {}
    lines = [
        f"  {key.upper()} = {_fortran(values[key])}" for key in _KEYS[code] if values.get(key) is not None
    ]
    write_text(file, "\n".join(["&NAMDPARA", *lines, "/", ""]))


def _fortran(value: Any) -> str:
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    return f'"{value}"' if isinstance(value, str) else str(value)


def _logical(text: str) -> bool:
    return {"T": True, "F": False}[text.strip(".").upper()[:1]]


def _number(text: str) -> float:
    # 0.5d0, and the working precision of the sources: 0.5_q
    return float(re.sub(r"_\w+$", "", text).lower().replace("d", "e"))


def _word(text: str) -> str:
    return text.strip("\"'").strip()


_KINDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("bmin", "bmax", "nsw", "ntraj", "nelm", "namdtime", "realtime", "nsample"), int),
    **dict.fromkeys(("potim", "temp"), _number),
    **dict.fromkeys(("lhole", "lshp", "lspace", "ldish", "lcpext"), _logical),
    **dict.fromkeys(("algo", "tbinit", "diinit"), _word),
}
