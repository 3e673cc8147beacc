"""Checkpoints of the family that this package does not run: models with pictures, and mixtures of experts."""

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError

_SEES = ("glm4v", "glm46v", "glm5_next", "glm_ocr", "glm_image", "glmga")  # beginnings of types in transformers


def check_relative(fields: Mapping[str, Any]) -> None:
    """Raise CheckpointError, which names what would run it, for the config of a model with pictures or experts."""
    kind, name = str(fields.get("model_type")), fields.get("_name_or_path")
    called = f"{name[:80]} ({kind})" if isinstance(name, str) and name else f"This checkpoint ({kind[:40]})"
    classes = str(fields.get("architectures"))
    if "WithImage" in classes:
        fault, way = "sees pictures (VisualGLM)", "its published code with transformers 4.30 runs it"
    elif kind == "chatglm" and "vision_config" in fields:
        fault, way = "sees pictures (GLM-4V)", "vLLM runs it"
    elif kind.startswith("glm") and "moe" in kind and not kind.startswith("glm4v"):
        fault, way = "is a mixture of experts", "transformers' AutoModelForCausalLM or vLLM runs it"
    elif kind.startswith(_SEES):
        fault, way = "sees pictures", "transformers' AutoModelForImageTextToText or vLLM runs it"
    else:
        return
    raise CheckpointError(f"{called} {fault}, which fastglm does not run: {way}.")
