"""Block LDL^H of a dense Hermitian matrix from nothing but GEMM and eigenvalues of small blocks.

Diagonal blocks are inverted through their eigenvectors, and there is no pivoting between blocks: half the
work of LU, all of it matrix products, and the inertia for free (Sylvester: the negative eigenvalues of the
diagonal blocks). The growth of elements has no bound in theory, hence every solution is checked against its
residual, refined, and refused where refinement does not help.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError
from n2amd.states.solvers.refinement import Refinement

#: A pivot this much smaller than the largest element of its block counts as zero.
_VANISHING = {torch.float64: 1e-15, torch.float32: 1e-8}
_HALF = {torch.float64: torch.float32, torch.complex128: torch.complex64}


@dataclass(frozen=True)
class Blocking:
    """Sizes of blocks: of the diagonal, of a panel (a multiple of it), of the columns updated at once.

    On CPUs multiples of 24: powers of two are a fifth slower (AVX2, 8,640 orbitals).
    """

    block: int = 192
    panel: int = 768
    columns: int = 768


@dataclass(frozen=True)
class Factors:
    """A = L D L^H.

    Attributes
    ----------
    lower
        (n, n); below the diagonal blocks it holds L, whose diagonal blocks are 1. The rest is of no meaning.
    inverses
        Inverse of each block of D.
    inertia
        Negative eigenvalues of A.
    block
        Size of the blocks.
    """

    lower: torch.Tensor
    inverses: tuple[torch.Tensor, ...]
    inertia: int
    block: int

    def solve(self, right: torch.Tensor) -> torch.Tensor:
        """Return A^-1 right, (n, p)."""
        n, nb = len(self.lower), self.block
        x = right.clone()
        if x.is_cuda:
            # each block is taken from all below it: a few long products, which fill a GPU
            for first in range(0, n - nb, nb):
                x[first + nb :].addmm_(
                    self.lower[first + nb :, first : first + nb], x[first : first + nb], alpha=-1
                )
        else:
            # row by row, as it lies in memory
            for first in range(nb, n, nb):
                x[first : first + nb].addmm_(self.lower[first : first + nb, :first], x[:first], alpha=-1)
        for inverse, first in zip(self.inverses, range(0, n, nb)):
            x[first : first + nb] = inverse @ x[first : first + nb]
        # row by row: long and thin products, several times faster than their transposes
        for first in reversed(range(nb, n, nb)):
            x[:first].addmm_(self.lower[first : first + nb, :first].mH, x[first : first + nb], alpha=-1)
        return x


def factorise(matrix: torch.Tensor, blocking: Blocking | None = None) -> Factors:
    """Factorise a Hermitian matrix in place.

    Parameters
    ----------
    matrix
        (n, n), row-major; its lower half is read and overwritten.
    blocking
        Sizes of blocks; default: for a CPU or a GPU, where the matrix is.

    Raises
    ------
    FactorisationError
        If an eigenvalue of a diagonal block vanishes or is not finite.
    """
    blocking = blocking or default_blocking(matrix.device)
    n, nb = len(matrix), blocking.block
    inverses: list[torch.Tensor] = []
    pivots: list[torch.Tensor] = []
    for first in range(0, n, blocking.panel):
        last = min(first + blocking.panel, n)
        # columns of L D, which the update needs beside L
        scaled = torch.empty(n - last, last - first, dtype=matrix.dtype, device=matrix.device)
        for begin in range(first, last, nb):
            end = min(begin + nb, last)
            values, inverse = _inverse(matrix[begin:end, begin:end])
            pivots.append(values)
            inverses.append(inverse)
            column = matrix[end:, begin:end].clone()
            torch.matmul(column, inverse, out=matrix[end:, begin:end])
            matrix[end:, end:last].addmm_(matrix[end:, begin:end], column[: last - end].mH, alpha=-1)
            scaled[:, begin - first : end - first] = column[last - end :]
        lower = matrix[last:, first:last]
        for begin in range(0, n - last, blocking.columns):
            end = min(begin + blocking.columns, n - last)
            matrix[last + begin :, last + begin : last + end].addmm_(
                lower[begin:], scaled[begin:end].mH, alpha=-1
            )
    return Factors(matrix, tuple(inverses), _inertia(pivots), nb)


def default_blocking(device: torch.device) -> Blocking:
    """Sizes that suit a device."""
    return Blocking(256, 1024, 4096) if device.type == "cuda" else Blocking()


def _inverse(block: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues and the inverse of a Hermitian block, whose lower half is read."""
    try:
        values, vectors = torch.linalg.eigh(block)
    except torch.linalg.LinAlgError as error:
        raise FactorisationError(f"a diagonal block has no eigenvalues ({error})") from error
    return values, (vectors / values) @ vectors.mH


def _inertia(pivots: list[torch.Tensor]) -> int:
    """Count negative eigenvalues of the diagonal blocks; one look at the device for all of them."""
    values = torch.cat(pivots)
    size = torch.stack([block.abs().max() for block in pivots]).repeat_interleave(
        torch.tensor([len(block) for block in pivots], device=values.device)
    )
    vanishing = (values.abs() <= _VANISHING[values.dtype] * size).any()
    bad, negative = torch.stack([(vanishing | ~values.isfinite().all()).long(), (values < 0).sum()]).tolist()
    if bad:
        raise FactorisationError("a pivot vanishes: the shift is an eigenvalue, or blocks grow without bound")
    return negative


class BlockLdl:
    """`Solver` on a dense block LDL^H.

    Parameters
    ----------
    device
        "cpu" or "cuda".
    single
        Factorise in float32 and refine each solution in float64: half the memory, on CPUs half the time.
    tolerance
        Largest residual of a linear system that is accepted (`Refinement`).
    blocking
        Sizes of blocks.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        single: bool = False,
        tolerance: float = 1e-8,
        blocking: Blocking | None = None,
    ) -> None:
        self.device, self.single, self.blocking = device, single, blocking
        self._refinement = Refinement(tolerance, always=single)
        self._factors: Factors | None = None
        self._pencil: DevicePencil | None = None

    @property
    def inertia(self) -> int:
        """Negative eigenvalues of H - shift S."""
        assert self._factors is not None, "factor first"
        return self._factors.inertia

    def place(self, pencil: Pencil) -> DevicePencil:
        """Move H and S to the device."""
        return DevicePencil(pencil, self.device)

    def prepare(self, pencil: Pencil) -> DevicePencil:
        """Move H and S to the device; the factor before goes."""
        self._factors = None
        self._pencil = self.place(pencil)
        return self._pencil

    def factor(self, shift: float) -> int:
        """Factorise H - shift S."""
        assert self._pencil is not None, "prepare first"
        self._factors = None  # its memory is needed for the new one
        dtype = _HALF[self._pencil.dtype] if self.single else self._pencil.dtype
        self._factors = factorise(self._pencil.shifted(shift, dtype), self.blocking)
        self._refinement.begin(self._pencil, shift)
        return self._factors.inertia

    def solve(self, block: torch.Tensor) -> torch.Tensor:
        """Solve, and refine where the residual is above the tolerance."""
        return self._refinement.solve(self._apply, block)

    def _apply(self, block: torch.Tensor) -> torch.Tensor:
        assert self._factors is not None, "factor first"
        return self._factors.solve(block.to(self._factors.lower.dtype)).to(block.dtype)
