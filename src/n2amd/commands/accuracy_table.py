"""Print the accuracy of a Hamiltonian network: a column a cell size, and what is wrong."""

from __future__ import annotations

from typing import Any

#: Label, key and format of each line; a value that is None is not known.
_LINES = (
    ("frames", "n_frames", "d"),
    ("MAE of H (meV)", "mae_meV", ".2f"),
    ("  on-site", "on_site_mae_meV", ".2f"),
    ("  between atoms", "off_site_mae_meV", ".2f"),
    ("VBM (meV)", "vbm_mae_meV", ".1f"),
    ("CBM (meV)", "cbm_mae_meV", ".1f"),
    ("gap (meV)", "gap_mae_meV", ".1f"),
    ("gap, median", "gap_median_error_meV", ".1f"),
    ("gap, largest", "gap_max_error_meV", ".1f"),
    ("states at the gap: energies (meV)", "window_energy_mae_meV", ".1f"),
    ("  weight in the model's, mean", "window_weight_mean", ".4f"),
    ("  worst", "window_weight_worst", ".4f"),
    ("DOS, wrong share", "dos_error_mean", ".4f"),
    ("frames with false states", "frames_with_false_states", "d"),
    ("lowest nearly empty state, DFT (eV)", "nearly_empty_dft_eV", ".1f"),
    ("  model", "nearly_empty_model_eV", ".1f"),
)


def print_accuracy(document: dict[str, Any]) -> None:
    """Print a report as `n2amd.network.evaluation.report` makes it."""
    from rich.console import Console
    from rich.table import Table

    by_cell = document["by_cell"]
    columns = [(f"{row['n_atoms']} atoms", row) for row in by_cell]
    columns += [(f"spin {row['spin']}", row) for row in document.get("by_spin", [])]
    if len(by_cell) > 1:
        columns.append(("all", document["test"]))
    largest = document["test"]["largest_trained_cell_atoms"]
    trained = f"; trained on up to {largest} atoms" if largest else ""
    table = Table("", title=f"{document['test']['n_frames']} frames against DFT{trained}")
    for title, _ in columns:
        table.add_column(title, justify="right")
    for label, key, form in _LINES:
        values = [row[key] for _, row in columns]
        table.add_row(label, *("-" if value is None else format(value, form) for value in values))
    console = Console()
    console.print(table)
    if doubt := document.get("doubt"):
        console.print(
            f"doubt: errors of VBM and CBM are {doubt['error_over_spread']:.2f} of the spread that the "
            f"network gave them (rms; gap {doubt['gap_error_over_spread']:.2f}), "
            f"{100 * doubt['within_1']:.0f} % within one and {100 * doubt['within_2']:.0f} % within two "
            "(normal: 68 and 95 %)."
        )
    for finding in document["diagnosis"]:
        remedy = finding["remedy"][:1].upper() + finding["remedy"][1:]
        console.print(f"{finding['kind']}: {finding['sentence']}. {remedy}.", markup=False)
