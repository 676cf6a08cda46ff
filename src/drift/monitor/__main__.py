"""`python -m drift.monitor`: see drift.monitor.monitor."""

import sys

from drift.monitor.monitor import main

sys.exit(main())
