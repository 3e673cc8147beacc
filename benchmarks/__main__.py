"""`python -m benchmarks`."""

import sys

from benchmarks.cli.commands import main

sys.exit(main())
