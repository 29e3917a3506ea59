"""Sparse LDL^T by MUMPS over MPI (package `pymumps`), on CPUs.

MUMPS pivots within its fronts, so that its factor is as exact as a dense one with pivoting, and counts the
negative pivots. It knows real symmetric matrices, but no Hermitian ones: A + iB is taken as the real
[[A, -B], [B, A]], which has every eigenvalue twice.

The analysis looks at the pattern alone: it is kept as long as the pattern stays the very same, and nothing
depends on the values of the frame that it was made for. One process repeats its bits; several add up parts in
the order in which they come.
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from n2amd.errors import ComputationError, InputError
from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.mumps_ranks import ranks
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError
from n2amd.states.solvers.refinement import Refinement

_ANALYSE, _FACTORISE, _SOLVE = 1, 2, 3
#: ICNTL by number: no messages (1 to 4); neither permutation nor ordering by values (6, 12); no ScaLAPACK for
#: the last front, whose negative pivots it does not count (13).
_CONTROLS = {1: -1, 2: -1, 3: -1, 4: 0, 6: 0, 12: 1, 13: 1}
#: ICNTL(14), percent of memory beyond the estimate, tried in turn: delayed pivots need more.
_SPARE, _SPARE_PERCENT = 14, (30, 100, 400)
_NEGATIVE_PIVOTS = 12
#: INFOG(1): the estimate of memory was too small; there is no memory; the matrix is singular.
_ESTIMATE, _NO_MEMORY, _SINGULAR = {-8, -9, -14, -15, -17, -20}, {-7, -13, -19, -22}, {-6, -10}


class Mumps:
    """`Solver` on MUMPS: real symmetric indefinite, or complex Hermitian as real of twice the size.

    Parameters
    ----------
    tolerance
        Largest residual of a linear system that is accepted (`Refinement`).

    Raises
    ------
    InputError
        If `pymumps` is not installed, or other processes were started than those that `helping` lets help.
    """

    def __init__(self, tolerance: float = 1e-8) -> None:
        self._ranks = ranks()
        if not self._ranks.leads:
            raise InputError(
                "several processes were started, of which only those of `n2amd states solve` share a factor",
                field="states.factorisation",
                remedy="start one process",
            )
        self._instance = self._ranks.open()
        self._refinement = Refinement(tolerance)
        self._pencil: Pencil | None = None
        self._placed: DevicePencil | None = None
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
        self._pencil, self._placed = pencil, self.place(pencil)
        return self._placed

    def factor(self, shift: float) -> int:
        """Factorise H - shift S; analyse its pattern where it is not that of the call before."""
        pencil, placed = self._pencil, self._placed
        assert pencil is not None, "prepare first"
        assert placed is not None
        context = self._ranks.context(self._instance)
        # a value of exactly zero stays in the pattern
        upper = _upper(pencil, pencil.hamiltonian - shift * pencil.overlap)
        before = self._analysed
        if before is None or before.is_complex != pencil.is_complex or not before.same_pattern(pencil):
            self._analysed = None
            context.set_shape(upper.shape[0])
            rows, columns = (np.ascontiguousarray(index + 1, np.int32) for index in (upper.row, upper.col))
            context.set_centralized_assembled_rows_cols(rows, columns)
            self._require(self._ranks.run(self._instance, _ANALYSE, _CONTROLS), "analysis")
            self._analysed = pencil
        context.set_centralized_assembled_values(upper.data)
        for percent in _SPARE_PERCENT:
            code = self._ranks.run(self._instance, _FACTORISE, {_SPARE: percent})
            if code not in _ESTIMATE:
                break
        self._require(code, "factorisation")
        self._inertia = self._count(pencil.is_complex)
        self._refinement.begin(placed, shift)
        return self._inertia

    def solve(self, block: torch.Tensor) -> torch.Tensor:
        """Return (H - shift S)^-1 block, refined where the residual is above the tolerance."""
        return self._refinement.solve(self._apply, block)

    def release(self) -> None:
        """Free the factor's memory on all processes."""
        if self._instance:
            self._ranks.close(self._instance)
            self._instance = 0

    def __del__(self) -> None:
        if hasattr(self, "_instance") and not sys.is_finalizing():
            self.release()

    def _count(self, is_complex: bool) -> int:
        negative = int(self._ranks.context(self._instance).get_infog(_NEGATIVE_PIVOTS))
        if not is_complex:
            return negative
        if negative % 2:
            raise FactorisationError("MUMPS counts half a state: the shift is an eigenvalue")
        return negative // 2

    def _apply(self, block: torch.Tensor) -> torch.Tensor:
        right = np.array(_flat(block), order="F")
        context = self._ranks.context(self._instance)
        context.id.rhs = context.cast_array(right)
        context.id.nrhs, context.id.lrhs = right.shape[1], right.shape[0]
        # the solution takes the place of the right-hand sides
        self._require(self._ranks.run(self._instance, _SOLVE, {}), "solution")
        found = torch.from_numpy(np.ascontiguousarray(right))
        return torch.complex(*found.chunk(2)) if block.is_complex() else found

    def _require(self, code: int, phase: str) -> None:
        if code >= 0:
            return
        if code in _NO_MEMORY | _ESTIMATE:
            raise ComputationError(
                f"MUMPS has not enough memory for its {phase} (error {code}; processes: {self._ranks.size}): "
                "start more processes, on more nodes"
            )
        if code in _SINGULAR:
            raise FactorisationError("MUMPS met a pivot that vanishes: the shift is an eigenvalue")
        raise FactorisationError(f"MUMPS failed with error {code} in its {phase}")


def _upper(pencil: Pencil, values: NDArray) -> scipy.sparse.coo_array:
    """Upper half of a matrix on the pattern; of a complex one that of the real matrix of twice the size."""
    matrix = pencil.csr(values)
    if not pencil.is_complex:
        return scipy.sparse.coo_array(scipy.sparse.triu(matrix, format="coo"))
    diagonal = scipy.sparse.triu(pencil.csr(np.ascontiguousarray(values.real)))
    beside = pencil.csr(-values.imag)
    doubled = scipy.sparse.block_array([[diagonal, beside], [None, diagonal]], format="coo")
    return scipy.sparse.coo_array(doubled)


def _flat(block: torch.Tensor) -> NDArray[np.float64]:
    """Real and imaginary parts one below the other."""
    return (torch.cat([block.real, block.imag]) if block.is_complex() else block).numpy()
