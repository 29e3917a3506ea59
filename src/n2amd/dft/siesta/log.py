"""What the input file and the log of a run say about how it was computed."""

from __future__ import annotations

import re
from pathlib import Path

from n2amd.dft.files import locate, read_text
from n2amd.errors import InputError


def read_fdf(path: Path) -> dict[str, str]:
    """Read the keys of an fdf input, and its blocks with lines joined by newlines.

    fdf ignores case and the characters - _ . in keys, and so does the key of the result.
    """
    entries: dict[str, str] = {}
    block, content = None, list[str]()
    for line in read_text(path).splitlines():
        words = re.split(r"[#!;]", line)[0].split()
        if not words:
            continue
        if words[0].lower() == "%block" and len(words) > 1:
            block, content = _key(words[1]), []
        elif words[0].lower() == "%endblock" and block is not None:
            entries.setdefault(block, "\n".join(content))
            block = None
        elif block is not None:
            content.append(" ".join(words))
        else:
            entries.setdefault(_key(words[0]), " ".join(words[1:]))
    return entries


def _key(word: str) -> str:
    return re.sub(r"[-_.]", "", word.lower())


def read_origin(folder: Path) -> dict[str, str]:
    """Collect provenance from in.fdf (or LABEL.fdf) and the log (out, LABEL.out or *.log).

    Returns
    -------
    origin
        version, functional, k_mesh, mesh_cutoff where the files tell them.

    Raises
    ------
    InputError
        If the log says that the run did not end or its SCF cycle did not converge.
    """
    origin: dict[str, str] = {}
    if (path := locate(folder, "*.fdf")) is not None:
        fdf = read_fdf(path)
        if "xcauthors" in fdf:
            origin["functional"] = fdf["xcauthors"]
        if "kgridmonkhorstpack" in fdf:
            rows = [line.split() for line in fdf["kgridmonkhorstpack"].splitlines()]
            origin["k_mesh"] = " ".join(row[axis] for axis, row in enumerate(rows))
        if "meshcutoff" in fdf:
            origin["mesh_cutoff"] = fdf["meshcutoff"]
    if (path := locate(folder, "out") or locate(folder, "*.out") or locate(folder, "*.log")) is not None:
        text = read_text(path)
        if found := re.search(r"^\s*Siesta Version\s*:\s*(\S+)", text, re.MULTILINE | re.IGNORECASE):
            origin["version"] = found.group(1)
        outcomes = re.findall(r"SCF cycle converged|SCF_NOT_CONV", text)
        if not outcomes or outcomes[-1] == "SCF_NOT_CONV":
            raise InputError(
                "the log does not end with a converged SCF cycle",
                file=path,
                field="SCF",
                remedy="run the frame again to convergence",
            )
    return origin
