"""How a run occupied its levels: OccupationFunction and ElectronicTemperature."""

from __future__ import annotations

from n2amd.baseline.smearing import Smearing
from n2amd.dft.siesta.fdf import read_number
from n2amd.dft.siesta.log import Origin
from n2amd.units import BOLTZMANN_EV_K

#: SIESTA's default, K.
DEFAULT_TEMPERATURE = 300.0
#: Energy units of an input, in eV and in Rydberg.
_IN_EV = {
    "ev": 1.0,
    "mev": 1e-3,
    "k": BOLTZMANN_EV_K,
    "j": 1 / 1.602176634e-19,
    "kj/mol": 1 / 96.48533212331,
    "kcal/mol": 4.184 / 96.48533212331,
    "cm-1": 1.239841984e-4,
    "cm^-1": 1.239841984e-4,
    "thz": 4.135667696e-3,
}
_IN_RYDBERG = {"ry": 1.0, "mry": 1e-3, "ha": 2.0, "hartree": 2.0, "mha": 2e-3}


def energy_in_rydberg(text: str, rydberg: float) -> float:
    """Read an energy of an input, Ry; without a unit it is in Rydberg, as MeshCutoff and the temperature are.

    Raises
    ------
    ValueError, IndexError
        If it is empty or no number, or its unit is not known.
    """
    words = text.split()
    name = words[1].lower() if len(words) > 1 else "ry"
    if name in _IN_RYDBERG:
        return read_number(words[0]) * _IN_RYDBERG[name]
    if name in _IN_EV:
        return read_number(words[0]) * _IN_EV[name] / rydberg
    raise ValueError(f"unknown unit {words[1]!r}")


def smearing_of_run(origin: Origin, rydberg: float) -> str | None:
    """Smearing of a run in words, which `n2amd.baseline.smearing.Smearing` reads back where it knows it.

    None where neither the input nor the log is there.
    """
    settings, facts = origin.settings, origin.facts
    width = None if facts is None else facts.temperature
    if (given := settings.get("electronictemperature")) is not None:
        try:
            width = energy_in_rydberg(given, rydberg) * rydberg
        except (ValueError, IndexError):
            return f"ElectronicTemperature {given}"
    if width is None:
        if not settings:
            return None
        width = DEFAULT_TEMPERATURE * BOLTZMANN_EV_K
    function = settings.get("occupationfunction", "FD").lower()
    if function == "fd":
        return str(Smearing(width))
    if function == "mp":
        order = settings.get("occupationmporder", "1").split()[0]
        if order.isdecimal() and int(order) > 0:
            return str(Smearing(width, int(order)))
        return f"OccupationMPOrder {order}"
    return f"OccupationFunction {function}"
