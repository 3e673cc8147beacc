"""Snippets of ChatGLM-6B's README that need no file of its repository, run unchanged.

Only the names of folders are changed, and `.float()` replaces `.half().cuda()` and `.half().to('mps')` if there is no
card, as that README says.
"""

import doctest

import pytest
import torch
from recorded import folder

CHAT = """
>>> from transformers import AutoTokenizer, AutoModel
>>> tokenizer = AutoTokenizer.from_pretrained("THUDM/chatglm-6b", trust_remote_code=True)
>>> model = AutoModel.from_pretrained("THUDM/chatglm-6b", trust_remote_code=True).half().cuda()
>>> model = model.eval()
>>> response, history = model.chat(tokenizer, "你好", history=[])
>>> print(response)
>>> response, history = model.chat(tokenizer, "晚上睡不着应该怎么办", history=history)
>>> print(response)
"""
QUANTIZE = """
model = AutoModel.from_pretrained("THUDM/chatglm-6b", trust_remote_code=True).quantize(8).half().cuda()
"""
QUANTIZE_FIRST_EDITION = """
model = AutoModel.from_pretrained("THUDM/chatglm-6b", trust_remote_code=True).half().quantize(4).cuda()
"""
PACKED = """
model = AutoModel.from_pretrained("THUDM/chatglm-6b-int4", trust_remote_code=True).half().cuda()
"""
CPU = """
model = AutoModel.from_pretrained("THUDM/chatglm-6b", trust_remote_code=True).float()
"""
PACKED_CPU = """
model = AutoModel.from_pretrained("THUDM/chatglm-6b-int4",trust_remote_code=True).float()
"""
LOCAL = """
model = AutoModel.from_pretrained("your local path", trust_remote_code=True).half().to('mps')
"""
PLAIN = {"THUDM/chatglm-6b": "chatglm", "THUDM/chatglm-6b-int4": "chatglm-int4", "your local path": "chatglm"}
INT8 = PLAIN | {"THUDM/chatglm-6b-int4": "chatglm-int8"}

SNIPPETS = {
    "chat": (CHAT, PLAIN, 0),
    "quantize(8)": (QUANTIZE, PLAIN, 8),
    "quantize(4)": (QUANTIZE.replace("8", "4"), PLAIN, 4),
    "half().quantize(4)": (QUANTIZE_FIRST_EDITION, PLAIN, 4),
    "half().quantize(8)": (QUANTIZE_FIRST_EDITION.replace("(4)", "(8)"), PLAIN, 8),
    "int4": (PACKED, PLAIN, 4),
    "int8": (PACKED, INT8, 8),
    "CPU": (CPU, PLAIN, 0),
    "int4 on a CPU": (PACKED_CPU, PLAIN, 4),
    "int8 on a CPU": (PACKED_CPU, INT8, 8),
    "a local folder": (LOCAL, PLAIN, 0),
    "chat, int4": (CHAT.replace("chatglm-6b", "chatglm-6b-int4"), PLAIN, 4),
    "chat, int8": (CHAT.replace("chatglm-6b", "chatglm-6b-int4"), INT8, 8),
}


def run(snippet, folders, names):
    """Execute a snippet, with `import fastglm` before it."""
    examples = doctest.DocTestParser().get_examples(snippet)
    code = "".join(example.source for example in examples) if examples else snippet
    for published, name in folders.items():
        code = code.replace(f'"{published}"', repr(str(folder(name))))
    if not torch.cuda.is_available():
        code = code.replace(".half().cuda()", ".float()").replace(
            ".half().quantize(4).cuda()", ".half().quantize(4).float()"
        )
        code = code.replace(".half().quantize(8).cuda()", ".half().quantize(8).float()")
    code = code.replace(".half().to('mps')", ".float()")
    exec("import fastglm\n" + code, names)


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet(name, capsys):
    snippet, folders, bits = SNIPPETS[name]
    names = {}
    torch.manual_seed(0)
    if "AutoTokenizer" not in snippet:
        run(CHAT.partition(">>> model")[0], folders, names)
    run(snippet, folders, names)
    model = names["model"]
    assert model.config.quantization_bit == bits
    if "response" in names:
        assert [query for query, _ in names["history"]] == ["你好", "晚上睡不着应该怎么办"]
        assert names["history"][-1][1] == names["response"]
        assert capsys.readouterr().out.count("\n") >= 2
    response, history = model.chat(names["tokenizer"], "你好", history=[], max_new_tokens=3)
    assert history == [("你好", response)]
