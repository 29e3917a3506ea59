from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest_network import basis, cubic, ions, rutile  # noqa: F401 - fixtures
