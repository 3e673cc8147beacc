"""The demo model's corpus: endless, seeded, and split into what is trained on and what is held out."""

from collections.abc import Iterator
from random import Random
from zlib import crc32

from .skills import SKILLS, Round, Sample, Skill

HELD_OUT_ONE_IN = 20
EARLIER_ROUNDS = (0.85, 0.12, 0.03)  # share of samples with no, one, two unrelated rounds before them

_WEIGHTS = [skill.weight for skill in SKILLS]


def is_held_out(skill: Skill, sample: Sample) -> bool:
    """Whether training never sees this question, whatever the seed."""
    return crc32(f"{skill.name}: {skill.identity(sample)}".encode()) % HELD_OUT_ONE_IN == 0


def training_samples(seed: int, step: int) -> Iterator[Sample]:
    """The endless samples of one training step; the same for the same seed and step, so that training can resume."""
    rng = Random(f"training {seed} {step}")
    while True:
        skill = rng.choices(SKILLS, _WEIGHTS)[0]
        sample = _trained_on(rng, skill)
        rounds = rng.choices((0, 1, 2), EARLIER_ROUNDS)[0]
        earlier = [earlier_round(rng, skill) for _ in range(rounds)]
        yield sample._replace(history=earlier + sample.history)


def held_out_samples(seed: int, per_skill: int) -> dict[str, list[Sample]]:
    """Up to `per_skill` different held-out questions of each skill; a skill with few questions has fewer."""
    samples: dict[str, list[Sample]] = {}
    for skill in SKILLS:
        rng = Random(f"held out {seed} {skill.name}")
        found: dict[str, Sample] = {}
        for _ in range(40 * HELD_OUT_ONE_IN * per_skill):
            sample = skill.sample(rng)
            if is_held_out(skill, sample):
                found[repr(sample)] = sample
            if len(found) == per_skill:
                break
        samples[skill.name] = list(found.values())
    return samples


def vocabulary_texts(seed: int, draws: int = 30_000) -> list[str]:
    """The different questions and answers that the tokenizer is trained on, sorted."""
    rng = Random(f"vocabulary {seed}")
    skills = [skill for skill in SKILLS if skill.in_vocabulary]
    texts: set[str] = set()
    for _ in range(draws):
        sample = rng.choice(skills).sample(rng)
        texts.update((sample.question, sample.answer))
    return sorted(texts)


def earlier_round(rng: Random, skill: Skill) -> Round:
    """A round of another skill: of the same one it could contradict what follows (a name told, then not known)."""
    others = [other for other in SKILLS if other is not skill]
    while (sample := _trained_on(rng, rng.choice(others))).history:
        pass
    return sample.question, sample.answer


def _trained_on(rng: Random, skill: Skill) -> Sample:
    while is_held_out(skill, sample := skill.sample(rng)):
        pass
    return sample
