"""Whether two frames have the same basis of an element, and what differs if not."""

from __future__ import annotations

import numpy as np

from n2amd.orbitals.basis import AtomBasis


def basis_difference(ours: AtomBasis, theirs: AtomBasis) -> str | None:
    """Say how two bases of an element differ, None where they are the same to 1e-6."""
    names = [[shell.label for shell in atom.shells] for atom in (ours, theirs)]
    if names[0] != names[1]:
        return f"shells {', '.join(names[1])} instead of {', '.join(names[0])}"
    for a, b in zip(ours.shells, theirs.shells):
        if a.radial is None or b.radial is None:
            if a.radial is not b.radial:
                return f"the radial function of {a.label} is known in only one of them"
        elif abs(a.radial.cutoff - b.radial.cutoff) > 1e-6:
            return f"{b.label} ends at {b.radial.cutoff:.4f} A instead of {a.radial.cutoff:.4f} A"
        elif a.radial.values.shape != b.radial.values.shape or not np.allclose(
            a.radial.values, b.radial.values, rtol=1e-6, atol=1e-6
        ):
            return f"{b.label} has another radial function"
    return None
