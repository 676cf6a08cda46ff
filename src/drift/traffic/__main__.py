"""`python -m drift.traffic`: see drift.traffic.sending."""

import sys

from drift.traffic.sending import main

sys.exit(main())
