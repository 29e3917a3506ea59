"""Versions of everything whose numbers may matter."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "n2amd",
    "numpy",
    "scipy",
    "torch",
    "e3nn",
    "nequip",
    "nequip-allegro",
    "ase",
    "h5py",
    "vesin",
    "snakemake",
)


def versions() -> dict[str, str]:
    """Return version numbers of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
