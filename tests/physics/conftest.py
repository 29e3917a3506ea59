"""Analytic cases use the same synthetic paths as the tests of `hopping`."""

import sys
from pathlib import Path

for folder in (Path(__file__).parents[1] / "hopping", Path(__file__).parent):
    sys.path.insert(0, str(folder))
