"""Writes the numbers that the next step adds up."""

import sys
from pathlib import Path

seed, data = int(sys.argv[1]), Path(sys.argv[2])
(data / "numbers.txt").write_text(f"{seed} 2 3")
