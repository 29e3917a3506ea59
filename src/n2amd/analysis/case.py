"""One row of the results: what a material, functional and supercell gave, from the files of its stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from n2amd.analysis import shapes
from n2amd.analysis.defect_case import defect_of_case
from n2amd.analysis.documents import at, number_at, read_report, without_nan
from n2amd.analysis.shapes import STAGES, conforming
from n2amd.analysis.spin_flips import flips_of_case
from n2amd.errors import InputError
from n2amd.fields import array, number, whole, word
from n2amd.seals import require_made_from
from n2amd.storage import open_any_hdf5, open_hdf5

#: Stage whose CPU time a file counts for, by the format in its root attributes.
STAGE_OF_FORMAT = {
    "n2amd/dataset": "ingest",
    "n2amd/trajectory": "trajectory",
    "n2amd/states": "states",
    "n2amd/couplings": "couplings",
    "n2amd/populations": "dynamics",
}


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case; those that are optional may be missing.

    Attributes
    ----------
    hdf5
        Any of dataset, trajectory, states shards, couplings, populations, in any order: each says what it is.
    forcefield, hamiltonian, nac_parity
        Reports of the models.
    rates
        `rates.json` of levels of a defect.
    spin_flips
        `spin_flips.json` of spin states.
    dephasing, lifetime
        Of this stage.
    """

    hdf5: tuple[Path, ...]
    dephasing: Path
    lifetime: Path
    forcefield: Path | None = None
    hamiltonian: Path | None = None
    nac_parity: Path | None = None
    rates: Path | None = None
    spin_flips: Path | None = None
    by_stage: dict[str, list[Path]] = field(init=False)

    def __post_init__(self) -> None:
        stages: dict[str, list[Path]] = {}
        for path in dict.fromkeys(self.hdf5):
            stages.setdefault(stage_of(path), []).append(path)
        object.__setattr__(self, "by_stage", stages)
        for stage in ("trajectory", "couplings"):
            if len(stages.get(stage, [])) != 1:
                raise InputError(
                    f"{len(stages.get(stage, []))} {stage} files among the inputs "
                    f"({', '.join(map(str, self.hdf5))})",
                    field=stage,
                    remedy=f"a case has exactly one {stage} file",
                )

    def only(self, stage: str) -> Path:
        """Return the one file of a stage."""
        return self.by_stage[stage][0]

    def reports(self) -> Iterable[tuple[str, Path]]:
        """Yield (stage, path) of the JSON reports that are there."""
        for stage, path in (
            ("forcefield", self.forcefield),
            ("hamiltonian", self.hamiltonian),
            ("couplings", self.nac_parity),
            ("analysis", self.dephasing),
            ("analysis", self.lifetime),
            ("analysis", self.rates),
            ("analysis", self.spin_flips),
        ):
            if path is not None:
                yield stage, path


def stage_of(path: Path) -> str:
    """Return the stage that wrote an HDF5 file.

    Raises
    ------
    InputError
        If it is not a file of this program.
    """
    with open_any_hdf5(path) as file:
        format = str(file.attrs.get("format", "no format attribute"))
    if format not in STAGE_OF_FORMAT:
        raise InputError(
            f"format is {format!r}", file=path, remedy=f"pass one of {', '.join(STAGE_OF_FORMAT)}"
        )
    return STAGE_OF_FORMAT[format]


def build_case(
    files: CaseFiles, *, functional: str, material: str | None = None, supercell: str | None = None
) -> dict[str, Any]:
    """Gather one case.

    Parameters
    ----------
    files
        Its files.
    functional
        Label, with the scissor's where there is one: "pbe", "pbe+scissor".
    material, supercell
        Labels; default: those of the trajectory.

    Returns
    -------
    dict
        Keys as in `docs/results.md`; only `cpu_seconds` differs between two runs of the same inputs.

    Raises
    ------
    InputError
        If a file or a field of it is missing.
    """
    _require_one_run(files)
    lifetime = conforming(read_report(files.lifetime), shapes.LIFETIME)
    dephasing = conforming(read_report(files.dephasing), shapes.DEPHASING)
    with open_hdf5(files.only("couplings"), "n2amd/couplings") as couplings:
        n_frames = whole(couplings, "n_frames", 2)
    with open_hdf5(files.only("trajectory"), "n2amd/trajectory") as trajectory:
        labels = {
            "material": material or word(trajectory, "material"),
            "functional": functional,
            "supercell": supercell or word(trajectory, "supercell"),
        }
        made = {
            "n_atoms": len(array(trajectory, "numbers", (None,), "whole")),
            "n_frames": n_frames,
            "timestep_fs": number(trajectory, "timestep_fs", positive=True),
            "temperature_K": {
                "target": number(trajectory, "temperature_K", positive=True),
                "mean": float(array(trajectory, "temperature", (whole(trajectory, "n_frames", 2),)).mean()),
            },
        }
        drift = "drift_meV_per_atom_per_ps"
        made[drift] = number(trajectory, drift) if drift in trajectory.attrs else None
        seed = whole(trajectory, "seed")
    case = {
        **labels,
        **made,
        "gap_mean_eV": at(lifetime, "gap", "mean_eV"),
        "gap_std_eV": at(lifetime, "gap", "std_eV"),
        "nac_rms_meV": at(lifetime, "nac", "rms_meV"),
        "nac_rms_interval_meV": {key: at(lifetime, "nac", f"rms_{key}_meV") for key in ("low", "high")},
        "nac_mean_abs_meV": at(lifetime, "nac", "mean_abs_meV"),
        "dephasing_time_fs": at(dephasing, "gaussian_fs"),
        "dephasing_interval_fs": at(dephasing, "gaussian_interval_fs"),
        "dephasing_definition": at(dephasing, "used"),
        "lifetime_ns": at(lifetime, "lifetime_ns"),
        "tau_band_ns": at(lifetime, "band_ns"),
        "length": at(lifetime, "length"),
        "estimate_ns": at(lifetime, "estimate_ns"),
        "estimate_ratio": at(lifetime, "estimate_ratio"),
        "confidence": at(lifetime, "confidence"),
        "verdict": at(lifetime, "verdict"),
        # reports of older versions do not have it
        "model_doubt": lifetime.get("model_doubt"),
        **_model_errors(files),
        "runs": _runs(lifetime),
        "seeds": _seeds(files, lifetime, seed),
        "cpu_seconds": _cpu_seconds(files),
    }
    if files.rates is not None:
        require_made_from(files.rates, files.only("couplings"))
        case["defect"] = defect_of_case(files.rates)
    if files.spin_flips is not None:
        require_made_from(files.spin_flips, files.only("couplings"))
        case["spin_flips"] = flips_of_case(files.spin_flips)
    return without_nan(case)


def _require_one_run(files: CaseFiles) -> None:
    """Raise `InputError` where a file was made from others than those of this case."""
    couplings, runs = files.only("couplings"), files.by_stage.get("dynamics", [])
    for path in (files.dephasing, *runs):
        require_made_from(path, couplings)
    require_made_from(files.lifetime, couplings, files.dephasing)
    for shard in files.by_stage.get("states", []):
        require_made_from(couplings, shard)


def _model_errors(files: CaseFiles) -> dict[str, Any]:
    """Test errors of force field, network and couplings; None where a stage has no report."""
    errors: dict[str, Any] = {"forcefield": None, "hamiltonian": None, "nac_parity": None}
    if files.forcefield is not None:
        report = conforming(read_report(files.forcefield), shapes.FORCEFIELD)
        errors["forcefield"] = {
            **{
                key: at(report, "test", key)
                for key in ("energy_mae_meV_per_atom", "force_mae_meV_per_A", "n_frames")
            },
            "force_rms_dft_meV_per_A": report["test"].get("force_rms_dft_meV_per_A"),
        }
    if files.hamiltonian is not None:
        report = conforming(read_report(files.hamiltonian), shapes.HAMILTONIAN)
        errors["hamiltonian"] = {
            **{
                key: at(report, "test", key)
                for key in ("mae_meV", "vbm_mae_meV", "cbm_mae_meV", "gap_mae_meV", "n_frames")
            },
            # reports of older versions do not have these
            **{
                key: report["test"].get(key)
                for key in ("false_states", "false_states_in_gap", "largest_trained_cell_atoms")
            },
            "largest_cell": _largest_cell(report),
        }
    if files.nac_parity is not None:
        report = conforming(read_report(files.nac_parity), shapes.NAC_PARITY)
        errors["nac_parity"] = {
            key: at(report, key) for key in ("mae_meV", "rms_dft_meV", "gap_edge", "n_frames")
        }
    return errors


def _largest_cell(report: dict[str, Any]) -> dict[str, Any] | None:
    """Errors of the network on the largest cells that it was judged on."""
    if not report.get("by_cell"):
        return None
    conforming(report, {"by_cell": [shapes.OF_CELL]})
    largest = max(report["by_cell"], key=lambda row: row["n_atoms"])
    return {key: largest[key] for key in shapes.OF_CELL}


def _runs(lifetime: dict[str, Any]) -> list[dict[str, Any]]:
    """What each run of surface hopping saw."""
    return [
        {
            "method": fit["method"],
            "seed": fit["seed"],
            "decayed": fit["decayed"],
            "hops": fit["arrivals"]["hops"],
            "lifetime_ns": fit["arrivals"]["lifetime_ns"],
        }
        for fit in lifetime["fits"].values()
    ]


def _seeds(files: CaseFiles, lifetime: dict[str, Any], trajectory: int) -> dict[str, Any]:
    seeds: dict[str, Any] = {}
    for stage, path in (("forcefield", files.forcefield), ("hamiltonian", files.hamiltonian)):
        if path is not None:
            seeds[stage] = at(read_report(path), "seed")
    seeds["trajectory"] = trajectory
    runs = set()
    for path in files.by_stage.get("dynamics", []):
        with open_hdf5(path, "n2amd/populations") as run:
            runs.add(whole(run, "seed"))
    seeds["dynamics"] = sorted(runs)
    seeds["analysis"] = at(lifetime, "seed")
    return seeds


def _cpu_seconds(files: CaseFiles) -> dict[str, Any]:
    """CPU time by stage and by file; a file that several cases share is told by its path."""
    by_file: dict[str, dict[str, Any]] = {}
    for stage, paths in files.by_stage.items():
        for path in paths:
            with h5py.File(path, "r") as file:
                seconds = number(file, "cpu_seconds") if "cpu_seconds" in file.attrs else 0.0
            by_file[str(path)] = {"stage": stage, "seconds": seconds}
    for stage, path in files.reports():
        # the network is trained by one process and judged by another, which writes down both
        report = {"provenance": {}, "training_cpu_seconds": 0.0, **read_report(path)}
        conforming(report, {"provenance": {}, "training_cpu_seconds": float})
        recorded = report["training_cpu_seconds"]
        if "cpu_seconds" in report["provenance"]:
            recorded += number_at(report, "provenance", "cpu_seconds")
        by_file[str(path)] = {"stage": stage, "seconds": float(recorded)}
    return {**total_cpu(by_file.values()), "by_file": by_file}


def total_cpu(records: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Sum {"stage", "seconds"} records by stage, in the order of the stages, with the total."""
    sums = dict.fromkeys(STAGES, 0.0)
    for record in records:
        sums[record["stage"]] += record["seconds"]
    return {**sums, "total": sum(sums.values())}
