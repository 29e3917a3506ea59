"""The pair (H, S) at one k point on one pattern of elements, and its products on a device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

#: From this share of elements on, and up to this size, products are faster with dense matrices.
_DENSE_FROM, _DENSE_UP_TO = 0.2, 12000
_CHUNK = 20_000_000


@dataclass(frozen=True)
class Pencil:
    """H and S of one frame in CSR form, both halves, on one common pattern.

    Attributes
    ----------
    indptr, indices
        First element of each row and the total, (n + 1,); columns, ascending in each row, (nnz,).
    hamiltonian, overlap
        Elements, (nnz,), eV and 1; real or complex.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    hamiltonian: NDArray
    overlap: NDArray

    @property
    def n(self) -> int:
        """Number of orbitals."""
        return len(self.indptr) - 1

    @property
    def is_complex(self) -> bool:
        """Whether an element may be complex."""
        return np.iscomplexobj(self.hamiltonian) or np.iscomplexobj(self.overlap)

    @property
    def density(self) -> float:
        """Share of the elements that are listed."""
        return len(self.indices) / self.n**2

    def csr(self, values: NDArray) -> scipy.sparse.csr_array:
        """Return values on the pattern as a sparse matrix."""
        return scipy.sparse.csr_array((values, self.indices, self.indptr), shape=(self.n, self.n))

    def same_pattern(self, other: Pencil) -> bool:
        """Return whether both list the same elements."""
        return np.array_equal(self.indptr, other.indptr) and np.array_equal(self.indices, other.indices)

    @classmethod
    def from_dense(cls, hamiltonian: NDArray, overlap: NDArray) -> Pencil:
        """List every element of two dense matrices, (n, n)."""
        n = len(hamiltonian)
        columns = np.tile(np.arange(n, dtype=np.int32), n)
        return cls(np.arange(n + 1, dtype=np.int64) * n, columns, hamiltonian.ravel(), overlap.ravel())

    def on_site_energies(self) -> NDArray[np.float64]:
        """H_ii / S_ii of each orbital, (n,), eV."""
        h, s = (self.csr(values).diagonal().real for values in (self.hamiltonian, self.overlap))
        return h / s


class DevicePencil:
    """A pencil whose products run in torch, in float64 or complex128.

    Parameters
    ----------
    pencil
        H and S.
    device
        "cpu" or "cuda".
    """

    def __init__(self, pencil: Pencil, device: str = "cpu") -> None:
        self.n, self.device = pencil.n, torch.device(device)
        self.dtype = torch.complex128 if pencil.is_complex else torch.float64
        self._indptr = torch.from_numpy(pencil.indptr).to(self.device)
        self._indices = torch.from_numpy(pencil.indices).to(self.device)
        self._h, self._s = (
            torch.from_numpy(np.ascontiguousarray(values)).to(self.device, self.dtype)
            for values in (pencil.hamiltonian, pencil.overlap)
        )
        dense = pencil.density >= _DENSE_FROM and pencil.n <= _DENSE_UP_TO
        if dense:
            self._matrices = tuple(self._dense(values) for values in (self._h, self._s))
        else:
            self._matrices = tuple(self._sparse(values) for values in (self._h, self._s))

    def hamiltonian(self, block: torch.Tensor) -> torch.Tensor:
        """H times a block, (n, p)."""
        return self._matrices[0] @ block

    def overlap(self, block: torch.Tensor) -> torch.Tensor:
        """S times a block, (n, p)."""
        return self._matrices[1] @ block

    def shifted(self, shift: float, dtype: torch.dtype | None = None) -> torch.Tensor:
        """H - shift S as a new dense matrix, (n, n), in `dtype` (default: that of the pencil)."""
        out = torch.zeros(self.n, self.n, dtype=dtype or self.dtype, device=self.device)
        rows = max(1, _CHUNK * self.n // max(1, len(self._h)))
        for first in range(0, self.n, rows):
            last = min(first + rows, self.n)
            begin, end = int(self._indptr[first]), int(self._indptr[last])
            place = self._places(first, last, begin, end)
            values = self._h[begin:end] - shift * self._s[begin:end]
            # a view of few rows: places stay small enough for every index kernel
            out[first:last].view(-1)[place] = values.to(out.dtype)
        return out

    def _places(self, first: int, last: int, begin: int, end: int) -> torch.Tensor:
        """Where the elements of some rows lie in the dense rows, one after the other."""
        counts = torch.diff(self._indptr[first : last + 1])
        rows = torch.repeat_interleave(torch.arange(last - first, device=self.device), counts)
        return rows * self.n + self._indices[begin:end]

    def _dense(self, values: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(self.n, self.n, dtype=self.dtype, device=self.device)
        out.view(-1)[self._places(0, self.n, 0, len(values))] = values
        return out

    def _sparse(self, values: torch.Tensor) -> torch.Tensor:
        with_int32 = self._indptr.to(torch.int32)
        return torch.sparse_csr_tensor(
            with_int32, self._indices, values, (self.n, self.n), check_invariants=False
        )
