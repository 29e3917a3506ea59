"""Where torch runs."""

from __future__ import annotations

from typing import Literal

from n2amd.errors import InputError


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """Resolve "auto" to the GPU where there is one.

    Raises
    ------
    InputError
        If "cuda" is asked for and no device is visible.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is visible", field="device", remedy="set device to cpu or auto")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
