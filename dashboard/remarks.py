"""Remarks that weaken figures, in the visitor's language."""

from benchmarks.measure.caveat import Remark
from dashboard.machine import size
from dashboard.markup import Markdown, plain
from dashboard.results import results
from dashboard.texts import say


def words(remark: Remark) -> Markdown:
    """A remark of `benchmarks` in words; raises LookupError for a remark that the pages do not know."""
    about = f"{plain(remark.run)}: " if remark.run else ""
    return Markdown(about + _sentence(remark))


def _sentence(remark: Remark) -> str:
    values = remark.values
    match remark.key:
        case "status":
            return say("remark-status", status=results.status(values["status"]))
        case "busy":
            return say("remark-busy", share=f"{values['share']:.0%}")
        case "blocks":
            return say("remark-blocks")
        case "streamed":
            return say("remark-streamed", variant=values["variant"], made=values["made"])
        case "exact":
            return say("remark-exact", variants=values["variants"])
        case "decoding":
            return say("remark-decoding", variants=values["variants"])
        case "lower-bound":
            return say("remark-lower-bound")
        case "few":
            return say("remark-few", repeats=values["repeats"], enough=values["enough"])
        case "budget":
            return say("remark-budget", repeats=values["repeats"], wanted=f"{values['wanted']:.1%}")
        case "maximum":
            return say("remark-maximum", repeats=values["repeats"], wanted=f"{values['wanted']:.1%}")
        case "one-process":
            return say("remark-one-process")
        case "noise-other_load":
            return say("noise-other-load", mean=f"{values['mean']:.0%}", most=f"{values['most']:.0%}")
        case "noise-memory_short":
            return say("noise-memory-short", free=size(values["free"]), total=size(values["total"]))
        case "noise-throttled":
            return say("noise-throttled", events=values["events"])
        case "noise-clock_limited":
            return say("noise-clock-limited", share=f"{values['share']:.0%}")
        case "noise-gpu_slowed":
            return say("noise-gpu-slowed")
        case "noise-drift":
            return say("noise-drift", by=f"{values['by']:+.1%}")
        case "noise-spread":
            return say("noise-spread", largest=f"{values['largest']:.0%}")
        case "noise-warm_up":
            return say("noise-warm-up")
        case "differ":
            return say("remark-differ", what=_what(values["what"]), one=values["one"], other=values["other"])
        case "starts":
            return say("remark-starts")
        case "unknown":
            return say("remark-unknown", metric=values["metric"])
        case "bound-left-out":
            return say("remark-bound-left-out")
        case "vocabulary-left-out":
            return say("remark-vocabulary-left-out", variant=values["variant"])
        case "left-out":
            return say("remark-left-out", metric=values["metric"], variant=values["variant"])
        case "single":
            return say("remark-single")
        case "alone":
            return say("remark-alone")
        case "failed-in-b":
            return say("remark-failed", variant=values["variant"], suite=values["suite"], error=values["error"])
    raise LookupError(f"no words for the remark {remark.key}")


def _what(name: str) -> str:
    names = {
        "model": say("differ-model"),
        "code": say("differ-code"),
        "processor": say("differ-processor"),
        "device": say("differ-device"),
        "torch": say("differ-torch"),
        "arithmetic": say("differ-arithmetic"),
    }
    return names.get(name, name)
