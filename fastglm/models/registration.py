"""Registration of the architectures with transformers, postponed until its Auto classes are imported.

`import transformers` is quick and `from transformers import AutoModel` is not: only the latter needs torch and the
model's own module. So `install` puts a finder before Python's own. It answers for three modules of transformers alone,
has Python load them as usual, and registers the architectures once they are loaded. Modules that are loaded already are
served at once.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from .architecture import architectures

_AUTO = "transformers.models.auto."


def _register_configs(auto: ModuleType) -> None:
    for known in architectures():
        auto.AutoConfig.register(known.model_type, known.auto_config_class, exist_ok=True)


def _register_tokenizers(auto: ModuleType) -> None:
    # By the names of their classes alone, under a config that no checkpoint has: for a tokenizer that is registered for
    # the config of a checkpoint, AutoTokenizer prefers remote code where `trust_remote_code` is left in a call.
    for known in architectures():
        for tokenizer in known.tokenizer_classes:
            auto.AutoTokenizer.register(known.auto_config_class, tokenizer_class=tokenizer, exist_ok=True)


def _register_models(auto: ModuleType) -> None:
    # The published checkpoints name the conditional-generation class under AutoModel and AutoModelForSeq2SeqLM.
    for known in architectures():
        for each in (auto.AutoModel, auto.AutoModelForCausalLM, auto.AutoModelForSeq2SeqLM):
            each.register(known.config_class, known.model_class, exist_ok=True)


# By the module of transformers that they wait for. The modules of this package that each function imports must not
# import that module, or one of the two would find the other half loaded.
_REGISTER: dict[str, Callable[[ModuleType], None]] = {
    f"{_AUTO}configuration_auto": _register_configs,
    f"{_AUTO}tokenization_auto": _register_tokenizers,
    f"{_AUTO}modeling_auto": _register_models,
}


class _RegisteringLoader(Loader):
    """Loads a module as `inner` does, then registers what belongs there."""

    def __init__(self, inner: Loader) -> None:
        self._inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._inner  # no other code should see this loader
        self._inner.exec_module(module)
        _REGISTER[module.__name__](module)


class _Finder(MetaPathFinder):
    """Finds the modules of `_REGISTER` as the finders behind it do, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _REGISTER:
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Finder) else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _RegisteringLoader(spec.loader)
                return spec
        return None


def install() -> None:
    """Have the Auto classes of transformers read the architectures of this package, whichever is imported first."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name, register in _REGISTER.items():
        if name in sys.modules:
            register(importlib.import_module(name))  # waits for a thread that is still loading it
