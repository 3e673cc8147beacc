"""`python -m fastglm` is the `fastglm` command."""

import sys

from fastglm.cli.commands import main

sys.exit(main())
