"""Rates across a gap where band-edge states swap with their neighbours, by scheme, over the exact ones.

python benchmarks/crossings.py [--frames 1001] [--out benchmarks/results/crossings.csv]

The model is that of `tests/physics/crossing_model.py`: three valence and three conduction states 30 meV apart
that fluctuate by 30 meV; 3 to 4 % of the 1 fs steps hold a swap. A rate is P(16 fs, CBM -> VBM), averaged
over start frames. Each scheme is shown on the whole window, on a carrier's states ([VBM, CBM, CBM+1, CBM+2])
and on the pair of band edges; where it is cut to these, so that it is as simple as it sounds: overlaps are
cut first, except for `n2amd`, which is what headline and trajectories of this program run on.
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import csv
import datetime
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from record import processor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "physics"))

from crossing_model import (
    CrossingModel,
    assembled,
    granucci_persico_toniolo,
    hop_probability,
    logarithm_in_order_of_energy,
    written,
)

from n2amd.hopping import propagators
from n2amd.hopping.neighbours import with_neighbours
from n2amd.hopping.path import read_couplings

STEPS, CBM, VBM = 16, 3, 2
SETS = {"whole window": [0, 1, 2, 3, 4, 5], "carrier's states": [2, 3, 4, 5], "pair": [2, 3]}
Scheme = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SCHEMES: dict[str, Scheme] = {
    "logarithm, order of energy": lambda e, o, d: logarithm_in_order_of_energy(e, o, 1.0),
    "Granucci-Persico-Toniolo, 1 step": lambda e, o, d: granucci_persico_toniolo(e, o, 1.0, 1),
    "Granucci-Persico-Toniolo, 20 sub-steps": lambda e, o, d: granucci_persico_toniolo(e, o, 1.0, 20),
    "hst, 20 sub-steps": lambda e, o, d: propagators.hst(e, d, 1.0, 20),
}


def cut_first(model: CrossingModel, frames: int, exact: float) -> list[dict]:
    """Rates of the plain schemes over the exact one."""
    couplings = assembled(*model.overlaps(frames), occupied=model.valence)
    rows = []
    for scheme, build in SCHEMES.items():
        for name, columns in SETS.items():
            square = np.ix_(range(frames - 1), columns, columns)
            steps = build(couplings.energies[:, columns], couplings.overlap[square], couplings.nac[square])
            rate = hop_probability(steps, STEPS, columns.index(CBM), columns.index(VBM))
            rows.append({"scheme": scheme, "states": name, "rate": rate / exact})
    return rows


def ours(model: CrossingModel, frames: int, exact: float, folder: Path) -> list[dict]:
    """Rates of the program over the exact one: what the headline and what trajectories run on."""
    couplings = assembled(*model.overlaps(frames), occupied=model.valence)
    path = read_couplings(written(folder / "couplings.h5", couplings), "electron")
    alone = read_couplings(
        written(
            folder / "pair.h5",
            assembled(*model.overlaps(frames), occupied=model.valence, valence=1, conduction=1),
        ),
        "electron",
    )
    rows = []
    for name, part in (
        ("whole window", path.whole),
        ("carrier's states", with_neighbours(path, "local_diabatic", 1, STEPS - 0.5)),
        ("pair", with_neighbours(alone, "local_diabatic", 1, STEPS - 0.5)),
    ):
        steps = propagators.build(part, "local_diabatic")
        rate = hop_probability(steps, STEPS, part.start, part.final)
        rows.append({"scheme": "n2amd", "states": name, "rate": rate / exact})
    return rows


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=1001)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/crossings.csv"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for gap in (1.5, 3.2):
            for seed in range(1, options.seeds + 1):
                model = CrossingModel(seed, gap=gap)
                exact = hop_probability(model.exact(options.frames), STEPS, CBM, VBM)
                found = ours(model, options.frames, exact, Path(folder))
                found += cut_first(model, options.frames, exact)
                rows += [{"gap_eV": gap, "seed": seed, **row} for row in found]
                print(f"gap {gap} eV, seed {seed}: done", file=sys.stderr, flush=True)
    machine = {"date": datetime.date.today().isoformat(), "processor": processor()}
    with open(options.out, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["gap_eV", "scheme", "states", "lowest", "highest", *machine])
        writer.writeheader()
        for gap in (1.5, 3.2):
            for scheme in ("n2amd", *SCHEMES):
                shown = []
                for states in SETS:
                    rates = [
                        row["rate"]
                        for row in rows
                        if (row["gap_eV"], row["scheme"], row["states"]) == (gap, scheme, states)
                    ]
                    low, high = f"{min(rates):.3f}", f"{max(rates):.3f}"
                    key = {"gap_eV": gap, "scheme": scheme, "states": states}
                    writer.writerow({**key, "lowest": low, "highest": high, **machine})
                    shown.append(f"{states} {low}-{high}")
                print(f"{gap} eV  {scheme}: " + ", ".join(shown))


if __name__ == "__main__":
    main()
