"""Which eigensolver a matrix gets."""

from __future__ import annotations

#: From this number of orbitals on, `auto` takes block shift-invert Lanczos.
LARGE_FROM = 2000


def choose_method(asked: str, n_orbitals: int) -> str:
    """Resolve "auto" to "dense" or "block_si" by the size of the matrices.

    Examples
    --------
    >>> choose_method("auto", 768), choose_method("auto", 8640), choose_method("dense", 8640)
    ('dense', 'block_si', 'dense')
    """
    if asked != "auto":
        return asked
    return "block_si" if n_orbitals >= LARGE_FROM else "dense"
