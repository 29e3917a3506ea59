"""The synthetic crystal of the states' tests serves here too."""

import sys
from pathlib import Path

for folder in (Path(__file__).parents[1] / "states", Path(__file__).parent):
    sys.path.insert(0, str(folder))
