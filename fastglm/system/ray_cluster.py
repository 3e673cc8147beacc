"""Connection to a running Ray cluster. Needs the extra `ray`."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import ray
from ray.exceptions import RayError

from fastglm.errors import FastGLMError

_ANSWERS_WITHIN = 10.0  # seconds to find a running cluster


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Work with the cluster at an address. Raises FastGLMError if there is none."""
    try:
        if "://" not in address and ":" in address:  # Ray itself would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN).close()
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (RayError, OSError, RuntimeError, ValueError, ImportError) as error:
        raise FastGLMError(
            f"there is no Ray cluster at {address} to work with ({first_line(error)}): check the address (HOST:PORT of "
            "`ray start --head`, or auto on a machine of the cluster)"
        ) from error
    try:
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing):  # Ray prints there that workers died
            yield
    finally:
        ray.shutdown()


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return str(error).strip().partition("\n")[0].rstrip(". ") or type(error).__name__
