"""What a model says is drawn without fetching anything, and code stays as it is."""

from dashboard.answers import harmless, parting, parts


def test_code_is_cut_out_and_left_alone() -> None:
    text = "Look:\n```rust\nvec![1]\n```\nand ![x](http://somewhere/x.png)"
    assert parts(text) == [(None, "Look:"), ("rust", "vec![1]"), (None, "and ![x](http://somewhere/x.png)")]


def test_an_unclosed_fence_is_code_while_it_streams() -> None:
    assert parts("```python\nprint(1)\n![x](y)") == [("python", "print(1)\n![x](y)")]


def test_a_fence_closes_only_with_its_own_kind() -> None:
    assert parts("````\n```\n````\nend") == [("", "```"), (None, "end")]
    assert parts("~~~\n```\n~~~") == [("", "```")]


def test_no_image_is_left_in_prose() -> None:
    for text in ("![x](http://a/b)", "[![x](http://a/b)](c)", "![x][ref]\n\n[ref]: http://a/b", "- ```\n![x](y)"):
        assert all("![" not in harmless(body) for kind, body in parts(text) if kind is None)


def test_where_texts_part() -> None:
    assert parting("same", "same") is None
    assert parting("a cat", "a dog") == 2
    assert parting("short", "shorter") == 5
    assert parting("", "x") == 0
