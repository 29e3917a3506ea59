"""All cases in one document and one table: the headline case first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from n2amd.analysis.case import total_cpu
from n2amd.analysis.defect_case import defect_columns
from n2amd.analysis.documents import at, without_nan
from n2amd.analysis.scaling import scaling_laws
from n2amd.analysis.shapes import CASE, CASE_SINCE, conforming
from n2amd.analysis.tables import supercells_table
from n2amd.analysis.verdict import verdict
from n2amd.errors import InputError
from n2amd.storage import atomic_path
from n2amd.versions import versions

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def fingerprint(cases: list[dict[str, Any]]) -> str:
    """Hash the cases without CPU times: equal for equal results, whenever they were computed."""
    stable = [{key: case[key] for key in case if key != "cpu_seconds"} for case in cases]
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()


def build_summary(cases: list[dict[str, Any]], withheld: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Return the summary: the headline (first) case at the top level and every case under `cases`.

    Parameters
    ----------
    cases
        Documents of `n2amd analysis case`, as read by `read_report`.
    withheld
        Cases that a run could not finish, as `Withheld.document` gives them.

    Raises
    ------
    InputError
        If there is no case, or two describe the same material, functional and supercell.
    """
    if not cases:
        raise InputError("no case was given", field="cases", remedy="pass at least one case.json")
    for case in cases:
        conforming(case, {**CASE, **{key: shape for key, shape in CASE_SINCE.items() if key in case}})
    files = [case.get("__file__") for case in cases]
    by_file = {path: record for case in cases for path, record in at(case, "cpu_seconds", "by_file").items()}
    plain = []
    for case in cases:
        kept = {key: value for key, value in case.items() if key not in ("__file__", "provenance")}
        seconds = {stage: value for stage, value in kept["cpu_seconds"].items() if stage != "by_file"}
        plain.append({**kept, "cpu_seconds": seconds, "trust": verdict(case).document()})
    labels = [tuple(at(case, key) for key in ("material", "functional", "supercell")) for case in cases]
    for index, label in enumerate(labels):
        if label in labels[:index]:
            raise InputError(
                f"{' / '.join(label)} is also in {files[labels.index(label)]}",
                file=files[index],
                remedy="pass each case once",
            )
    summary = {
        **plain[0],
        # files that cases share are counted once
        "cpu_seconds": {**plain[0]["cpu_seconds"], "all_cases": total_cpu(by_file.values())},
        "cases": plain,
        "withheld": list(withheld),
        "scaling": scaling_laws(plain),
        "versions": versions(),
        "cases_sha256": fingerprint(plain),
    }
    return without_nan(summary)


def table_frame(cases: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the cases as a flat table, one row each, units in the column names."""
    import pandas as pd

    rows = []
    for case in cases:
        hamiltonian, forcefield = case.get("hamiltonian") or {}, case.get("forcefield") or {}
        parity = (case.get("nac_parity") or {}).get("gap_edge") or {}
        rows.append(
            {
                **{key: case[key] for key in ("material", "functional", "supercell", "n_atoms", "n_frames")},
                "temperature_target_K": case["temperature_K"]["target"],
                "temperature_mean_K": case["temperature_K"]["mean"],
                **{
                    key: case[key]
                    for key in ("gap_mean_eV", "gap_std_eV", "dephasing_time_fs", "nac_rms_meV")
                },
                "dephasing_low_fs": case["dephasing_interval_fs"]["low"],
                "dephasing_high_fs": case["dephasing_interval_fs"]["high"],
                "lifetime_ns": case["lifetime_ns"]["value"],
                "lifetime_low_ns": case["lifetime_ns"]["low"],
                "lifetime_high_ns": case["lifetime_ns"]["high"],
                "lifetime_method": case["lifetime_ns"]["method"],
                "trust": case["trust"]["level"],
                "trust_reasons": "; ".join(case["trust"]["reasons"]),
                "length": case["length"]["judgement"],
                "frames_needed": case["length"]["frames_needed"],
                "lifetime_tau_low_ns": case["tau_band_ns"]["low"],
                "lifetime_tau_high_ns": case["tau_band_ns"]["high"],
                "estimate_ns": case["estimate_ns"],
                "hamiltonian_mae_meV": hamiltonian.get("mae_meV"),
                "gap_mae_meV": hamiltonian.get("gap_mae_meV"),
                "force_mae_meV_per_A": forcefield.get("force_mae_meV_per_A"),
                "energy_mae_meV_per_atom": forcefield.get("energy_mae_meV_per_atom"),
                "nac_edge_mae_meV": parity.get("mae_meV"),
                **(defect_columns(case) if any("defect" in other for other in cases) else {}),
            }
        )
    frame = pd.DataFrame(rows)
    text = ("material", "functional", "supercell", "lifetime_method", "length", "trust", "trust_reasons")
    # a column of nothing but None would otherwise become `object`, and Parquet would lose its type
    return frame.astype({name: float for name in frame.columns if name not in (*text, "n_atoms", "n_frames")})


def write_flat_table(cases: list[dict[str, Any]], csv: Path) -> Path:
    """Write the table as CSV and, beside it, as Parquet; return the Parquet path."""
    frame = table_frame(cases)
    parquet = csv.with_suffix(".parquet")
    with atomic_path(csv) as part:
        frame.to_csv(part, index=False)
    with atomic_path(parquet) as part:
        frame.to_parquet(part, index=False)
    return parquet


def printed_table(cases: list[dict[str, Any]]) -> Table:
    """Return the supercells' table for the terminal."""
    from rich.table import Table as Printed

    text = supercells_table(cases)
    table = Printed(title=text.title)
    for number, heading in enumerate(text.header):
        table.add_column(heading, justify="left" if number < 3 else "right")
    for row in text.rows:
        table.add_row(*row)
    return table
