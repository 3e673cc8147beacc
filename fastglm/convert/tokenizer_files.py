"""A tokenizer in the files of today's transformers: tokenizer.json, its config and a chat template."""

from importlib.resources import files
from pathlib import Path

from ..compress.checkpoint_writer import copy_tokenizer
from ..system.files import read_json, read_regular
from .source import Source

_LARGEST = 1 << 20  # bytes of a chat template


def write_tokenizer(source: Source, folder: Path) -> None:
    """Write the tokenizer of a checkpoint into `folder`."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = source.vocabulary
    if not vocabulary.ranks and not vocabulary.model:
        copy_tokenizer(source.checkpoint.folder, folder)
        return
    end, pad = (vocabulary.added[number].content for number in (vocabulary.end, vocabulary.pad))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary.as_tokenizer(),
        eos_token=end,
        pad_token=pad,
        unk_token=None if vocabulary.ranks else pad,
        extra_special_tokens=[name for name in vocabulary.control if name not in (end, pad)],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=source.config.context,
        model_input_names=["input_ids", "attention_mask"],
    )
    tokenizer.chat_template = chat_template(source)
    tokenizer.save_pretrained(folder)


def chat_template(source: Source) -> str:
    """The template of the generation, or a GLM-4 checkpoint's own: other ones write `sop`, which is `<sop>` here."""
    beside = source.checkpoint.folder
    if source.vocabulary.ranks:
        if (beside / "chat_template.jinja").is_file():
            return read_regular(beside / "chat_template.jinja", _LARGEST).decode("utf-8", "replace")
        own = read_json(beside / "tokenizer_config.json").get("chat_template")
        if isinstance(own, str):
            return own
    name = f"{source.config.generation}.jinja"
    return (files(__package__) / "chat_templates" / name).read_text(encoding="utf-8").strip()
