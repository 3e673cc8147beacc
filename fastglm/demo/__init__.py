"""The embedded demo model: where its checkpoint lies. Its corpus is in `corpus`, its training in `fastglm.train`."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
