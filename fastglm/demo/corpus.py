"""The demo model's corpus: endless, seeded, and split into training and held-out samples."""

from collections.abc import Iterator, Sequence
from random import Random

from .skills import SKILLS, Language, Sample, Skill, Split

EARLIER_ROUNDS = (0.87, 0.07, 0.03, 0.02, 0.01)  # shares of samples with no, one, two, … unrelated rounds before them
SHORT = 60  # most characters of an unrelated round: it costs training time and only teaches the model to ignore it


def training_samples(
    seed: int, step: int, practising: bool = False, skills: Sequence[Skill] = SKILLS
) -> Iterator[Sample]:
    """The endless samples of one training step; equal for equal seed and step, so that training can resume.

    `practising` draws the skills that are hard to learn more often.
    """
    rng = Random(f"training {seed} {step}")
    weights = [skill.weight * (skill.practice if practising else 1) for skill in skills]
    while True:
        skill = rng.choices(skills, weights)[0]
        sample = skill.draw(rng, None)
        rounds = rng.choices(range(len(EARLIER_ROUNDS)), EARLIER_ROUNDS)[0]
        history = [unrelated_round(rng, skill) for _ in range(rounds)] + sample.history
        yield sample._replace(history=history, is_open=skill.kind == "open")


def held_out_samples(seed: int, skill: Skill, split: Split, language: Language, count: int) -> list[Sample]:
    """Up to `count` different held-out questions; fewer if the skill has no more."""
    rng = Random(f"held out {seed} {skill.name} {split} {language}")
    found: dict[str, Sample] = {}
    for _ in range(400 * count):
        sample = skill.sample(rng)
        if sample.language == language and skill.split(sample) == split:
            found[repr((sample.history, sample.question, sample.closing))] = sample
        if len(found) == count:
            break
    return list(found.values())


def vocabulary_texts(seed: int, draws: int = 60_000) -> list[str]:
    """Questions and answers to train the tokenizer on, every skill equally often; frequent words stay frequent."""
    rng = Random(f"vocabulary {seed}")
    samples = (rng.choice(SKILLS).draw(rng, None) for _ in range(draws))
    return [text for sample in samples for text in (sample.question, sample.answer)]


def unrelated_round(rng: Random, skill: Skill) -> tuple[str, str]:
    """A short round of another skill."""
    others = [other for other in SKILLS if other is not skill]
    while (sample := rng.choice(others).draw(rng, None)).history or len(sample.question + sample.answer) > SHORT:
        pass
    return sample.question, sample.answer
