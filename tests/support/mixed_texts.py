"""Texts of every kind of characters, to compare tokenizers on."""

import random

_PARTS = (
    *("你好", "世界", "混合文本", "，", "。！？", "　", "Ａ", "𠮷", "한국", "กำ", "नि"),
    *("hello", " world", "the the", "I'm", "don't", "'S", "'ſ", "K", "ﬁ", "é", "e\u0301", "ababab", "aaaaaaaa"),
    *(" ", "  ", "    ", "\n", "\n\n", "\t", "\r\n", "\u0085", "\u200b", "\u00a0", "▁"),
    *("👋🙂", "🇨🇳", "def f(x):\n\treturn x+1", "0123", "3.14", "½", "==", "----", "[", ">", "<|x|>"),
    *("\x00", "\x01", "\x7f", "\x1b", "\ufffd", "\U0010fffd"),
)


def mixed_texts(count: int, seed: int) -> list[str]:
    """Texts of up to twelve random parts: Chinese, English, code, emoji, spaces, line breaks, tabs, rare characters."""
    chosen = random.Random(seed)
    return ["".join(chosen.choice(_PARTS) for _ in range(chosen.randint(1, 12))) for _ in range(count)]
