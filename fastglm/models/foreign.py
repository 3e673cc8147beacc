"""Recognition of other programs' folders and files that users take for a checkpoint, with advice on what to do with
them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..system.files import open_regular, read_json

_MAGIC = {b"GGUF": "GGUF", b"ggml": "GGML", b"lmgg": "GGML", b"fmgg": "GGML", b"tjgg": "GGML"}
# Programs that write tensors of such names.
_MAKERS = {
    "bitsandbytes": (".absmax", ".SCB", ".quant_map", ".weight_format", ".quant_state.bitsandbytes__nf4"),
    "GPTQ or AWQ": (".qweight", ".qzeros", ".g_idx"),
    "PEFT (an adapter)": (".lora_A.weight", ".lora_B.weight", ".lora_A.default.weight"),
}
_PLAIN = "name the checkpoint that it was made from"


def name_folder(folder: Path) -> str:
    """Name the kind of a folder without config.json, as far as its files tell; otherwise an empty text."""
    if (folder / "adapter_config.json").exists():
        told = read_json(folder / "adapter_config.json")
        base = told.get("base_model_name_or_path")
        of = f"for {base[:200]}" if isinstance(base, str) and base.strip() else "that does not name its base"
        kind = told.get("peft_type")
        named = f" ({kind[:40]})" if isinstance(kind, str) else ""
        return (
            f"{folder} is a PEFT adapter{named} {of}: load its base with AutoModel.from_pretrained, "
            "then peft.PeftModel.from_pretrained(base, folder)."
        )
    for pattern in ("*.gguf", "*.ggml", "*.bin"):
        for path in sorted(folder.glob(pattern)):
            if said := name_file(path):
                return said
    return ""


def name_file(path: Path) -> str:
    """Name the kind of a file by its first bytes; an empty text for no known program."""
    try:
        with open_regular(path) as file:
            kind = _MAGIC.get(file.read(4))
    except OSError:
        return ""
    return f"{path} is a {kind} file, of llama.cpp or chatglm.cpp: {_PLAIN}." if kind else ""


def check_config(folder: Path, fields: Mapping[str, Any]) -> None:
    """Raise CheckpointError if a config says that another program has quantized the weights."""
    told = fields.get("quantization_config")
    method = told.get("quant_method") if isinstance(told, dict) else None
    for file, maker in (("quantize_config.json", "gptq"), ("quant_config.json", "awq")):
        method = method or (maker if (folder / file).exists() else None)
    if told is None and method is None:
        return
    name = method[:40] if isinstance(method, str) else "another program"
    way = "load it with AutoModel.from_pretrained, or " if "bitsandbytes" in name else ""
    raise CheckpointError(f"{folder} holds weights that {name} has quantised: {way}{_PLAIN}, and take int8 or int4.")


def maker_of(names: Iterable[str]) -> str:
    """The program that writes tensors of such names; an empty text if unknown."""
    return next((maker for maker, ends in _MAKERS.items() for name in names if name.endswith(ends)), "")
