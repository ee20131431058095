"""How two runs are compared is with the tests of faults."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "faults"))
