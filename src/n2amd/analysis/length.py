"""Is the trajectory long enough for its lifetime, and if not, how long would be?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from n2amd.analysis.intervals import Interval

#: Independent samples below which an interval is no longer known to cover (`docs/results.md`).
FEWEST_SAMPLES = 5.0
#: Upper over lower bound, ripple in tau apart, from which a lifetime is known roughly, and hardly at all.
ROUGHLY, HARDLY = 2.0, 10.0

Judgement = Literal["long enough", "wide", "too short"]


@dataclass(frozen=True)
class Length:
    """Judgement of a trajectory.

    Attributes
    ----------
    judgement
        `too short`: so few independent samples, or so wide an interval, that the lifetime is not known;
        `wide`: known within a factor that a longer trajectory would make two.
    frames
        Of the trajectory.
    frames_needed
        About how many would be long enough, or make the factor two; None where they are.
    hop_samples, dephasing_samples
        Independent samples (degrees of freedom) behind the hop probability and behind the dephasing time.
    """

    judgement: Judgement
    frames: int
    frames_needed: int | None
    hop_samples: float
    dephasing_samples: float

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "judgement": self.judgement,
            "frames": self.frames,
            "frames_needed": self.frames_needed,
            "independent_samples": {
                "hop_probability": self.hop_samples,
                "dephasing_time": self.dephasing_samples,
            },
        }

    def sentence(self) -> str:
        """Say it."""
        hops, times = count(self.hop_samples), count(self.dephasing_samples)
        samples = (
            f"{self.frames} frames hold {hops} independent samples of the hop probability and {times} of the "
            "dephasing time"
        )
        if self.judgement == "too short":
            return f"{samples}: too short, at least {self.frames_needed} frames are needed"
        if self.judgement == "wide":
            return f"{samples}: about {self.frames_needed} would make it a factor of {ROUGHLY:g}"
        return samples


def judge(
    interval: Interval, ripple: float, frames: int, hop_samples: float, dephasing_samples: float
) -> Length:
    """Judge a trajectory by the interval of the lifetime.

    Parameters
    ----------
    interval
        Complete interval of the lifetime.
    ripple
        Largest over smallest lifetime over tau +- 1 fs, which no trajectory makes smaller.
    frames
        Of the trajectory.
    hop_samples, dephasing_samples
        Degrees of freedom.

    Errors fall with the root of the length; samples grow with it.
    """
    assert interval.low
    assert interval.high
    width = max(float(np.log(interval.high / interval.low / ripple)), 0.0)
    samples = min(hop_samples, dephasing_samples)
    judgement: Judgement = "long enough"
    growth = 1.0
    if samples < FEWEST_SAMPLES or width > np.log(HARDLY):
        judgement = "too short"
        growth = max(FEWEST_SAMPLES / samples, (width / np.log(HARDLY)) ** 2)
    elif width > np.log(ROUGHLY):
        judgement = "wide"
        growth = (width / np.log(ROUGHLY)) ** 2
    needed = None if judgement == "long enough" else rounded_up(frames * growth)
    return Length(judgement, frames, needed, hop_samples, dephasing_samples)


def count(samples: float) -> str:
    """Write a number of independent samples."""
    return f"{samples:.0f}" if samples >= 10 else f"{samples:.1f}"


def rounded_up(value: float) -> int:
    """Round a number of frames up to two significant digits."""
    unit = 10 ** max(int(np.floor(np.log10(value))) - 1, 0)
    return int(np.ceil(value / unit) * unit)
