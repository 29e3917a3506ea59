"""The checks behind the verdict on a lifetime: each tells one thing, with its number and its limit.

Most errors are turned into the factor by which they change the estimate tau (gap / NAC)^2 / 2, because a
number of meV means something else in every material. With tau ~ hbar / (standard deviation of the gap), and
in a harmonic crystal NAC^2 ~ T and tau ~ T^(-1/2), the lifetime goes as T^(-3/2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard

from n2amd.analysis.length import HARDLY, ROUGHLY
from n2amd.analysis.tables import number
from n2amd.units import BOLTZMANN_EV_K

Case = dict[str, Any]
Outcome = Literal["good", "care", "bad", "unknown"]

#: Factor on the lifetime from which on it is a quarter off: as much as definitions of tau, or the ripple over
#: tau +- 1 fs, differ in most cases.
CARE_FACTOR: Final = 1.25
#: Factor on the lifetime from which on comparisons turn round: functionals and neighbouring supercells differ
#: by factors of 2.5 to 10.
BAD_FACTOR: Final = 2.0
#: Held-out frames below which a mean absolute error is itself known to less than half (0.76 / sqrt(n)).
FEWEST_HELD_OUT: Final = 3
#: Share of frames with false states from which on these decide: a false state couples some ten times as
#: strongly, and couplings enter squared, so that a hundredth of such frames weighs as much as all others.
FALSE_SHARE: Final = 0.01
#: Share of frames outside the training data from which on the trajectory as a whole is.
OUTSIDE_SHARE: Final = 0.5
#: Mean absolute error of forces over their rms. A force field that predicts no force at all has 0.8; half of
#: that is no force field. Phonon frequencies shift by about half of the relative error.
FORCE_CARE, FORCE_BAD = 0.15, 0.4
#: Rms force below which a frame is at its minimum and tells nothing of forces, meV/A.
AT_REST: Final = 5.0
#: Recombinations below which a Monte Carlo lifetime is known to no better than a third (and is not made the
#: headline), and to 10 %.
FEWEST_HOPS, ENOUGH_HOPS = 10, 100
#: Lifetime over the estimate, either way, beyond which the two need an explanation.
ESTIMATE_FACTOR: Final = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What.
    outcome
        good, care, bad, or unknown where the case does not tell.
    found
        With its number, as a clause that may follow "because".
    """

    name: str
    outcome: Outcome
    found: str


def gap_error(case: Case) -> Check:
    """Error of the network's gap on held-out frames, of the largest cells judged, against the gap."""
    name = "gap of the network"
    judged = _largest_judged(case)
    error, gap, spread = judged.get("gap_mae_meV"), case["gap_mean_eV"], case["gap_std_eV"]
    if not _is_number(error):
        return Check(name, "unknown", "how far the gap is from DFT's (no held-out frame was judged)")
    relative, fluctuation = (_ratio(error, 1000 * scale) for scale in (gap, spread))
    factor = (1 + relative) ** 2 * math.sqrt(1 + fluctuation**2)
    of_cell = f" of {judged['n_atoms']:.0f} atoms" if _is_number(judged.get("n_atoms")) else ""
    return Check(
        name,
        _by_factor(factor),
        f"the gap is {number(error)} meV from DFT's on held-out frames{of_cell} (mean gap {number(gap)} eV, "
        f"fluctuation {number(1000 * spread)} meV), {_on_lifetime(factor)}",
    )


def held_out_frames(case: Case) -> Check:
    """How many frames that error is known from, and whether their cells are as large as this one."""
    name = "held-out frames"
    judged = _largest_judged(case)
    count, atoms = judged.get("n_frames"), judged.get("n_atoms")
    if not _is_number(count) or not _is_number(atoms):
        return Check(name, "unknown", "how many held-out frames the network was judged on, and of which size")
    frames = f"{count:.0f} held-out frame{'s' if count != 1 else ''} of {atoms:.0f} atoms"
    problems = []
    if count < FEWEST_HELD_OUT:
        problems.append(f"the error of the network is known from {frames} only")
    if case["n_atoms"] > atoms:
        problems.append(
            f"the network was judged on cells of up to {atoms:.0f} atoms, not {case['n_atoms']}: "
            "`n2amd hamiltonian evaluate --on` judges larger ones"
        )
    return Check(name, "care" if problems else "good", "; ".join(problems) or f"judged on {frames}")


def training_cells(case: Case) -> Check:
    """Whether the training cells tell of this supercell."""
    name = "training cells"
    warnings = case.get("warnings")
    if warnings:
        return Check(name, "care", "; ".join(map(str, warnings)))
    trained = _at(case, "hamiltonian", "largest_trained_cell_atoms")
    if warnings is None or not _is_number(trained):
        return Check(name, "unknown", "which cells the network was trained on")
    return Check(name, "good", f"trained on cells of up to {trained:.0f} atoms, which suit this one")


def false_states_held_out(case: Case) -> Check:
    """States that the network invents on held-out frames."""
    name = "false states, held-out frames"
    count, in_gap = (_at(case, "hamiltonian", key) for key in ("false_states", "false_states_in_gap"))
    if not _is_number(count):
        return Check(name, "unknown", "whether the network makes false states on held-out frames")
    if not count:
        return Check(name, "good", "no false state on held-out frames")
    where = f", {in_gap:.0f} of them in the gap" if in_gap else ""
    return Check(
        name,
        "bad" if in_gap else "care",
        f"the network makes {count:.0f} false states on held-out frames{where}; train it on such frames",
    )


def doubt_of_model(case: Case) -> Check:
    """What the network itself doubts of edges and coupling."""
    name = "doubt of the network"
    factor = _at(case, "model_doubt", "lifetime_factor")
    if not _is_number(factor):
        return Check(name, "unknown", "what the network doubts of its band edges and coupling")
    spread = _at(case, "model_doubt", "gap_meV", "spread")
    of_gap = f"its gap by {number(spread, 2)} meV, " if _is_number(spread) else ""
    return Check(
        name, _by_factor(factor), f"the network doubts {of_gap}the lifetime by a factor of {number(factor)}"
    )


def false_states_on_trajectory(case: Case) -> Check:
    """Frames of the trajectory with states that no sound Hamiltonian has."""
    name = "false states, trajectory"
    frames, wrong = (_at(case, "states", key) for key in ("n_frames", "frames_with_false_states"))
    if not _is_number(wrong) or not frames:
        return Check(name, "unknown", "whether there are false states along the trajectory")
    if not wrong:
        return Check(name, "good", f"no false state in {frames:.0f} frames")
    return Check(
        name,
        "bad" if wrong > FALSE_SHARE * frames else "care",
        f"{wrong:.0f} of {frames:.0f} frames of the trajectory have false states, of which couplings are "
        "made; add such frames to the data set",
    )


def frames_outside(case: Case) -> Check:
    """Frames of the trajectory that are beyond the training data."""
    name = "frames beyond the training data"
    looked, outside = (_at(case, "states", key) for key in ("frames_judged", "frames_outside"))
    if not _is_number(outside) or not looked:
        return Check(name, "unknown", "how many frames are beyond the training data")
    found = f"{outside:.0f} of {looked:.0f} frames looked at are beyond the training data"
    if not outside:
        return Check(name, "good", found)
    outcome: Outcome = "bad" if outside > OUTSIDE_SHARE * looked else "care"
    return Check(name, outcome, f"{found}; `n2amd hamiltonian select` chooses frames to add")


def force_error(case: Case) -> Check:
    """Error of the force field's forces against their size."""
    name = "force field"
    error, size = (_at(case, "forcefield", f"force_{key}_meV_per_A") for key in ("mae", "rms_dft"))
    if not _is_number(error) or not _is_number(size) or not size:
        return Check(name, "unknown", "how far the forces are from DFT's")
    if size < AT_REST:
        return Check(name, "unknown", "how far the forces are from DFT's (held-out frames at rest)")
    share = error / size
    outcome: Outcome = "bad" if share > FORCE_BAD else "care" if share > FORCE_CARE else "good"
    return Check(
        name,
        outcome,
        f"forces are {number(error)} meV/Å from DFT's on held-out frames, {number(100 * share, 2)} % of "
        f"their rms of {number(size)} meV/Å",
    )


def temperature(case: Case) -> Check:
    """Temperature of the trajectory against the one asked for."""
    asked, found = case["temperature_K"]["target"], case["temperature_K"]["mean"]
    factor = _either_way(_ratio(found, asked)) ** 1.5
    return Check(
        "temperature",
        _by_factor(factor),
        f"the trajectory has {found:.0f} K, {asked:.0f} K were asked for, {_on_lifetime(factor)}",
    )


def drift(case: Case) -> Check:
    """Energy that the trajectory gains or loses by its own errors, against its thermal energy."""
    name = "drift"
    rate, timestep = case.get("drift_meV_per_atom_per_ps"), case.get("timestep_fs")
    if not _is_number(rate) or not _is_number(timestep):
        return Check(name, "unknown", "whether the trajectory conserves its energy")
    gained = abs(rate) * 1e-3 * case["n_frames"] * timestep
    # half of the thermal energy 3 k T of a harmonic crystal is kinetic, and half of what is gained too
    factor = (1 + gained / (3000 * BOLTZMANN_EV_K * case["temperature_K"]["target"])) ** 1.5
    return Check(
        name,
        _by_factor(factor),
        f"the conserved energy drifts by {number(abs(rate), 2)} meV/atom/ps, {number(gained, 2)} meV/atom "
        f"over the trajectory, {_on_lifetime(factor)}",
    )


def coupling_parity(case: Case) -> Check:
    """Coupling across the gap from the network's H against that from DFT's, on the same frames."""
    name = "coupling against DFT"
    dft, model = (_at(case, "nac_parity", "gap_edge", f"rms_{who}_meV") for who in ("dft", "model"))
    if not _is_number(dft) or not _is_number(model) or not dft:
        return Check(name, "unknown", "how far the coupling is from DFT's (no consecutive DFT frames)")
    frames = _at(case, "nac_parity", "n_frames")
    where = f" on {frames:.0f} consecutive DFT frames" if _is_number(frames) else ""
    factor = _either_way(model / dft) ** 2
    return Check(
        name,
        _by_factor(factor),
        f"the rms coupling of the band edges{where} is {number(model)} meV, DFT's {number(dft)} meV, "
        f"{_on_lifetime(factor)}",
    )


def interval(case: Case) -> Check:
    """Width of the interval, and whether the trajectory is long enough for it."""
    name = "length and interval"
    low, high = case["lifetime_ns"]["low"], case["lifetime_ns"]["high"]
    length = case["length"]
    needed = length["frames_needed"]
    frames = f"{length['frames']} frames are too few" if length["judgement"] == "too short" else ""
    if low is None or high is None or low <= 0:
        return Check(name, "bad", "; ".join(filter(None, ["its interval is open", frames])))
    width = high / low
    text = f"its interval of {number(low)} to {number(high)} ns spans a factor of {number(width, 2)}"
    if frames:
        more = f", at least {needed} are needed" if needed else ""
        return Check(name, "bad", f"{text}; {frames}{more}")
    if needed:
        text = f"{text}; about {needed} frames instead of {length['frames']} would make it {ROUGHLY:g}"
    # the ripple over tau +- 1 fs and the doubt of the network are in it too
    outcome: Outcome = "bad" if width > HARDLY else "care" if width > ROUGHLY or needed else "good"
    return Check(name, outcome, text)


def recombinations(case: Case) -> Check:
    """Events behind a sampled lifetime; of an exact one, whether the sampled ones contradict it."""
    name = "recombination events"
    runs, quoted = case.get("runs"), case["lifetime_ns"]
    if runs is None:
        return Check(name, "unknown", "how many carriers recombined in the runs of surface hopping")
    dish = [run for run in runs if run["method"] == "dish"]
    if quoted["method"].startswith("first arrivals"):
        count = max((run["hops"] for run in dish), default=0)
        outcome: Outcome = "bad" if count < FEWEST_HOPS else "care" if count < ENOUGH_HOPS else "good"
        return Check(name, outcome, f"the lifetime rests on {count} recombinations")
    told = [run for run in dish if run["hops"] >= FEWEST_HOPS]
    if apart := [run for run in told if _apart(run["lifetime_ns"], quoted)]:
        low, high = (_bound(apart[0]["lifetime_ns"][side]) for side in ("low", "high"))
        return Check(
            name, "bad", f"{apart[0]['hops']} recombinations sampled by DISH give {low} to {high} ns"
        )
    seen = f"; DISH saw {sum(run['hops'] for run in dish)} recombinations" if dish else ""
    return Check(name, "good", f"the lifetime is computed without sampling{seen}")


def estimate(case: Case) -> Check:
    """The lifetime over the perturbative estimate."""
    ratio = _ratio(case["lifetime_ns"]["value"], case["estimate_ns"])
    outcome: Outcome = "care" if _either_way(ratio) > ESTIMATE_FACTOR else "good"
    return Check(
        "perturbative estimate",
        outcome,
        f"the lifetime is {ratio:.2f} times the estimate τ(gap/NAC)²/2 of {number(case['estimate_ns'])} ns",
    )


#: In the order of the stages.
CHECKS: Final[tuple[Callable[[Case], Check], ...]] = (
    force_error,
    gap_error,
    held_out_frames,
    training_cells,
    false_states_held_out,
    doubt_of_model,
    temperature,
    drift,
    false_states_on_trajectory,
    frames_outside,
    coupling_parity,
    interval,
    recombinations,
    estimate,
)


def _largest_judged(case: Case) -> dict[str, Any]:
    """Errors of the network on the largest cells judged; those of all frames where cells are not told."""
    model = case.get("hamiltonian") or {}
    return model.get("largest_cell") or model


def _at(case: Case, *keys: str) -> Any:
    value: Any = case
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _ratio(value: float, to: float) -> float:
    """Value over something that may be zero."""
    return value / to if to > 0 else math.inf


def _either_way(ratio: float) -> float:
    """A factor above one, whichever of the two is larger."""
    return max(ratio, 1 / ratio) if ratio > 0 else math.inf


def _by_factor(factor: float) -> Outcome:
    return "bad" if factor > BAD_FACTOR else "care" if factor > CARE_FACTOR else "good"


def _on_lifetime(factor: float) -> str:
    if math.isinf(factor):
        return "of which no lifetime can be made"
    small = number(factor) == "1"
    return "which does not change the lifetime" if small else f"a factor of {number(factor)} on the lifetime"


def _bound(value: float | None) -> str:
    return "?" if value is None else number(value)


def _apart(one: dict[str, float | None], other: dict[str, float | None]) -> bool:
    """Whether two intervals have nothing in common; an open end goes on for ever."""
    (low, high), (floor, ceiling) = (
        (part["low"] or 0.0, math.inf if part["high"] is None else part["high"]) for part in (one, other)
    )
    return low > ceiling or floor > high
