"""The share of a cluster that a replica of a model gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastglm.errors import FastGLMError, UsageError


@dataclass(frozen=True, slots=True)
class Share:
    """Resources of one replica, and its device."""

    device: str
    cpus: int
    gpus: int = 0


def share_of(machines: Sequence[Mapping[str, float]], replicas: int, device: str) -> Share:
    """The resources of each of some replicas on machines with the given ones.

    A replica has a card and a processor, or without cards as many processors as all replicas can have. Raises
    FastGLMError if they do not fit on the machines.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"Ray chooses the cards of a cluster: leave --device {device} out, or say cpu or cuda.")
    cards = sum(int(machine.get("GPU", 0)) for machine in machines)
    if device == "cuda" or (device == "auto" and cards):
        if cards < replicas:
            raise FastGLMError(
                f"Replicas wanted: {replicas}, GPUs in the cluster: {cards}. Set --replicas or --device."
            )
        return Share("cuda", 1, 1)
    processors = [int(machine.get("CPU", 0)) for machine in machines]
    for each in range(max(processors, default=0), 0, -1):
        if sum(count // each for count in processors) >= replicas:
            return Share("cpu", each)
    raise FastGLMError(
        f"Replicas wanted: {replicas}, processors in the cluster: {sum(processors)}. Set --replicas lower."
    )
