"""`python -m fastglm` is the `fastglm` command."""

import sys

from fastglm.cli import main

sys.exit(main())
