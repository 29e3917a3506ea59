"""The network computes in IEEE float32, whatever other libraries have made of torch's global settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from n2amd.errors import ComputationError


@contextmanager
def float32_default() -> Iterator[None]:
    """Make float32 torch's default dtype for a while; nequip, once loaded, leaves float64 as the default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def require_full_precision() -> None:
    """Refuse TF32 and bf16: they cost 1 meV in the couplings (IEEE float32 noise costs 0.003).

    Raises
    ------
    ComputationError
        If torch is set to a reduced matmul precision.
    """
    torch.set_float32_matmul_precision("highest")
    if torch.backends.cuda.matmul.allow_tf32 or torch.get_float32_matmul_precision() != "highest":
        raise ComputationError("torch uses TF32 for float32 products; unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
