"""The machine of a run: device, processor, memory, power state, libraries, and the version of this code."""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure.caveat import Remark
from fastglm.system.devices import device_card, processor_name

ROOT = Path(__file__).resolve().parents[2]
CPUS = Path("/sys/devices/system/cpu")
BUSY = 0.2  # share of all processors
LIBRARIES = ("torch", "transformers", "fastglm", "numpy", "scipy", "accelerate", "bitsandbytes", "triton")


def machine(device: str = "auto") -> dict[str, Any]:
    """Describe the machine as plain data for JSON; unreadable facts are left out."""
    frequency = psutil.cpu_freq()
    facts = {
        "node": platform.node(),
        "os": platform.platform(),
        "device": _device_card(device),
        "cpu": processor_name(),
        "cores": psutil.cpu_count(logical=False),
        "threads": threads(),
        "cpu_mhz": round(frequency.current) if frequency else None,
        "memory": psutil.virtual_memory().total,
        "memory_free": psutil.virtual_memory().available,
        "cpu_busy": busy(),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(("OMP_", "MKL_"))},
        "power": _power(),
    }
    return {name: value for name, value in facts.items() if value not in (None, {}, "")}


def threads() -> int | None:
    """The number of logical processors that this process may use."""
    return len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()


def physical_cores() -> int:
    """The number of cores that this process may use; two threads of one core count once if the system tells them
    apart.
    """
    try:
        allowed = psutil.Process().cpu_affinity()
        siblings = (CPUS / f"cpu{number}" / "topology" / "thread_siblings_list" for number in allowed)
        return len({file.read_text(encoding="ascii") for file in siblings})
    except (AttributeError, OSError):  # other systems than Linux
        return psutil.cpu_count(logical=False) or 1


def busy() -> float:
    """The share of the processors' time that other programs use just now. Beside a busy program, measurements say
    little.
    """
    return psutil.cpu_percent(interval=0.5) / 100


def busy_warning(facts: dict[str, Any]) -> str | None:
    """A one-line warning if the machine was too busy for trustworthy figures."""
    if facts["cpu_busy"] <= BUSY:
        return None
    return str(Remark("busy", {"share": facts["cpu_busy"]}))


def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that matter for speed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_version() -> str:
    """The commit of this code's checkout, with `+changes` if the checkout is not clean; otherwise the package's
    version.
    """
    commit = _output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
    if not commit or _output("git", "-C", str(ROOT), "rev-parse", "--show-toplevel") != str(ROOT):
        return versions().get("fastglm", "unknown")
    changes = _output("git", "-C", str(ROOT), "status", "--porcelain", "--", "*.py", "*.toml", "*.txt")
    return f"{commit}+changes" if changes else commit


def command() -> str:
    """The command line of this process, as a user would type it."""
    arguments = sys.orig_argv[1:] if sys.orig_argv else sys.argv
    return shlex.join(["python", *arguments])


def _device_card(device: str) -> dict[str, Any] | None:
    """The card of a device from `fastglm.system.devices`, with the memory's bandwidth. A GPU is asked in another
    process, so that no CUDA context stays here.
    """
    if device == "cpu":
        return asdict(device_card(device, bandwidth=True))
    text = _output(sys.executable, "-m", "fastglm.system.devices", device, "--bandwidth", timeout=120)
    try:
        card = json.loads(text)
    except ValueError:
        return None
    return card if isinstance(card, dict) else None


def _power() -> dict[str, str]:
    """Governor, boost, mains or battery, and the GPU's power limit, as far as they can be read."""
    files = {
        "governor": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "boost": "/sys/devices/system/cpu/cpufreq/boost",
        "no_turbo": "/sys/devices/system/cpu/intel_pstate/no_turbo",
    }
    state = {}
    for name, path in files.items():
        try:
            state[name] = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is not None:
        state["source"] = "mains" if battery.power_plugged else "battery"
    query = "power.limit,clocks.max.sm,clocks.sm,temperature.gpu,persistence_mode"
    if gpu := _output("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"):
        state["gpu"] = f"{query}: {gpu}"
    return state


def visible_gpu(device: str) -> str:
    """The driver's number or UUID of PyTorch's `cuda:N`."""
    number = int(device.partition(":")[2] or 0)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return visible[number] if number < len(visible) and visible[number] else str(number)


def query_gpu(fields: str, device: str) -> str:
    """Answer of nvidia-smi about PyTorch's `cuda:N`; "" if there is none."""
    return _output("nvidia-smi", "-i", visible_gpu(device), f"--query-gpu={fields}", "--format=csv,noheader")


def _output(*arguments: str, timeout: float = 10) -> str:
    """Output of a command, or "" if the command is missing or fails."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
