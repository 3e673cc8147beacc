"""Loads `fastglm` without torch and transformers, for helper processes that need neither: `import light` first."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

package = ModuleType("fastglm")
package.__path__ = [str(Path(__file__).parents[2] / "fastglm")]
torch: Any = ModuleType("torch")
threads = SimpleNamespace(count=2)
torch.set_num_threads = lambda count: setattr(threads, "count", count)
torch.get_num_threads = lambda: threads.count
sys.modules |= {"fastglm": package, "torch": torch}
