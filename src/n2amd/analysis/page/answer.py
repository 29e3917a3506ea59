"""What the page opens on: the lifetime of the first case, whether to believe it, and the errors behind it."""

from __future__ import annotations

import html
from typing import Any

from n2amd.analysis.page.intervals import interval_bar
from n2amd.analysis.spoken import lifetime
from n2amd.analysis.tables import number, time_text
from n2amd.analysis.verdict import OPENINGS
from n2amd.analysis.verdict_checks import AT_REST

Case = dict[str, Any]

#: Class of each level in the style sheet.
CLASS_OF_LEVEL = {"believe": "good", "with care": "care", "do not believe": "bad"}
_SIGNS = {"good": "✓", "care": "!", "bad": "✗", "unknown": "?"}
_UNKNOWN = '<span class="unknown">not known</span>'


def answer_section(case: Case) -> str:
    """Return the first section of the page."""
    value, interval = lifetime(case)
    unit = value.split()[1]
    confidence = f"{100 * case['confidence']:g} %"
    place = (
        f"{case['material']} · {case['functional']} · {case['supercell']} · {case['n_atoms']} atoms · "
        f"{case['n_frames']} frames of {case['timestep_fs']:g} fs"
    )
    return f"""<section id="answer">
<p class="place">{html.escape(place)}</p>
<div class="top"><div class="headline"><h1><span>Carrier lifetime</span> {html.escape(value)}</h1>
<p class="range">{confidence} interval {html.escape(interval)} {unit}</p>
{interval_bar(case)}
<p class="key"><span><i class="span"></i>interval</span>
<span><i class="band"></i>dephasing time ± 1 fs</span>
<span><i class="dot"></i>lifetime</span>
<span><i class="diamond"></i>estimate τ(gap/NAC)²/2: {time_text(case["estimate_ns"])}</span></p></div>
{verdict_box(case)}</div>
{_tiles(case)}
{_errors(case)}
{checks_table(case)}
</section>"""


def badge(case: Case) -> str:
    """Return the level of the verdict as a coloured word."""
    level = case["trust"]["level"]
    return f'<span class="badge {CLASS_OF_LEVEL[level]}">{level.capitalize()}</span>'


def verdict_box(case: Case) -> str:
    """Return the verdict with its reasons."""
    trust = case["trust"]
    parts = []
    for outcome, opening in OPENINGS[trust["level"]].items():
        found = [check["found"] for check in trust["checks"] if check["outcome"] == outcome]
        if found:
            items = "".join(f"<li>{html.escape(one)}</li>" for one in found)
            parts.append(f"<p>{opening[0].upper()}{opening[1:]}</p><ul>{items}</ul>")
    if not parts:
        parts = [f"<p>{html.escape(reason.capitalize())}.</p>" for reason in trust["reasons"]]
    return f'<div class="verdict {CLASS_OF_LEVEL[trust["level"]]}">{badge(case)}{"".join(parts)}</div>'


def _tiles(case: Case) -> str:
    dephasing, coupling = case["dephasing_interval_fs"], case["nac_rms_interval_meV"]
    heat = case["temperature_K"]
    tiles = (
        (
            "Band gap",
            f"{case['gap_mean_eV']:.2f} eV",
            f"mean; standard deviation {1000 * case['gap_std_eV']:.0f} meV",
        ),
        ("Dephasing time", f"{number(case['dephasing_time_fs'])} fs", f"{_bounds(dephasing)} fs"),
        ("Coupling VBM–CBM", f"{number(case['nac_rms_meV'])} meV", f"rms; {_bounds(coupling)} meV"),
        ("Temperature", f"{heat['mean']:.0f} K", f"{heat['target']:.0f} K asked for"),
    )
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd><dd class='small'>{note}</dd></div>"
        for name, value, note in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _bounds(interval: dict[str, float | None]) -> str:
    low, high = ("?" if interval[side] is None else number(interval[side]) for side in ("low", "high"))
    return f"{low} to {high}"


def _errors(case: Case) -> str:
    """Errors of the networks against DFT, one line each; what is unknown is said."""
    model, field = case.get("hamiltonian") or {}, case.get("forcefield") or {}
    largest = model.get("largest_cell") or model
    edge = (case.get("nac_parity") or {}).get("gap_edge") or {}
    rows = (
        ("Hamiltonian elements", _with_unit(model.get("mae_meV"), "meV"), "mean absolute error"),
        ("Band gap", _with_unit(largest.get("gap_mae_meV"), "meV"), _frames(largest)),
        ("Forces", _with_unit(field.get("force_mae_meV_per_A"), "meV/Å"), _share(field)),
        ("Energies", _with_unit(field.get("energy_mae_meV_per_atom"), "meV/atom"), _frames(field)),
        (
            "Coupling VBM–CBM",
            _with_unit(edge.get("rms_model_meV"), "meV"),
            "" if edge.get("rms_dft_meV") is None else f"rms; DFT {number(edge['rms_dft_meV'])} meV",
        ),
    )
    body = "".join(f"<tr><th>{name}</th><td>{value}</td><td>{note}</td></tr>" for name, value, note in rows)
    return (
        '<div class="scroll"><table class="errors"><caption>Networks against DFT, on frames held out from '
        f"training</caption>{body}</table></div>"
    )


def _with_unit(value: float | None, unit: str) -> str:
    return _UNKNOWN if value is None else f"{number(value)} {unit}"


def _frames(errors: dict[str, Any]) -> str:
    count, atoms = errors.get("n_frames"), errors.get("n_atoms")
    if count is None:
        return ""
    return f"{count} frame{'s' if count != 1 else ''}{f' of {atoms} atoms' if atoms else ''}"


def _share(field: dict[str, Any]) -> str:
    error, size = field.get("force_mae_meV_per_A"), field.get("force_rms_dft_meV_per_A")
    if error is None or not size or size < AT_REST:
        return _frames(field)
    return f"{100 * error / size:.2g} % of their rms; {_frames(field)}"


def checks_table(case: Case) -> str:
    """Return every check with its outcome, good ones too."""
    rows = "".join(
        f'<tr class="{check["outcome"]}"><td class="sign">{_SIGNS[check["outcome"]]}</td>'
        f"<th>{html.escape(check['name'])}</th><td>{html.escape(check['found'])}</td></tr>"
        for check in case["trust"]["checks"]
    )
    return (
        "<details open><summary>What was checked</summary>"
        f'<div class="scroll"><table class="checks">{rows}</table></div></details>'
    )
