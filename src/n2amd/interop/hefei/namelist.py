"""`inp`, the &NAMDPARA group of all programs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from n2amd.errors import InputError
from n2amd.interop.hefei.programs import KEYS, PROGRAMS, Code, Program, recognise
from n2amd.interop.hefei.text import read_text, write_text


@dataclass(frozen=True)
class Namelist:
    """What `inp` says, in the words of its &NAMDPARA group; None where it does not.

    Keys of all programs are known; those that concern neither bands, path nor dynamics are left alone.

    Attributes
    ----------
    code
        The program that it is for; None where there is no `inp`.
    note
        What to tell the user where that does not follow from a key of one program alone.
    """

    bmin: int | None = None
    bmax: int | None = None
    nbands: int | None = None
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
    algo_int: int | None = None
    lcpext: bool | None = None
    tbinit: str = "INICON"
    diinit: str = "DEPHTIME"
    code: Code | None = None
    note: str | None = None

    @property
    def program(self) -> Program | None:
        """What the program knows and does by itself."""
        return None if self.code is None else PROGRAMS[self.code]

    @property
    def method(self) -> str | None:
        """`dish`, `fssh`, or `ehrenfest` where LSHP switches the hops of FSSH off.

        None where nothing is said: DEV without ALGO. DISH does not look at LSHP: `dish` does not know the
        key, DEV asks for it within FSSH only.
        """
        if self.program is None or (self.code == "dev" and self.algo is None):
            return None
        method = self.program.method if self.algo is None else self.algo.lower()
        return "ehrenfest" if method == "fssh" and self.lshp is False else method

    @property
    def times(self) -> int | None:
        """Stored times of a run, the start among them; None where nothing is said.

        NAMDTIME, but in `dish` the larger of it and REALTIME, both 200 by default; `namdK` reads REALTIME
        and does not use it.
        """
        if self.code == "dish" and (self.realtime or self.namdtime):
            return max(self.realtime or 200, self.namdtime or 200)
        return self.namdtime

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
        If there is no whole group, a key that no program knows, keys that no program knows together, or a
        value that cannot be read, be right, or be followed here.
    """
    # comments run from ! to the end of the line, unless it stands within quotes
    text = re.sub(r"(\"[^\"\n]*\"|'[^'\n]*')|![^\n]*", lambda m: m.group(1) or "", read_text(file))
    group = _GROUP.search(text)
    if group is None:
        raise InputError(
            "no group &NAMDPARA ... /", file=file, remedy="write one, closed by / on a line of its own"
        )
    body = group.group(1)
    keys: list[str] = []
    values: dict[str, Any] = {}
    for key, text_value in _ENTRY.findall(body):
        name = key.lower()
        if name not in KEYS:
            near = difflib.get_close_matches(name, KEYS, n=1)
            raise InputError(
                "no Hefei-NAMD program knows this key",
                file=file,
                field=key,
                remedy=f"write {near[0].upper()}" if near else "remove it",
            )
        keys.append(name)
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
    code, note = recognise(values, list(dict.fromkeys(keys)), file)
    found = Namelist(**values, code=code, note=note)
    _check(found, file)
    return found


def _check(namelist: Namelist, file: Path) -> None:
    for key in ("bmin", "nbands", "nsw", "potim", "ntraj", "nelm", "temp", "namdtime", "realtime", "nsample"):
        value = getattr(namelist, key)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(
                f"{value} is not positive and finite", file=file, field=key.upper(), remedy="correct it"
            )
        if isinstance(value, int) and value >= 2**31:
            raise InputError(
                f"{value} is more than a Fortran integer holds",
                file=file,
                field=key.upper(),
                remedy="correct it",
            )
    if namelist.times == 1:
        raise InputError(
            "one stored time is the start alone",
            file=file,
            field="NAMDTIME",
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
    if namelist.ldish is False:
        raise InputError(
            "dish runs nothing but DISH, and has no dephasing times then",
            file=file,
            field="LDISH",
            remedy="set it to .TRUE., or choose a method with --method and take the key out",
        )
    if namelist.algo_int:
        raise InputError(
            f"integrator {namelist.algo_int} is not done here, only 0 (Trotter products)",
            file=file,
            field="ALGO_INT",
            remedy="set it to 0, and NELM so large that results do not change with it",
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
    values: dict[str, Any] = {key: getattr(namelist, key, None) for key in PROGRAMS[code].keys}
    if code == "dev":
        values |= {"lcptxt": True, "algo": namelist.algo or "DISH", "lcpext": None}
    else:
        # energies and couplings come from text; NBANDS is that of a wave function file nobody reads
        values |= {"lcpext": True, "nbands": namelist.bmax}
        values |= (
            {"realtime": namelist.realtime or namelist.namdtime, "ldish": True}
            if code == "dish"
            else {"lshp": True}
        )
    lines = [
        f"  {key.upper()} = {_fortran(values[key])}"
        for key in PROGRAMS[code].keys
        if values.get(key) is not None
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
    **dict.fromkeys(
        ("bmin", "bmax", "nbands", "nsw", "ntraj", "nelm", "namdtime", "realtime", "nsample", "algo_int"), int
    ),
    **dict.fromkeys(("potim", "temp"), _number),
    **dict.fromkeys(("lhole", "lshp", "lspace", "ldish", "lcpext"), _logical),
    **dict.fromkeys(("algo", "tbinit", "diinit"), _word),
}
