"""A model's text is drawn without fetching anything, and code stays unchanged."""

import pytest

from dashboard.safe_markdown import parting, parts


def prose(text: str) -> str:
    return "".join(body for kind, body in parts(text) if kind is None)


def test_code_is_cut_out_and_left_alone() -> None:
    found = list(parts("Look:\n```rust\nvec![1]\n\n```\nand **this**"))
    assert found == [
        (None, "<p>Look:</p>\n"),
        ("rust", "vec![1]\n"),
        (None, "<p>and <strong>this</strong></p>\n"),
    ]
    assert list(parts("    indented\n")) == [("", "indented")]


def test_an_unclosed_fence_is_code_while_it_streams() -> None:
    assert list(parts("```python\nprint(1)\n![x](y)")) == [("python", "print(1)\n![x](y)")]


def test_a_fence_closes_only_with_its_own_kind() -> None:
    assert list(parts("````\n```\n````\nend")) == [("", "```"), (None, "<p>end</p>\n")]
    assert list(parts("~~~\n```\n~~~")) == [("", "```")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](http://a/b)", "<p>x (http://a/b)</p>"),
        ("[![x](http://a/b)](http://c)", "<p>x (http://a/b) (http://c)</p>"),
        ("![x][ref]\n\n[ref]: http://a/b", "<p>x (http://a/b)</p>"),
        ("[here](http://a/b 'title')", "<p>here (http://a/b)</p>"),
        ("<http://a/b>", "<p>http://a/b</p>"),
        ("http://a/b", "<p>http://a/b</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ('[x](http://a/"><img/src=http://b>)', "<p>x (http://a/%22%3E%3Cimg/src=http://b%3E)</p>"),
        ('<img src="http://a/b">', "<p>&lt;img src=&quot;http://a/b&quot;&gt;</p>"),
        ("a <a href=http://b>c</a>", "<p>a &lt;a href=http://b&gt;c&lt;/a&gt;</p>"),
        ("<script>\nx\n</script>", "<p>&lt;script&gt;\nx\n&lt;/script&gt;</p>"),
        ("$x$ :red[a] :material/home: :smile:", "<p>$x$ :red[a] :material/home: :smile:</p>"),
        (
            "- a\n  ```mermaid\n  graph <b>\n  ```",
            "<ul>\n<li>a<pre><code>graph &lt;b&gt;\n</code></pre>\n</li>\n</ul>",
        ),
    ],
)
def test_nothing_is_loaded_or_linked(text: str, shown: str) -> None:
    assert prose(text).strip() == shown


def test_tables_and_lists_are_kept() -> None:
    assert "<td>1</td>" in prose("| a | b |\n|---|---|\n| 1 | ~~2~~ |")
    assert "<s>2</s>" in prose("~~2~~")
    assert prose("1. a\n2. b").count("<li>") == 2


def test_the_place_where_texts_begin_to_differ() -> None:
    assert parting("same", "same") is None
    assert parting("a cat", "a dog") == 2
    assert parting("short", "shorter") == 5
    assert parting("", "x") == 0
