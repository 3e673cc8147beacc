"""Facts about users, told by them and remembered over the rounds of a conversation."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import ClassVar

from ..tables import read_table
from .base import LANGUAGES, PHRASINGS, Language, Round, Sample, Skill, Split, vary

_ASKING: dict[Language, tuple[str, ...]] = PHRASINGS["memory: asking"]
_MOST_CHARACTERS_BETWEEN = 60  # forms of a question and its answer


class _Slot:
    """One fact that a user can tell, with its phrasings, questions and answers in one language."""

    def __init__(self, name: str, language: Language, texts: Mapping[str, Sequence[str]]) -> None:
        self.name, self.language = name, language
        self.tellings = texts["tell"]
        (self.reply,), (self.answer,), (self.unknown,) = texts["reply"], texts["answer"], texts["unknown"]
        asking = (frame.format(clause) for clause in texts["clause"] for frame in _ASKING[language])
        self.questions = (*texts.get("direct", ()), *asking)


class Memory(Skill):
    """Remembers a name, a number or a liking, and says so if the user told none.

    `others` are the skills that supply the rounds between the telling and the question.
    """

    name = "memory"
    kind = "rule"
    weight = 2.2
    practice = 12.0
    titles: ClassVar[Mapping[Language, str]] = {"zh": "记住你说的话", "en": "Remembering what you said"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "我叫王小明。", "en": "My name is Anna Garden."}

    def __init__(self, others: Sequence[Skill]) -> None:
        self._others = others
        texts: dict[tuple[str, str], dict[str, list[str]]] = {}
        for slot, language, role, text in read_table("memory"):
            texts.setdefault((slot, language), {}).setdefault(role, []).append(text)
        self._slots = {
            language: [_Slot(slot, language, roles) for (slot, of), roles in texts.items() if of == language]
            for language in LANGUAGES
        }
        self._words = {(name, language): words.split(" ") for name, language, words in read_table("memory_words")}
        self._slot_names = frozenset(slot.name for slot in self._slots["zh"])
        self.phrasings = {
            language: tuple(text for slot in slots for text in (*slot.tellings, *slot.questions))
            for language, slots in self._slots.items()
        }

    def groups(self) -> Iterable[Sequence[str]]:
        """The phrasings that tell one fact, and the phrasings that ask for it."""
        slots = [slot for language in LANGUAGES for slot in self._slots[language]]
        return (group for slot in slots for group in (slot.tellings, slot.questions))

    def split(self, sample: Sample) -> Split | None:
        """The split of a sample; if the user told nothing, only the phrasing can be new."""
        if sample.operand in self._slot_names:
            return "new phrasing" if sample.phrasing in self._held_out_phrasings else None
        return super().split(sample)

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        slot, other = rng.sample(self._slots[language], 2)
        while {slot.name, other.name} == {"colour", "liking"}:  # "I like blue best" tells a liking as well
            slot, other = rng.sample(self._slots[language], 2)
        value, operand = self._value(rng, slot)
        kind = rng.random()
        if kind < 0.15:
            phrasing = rng.choice(slot.tellings)
            question = _typed(rng, phrasing.format(value))
            return Sample(
                self._between(rng, language, 1), question, slot.reply.format(value), language, phrasing, operand
            )
        phrasing = rng.choice(slot.questions)
        question = vary(rng, phrasing, language) if phrasing[-1] in "？?" else _typed(rng, phrasing)
        also_told = [self._telling(rng, other)] if rng.random() < 0.35 else []
        if kind < 0.3:
            history = [*self._between(rng, language, 2), *also_told]
            return Sample(history, question, slot.unknown, language, phrasing, slot.name)
        told = [self._telling(rng, slot, value), *also_told]
        rng.shuffle(told)
        history = told + (self._between(rng, language, 3) if rng.random() < 0.65 else [])
        return Sample(history, question, slot.answer.format(value), language, phrasing, operand)

    def _telling(self, rng: Random, slot: _Slot, value: str | None = None) -> Round:
        """Draw a sentence that tells a fact, in a wording that is trained on; if no value is given, its value is
        trained on too.
        """
        while (phrasing := rng.choice(slot.tellings)) in self._held_out_phrasings:
            pass
        while value is None:
            drawn, operand = self._value(rng, slot)
            if self.split(Sample([], "", "", slot.language, phrasing, operand)) is None:
                value = drawn
        return _typed(rng, phrasing.format(value)), slot.reply.format(value)

    def _between(self, rng: Random, language: Language, most: int) -> list[Round]:
        """Up to `most` short rounds of other skills."""
        rounds: list[Round] = []
        count = rng.randint(0 if most < 3 else 1, most) if self._others else 0
        while len(rounds) < count:
            drawn = rng.choice(self._others).draw(rng, None)
            short = len(drawn.question) + len(drawn.answer) < _MOST_CHARACTERS_BETWEEN
            if drawn.language == language and not drawn.history and short:
                rounds.append((drawn.question, drawn.answer))
        return rounds

    def _value(self, rng: Random, slot: _Slot) -> tuple[str, str]:
        """Draw a value: its form in the slot's language, and its name in both languages."""
        if slot.name == "name":
            name = self._name(rng, slot.language)
            return name, name
        if slot.name in ("room", "code", "age"):
            shortest, longest = {"room": (3, 4), "code": (3, 4), "age": (2, 2)}[slot.name]
            digits = rng.choice("123456789") + "".join(rng.choices("0123456789", k=rng.randint(shortest, longest) - 1))
            return digits, digits
        combinations = {
            "colour": (("plain",), ("colour",), ("colour",), ("shade", "colour"), ("shade", "colour")),
            "liking": (("hobby",), ("hobby", "hobby"), ("quality", "thing"), ("quality", "thing")),
            "pet": (("animal",), ("look", "animal"), ("look", "animal"), ("look", "animal")),
        }
        lists = rng.choice(combinations[slot.name])
        both = lists == ("hobby", "hobby")
        chosen = [rng.randrange(len(self._words[name, "en"])) for name in lists]
        if both and chosen[0] == chosen[1]:
            chosen[1] -= 1  # of the first word, this is the last
        zh, en = (
            [self._words[name, language][i] for name, i in zip(lists, chosen, strict=True)] for language in LANGUAGES
        )
        value = (" and " if both else " ").join(en)
        return ("和" if both else "").join(zh) if slot.language == "zh" else value, value

    def _name(self, rng: Random, language: Language) -> str:
        surname, given = (rng.choice(self._words[name, language]) for name in ("surname", "given"))
        if rng.random() < 0.2 and (language == "en" or len(given) > 1):
            return given
        return surname + given if language == "zh" else f"{given} {surname}"


def _typed(rng: Random, statement: str) -> str:
    """A statement as typed: no "Please", with or without its closing mark."""
    return statement.rstrip("。.") if rng.random() < 0.25 else statement
