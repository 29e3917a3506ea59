"""The pair (H, S) at one k point on one pattern of elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from n2amd.blocks.csr_kernel import copy_nonzero, nonzero_rows


@dataclass(frozen=True)
class Pencil:
    """H and S of one frame in CSR form, both halves, on one common pattern.

    Attributes
    ----------
    indptr, indices
        First element of each row and the total, (n + 1,); columns, ascending in each row, (nnz,).
    hamiltonian, overlap
        Elements, (nnz,), eV and 1; real or complex.
    groups
        First row of each group of neighbouring rows that list the same columns, such as those of one atom,
        and the total, (n_groups + 1,).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    hamiltonian: NDArray
    overlap: NDArray
    groups: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of orbitals."""
        return len(self.indptr) - 1

    @property
    def is_complex(self) -> bool:
        """Whether an element may be complex."""
        return np.iscomplexobj(self.hamiltonian) or np.iscomplexobj(self.overlap)

    def csr(self, values: NDArray) -> scipy.sparse.csr_array:
        """Return values on the pattern as a sparse matrix."""
        return scipy.sparse.csr_array((values, self.indices, self.indptr), shape=(self.n, self.n))

    def without_zeros(self, values: NDArray) -> scipy.sparse.csr_array:
        """Return values on the pattern as a sparse matrix of those elements that are not zero.

        The pattern has all orbitals of atoms with a common pair; most of them do not reach that far.
        """
        starts = nonzero_rows(self.indptr, values)
        columns, elements = np.empty(starts[-1], self.indices.dtype), np.empty(starts[-1], values.dtype)
        copy_nonzero(self.indptr, self.indices, values, columns, elements)
        return scipy.sparse.csr_array((elements, columns, starts), shape=(self.n, self.n))

    def same_pattern(self, other: Pencil) -> bool:
        """Return whether both list the same elements."""
        return np.array_equal(self.indptr, other.indptr) and np.array_equal(self.indices, other.indices)

    def on_site_energies(self) -> NDArray[np.float64]:
        """H_ii / S_ii of each orbital, (n,), eV."""
        h, s = (self.csr(values).diagonal().real for values in (self.hamiltonian, self.overlap))
        return h / s

    @classmethod
    def from_csr(
        cls,
        hamiltonian: scipy.sparse.csr_array,
        overlap: scipy.sparse.csr_array,
        offsets: NDArray[np.int64] | None = None,
    ) -> Pencil:
        """Take two matrices that share a pattern (`n2amd.blocks.csr.fold_csr`).

        Parameters
        ----------
        hamiltonian, overlap
            (n, n).
        offsets
            First orbital of each atom and the total: rows of one atom list the same columns.
        """
        n = hamiltonian.shape[0]
        return cls(
            hamiltonian.indptr.astype(np.int64),
            hamiltonian.indices.astype(np.int32, copy=False),
            hamiltonian.data,
            overlap.data,
            np.arange(n + 1) if offsets is None else offsets,
        )

    @classmethod
    def from_dense(cls, hamiltonian: NDArray, overlap: NDArray) -> Pencil:
        """List every element of two dense matrices, (n, n)."""
        n = len(hamiltonian)
        columns = np.tile(np.arange(n, dtype=np.int32), n)
        indptr = np.arange(n + 1, dtype=np.int64) * n
        return cls(indptr, columns, hamiltonian.ravel(), overlap.ravel(), np.array([0, n]))
