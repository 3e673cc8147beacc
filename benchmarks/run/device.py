"""The device of a measurement: had alone, or beside servers if the user allows for that."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from benchmarks.run.progress import Reporter
from fastglm.errors import ServedError
from fastglm.hosting.lease import lease, servers

_beside = ContextVar("beside", default=False)  # a choice for the whole command, however deep it measures


@contextmanager
def beside_servers(allowed: bool) -> Iterator[None]:
    """Let measurements in the block run beside servers, if `allowed`; else a server refuses them."""
    token = _beside.set(allowed)
    try:
        yield
    finally:
        _beside.reset(token)


@contextmanager
def alone(device: str, purpose: str, reporter: Reporter) -> Iterator[str | None]:
    """Hold a device in the block, with nobody beside except servers that the user allows. Gives their names, None if
    there are none; the reporter is told of them, and whom it waits for.

    Raises:
        ServedError: a server has the device.
    """
    with ExitStack() as held:
        try:
            found = held.enter_context(
                lease(device, purpose, True, lambda holder: reporter.at(f"waiting for {holder}"), _beside.get())
            )
        except ServedError as error:
            raise _refused(str(error)) from None
        if found:
            reporter.warning(f"{found} serves on the same device: figures are marked as disturbed")
        yield found


def disturbance(device: str) -> str:
    """A note about servers that disturb a measurement which begins now; empty if there are none. Raises `ServedError`
    unless the user allows for them.
    """
    found = servers(device)
    if found and not _beside.get():
        raise _refused(f"{found} uses {device}")
    return f"disturbed by {found}" if found else ""


def _refused(fault: str) -> ServedError:
    return ServedError(f"{fault}: stop it, or add --beside to measure beside it, marked as disturbed")
