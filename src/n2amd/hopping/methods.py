"""The methods behind one interface: what each prepares once, and how it runs one unit of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from n2amd.config.dynamics import OF_PAIRS
from n2amd.errors import InputError
from n2amd.hopping import decoherence, dish, dish_pairs, ehrenfest, fssh, propagators, renewal, renewal_bias
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
        Whether trajectories end at the final state: always, never, or as the plan says.
    prepare
        Tabulates what all units share and returns what runs one.
    balanced
        Whether there are hops that a Boltzmann factor could make rarer.
    """

    counted: bool
    absorbing: Literal["always", "never", "optional"]
    prepare: Callable[[ClassicalPath, Plan], Run]
    balanced: bool = True

    def absorbs(self, plan: Plan) -> bool:
        """Whether trajectories of a plan end at the final state."""
        return self.absorbing == "always" or (self.absorbing == "optional" and plan.absorbing)

    def balance(self, plan: Plan) -> str:
        """Detailed balance of a plan as this method has it: `gap` or `none`."""
        return plan.detailed_balance if self.balanced else "none"


def check(path: ClassicalPath, plan: Plan) -> None:
    """Raise InputError if the method does not take an option of the plan, or states that the path has."""
    method = METHODS[plan.method]
    if path.members > 1 and plan.method not in OF_PAIRS:
        raise InputError(
            f"{plan.method} hops between single states, which Kramers pairs of spinors are not: which state "
            "of a pair is which is a choice",
            field="dynamics.methods",
            remedy=f"choose of {', '.join(OF_PAIRS)}",
        )
    if method.absorbing == "always" and not plan.absorbing:
        raise InputError(
            f"{plan.method} is absorbing only: it gives first arrivals at the final state",
            field="dynamics.absorbing",
            remedy="set it to true, or use dish",
        )
    if plan.method == "dish_renewal" and plan.detailed_balance == "none" and path.states > 2:
        raise InputError(
            f"dish_renewal is for two states, and without a Boltzmann factor all {path.states} matter",
            field="dynamics.detailed_balance",
            remedy="set it to gap, use dish, or keep only the band edges in the states stage",
        )


def _dish(path: ClassicalPath, plan: Plan) -> Run:
    module = dish if path.members == 1 else dish_pairs
    tables = module.prepare(
        path,
        propagators.build(path, plan.scheme, plan.substeps),
        plan.dephasing_time,
        plan.hop_temperature,
        waiting=plan.waiting,
        absorbing=plan.absorbing,
    )
    return partial(module.run_block, tables)


def _dish_renewal(path: ClassicalPath, plan: Plan) -> Run:
    renewal.check_two_states(path, plan.temperature, plan.start_states)
    whole = path.whole
    steps = propagators.build(whole, plan.scheme, plan.substeps)
    tau = float(plan.dephasing_time[path.start, path.final])
    renewal_bias.check(whole, steps, tau, plan.hop_temperature)
    chain = renewal.prepare(whole, steps, tau, plan.hop_temperature, waiting=plan.waiting)
    return partial(renewal.run_sample, chain, columns=(path.final, path.start), states=path.states)


def _fssh(path: ClassicalPath, plan: Plan, counted: bool) -> Run:
    steps = propagators.build(path, plan.scheme, plan.substeps)
    return partial(fssh.run_sample, fssh.prepare(path, steps, plan.hop_temperature), counted=counted)


def _ehrenfest(path: ClassicalPath, plan: Plan) -> Run:
    steps = propagators.build(path, plan.scheme, plan.substeps)
    return partial(
        ehrenfest.run_sample, steps, open_states=path.members * path.open_states, members=path.members
    )


def _corrected(path: ClassicalPath, plan: Plan, correction: decoherence.Correction) -> Run:
    tables = decoherence.prepare(
        path,
        propagators.build(path, plan.scheme, plan.substeps),
        plan.hop_temperature,
        correction=correction,
        kinetic_energy=plan.kinetic_energy,
    )
    return partial(decoherence.run_block, tables)


METHODS = {
    "dish": Method(True, "optional", _dish),
    "dish_renewal": Method(False, "always", _dish_renewal),
    "fssh": Method(False, "never", partial(_fssh, counted=False)),
    "fssh_mc": Method(True, "never", partial(_fssh, counted=True)),
    "ehrenfest": Method(False, "never", _ehrenfest, balanced=False),
    "sdm": Method(True, "never", partial(_corrected, correction="sdm")),
    "ida": Method(True, "never", partial(_corrected, correction="ida")),
}

#: Methods that need dephasing times.
DEPHASED = ("dish", "dish_renewal")
