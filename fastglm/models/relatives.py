"""Checkpoints of the family that this package does not run: models with pictures, and mixtures of experts."""

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError

_SEES = ("glm4v", "glm46v", "glm5_next", "glm_ocr", "glm_image", "glmga")  # beginnings of types in transformers
_AS_VLLM = """vLLM runs it, with --hf-overrides '{"architectures": ["GLM4VForCausalLM"]}'"""


def check_relative(fields: Mapping[str, Any]) -> None:
    """Raise CheckpointError, which names what would run it, for the config of a model with pictures or experts."""
    kind, name = str(fields.get("model_type")), fields.get("_name_or_path")
    called = f"{name[:80]} ({kind[:40]})" if isinstance(name, str) and name else f"This checkpoint ({kind[:40]})"
    if found := _relative(kind, fields):
        fault, way = found
        raise CheckpointError(f"{called} {fault}, which fastglm does not run: {way}.")


def _relative(kind: str, fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """The reason why such a model does not run here, and the program that runs it; None for all others."""
    code = f"{fields.get('architectures')} {fields.get('auto_map')}"  # of VisualGLM, the latter alone tells it
    sees = "vision_config" in fields
    if "WithImage" in code:
        return "sees pictures (VisualGLM)", "its published code with transformers 4.30 runs it"
    if "CogVLM" in code or "CogAgent" in code:
        return "sees pictures (CogVLM or CogAgent)", "its published code runs it, and LMDeploy runs CogVLM"
    if kind == "chatglm" and sees:
        return "sees pictures (GLM-4V)", _AS_VLLM
    if kind == "glm" and sees:
        return "sees pictures (GLM-Edge-V)", "llama.cpp runs it"
    if kind.startswith("glm") and "moe" in kind and not kind.startswith("glm4v"):
        return "is a mixture of experts", "transformers' AutoModelForCausalLM or vLLM runs it"
    if kind.startswith(_SEES):
        return "sees pictures", "transformers' AutoModelForImageTextToText or vLLM runs it"
    return None
