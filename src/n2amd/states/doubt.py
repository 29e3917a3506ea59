"""What the doubt of a model makes of the states around the gap, at some moments of a trajectory.

Each draw of a model changes the matrix elements between the states of a window by <n|dV|m>. Two neighbouring
frames are looked at, because couplings are differences between them; the same draw is used for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.config.states import Channel
from n2amd.fields import array, number
from n2amd.structure import Structure

#: A frame whose edges are this many times as doubtful as those of the validation frames is outside the
#: training data.
OUTSIDE_RATIO = 3.0


class Doubter(Protocol):
    """A model that tells how far it may be wrong."""

    @property
    def usual_spread(self) -> float:
        """Spread of the band edges of the frames that it was validated on, eV."""

    def doubt_elements(
        self,
        structure: Structure,
        vectors: NDArray,
        kpoint: NDArray[np.float64] | None = None,
        spin: Channel | None = None,
    ) -> NDArray:
        """Changes of matrix elements between states, of a spin channel, for each draw, (K, w, w), eV."""


@dataclass(frozen=True)
class StateDoubt:
    """Changes of matrix elements at p moments of a trajectory.

    Attributes
    ----------
    frame
        First of the two frames of each moment, ascending, (p,).
    elements
        Changes at both frames for each draw, between their eigenvectors, (p, 2, K, w, w), eV.
    usual_spread
        Of the band edges of the model's validation frames, eV.
    """

    frame: NDArray[np.int64]
    elements: NDArray
    usual_spread: float

    def edges(self, vbm: int) -> NDArray[np.float64]:
        """First-order changes of VBM and CBM, (p, 2, K, 2), eV; `vbm` is the place in the window."""
        return np.stack([self.elements[..., k, k].real for k in (vbm, vbm + 1)], axis=-1)

    def outside(self, vbm: int) -> NDArray[np.int64]:
        """Frames that are outside the training data."""
        spread = np.sqrt((self.edges(vbm) ** 2).mean(axis=(2, 3)))
        found = spread > OUTSIDE_RATIO * self.usual_spread
        return np.unique((self.frame[:, None] + np.arange(2))[found])


def moments(first: int, last: int, stride: int) -> NDArray[np.int64]:
    """Frames at which pairs of neighbours begin, every `stride` of a trajectory, within first..last.

    They do not depend on the length of the trajectory: more frames ask for nothing new of those before.
    """
    if stride == 0:
        return np.zeros(0, dtype=np.int64)
    return np.arange(-(-first // stride) * stride, last, stride)


def write_doubt(file: h5py.File, doubt: StateDoubt | None) -> None:
    """Write the group `doubt`; nothing where there is none."""
    if doubt is not None:
        file.attrs["doubt_usual_spread_eV"] = doubt.usual_spread
        group = file.create_group("doubt")
        group["frame"], group["elements"] = doubt.frame, doubt.elements


def read_doubt(file: h5py.File, states: int) -> StateDoubt | None:
    """Read the group `doubt`, None where the file has none (made without, or by an older version).

    Raises
    ------
    InputError
        If it is of another shape or kind.
    """
    if "doubt" not in file:
        return None
    frame = array(file, "doubt/frame", (None,), "whole")
    elements = array(file, "doubt/elements", (len(frame), 2, None, states, states), "any")
    return StateDoubt(frame, elements, number(file, "doubt_usual_spread_eV", positive=True))
