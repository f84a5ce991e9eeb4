"""Lets these tests import what all of them share."""

import sys
from pathlib import Path

for folder in (Path(__file__).parents[2] / "support", Path(__file__).parents[1], Path(__file__).parent):
    sys.path.insert(0, str(folder))
