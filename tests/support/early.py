"""The tiny checkpoint in the form of March 2023: with image tokens, and a vocabulary file without the control tokens,
which the code of that time appended.
"""

import json
from pathlib import Path
from typing import Any

import torch
from recorded import folder
from sentencepiece import sentencepiece_model_pb2 as proto

CONTROL = ("[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>")
APPENDED = (
    *CONTROL,
    "<|tab|>",
    *(f"<|blank_{length}|>" for length in range(2, 81)),
    *(f"<0x{byte:02X}>" for byte in range(256)),
)
IMAGES = 20000
TOKENIZER_CONFIG: dict[str, Any] = {
    "bos_token": "<sop>",
    "eop_token": "<eop>",
    "eos_token": "</s>",
    "gmask_token": "[gMASK]",
    "mask_token": "[MASK]",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "remove_space": False,
    "do_lower_case": False,
    "tokenizer_class": "ChatGLMTokenizer",
    "auto_map": {"AutoTokenizer": ["tokenization_chatglm.ChatGLMTokenizer", None]},
}


def pieces(file: Path) -> list[str]:
    """The pieces of a vocabulary file."""
    model = proto.ModelProto()
    model.ParseFromString(file.read_bytes())
    return [piece.piece for piece in model.pieces]


def write_vocabulary(to: Path, without: tuple[str, ...] = APPENDED) -> list[str]:
    """Write the tiny vocabulary file without some pieces; return the remaining ones."""
    model = proto.ModelProto()
    model.ParseFromString((folder("chatglm") / "ice_text.model").read_bytes())
    kept = [piece for piece in model.pieces if piece.piece not in without]
    del model.pieces[:]
    model.pieces.extend(kept)
    model.trainer_spec.byte_fallback = "<0x00>" not in without
    to.write_bytes(model.SerializeToString())
    return [piece.piece for piece in kept]


def make_early(to: Path, **fields: object) -> Path:
    """Make the checkpoint, with the rows of its matrices at the early ids; its answers equal the tiny one's."""
    source = folder("chatglm")
    to.mkdir()
    vocabulary = (*write_vocabulary(to / "ice_text.model"), *APPENDED)
    places = {piece: number for number, piece in enumerate(pieces(source / "ice_text.model"))}
    rows = torch.tensor([places[piece] for piece in vocabulary])
    state = torch.load(source / "pytorch_model.bin", weights_only=True)
    for name in ("transformer.word_embeddings.weight", "lm_head.weight"):
        images = torch.zeros(IMAGES, state[name].shape[1], dtype=state[name].dtype)
        state[name] = torch.cat((images, state[name][rows], state[name][len(places) :]))
    torch.save(state, to / "pytorch_model.bin")
    config = json.loads((source / "config.json").read_text())
    for name in ("gmask_token_id", "mask_token_id", "pad_token_id"):
        del config[name]
    sop = IMAGES + vocabulary.index("<sop>")
    config |= {"vocab_size": IMAGES + config["vocab_size"], "bos_token_id": sop, "eos_token_id": sop + 1} | fields
    (to / "config.json").write_text(json.dumps(config))
    (to / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG))
    return to
