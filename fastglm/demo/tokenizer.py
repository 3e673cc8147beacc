"""The demo tokenizer: a sentencepiece vocabulary with the published control tokens at their published ids."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import sentencepiece

CONTROL_TOKENS = (
    "<n>",
    "<|tab|>",
    *(f"<|blank_{length}|>" for length in range(2, 81)),
    *("[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>"),
)
VOCABULARY_FILE = "ice_text.model"
RARE = 3  # characters in fewer texts stay bytes, words in fewer texts stay letters
_WORD = re.compile(r"(^| |<n>|问：|答：)([A-Za-z]+)(?![A-Za-z])")
_ASCII = "".join(chr(code) for code in range(33, 127))
# A text as in a conversation, and the pieces in between, counted above any word.
_IN_A_ROUND = "[Round 0]<n>问：{0}<n>答：{0}<n>[Round 1]"
_TIMES = 1 + _IN_A_ROUND.count("{0}")  # times that each text is counted
_ROUND = dict.fromkeys(("▁[Round", "[Round", "问：", "答："), 1_000_000)
_OTHERS = 4 + 256 + 1  # special tokens, bytes, and the mark of a word's beginning


def train_tokenizer(texts: Iterable[str], out: Path, vocab_size: int) -> int:
    """Train the vocabulary on `texts`; write it with its tokenizer config into `out`.

    The pieces are the most frequent whole English words, each behind a space or, with a capital, at the beginning of a
    line; and single characters: Chinese ones and digits, so that words can be taken apart and numbers calculated with,
    and letters, which spell other words and words in quotation marks. Bytes stand for the rest.

    Returns:
        The number of pieces; below `vocab_size` if the texts do not support more.
    """
    texts = [text.replace("\n", "<n>") for text in texts]
    characters = Counter(character for text in texts for character in set(text))
    common = {character for character, count in characters.items() if count >= RARE}
    texts = [text for text in texts if common.issuperset(text)]
    texts = [*texts, *map(_IN_A_ROUND.format, texts)]
    words = Counter(
        f"▁{word}" if before in ("", " ") else word
        for text in texts
        for before, word in _WORD.findall(text)
        if before in ("", " ") or word[0].isupper()  # small letters without a space before them are spelled
    )
    single = len(common.union(_ASCII)) + len(CONTROL_TOKENS) + _OTHERS
    frequent = [(word, count) for word, count in words.most_common() if count >= RARE * _TIMES]
    seeds = [*_ROUND.items(), *frequent[: vocab_size - single - len(_ROUND)]]
    model, out = io.BytesIO(), out.absolute()
    with TemporaryDirectory() as folder, chdir(folder):  # the model keeps the path of its seeds
        seed_file = Path("seeds.tsv")
        seed_file.write_text("".join(f"{piece}\t{count}\n" for piece, count in seeds), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            seed_sentencepieces_file=str(seed_file),
            hard_vocab_limit=False,
            character_coverage=1.0,
            byte_fallback=True,
            split_digits=True,
            split_by_unicode_script=False,
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
