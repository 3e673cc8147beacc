"""The README of a converted folder."""

from pathlib import Path

from .._version import __version__
from ..models.glm.transformers_layout import transformers_fields
from .source import Source

_TEXT = """# {name} for transformers

`{kind}` of transformers loads this folder with no other package and no remote code:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")
prompt = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "你好"}}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=100)[0, prompt["input_ids"].shape[1] :]))
```

`fastglm convert` {version} wrote it from a checkpoint of the published layout ({title}).

- **Weights** {weights}
- **Text that looks like a control token becomes one.** A tokenizer.json finds these names in every text, also in a
  user's: {controls}.
  Where users are not trusted, take the names out of their messages first, or pass `split_special_tokens=True` where a
  text has no control tokens of its own.
{more}"""

_RENAMED = """- **Names.** The control tokens `sop` and `eop` are called `<sop>` and `<eop>` here, because a
  tokenizer.json would find the published names inside of words.
"""
_ANGLES = """- **Half precision.** The published code computed rotary angles in the dtype of the model,
  `GlmForCausalLM` computes them in fp32. Results in fp32 are equal; in fp16 they differ beyond some 2,000 tokens, in
  bf16 beyond some 250.
"""


def write_readme(source: Source, folder: Path, name: str) -> None:
    """Write the README of a folder that will be called `name`."""
    more = _RENAMED if source.vocabulary.model else ""
    more += "" if source.rules.exact_angles else _ANGLES
    text = _TEXT.format(
        name=source.name,
        kind=transformers_fields(source.config)["architectures"][0],
        folder=name,
        version=__version__,
        title=source.rules.title,
        weights=_weights(source),
        controls=", ".join(f"`{token}`" for token in source.vocabulary.control),
        more=more,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _weights(source: Source) -> str:
    if source.config.is_quantized:
        return "were int8 or int4 and are unpacked to fp16: the same numbers, rounded, in two to four times the space."
    return "are the published numbers in their own dtype."
