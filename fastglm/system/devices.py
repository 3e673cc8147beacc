"""Devices of this machine and their speed.

`python -m fastglm.system.devices [DEVICE [--bandwidth]]` prints a device's card as JSON, so that a caller need not open
the device itself.
"""

import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ..errors import DeviceError, FastGLMError

if TYPE_CHECKING:  # `DeviceCard` is for those without torch too
    import torch

BUFFER = 256 * 2**20  # bytes: larger than the processor's caches
COPIES = {"cpu": 1}  # copies in one timing; GPUs take many, to hide the cost of starting one


@dataclass(frozen=True, slots=True)
class DeviceCard:
    """A device: memory in bytes, its bandwidth in bytes/s if measured, `compute_capability` and `driver` on CUDA,
    `simd` on CPUs.
    """

    kind: str  # cpu, cuda or mps
    name: str
    memory_total: int
    memory_free: int
    cores: int
    threads: int
    compute_capability: str | None = None
    driver: str | None = None
    simd: str | None = None
    bandwidth: int | None = None


def resolve_device(device: str = "auto") -> "torch.device":
    """Find a device by name: `auto` (CUDA, then MPS, then the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        DeviceError: this machine has no such device.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"Unknown device {device!r}: use auto, cpu, cuda, cuda:N or mps.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("No CUDA device is usable here (driver, or PyTorch without CUDA): use --device cpu.")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"There is no {device}: this machine has {torch.cuda.device_count()} CUDA device(s).")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("MPS is not available here: use --device cpu.")
    if chosen.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"Device {device!r} is not supported: use auto, cpu, cuda, cuda:N or mps.")
    return chosen


def resolve_devices(devices: str = "auto") -> "list[torch.device]":
    """Find the devices that a model may be put on: one device, or several cards such as `cuda:0,cuda:1`. `auto` and
    `cuda` stand for all cards.

    Raises:
        DeviceError: this machine has no such device, or several devices are named that are not different cards.
    """
    import torch

    if "," in devices:
        found = [resolve_device(name.strip()) for name in devices.split(",")]
        if any(device.type != "cuda" or device.index is None for device in found) or len(set(found)) < len(found):
            raise DeviceError(f"A model is spread over different CUDA cards, such as cuda:0,cuda:1, not {devices}.")
        return found
    chosen = resolve_device(devices)
    if chosen.type == "cuda" and chosen.index is None and torch.cuda.device_count() > 1:
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [chosen]


def default_dtype(device: "torch.device") -> "torch.dtype":
    """The precision that a model runs in where none is named: fp32 on CPUs, fp16 elsewhere."""
    import torch

    return torch.float32 if device.type == "cpu" else torch.float16


def free_memory(device: "torch.device") -> int:
    """Bytes that can still be allocated on a device."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def has_failed(device: str) -> bool:
    """Tell whether one of some cards, with commas between, has failed: after a fault in a kernel, a card refuses all
    further work of the process that ran the kernel.
    """
    import torch

    try:
        for card in device.split(",") if device.startswith("cuda") else ():
            torch.cuda.synchronize(card)
    except RuntimeError:
        return True
    return False


def memory_bandwidth(device: "torch.device") -> int | None:
    """Measure the bytes/s that a copy reads and writes with all threads: the best of several, about half a second. None
    if there is no memory for its buffers.

    Read and written bytes both count, as in McCalpin's STREAM (IEEE TCCA Newsletter 1995).
    """
    import torch

    if free_memory(device) < 4 * BUFFER:
        return None
    source = torch.ones(BUFFER // 4, device=device)  # written once, because untouched pages are not in memory yet
    target = torch.zeros_like(source)
    synchronize, copies = torch.get_device_module(device).synchronize, COPIES.get(device.type, 20)
    times = []
    for _ in range(5):
        synchronize()
        start = time.perf_counter()
        for _ in range(copies):
            target.copy_(source)
        synchronize()
        times.append(time.perf_counter() - start)
    return round(2 * BUFFER * copies / min(times))


def device_card(device: str = "auto", bandwidth: bool = False) -> DeviceCard:
    """Describe a device; measure its memory's bandwidth if asked. Several cards: the first card, with the names and the
    memory of all.

    Raises:
        DeviceError: this machine has no such device.
    """
    import torch

    if "," in device:
        cards = [device_card(str(one), bandwidth) for one in resolve_devices(device)]
        names = [card.name for card in cards]
        return replace(
            cards[0],
            name=", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names)),
            memory_total=sum(card.memory_total for card in cards),
            memory_free=sum(card.memory_free for card in cards),
        )
    chosen = resolve_device(device)
    cores = psutil.cpu_count(logical=False) or 1
    if chosen.type == "cuda":
        properties = torch.cuda.get_device_properties(chosen)
        return DeviceCard(
            kind="cuda",
            name=properties.name,
            memory_total=properties.total_memory,
            memory_free=free_memory(chosen),
            cores=cores,
            threads=torch.get_num_threads(),
            compute_capability=f"{properties.major}.{properties.minor}",
            driver=f"CUDA {torch.version.cuda}",
            bandwidth=memory_bandwidth(chosen) if bandwidth else None,
        )
    memory = psutil.virtual_memory()
    return DeviceCard(
        kind=chosen.type,
        name=processor_name() if chosen.type == "cpu" else f"Apple GPU ({processor_name()})",
        memory_total=memory.total,
        memory_free=memory.available,
        cores=cores,
        threads=torch.get_num_threads(),
        simd=torch.backends.cpu.get_cpu_capability() if chosen.type == "cpu" else None,
        bandwidth=memory_bandwidth(chosen) if bandwidth else None,
    )


def instruction_set() -> str:
    """The processor's instruction set as the system lists it, or else the processor's name."""
    return _of_processor("flags") or processor_name()


def processor_name() -> str:
    """The processor's name as the system gives it."""
    if sys.platform == "darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        if name := asked.stdout.strip():
            return name
    return _of_processor("model name") or platform.processor() or platform.machine()


def _of_processor(field: str) -> str | None:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), None)


if __name__ == "__main__":
    try:
        asked = sys.argv[1] if len(sys.argv) > 1 else "auto"
        print(json.dumps(asdict(device_card(asked, bandwidth="--bandwidth" in sys.argv))))
    except FastGLMError as error:
        sys.exit(str(error))
