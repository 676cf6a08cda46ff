"""`python -m amlocal` is the command `aml`."""

import sys

from amlocal.cli import main

if __name__ == "__main__":
    sys.exit(main())
