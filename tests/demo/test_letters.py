"""The letters of words: right by Python's own string functions, and asked in every wording."""

import re
from collections import Counter
from random import Random

from drawing import drawn

from fastglm.demo.skills.base import Skill
from fastglm.demo.skills.letters import CHARACTERS, Counting, FirstLast, Reversal, draw_word

SKILLS: tuple[Skill, ...] = (Counting(), Reversal(), FirstLast())
QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”')


def quoted(text: str) -> list[str]:
    return ["".join(found) for found in QUOTED.findall(text)]


def test_counts_are_right_and_so_is_the_spelling() -> None:
    counts: Counter[tuple[str, int]] = Counter()
    for sample in drawn(Counting()):
        *letter, word = sorted(quoted(sample.question), key=len)
        found = quoted(sample.answer)
        spelled = found[-1]
        assert found[:-1] == letter
        steps = re.findall(r"(\D)(\d+)", spelled.replace("-", ""))
        expected = word.count(letter[0]) if letter else len(word)
        assert "".join(each for each, _ in steps) == word
        assert [int(n) for _, n in steps] == [
            word[:end].count(letter[0]) if letter else end for end in range(1, len(word) + 1)
        ]
        assert int(re.findall(r"\d+", sample.answer)[-1]) == expected
        assert "1 times" not in sample.answer
        counts["letter" if letter else "length", expected] += 1
    assert {n for kind, n in counts if kind == "letter"} >= {0, 1, 2, 3, 4}
    assert {n for kind, n in counts if kind == "length"} == set(range(2, 11))


def test_a_count_is_graded_by_its_number() -> None:
    expected = 'Look for "e": "l0-e1-t1-t1-e2-r2", so it appears 2 times.'
    assert Counting().check('Look for "e": "l0-e1-t1-t1-e2-e2", so it appears 2 times.', expected)
    assert not Counting().check('Look for "e": "l0-e1-t1-t1-e2-r2", so it appears 1 time.', expected)
    assert not Counting().check("", expected)


def test_reversals_are_right() -> None:
    for sample in drawn(Reversal()):
        (word,) = quoted(sample.question)
        assert quoted(sample.answer) == [word, "".join(reversed(word))]
        assert sample.operand == word


def test_places_are_right() -> None:
    places = {"第一个": 0, "第二个": 1, "最后一个": -1, "first": 0, "second": 1, "last": -1}
    for sample in drawn(FirstLast()):
        (word,), (found,) = quoted(sample.question), quoted(sample.answer)
        asked = [place for name, place in places.items() if name in QUOTED.sub("", sample.question)]
        told = [place for name, place in places.items() if name in sample.answer]
        assert asked == told
        assert [found] == [word[place] for place in asked]


def test_chinese_characters_are_not_called_letters() -> None:
    for skill in SKILLS:
        for sample in drawn(skill, 1000):
            if any("一" <= c <= "鿿" for word in quoted(sample.question) for c in word):
                assert not re.search("letter|字母|spell", sample.question + sample.answer)


def test_words_are_many_and_their_letters_common() -> None:
    rng = Random(0)
    words = [draw_word(rng, longest=7) for _ in range(6000)]
    letters = Counter("".join(words))
    assert len(set(words)) > 3000
    assert {len(word) for word in words} == set(range(2, 8))
    assert len(CHARACTERS) < 200
    assert min(letters[each] for each in (*"abcdefghijklmnopqrstuvwxyz", *CHARACTERS)) >= 10
