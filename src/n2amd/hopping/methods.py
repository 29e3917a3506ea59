"""The methods behind one interface: what each prepares once, and how it runs one unit of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from n2amd.hopping import decoherence, dish, ehrenfest, fssh, propagators, renewal, renewal_bias
from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath

if TYPE_CHECKING:
    from n2amd.hopping.ensemble import Plan

#: Runs a unit; called with seed, sample, start_frame, start_state, steps, stride and trajectories.
Run = Callable[..., Outcome]


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes
    ----------
    counted
        Whether populations are counts of trajectories (cut into units), or exact (a sample is one unit).
    absorbing
        Whether a carrier that recombined may stay so.
    prepare
        Tabulates what all units share and returns what runs one.
    """

    counted: bool
    absorbing: bool
    prepare: Callable[[ClassicalPath, Plan], Run]


def _dish(path: ClassicalPath, plan: Plan) -> Run:
    tables = dish.prepare(
        path,
        propagators.build(path, plan.scheme, plan.substeps),
        plan.dephasing_time,
        plan.temperature,
        waiting=plan.waiting,
        absorbing=plan.absorbing,
    )
    return partial(dish.run_block, tables)


def _dish_renewal(path: ClassicalPath, plan: Plan) -> Run:
    pair = renewal.edge_pair(path, plan.temperature, plan.start_states)
    steps = propagators.build(pair, plan.scheme, plan.substeps)
    tau = float(plan.dephasing_time[path.start, path.final])
    renewal_bias.check(pair, steps, tau, plan.temperature)
    chain = renewal.prepare(pair, steps, tau, plan.temperature, waiting=plan.waiting)
    return partial(renewal.run_sample, chain, columns=(path.final, path.start), states=path.states)


def _fssh(path: ClassicalPath, plan: Plan, counted: bool) -> Run:
    steps = propagators.build(path, plan.scheme, plan.substeps)
    return partial(fssh.run_sample, fssh.prepare(path, steps, plan.temperature), counted=counted)


def _ehrenfest(path: ClassicalPath, plan: Plan) -> Run:
    return partial(ehrenfest.run_sample, propagators.build(path, plan.scheme, plan.substeps))


def _corrected(path: ClassicalPath, plan: Plan, correction: decoherence.Correction) -> Run:
    tables = decoherence.prepare(
        path,
        propagators.build(path, plan.scheme, plan.substeps),
        plan.temperature,
        correction=correction,
        kinetic_energy=plan.kinetic_energy,
    )
    return partial(decoherence.run_block, tables)


METHODS = {
    "dish": Method(True, True, _dish),
    "dish_renewal": Method(False, True, _dish_renewal),
    "fssh": Method(False, False, partial(_fssh, counted=False)),
    "fssh_mc": Method(True, False, partial(_fssh, counted=True)),
    "ehrenfest": Method(False, False, _ehrenfest),
    "sdm": Method(True, False, partial(_corrected, correction="sdm")),
    "ida": Method(True, False, partial(_corrected, correction="ida")),
}
