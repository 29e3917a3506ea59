"""Which eigensolver a matrix gets."""

from __future__ import annotations

from n2amd.config.states import StatesSettings

#: From this number of orbitals on, `auto` takes block shift-invert Lanczos.
LARGE_FROM = 2000
#: Direct solvers that work on processors alone, whatever the device.
ON_PROCESSORS = ("pardiso", "mumps")


def choose_method(settings: StatesSettings, n_orbitals: int) -> str:
    """Resolve "auto" to "dense" or "block_si" by the number of orbitals of the cell.

    Examples
    --------
    >>> auto, dense = StatesSettings(), StatesSettings(solver="dense")
    >>> choose_method(auto, 768), choose_method(auto, 8640), choose_method(dense, 8640)
    ('dense', 'block_si', 'dense')
    """
    if settings.solver != "auto":
        return settings.solver
    if settings.component == "spinors":
        return "dense"  # complex, and every level twice: what block_si does not know
    return "block_si" if n_orbitals >= LARGE_FROM else "dense"
