"""The recommendation in sentences, and the conditions under which its figures were measured."""

from collections.abc import Iterator, Mapping

import pandas as pd

from dashboard.results.recommendation import Advice, Standing, Value
from dashboard.texts import say
from fastglm.system.files import in_words


def sentences(found: Advice, metrics: Mapping[str, str]) -> Iterator[str]:
    """The recommended variant with reasons, or the reason for no recommendation. `metrics` names the metric of each
    side.
    """
    if found.pick:
        yield say("advice-pick", variant=found.pick.variant)
    if found.original != "runs":
        yield say("advice-too-big") if found.original == "too big" else say("advice-no-original")
    if found.pick is None:
        yield say("advice-none-known") if found.unknown else say("advice-none-fits")
    elif found.baseline in (None, found.pick):
        yield say("advice-first")
    elif found.baseline:
        yield from _gain(found.pick, found.baseline)
        yield _price(found.pick, found.baseline, metrics.get("quality"))
    if found.pick and found.careful:
        yield _careful(found.careful, found.pick)
    if found.pick and found.unknown:
        yield say("advice-faster-unknown", variants=say("list-comma").join(found.unknown))


def _gain(pick: Standing, baseline: Standing) -> Iterator[str]:
    """Speed and memory of the recommended variant relative to the baseline."""
    if pick.speed and baseline.speed:
        ratio = f"{pick.speed.value / baseline.speed.value:.2f}"
        rate, base = f"{pick.speed.value:.1f}", f"{baseline.speed.value:.1f}"
        yield say("advice-speed", ratio=ratio, baseline=baseline.variant, rate=rate, base=base)
    if pick.memory and baseline.memory:
        ratio = f"{pick.memory.value / baseline.memory.value:.2f}"
        yield say(
            "advice-memory", ratio=ratio, memory=in_words(pick.memory.value), base=in_words(baseline.memory.value)
        )


def _price(pick: Standing, baseline: Standing, metric: str | None) -> str:
    """The loss of quality of the recommended variant."""
    if pick.quality is None or baseline.quality is None:
        return say("advice-same")
    share = _percent(pick.quality)
    if metric == "top1_agreement":
        return say("advice-agreement", share=share)
    return say("advice-accuracy", share=share, baseline=baseline.variant, base=_percent(baseline.quality))


def _careful(careful: Standing, pick: Standing) -> str:
    """The variant to take if quality matters most."""
    share, instead = _percent(careful.quality), _percent(pick.quality)
    rate = f"{careful.speed.value:.1f}" if careful.speed else "?"
    return say("advice-careful", variant=careful.variant, share=share, pick=instead, rate=rate)


def _percent(share: Value | None) -> str:
    return "?" if share is None else f"{100 * share.value:.1f} %"


def how_measured(found: pd.DataFrame, points: pd.DataFrame, total: float) -> Iterator[str]:
    """The content of the chart and the conditions of its figures, in sentences."""
    ways = {
        "peak_memory": say("overview-how-peak"),
        "weights_memory": say("overview-how-weights"),
        "skill_accuracy": say("overview-how-accuracy"),
        "top1_agreement": say("overview-how-agreement"),
    }
    params = found.loc[found["side"] == "speed", "params"].iloc[0]
    yield say("overview-how", answer=params.get("answer_tokens", "?"), prompt=params.get("prompt_tokens", "?"))
    yield from (words for metric, words in ways.items() if metric in set(found["metric"]))
    if "quality" not in set(found["side"]):
        yield say("overview-how-none")
    if points["size"].notna().any():
        yield say("overview-how-area", largest=in_words(points["size"].max()))
    yield say("overview-how-front")
    if not points["fits"].all():
        yield say("overview-how-hollow", total=in_words(total))
