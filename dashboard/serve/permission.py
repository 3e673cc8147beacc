"""The permission to start servers, which the app's owner gives at its start: a server opens a port."""

import os

ALLOWED = "FASTGLM_ALLOW_SERVE"


def is_allowed() -> bool:
    """Tell whether visitors may start, watch and stop servers."""
    return os.environ.get(ALLOWED) == "1"
