"""Write the numbers of a finished job into README.md: python workflow/readme.py results/summary.json"""

import json
import sys
from pathlib import Path

BEGIN, END = "<!-- results:begin, written by `make readme` -->", "<!-- results:end -->"
COLUMNS = (
    "material",
    "functional",
    "supercell",
    "atoms",
    "mean gap (eV)",
    "dephasing (fs)",
    "rms coupling (meV)",
    "lifetime (ns), 95 % interval",
)


def table(summary: dict) -> str:
    """Return the cases as a table."""
    rows = ""
    for case in summary["cases"]:
        life = case["lifetime_ns"]
        rows += (
            f"| {case['material']} | {case['functional']} | {case['supercell']} | {case['n_atoms']} "
            f"| {case['gap_mean_eV']:.2f} | {case['dephasing_time_fs']:.1f} | {case['nac_rms_meV']:.3g} "
            f"| {life['value']:.3g} ({life['low']:.3g} to {life['high']:.3g}) |\n"
        )
    return f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n{rows}"


def main() -> None:
    """Replace what stands between the two marks."""
    readme = Path("README.md")
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    summary = json.loads(Path(sys.argv[1]).read_text())
    readme.write_text(f"{before}{BEGIN}\n{table(summary)}{END}{after}")


if __name__ == "__main__":
    main()
