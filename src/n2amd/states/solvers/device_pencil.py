"""Products of H and S with blocks of vectors, on a CPU or a GPU, with the same bits at each call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from n2amd.blocks.csr_kernel import add_to_dense
from n2amd.states.solvers.pencil import Pencil

#: From this share of non-zero elements on, and up to this size, a dense matrix is multiplied faster. Blocks
#: of 40, CPU s: 0.06 sparse, 0.04 dense at 3,240 orbitals (0.73 of them); 0.17 and 0.35 at 8,640 (0.29).
_DENSE_FROM, _DENSE_UP_TO = 0.5, 12000
#: Elements that are placed, and that blocks are gathered to, at once on a GPU.
_CHUNK = 20_000_000

Product = Callable[[torch.Tensor], torch.Tensor]


class DevicePencil:
    """A pencil whose products run in torch, in float64 or complex128.

    On a GPU cuSPARSE's products differ from call to call in the last bits; they are made of gathered blocks
    and batched GEMM instead.

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
        if device == "cpu":
            self._sparse = [pencil.without_zeros(values) for values in (pencil.hamiltonian, pencil.overlap)]
            products = [_on_cpu(matrix, self.dtype) for matrix in self._sparse]
        else:
            self._indptr = torch.from_numpy(pencil.indptr).to(self.device)
            self._indices = torch.from_numpy(pencil.indices).to(self.device)
            self._h, self._s = (
                torch.from_numpy(np.ascontiguousarray(values)).to(self.device, self.dtype)
                for values in (pencil.hamiltonian, pencil.overlap)
            )
            products = [self._on_gpu(pencil, values) for values in (self._h, self._s)]
        self.hamiltonian: Product = products[0]
        self.overlap: Product = products[1]

    def shifted(self, shift: float, dtype: torch.dtype | None = None) -> torch.Tensor:
        """H - shift S as a new dense matrix, (n, n), in `dtype` (default: that of the pencil)."""
        dtype = dtype or self.dtype
        if self.device.type == "cpu":
            dense = torch.zeros(self.n, self.n, dtype=self.dtype)
            for matrix, factor in zip(self._sparse, (1.0, -shift)):
                add_to_dense(matrix.indptr, matrix.indices, matrix.data, factor, dense.numpy())
            return dense.to(dtype)
        return self._dense(lambda part: self._h[part] - shift * self._s[part], dtype)

    def _on_gpu(self, pencil: Pencil, values: torch.Tensor) -> Product:
        if self.n <= _DENSE_UP_TO:
            matrix = self._dense(lambda part: values[part], self.dtype)
            return lambda block: matrix @ block
        widths = np.diff(pencil.indptr)[pencil.groups[:-1]]
        return GroupedProduct(pencil, values, max(1, _CHUNK // int(widths.max())))

    def _dense(self, values: Callable[[slice], torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        out = torch.zeros(self.n, self.n, dtype=dtype, device=self.device)
        rows = max(1, _CHUNK * self.n // max(1, len(self._indices)))
        for first in range(0, self.n, rows):
            last = min(first + rows, self.n)
            part = slice(int(self._indptr[first]), int(self._indptr[last]))
            counts = torch.diff(self._indptr[first : last + 1])
            row = torch.repeat_interleave(torch.arange(last - first, device=self.device), counts)
            # a view of few rows: places stay small enough for every index kernel
            out[first:last].view(-1)[row * self.n + self._indices[part]] = values(part).to(dtype)
        return out


def _on_cpu(matrix: scipy.sparse.csr_array, dtype: torch.dtype) -> Product:
    n = matrix.shape[0]
    if matrix.nnz >= _DENSE_FROM * n**2 and n <= _DENSE_UP_TO:
        dense = torch.from_numpy(matrix.toarray()).to(dtype)
        return lambda block: dense @ block
    # scipy's loop over rows is faster than torch's sparse product, whose layout is a beta feature
    return lambda block: torch.from_numpy(matrix @ block.numpy())


class GroupedProduct:
    """Product of a matrix by groups of rows with the same columns: gather, batched GEMM, no atomic sums.

    Parameters
    ----------
    pencil
        Gives pattern and groups.
    values
        Elements where the blocks live, (nnz,).
    batch
        Rows of a block gathered at once, divided by the longest row of the matrix.
    """

    def __init__(self, pencil: Pencil, values: torch.Tensor, batch: int) -> None:
        self._batches: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        sizes = np.diff(pencil.groups)
        widths = np.diff(pencil.indptr)[pencil.groups[:-1]]
        for size in np.unique(sizes):
            chosen = np.flatnonzero(sizes == size)
            # rows of similar length together: they are filled up to the longest
            chosen = chosen[np.argsort(widths[chosen], kind="stable")]
            for begin in range(0, len(chosen), batch):
                part = chosen[begin : begin + batch]
                self._batches.append(_filled(pencil, values, part, int(size), widths[part]))

    def __call__(self, block: torch.Tensor) -> torch.Tensor:
        """Return the matrix times a block, (n, p)."""
        out = torch.empty_like(block)
        for rows, columns, elements in self._batches:
            gathered = block[columns.reshape(-1)].reshape(*columns.shape, block.shape[1])
            out[rows] = (elements @ gathered).reshape(len(rows), block.shape[1])
        return out


def _filled(
    pencil: Pencil, values: torch.Tensor, part: NDArray[np.int64], size: int, widths: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows, (g size,), columns, (g, w), and elements, (g, size, w), of some groups, filled up with zeros."""
    device, width = values.device, int(widths.max())
    first = pencil.groups[:-1][part]
    inside = np.arange(width) < widths[:, None]
    start = pencil.indptr[first]
    place = np.where(inside, start[:, None] + np.arange(width), start[:, None])
    columns = torch.from_numpy(pencil.indices[place].astype(np.int64)).to(device)
    each = place[:, None, :] + np.arange(size)[:, None] * widths[:, None, None]
    elements = values[torch.from_numpy(each).to(device)]
    elements = elements * torch.from_numpy(inside).to(device)[:, None, :]
    rows = torch.from_numpy((first[:, None] + np.arange(size)).reshape(-1)).to(device)
    return rows, columns, elements
