"""What this project does, in a sentence or two each: pruning, quantisation, distillation and their company."""

from .base import Entry, EntrySkill


def _ways(zh: str, en: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How people ask for the meaning of a term."""
    return (
        (
            f"什么是{zh}？",
            f"{zh}是什么？",
            f"{zh}是什么意思？",
            f"解释一下{zh}。",
            f"请用一句话解释{zh}。",
            f"给我讲讲{zh}。",
        ),
        (
            f"What is {en}?",
            f"Explain {en}.",
            f"What does {en} mean?",
            f"Explain {en} in one sentence.",
            f"Tell me about {en}.",
        ),
    )


def _entry(zh: str, zh_answer: str, en: str, en_answer: str) -> Entry:
    zh_ways, en_ways = _ways(zh, en)
    return Entry(zh_ways, zh_answer, en_ways, en_answer)


class Compression(EntrySkill):
    """Explains the words of model compression."""

    name = "compression"
    weight = 1.5
    entries = (
        _entry(
            "剪枝",
            "剪枝就是去掉模型里不重要的层和通道，让模型更小、更快，再用少量训练把质量补回来。",
            "pruning",
            "Pruning removes the layers and channels that matter least, "
            "so that the model gets smaller and faster; a little training then heals it.",
        ),
        _entry(
            "量化",
            "量化就是用更少的位数保存权重，比如用 8 位或 4 位整数代替 16 位浮点数，这样占用的内存更少，读得也更快。",
            "quantisation",
            "Quantisation stores the weights in fewer bits, "
            "for example 8-bit or 4-bit integers instead of 16-bit numbers, "
            "so that less memory has to be read for every token.",
        ),
        _entry(
            "蒸馏",
            "蒸馏就是让一个小模型学习大模型的输出，使它用更少的计算给出相近的回答。",
            "distillation",
            "Distillation trains a small model to imitate the outputs of a large one, "
            "so that it gives similar answers with less work.",
        ),
        _entry(
            "模型压缩",
            "模型压缩就是用剪枝、量化和蒸馏等方法，让模型变小变快，同时尽量保持回答的质量。",
            "model compression",
            "Model compression makes a model smaller and faster by pruning, quantisation and distillation, "
            "and tries to keep the quality of its answers.",
        ),
        _entry(
            "键值缓存",
            "键值缓存保存已经算过的键和值，这样生成每个新词时不用把前面的内容再算一遍。",
            "the KV cache",
            "The KV cache keeps the keys and values that were already computed, "
            "so that a new token does not need the whole text again.",
        ),
        _entry(
            "语言模型",
            "语言模型根据前面的文字预测下一个词，一个词一个词地写出回答。",
            "a language model",
            "A language model predicts the next word from the words before it, and so writes an answer word by word.",
        ),
    )
