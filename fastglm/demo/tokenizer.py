"""The demo tokenizer: a sentencepiece vocabulary with the published control tokens at their published places."""

import io
import json
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

CONTROL_TOKENS = (
    "<n>",
    "<|tab|>",
    *(f"<|blank_{length}|>" for length in range(2, 81)),
    *("[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>"),
)
VOCABULARY_FILE = "ice_text.model"
SEPARATOR = "\x1f"  # between what may not grow into one piece
_CHINESE = re.compile(r"([\u3000-\u303f\u4e00-\u9fff\uff00-\uffef“”])")
_ASCII = "".join(chr(code) for code in range(33, 127))


def train_tokenizer(texts: Iterable[str], out: Path, vocab_size: int) -> int:
    """Trains the vocabulary on `texts` and writes it with its tokenizer config into `out`.

    Chinese characters stay single tokens, as the corpus repeats too few sentences too often to tell words from
    phrases; digits stay single, so that numbers can be calculated with; bytes stand in for everything else.

    Returns the number of pieces; it is below `vocab_size` where the texts do not support more.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([_CHINESE.sub(rf"{SEPARATOR}\1{SEPARATOR}", t.replace("\n", "<n>")) for t in texts]),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        pretokenization_delimiter=SEPARATOR,
        required_chars=_ASCII,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=list(CONTROL_TOKENS),
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        num_threads=1,
        minloglevel=2,
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / VOCABULARY_FILE).write_bytes(model.getvalue())
    config = {
        "name_or_path": "fastglm-demo",
        "bos_token": "<sop>",
        "eos_token": "<eop>",
        "end_token": "</s>",
        "gmask_token": "[gMASK]",
        "mask_token": "[MASK]",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "remove_space": False,
        "do_lower_case": False,
        "tokenizer_class": "ChatGLMTokenizer",
        "num_image_tokens": 0,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
