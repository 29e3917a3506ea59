"""Frames chosen by the network's doubt against frames drawn at random, at equal labels: silicon.

python benchmarks/active_learning.py [--seeds 1 2 3] [--rules doubt random random-again] [--rounds 1]
    [--frames 3] [--start 3] [--below 300] [--steps 300]
    [--pool even] [--optimizer soap] [--work FOLDER] [--out FILE.csv]

The pool: cells of 8 atoms (Debye model) under strains up to 2 %. `even`: at 150, 300, 600 and 1000 K in turn;
`rare`: nine of ten at 300 K and one at 1000 K, as a trajectory has few of the configurations that matter
most. Judged on other cells at all its temperatures alike, and on larger ones of 32 atoms. Labels are `n2amd
dft scf` with the ingredients of one HONPAS frame (tests/data/honpas-si2); they are computed once into --work
and kept. Every seed draws other
start frames (--start of at most --below K; two of any temperature validate), another network, other random
choices; all rules begin with the same ones. After each round a network is trained anew on all labels so far:
shape of the preset `quick`. Errors of states and edges are to first order in the density's, as in
training.

Rules: `doubt` is `n2amd hamiltonian select`; `average` takes the frame whose labels leave the least doubt of
all frames together (D. A. Cohn et al., J. Artif. Intell. Res. 4, 129 (1996)); `relative` likewise, every
frame's doubt counted in shares of its own; `most-doubtful` is `doubt` without conditioning on frames already
chosen; `levels` as `doubt`, but on the levels around the gap instead of the density; `random` and another
`random-again`.
"""

# ruff: noqa: E402 - threads are set before numerical libraries are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import write_csv

from n2amd.baseline.model_density import coefficients_by_element
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.config.structures import StructureSettings
from n2amd.dataset.store import read_basis, read_frames, read_ingredients
from n2amd.ingestion.ingest import ingest
from n2amd.ingestion.scf_frames import ScfCampaign, compute_frames
from n2amd.interop.structures import read_structure
from n2amd.network.checkpoint import HamiltonianModel
from n2amd.network.density_data import FittedFrame, choose_model, fit_frames
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.density_training import DensityTrainer, density_scores
from n2amd.network.doubt import DensityDoubt
from n2amd.network.doubt_fit import density_doubt, level_spreads
from n2amd.network.loop import Schedule
from n2amd.network.pair_training import check_message_cutoff
from n2amd.network.precision import require_full_precision
from n2amd.network.predict import HamiltonianPredictor
from n2amd.network.presets import PRESETS
from n2amd.network.selection import choose_frames, doubt_of_frames, random_frames
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structures.distortions import generate

ROOT = Path(__file__).resolve().parents[1]
RULES = ("doubt", "average", "relative", "most-doubtful", "levels", "random", "random-again")
#: Frames that validate, besides the start frames.
VALIDATING = 2
#: Name, seed, supercell and number of the frames that are labelled.
SETS = {"pool": (1, "1x1x1", 40), "test": (2, "1x1x1", 12), "larger": (3, "2x2x1", 4)}
#: Temperatures of the frames to choose from, in turn, K.
POOLS = {"even": [150.0, 300.0, 600.0, 1000.0], "rare": [300.0] * 9 + [1000.0]}
RECIPE = StructureSettings(debye_temperature_K=645, strain=0.02)
#: Shape of the network and of its training.
SHAPE = PRESETS["quick"].density
#: First learning rate by optimiser.
RATES = {"soap": 3e-3, "adamw": 4e-3}
#: As the k mesh 2x2x2 of the cubic cell, 1/Angstrom; convergence of the labels, eV.
K_SPACING, TOLERANCE = 0.6, 1e-3


@dataclass(frozen=True)
class Labelled:
    """Fitted frames of each set; what their Hamiltonians are made of; neighbours of an atom, on average."""

    zeroth: ZerothHamiltonian
    sets: dict[str, list[FittedFrame]]
    neighbours: float


@dataclass(frozen=True)
class Trained:
    """A network trained on some frames of the pool, with its doubt."""

    predictor: HamiltonianPredictor
    network: DensityNetwork
    doubt: DensityDoubt


def label(work: Path, kind: str) -> Labelled:
    """Compute the frames that are not there yet, and fit their densities."""
    work = work / kind
    work.mkdir(parents=True, exist_ok=True)
    reference = work / "reference.h5"
    if not reference.exists():
        ingest([ROOT / "tests/data/honpas-si2"], reference, code="honpas")
    cell = read_structure(ROOT / "resources/silicon/cubic.vasp")
    for name, (seed, supercell, count) in SETS.items():
        if not (work / f"{name}.h5").exists():
            temperatures = POOLS[kind] if name == "pool" else sorted(set(POOLS[kind]))
            wanted = {"seed": seed, "supercell": supercell, "temperatures_K": temperatures}
            recipe = RECIPE.model_copy(update=wanted)
            structures = [made.structure for made in generate(cell, recipe, 0, count - 1)]
            compute_frames(ScfCampaign(reference, K_SPACING, TOLERANCE), structures, work / f"{name}.h5")
    basis, ingredients = read_basis(reference), read_ingredients(reference)
    assert ingredients is not None
    frames = {name: list(read_frames(work / f"{name}.h5")) for name in SETS}
    zeroth = ZerothHamiltonian(basis, ingredients, choose_model(frames["pool"], basis, ingredients))
    cutoff = SHAPE.message_cutoff_A
    fitted = {name: fit_frames(f, zeroth, cutoff, lambda done, total: None) for name, f in frames.items()}
    return Labelled(zeroth, fitted, check_message_cutoff(frames["pool"], cutoff))


def train(
    data: Labelled,
    learned: Sequence[FittedFrame],
    judges: Sequence[FittedFrame],
    schedule: Schedule,
    seed: int,
) -> Trained:
    """Train a network and find its doubt, as the density stage of a training does."""
    auxiliary = data.zeroth.model.auxiliary
    architecture = DensityArchitecture(
        channels=SHAPE.channels,
        layers=SHAPE.layers,
        message_cutoff=SHAPE.message_cutoff_A,
        neighbours=data.neighbours,
        n_radial=SHAPE.n_radial,
        radial_hidden=SHAPE.radial_hidden,
        n_latent=SHAPE.n_latent,
    )
    torch.manual_seed(seed)
    network = DensityNetwork(auxiliary, architecture)
    network.fit_scales(coefficients_by_element(auxiliary, [(f.structure, f.coefficients) for f in learned]))
    samples, validation = [f.sample for f in learned], [f.sample for f in judges]
    with TemporaryDirectory() as folder:
        DensityTrainer(
            network,
            samples,
            validation,
            schedule,
            atoms_per_step=SHAPE.atoms_per_step,
            state_weight=SHAPE.state_weight,
            seed=seed,
            checkpoint=Path(folder) / "density.pt",
            fingerprint="benchmark",
        ).run(lambda history: None)
    doubt = density_doubt(network, samples, validation, state_weight=SHAPE.state_weight, seed=seed)
    model = HamiltonianModel(data.zeroth.basis, data.zeroth, network, None, doubt)
    table = OverlapTable.from_basis(model.basis)
    return Trained(HamiltonianPredictor(model, table, {}), network, doubt)


def judge(trained: Trained, frames: Sequence[FittedFrame]) -> dict[str, float]:
    """Errors of the edges (rms, meV), of the densities, and whether the doubt is right."""
    errors, spreads = list[float](), list[float]()
    for frame in frames:
        error, spread = level_spreads(trained.network, trained.doubt, frame.sample)
        rows = list(frame.sample.levels or frame.sample.edges)
        edges = [rows.index(k) for k in frame.sample.edges]
        errors += error[edges].tolist()
        spreads += spread[edges].tolist()
    scores = density_scores(trained.network, [f.sample for f in frames])
    ratio = np.abs(np.array(errors) / np.array(spreads))
    return {
        "edges_rms_meV": scores["edges_rms_meV"],
        "states_rms_meV": scores["states_rms_meV"],
        "density_unexplained": scores["density_unexplained"],
        "error_over_spread": float(np.sqrt((ratio**2).mean())),
        "within_2": float((ratio < 2).mean()),
    }


def choose(
    rule: str, trained: Trained, candidates: Sequence[FittedFrame], count: int, seed: int
) -> list[int]:
    """Places of the candidates to label next."""
    if rule.startswith("random"):
        return random_frames(len(candidates), count, seed + 50 * (rule == "random-again"))
    atoms = [f.structure.n_atoms for f in candidates]
    if rule == "levels":
        grams = np.array([_gram_of_levels(trained, frame) for frame in candidates])
        return choose_frames(grams, atoms, count)[0]
    grams = doubt_of_frames(trained.predictor, [f.structure for f in candidates], Path("pool"))
    if rule == "most-doubtful":
        return np.argsort(-np.trace(grams, axis1=1, axis2=2))[:count].tolist()
    if rule == "relative":
        grams = grams / np.trace(grams, axis1=1, axis2=2)[:, None, None] * np.trace(grams.mean(axis=0))
    if rule in ("average", "relative"):
        return most_told(grams, atoms, count)
    return choose_frames(grams, atoms, count)[0]


def most_told(grams: NDArray[np.float64], atoms: Sequence[int], count: int) -> list[int]:
    """Choose frames whose labels leave the least doubt of all frames together, one after the other."""
    precision, chosen, all_frames = np.eye(grams.shape[1]), list[int](), grams.sum(axis=0)
    for _ in range(count):
        left = np.array(
            [float((all_frames * np.linalg.inv(precision + n * g)).sum()) for n, g in zip(atoms, grams)]
        )
        left[chosen] = np.inf
        chosen.append(int(left.argmin()))
        precision = precision + atoms[chosen[-1]] * grams[chosen[-1]]
    return chosen


def _gram_of_levels(trained: Trained, frame: FittedFrame) -> NDArray[np.float64]:
    """Gram matrix of the draws' changes of the levels, an atom, in units of the usual spread, (K, K)."""
    changes = trained.predictor.draws(frame.structure) - trained.predictor.density(frame.structure)
    rows = list(frame.sample.levels or frame.sample.edges)
    moved = changes @ frame.sample.response[rows].double().numpy().T / trained.doubt.spread_eV
    return moved @ moved.T / (len(rows) * len(changes) * frame.structure.n_atoms)


def temperature(kind: str, place: int) -> float:
    """Temperature of a frame of the pool, in the order they are made, K."""
    return POOLS[kind][place % len(POOLS[kind])]


def doubt_left(grams: NDArray[np.float64], atoms: Sequence[int], chosen: Sequence[int]) -> float:
    """Share of all frames' doubt that the labels of some leave, as the model expects it."""
    precision = np.eye(grams.shape[1]) + sum(atoms[k] * grams[k] for k in chosen)
    return float((grams.sum(axis=0) * np.linalg.inv(precision)).sum() / np.trace(grams.sum(axis=0)))


def expectation(trained: Trained, candidates: Sequence[FittedFrame], count: int) -> str:
    """What the model expects of the labels of chosen frames, and of random ones."""
    grams = doubt_of_frames(trained.predictor, [f.structure for f in candidates], Path("pool"))
    atoms = [f.structure.n_atoms for f in candidates]
    chosen = doubt_left(grams, atoms, choose_frames(grams, atoms, count)[0])
    random = [doubt_left(grams, atoms, random_frames(len(candidates), count, seed)) for seed in range(50)]
    return f"doubt left: chosen {chosen:.2f}, random {np.mean(random):.2f} (sd {np.std(random):.2f})"


def judged(
    options: argparse.Namespace, rule: str, seed: int, labels: int, trained: Trained, data: Labelled
) -> list[dict[str, Any]]:
    """Rows of one network, one for each set that judges it."""
    known = {"pool": options.pool, "optimizer": options.optimizer, "rule": rule, "seed": seed}
    known |= {"labels": labels}
    return [{**known, "judged_on": name, **judge(trained, data.sets[name])} for name in ("test", "larger")]


def curves(data: Labelled, seed: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Figures at the start, which all rules share, and after each round of each rule."""
    pool = data.sets["pool"]
    order = np.random.default_rng(seed).permutation(len(pool)).tolist()
    judges, rest = order[:VALIDATING], order[VALIDATING:]
    start = [k for k in rest if temperature(options.pool, k) <= options.below][: options.start]

    rate = RATES[options.optimizer]
    schedule = replace(SHAPE.schedule, steps=options.steps, optimizer=options.optimizer, learning_rate=rate)

    def trained_on(learned: Sequence[int]) -> Trained:
        return train(data, [pool[k] for k in learned], [pool[k] for k in judges], schedule, seed)

    first = trained_on(start)
    yield from judged(options, "start", seed, len(start), first, data)
    others = [pool[k] for k in range(len(pool)) if k not in (*start, *judges)]
    print(f"seed {seed}: {expectation(first, others, options.frames)}", flush=True)
    for rule in options.rules:
        trained, learned = first, start
        for number in range(options.rounds):
            left = [k for k in range(len(pool)) if k not in (*learned, *judges)]
            found = choose(rule, trained, [pool[k] for k in left], options.frames, 100 * seed + number)
            learned = learned + [left[k] for k in found]
            print(
                f"{rule}, {seed}: frames of {[temperature(options.pool, left[k]) for k in found]} K",
                flush=True,
            )
            trained = trained_on(learned)
            yield from judged(options, rule, seed, len(learned), trained, data)


def shown(row: dict[str, Any]) -> str:
    """One line of a row."""
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{v}" for k, v in row.items())


def main() -> None:
    """Run all rules and seeds, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=["doubt", "random", "random-again"])
    parser.add_argument("--start", type=int, default=3, help="frames to begin with")
    parser.add_argument("--below", type=float, default=300.0, help="their highest temperature, K")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--frames", type=int, default=3, help="labelled in each round")
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--pool", choices=list(POOLS), default="even")
    parser.add_argument("--optimizer", choices=list(RATES), default="soap")
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks/runs/active_learning")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/active_learning.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    require_full_precision()
    data = label(options.work, options.pool)
    print(f"labels and fits: {time.process_time():.0f} CPU s", flush=True)
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for row in curves(data, seed, options):
            rows.append(row)
            print(f"{shown(row)}; {time.process_time():.0f} CPU s", flush=True)
        write_csv(options.out, rows)


if __name__ == "__main__":
    main()
