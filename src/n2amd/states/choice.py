"""Which eigensolver a matrix gets."""

from __future__ import annotations

#: From this number of orbitals on, `auto` takes block shift-invert Lanczos.
LARGE_FROM = 2000


def choose_method(asked: str, n_orbitals: int) -> str:
    """Resolve "auto" to "dense" or "block_si" by the size of the matrices."""
    if asked != "auto":
        return asked
    return "block_si" if n_orbitals >= LARGE_FROM else "dense"
