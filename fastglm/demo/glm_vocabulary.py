"""The vocabulary of the second demo model: the first one's pieces in the layout of ChatGLM3."""

import json
from pathlib import Path

import torch
from sentencepiece import sentencepiece_model_pb2
from torch import Tensor

from ..models.chatglm.tokenizer import ChatGLM6BTokenizer
from ..models.glm.sp_tokenizer import GLMSentencePieceTokenizer
from .tokenizer import CONTROL_TOKENS

VOCABULARY_FILE = "tokenizer.model"
_NEWLINE = ("<0x0A>", "<n>")  # the line break here, and in the first demo model
_LONGEST_RUN = 16  # spaces in one piece, as deep as descriptions of tools are indented
_PAD = "<pad>"


def write_vocabulary(first: Path, out: Path) -> None:
    """Write the vocabulary with its tokenizer config into the folder `out`.

    Control tokens of ChatGLM-6B have no pieces any longer: a line break is its byte, a run of spaces is a piece of
    spaces. All other pieces keep their scores, so that a text is cut in the same places.

    Args:
        first: the first demo model's vocabulary file.
    """
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(first.read_bytes())
    kept = [piece for piece in model.pieces if piece.piece not in {*CONTROL_TOKENS, _PAD}]
    del model.pieces[:]
    model.pieces.extend(kept)
    for length in range(2, _LONGEST_RUN + 1):
        model.pieces.add(piece="▁" * length, score=0.0)
    model.trainer_spec.ClearField("user_defined_symbols")
    model.trainer_spec.pad_id = -1
    model.trainer_spec.vocab_size = len(model.pieces)
    out.mkdir(parents=True, exist_ok=True)
    (out / VOCABULARY_FILE).write_bytes(model.SerializeToString())
    config = {
        "name_or_path": "fastglm-demo-glm",
        "generation": "chatglm3",
        "tokenizer_class": "ChatGLMTokenizer",
        "remove_space": False,
        "do_lower_case": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def ids_in_first(tokenizer: GLMSentencePieceTokenizer, first: ChatGLM6BTokenizer) -> Tensor:
    """The id in the first demo model's vocabulary of every piece here that an answer can have, -1 for all others.

    An answer ends in `</s>` here, and in `<eop>` there.
    """
    theirs = first.get_vocab()
    same = {
        piece: theirs[piece] for piece in tokenizer.get_vocab() if piece in theirs and piece not in tokenizer.built_in
    }
    same |= {_NEWLINE[0]: theirs[_NEWLINE[1]], tokenizer.eos_token: first.eos_token_id}
    same |= {"▁" * length: theirs[f"<|blank_{length}|>"] for length in range(2, _LONGEST_RUN + 1)}
    found = torch.full((len(tokenizer),), -1)
    for piece, id in same.items():
        found[tokenizer.convert_tokens_to_ids(piece)] = id
    return found
