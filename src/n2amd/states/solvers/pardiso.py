"""Sparse LDL^H by MKL's Pardiso (package `pypardiso`), on CPUs.

Worth it only where the factor is sparse: with interatomic ranges of 7 A, above some 25,000 orbitals. The
analysis of a pattern is kept as long as the pattern stays the very same: one of another pattern gives wrong
inertias without a word.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError

_REAL_SYMMETRIC, _COMPLEX_HERMITIAN = -2, -4
_ANALYSE, _FACTORISE, _SOLVE, _RELEASE = 11, 22, 33, -1
#: Own parameters; METIS ordering; refinements; size of perturbed pivots, 10^-k.
_PARAMETERS = {0: 1, 1: 2, 7: 5, 9: 8}
#: Place of the kind of pivots: Bunch-Kaufman's for real matrices; of complex ones it is single elements alone
#: that MKL counts the signs of.
_PIVOTS, _BUNCH_KAUFMAN, _SINGLE = 20, 1, 0
_POSITIVE, _NEGATIVE = 21, 22


class Pardiso:
    """`Solver` on Pardiso: real symmetric or complex Hermitian indefinite.

    Raises
    ------
    InputError
        If `pypardiso` is not installed.
    """

    def __init__(self) -> None:
        self._call = _library()
        self._handle = np.zeros(64, dtype=np.int64)
        self._parameters = np.zeros(64, dtype=np.int32)
        self._pencil: Pencil | None = None
        self._upper: scipy.sparse.csr_array | None = None
        self._analysed: Pencil | None = None
        self._inertia = -1

    @property
    def inertia(self) -> int:
        """Negative eigenvalues of H - shift S."""
        return self._inertia

    def place(self, pencil: Pencil) -> DevicePencil:
        """Return H and S on the processor."""
        return DevicePencil(pencil, "cpu")

    def prepare(self, pencil: Pencil) -> DevicePencil:
        """Take a frame."""
        self._pencil = pencil
        return self.place(pencil)

    def factor(self, shift: float) -> int:
        """Factorise H - shift S; analyse its pattern where it is not that of the call before."""
        pencil = self._pencil
        assert pencil is not None, "prepare first"
        dtype = np.complex128 if pencil.is_complex else np.float64
        # a value of exactly zero stays in the pattern
        values = (pencil.hamiltonian - shift * pencil.overlap).astype(dtype)
        self._upper = scipy.sparse.csr_array(scipy.sparse.triu(pencil.csr(values), format="csr"))
        before = self._analysed
        if before is None or before.is_complex != pencil.is_complex or not before.same_pattern(pencil):
            self.release()
            for place, value in _PARAMETERS.items():
                self._parameters[place] = value
            self._parameters[_PIVOTS] = _SINGLE if pencil.is_complex else _BUNCH_KAUFMAN
            self._run(_ANALYSE)
            self._analysed = pencil
        self._run(_FACTORISE)
        self._inertia = int(self._parameters[_NEGATIVE])
        if self._parameters[_POSITIVE] + self._inertia != pencil.n:
            raise FactorisationError("Pardiso met a pivot that vanishes: the shift is an eigenvalue")
        return self._inertia

    def solve(self, block: torch.Tensor) -> torch.Tensor:
        """Return (H - shift S)^-1 block; Pardiso refines where it perturbed pivots."""
        right = np.asfortranarray(block.numpy())
        return torch.from_numpy(np.ascontiguousarray(self._run(_SOLVE, right)))

    def release(self) -> None:
        """Free the factor's memory."""
        if self._analysed is not None:
            self._run(_RELEASE)
            self._analysed = None
            self._handle[:] = 0

    def __del__(self) -> None:
        if hasattr(self, "_handle") and not sys.is_finalizing():
            self.release()

    def _run(self, phase: int, right: NDArray | None = None) -> NDArray:
        upper = self._upper
        assert upper is not None
        right = np.zeros((upper.shape[0], 1), upper.dtype, order="F") if right is None else right
        solution = np.zeros_like(right, order="F")
        kind = _COMPLEX_HERMITIAN if np.iscomplexobj(upper.data) else _REAL_SYMMETRIC
        error = ctypes.c_int32(0)
        starts, columns = (index.astype(np.int32) + 1 for index in (upper.indptr, upper.indices))

        def number(value: int) -> Any:
            return ctypes.byref(ctypes.c_int32(value))

        def address(array: NDArray) -> ctypes.c_void_p:
            return ctypes.c_void_p(array.ctypes.data)

        self._call(
            *(address(self._handle), number(1), number(1), number(kind), number(phase)),
            *(number(upper.shape[0]), address(upper.data), address(starts), address(columns), None),
            *(number(right.shape[1]), address(self._parameters), number(0)),
            *(address(right), address(solution), ctypes.byref(error)),
        )
        if error.value:
            raise FactorisationError(f"Pardiso failed with error {error.value} in phase {phase}")
        return solution


def _library() -> Any:
    """Pardiso in the MKL that `pypardiso` finds; its own class knows real unsymmetric matrices only."""
    try:
        from pypardiso import PyPardisoSolver

        found = PyPardisoSolver().libmkl.pardiso
    except (ImportError, OSError, AttributeError) as error:
        raise InputError(
            f"the package pypardiso could not be loaded ({error})",
            field="states.factorisation",
            remedy="install it with `pip install pypardiso`, or set block_ldl",
        ) from error
    found.restype = None
    found.argtypes = None
    return found
