"""The memory page."""

import json
from typing import Any

import pandas as pd
import pytest
from page_run import DEMO_VARIANTS, Open, box, healthy, press, words
from stored import keep
from streamlit.testing.v1 import AppTest

from benchmarks.store.run import Run
from dashboard.results import memory
from fastglm.engine import EagerEngine, FastEngine, Sampling
from fastglm.models.chatglm.config import ChatGLM6BConfig
from fastglm.models.chatglm.model import ChatGLMForConditionalGeneration

PAGE = "pages/memory.py"
TOKEN = 1000  # bytes of cache
DEMO = {"original": (40e6, 300e6), "int4": (10e6, 290e6)}  # weights, and the peak without the cache
BIG = {"original": (26e9, 30e9), "int4": (4e9, 5e9)}


def measured(
    variants: dict[str, tuple[float, float]], model: str = "demo", token: float = TOKEN, short: str = "", **reason: str
) -> Run:
    """A stored run, with prompts of 36 and 192 tokens and answers of 64; `short` is a variant that failed."""
    run = Run(model, [*variants, *([short] if short else [])], ("memory",), {"threads": 2})
    rows: list[tuple[Any, ...]] = []
    for variant, (weights, others) in variants.items():
        rows.append((variant, "weights_memory", {}, weights))
        rows.append((variant, "peak_memory", {"during": "load"}, 9e12))  # no chart shows these
        for prompt, held in ((192, 256), (36, 100 if variant == "original" else 128)):
            params = {"prompt_tokens": prompt, "answer_tokens": 64}
            rows.append((variant, "cache_memory", params, token * held))
            rows.append((variant, "peak_memory", {"during": "answer", **params}, others + token * held))
    if short:
        reason = {"suite": "memory", "kind": "MemoryShortError", "error": "took more memory than there is"} | reason
        rows.append((short, "failure", reason, 1.0))
    return keep(run, *rows, device="cuda:0")


def figures(app: AppTest) -> list[dict[str, Any]]:
    """The charts of the page, in plotly's form."""
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def edges(app: AppTest) -> list[str]:
    """The names of the horizontal lines."""
    return [note["text"] for note in figures(app)[-1]["layout"].get("annotations", [])]


def traces(app: AppTest, mode: str) -> dict[str, Any]:
    """The lines or the markers of the computed chart."""
    return {trace["name"]: trace for trace in figures(app)[-1]["data"] if trace["mode"] == mode}


def table(app: AppTest) -> pd.DataFrame:
    """The computed values, a row per variant."""
    return next(found.value for found in app.dataframe if "token" in found.value).set_index("variant")


@pytest.mark.parametrize("model", ["shape:chatglm3-6b", "THUDM/chatglm3-6b", "modelscope:ZhipuAI/chatglm3-6b"])
def test_cards_are_named_before_anything_is_downloaded(open_page: Open, model: str) -> None:
    app = open_page(PAGE, model=model)
    text = words(app)
    assert "With 8192 tokens of context, **int4**, **distilled**, **turbo** fit on a 4 GB card." in text
    assert "With 8192 tokens of context, **int8** fits on a 8 GB card." in text
    needs = app.dataframe[0].value.set_index("Variant")["Needs"]
    assert needs["int4"] == "3.8 GB"
    healthy(app.toggle(key="cards-int8").set_value(True).run())
    assert app.dataframe[0].value.set_index("Variant")["Needs"]["int4"] == "3.7 GB"


def test_a_model_of_unknown_size_has_no_cards(open_page: Open) -> None:
    assert "fits on a" not in words(open_page(PAGE, model="THUDM/another-model"))


def test_a_longer_context_needs_a_larger_card(open_page: Open) -> None:
    app = open_page(PAGE, model="shape:glm-4-9b")
    assert "**int4**, **distilled** fit on a 6 GB card." in words(app)
    healthy(app.selectbox(key="cards-context-shape:glm-4-9b").select(32768).run())
    assert "With 32768 tokens of context, **int4** fits on a 12 GB card." in words(app)


def test_the_parts_are_those_of_the_longest_prompt_and_never_below_zero(open_page: Open) -> None:
    run = measured({**DEMO, "int8": (20e6, 1e6)})
    app = open_page(PAGE)
    bars = figures(app)[0]
    assert {bar["name"]: bar["y"] for bar in bars["data"]} == {
        "Weights": pytest.approx([40, 10, 20]),
        "KV cache": pytest.approx([0.256] * 3),
        "The rest": pytest.approx([260, 280, 0]),
    }
    assert bars["data"][0]["x"] == ["original", "int4", "int8"]
    assert bars["layout"]["barmode"] == "stack"
    assert run.code_version in words(app)
    assert len(app.dataframe[-1].value) == 18


def test_lines_go_through_what_was_measured_and_grow_as_each_engine_does(open_page: Open) -> None:
    measured(DEMO)
    app = open_page(PAGE)
    lines, points = traces(app, "lines"), traces(app, "markers")
    for variant, point in points.items():
        assert sorted(point["x"]) == [100, 256]
        at = dict(zip(lines[variant]["x"], lines[variant]["y"], strict=True))
        assert at[256] == pytest.approx(dict(zip(point["x"], point["y"], strict=True))[256])
        assert at[65] - at[64] == pytest.approx(0.001 if variant == "original" else 0.064)
    assert max(lines["int4"]["x"]) == 1024  # the demo's context


def test_the_sliders_say_what_each_variant_needs(open_page: Open) -> None:
    measured(DEMO)
    app = open_page(PAGE)
    assert table(app)["need"].tolist() == pytest.approx([301.024, 291.024])
    healthy(app.slider(key="context").set_value(128).run())
    healthy(app.slider(key="batch").set_value(4).run())
    assert table(app)["need"].tolist() == pytest.approx([300.512, 290.512])
    assert figures(app)[-1]["layout"]["shapes"][-1]["x0"] == 128
    assert not traces(app, "markers")
    assert "Peaks were measured for one sequence at a time" in words(app)


def test_variants_that_fit_the_card_at_hand_are_named(open_page: Open) -> None:
    measured(BIG, "shape:chatglm-6b", token=1e6)
    app = open_page(PAGE)
    text = words(app)
    assert "With 2048 tokens of context and a batch of 1, **int4** fits into the 24.0 GB of this machine" in text
    assert "**original** does not fit into the 24.0 GB" in text
    assert "(the model's limit is 2048): **original** 0, **int4** 2048." in text
    assert table(app)["fits"].to_dict() == {"original": "does not fit", "int4": "fits"}
    healthy(app.slider(key="batch").set_value(16).run())
    assert "**original**, **int4** do not fit" in words(app)  # 5 GB and 16 × 2.048 GB
    assert table(app)["longest"].to_dict() == {"original": 0, "int4": 1152}  # 19 GB in steps of 64 × 16 MB


def test_cards_are_drawn_where_they_leave_the_lines_room(open_page: Open) -> None:
    measured(BIG, "shape:chatglm-6b", token=1e6)
    app = open_page(PAGE)
    assert edges(app) == ["4 GB", "6 GB", "8 GB", "12 GB", "16 GB", "24 GB", "this machine, 24.0 GB"]
    measured(DEMO)
    app = open_page(PAGE)
    assert edges(app) == []
    assert "stays far below the smallest one, 4 GB" in words(app)
    assert figures(app)[-1]["layout"]["yaxis"]["range"][1] < 330
    assert memory.cards_in_view(7e9) == [4, 6, 8]
    assert memory.cards_in_view(2e9) == [4]
    assert memory.cards_in_view(1.9e9) == []


def test_a_variant_that_ran_out_of_memory_is_a_red_bar(open_page: Open) -> None:
    measured(DEMO, short="fast")
    app = open_page(PAGE)
    assert "took more memory than there is" in app.warning[0].value
    (red,) = (bar for bar in figures(app)[0]["data"] if bar["name"] == "out of memory")
    assert (red["x"], red["text"]) == (["fast"], ["out of memory"])
    assert red["y"][0] > 300
    assert "fast" not in traces(app, "lines")


def test_one_that_ran_out_of_memory_later_is_not_said_to_fit(open_page: Open) -> None:
    measured(DEMO, short="int4")
    app = open_page(PAGE)
    assert "int4" in traces(app, "lines")
    assert "**original** fits" in words(app)
    assert "**int4** 1024" not in words(app)
    assert table(app)["fits"].to_dict() == {"original": "fits", "int4": "out of memory"}
    red = figures(app)[0]["data"][-1]
    assert red["y"][0] > 0


def test_a_run_of_which_nothing_fitted(open_page: Open) -> None:
    measured({}, short="original")
    app = open_page(PAGE)
    (bars,) = figures(app)
    assert bars["data"][-1]["x"] == ["original"]
    assert bars["layout"]["yaxis"]["showticklabels"] is False


def test_other_failures_are_no_lack_of_memory(open_page: Open) -> None:
    measured(DEMO, short="fast", kind="HostError", error="the process ended")
    app = open_page(PAGE)
    assert "the process ended" in app.warning[0].value
    assert "out of memory" not in [bar["name"] for bar in figures(app)[0]["data"]]


def test_a_link_reopens_context_and_batch(open_page: Open) -> None:
    measured(DEMO)
    for said, shown in (({"context": "128", "batch": "4"}, (128, 4)), ({"context": "x", "batch": "99"}, (1024, 1))):
        app = open_page(PAGE, **said)
        assert (app.slider(key="context").value, app.slider(key="batch").value) == shown


@pytest.mark.parametrize(
    ("model", "context"), [("shape:chatglm-6b", 2048), ("THUDM/chatglm3-6b", 8192), ("THUDM/another-model", 2048)]
)
def test_a_run_of_a_model_with_a_shorter_context_can_be_picked(open_page: Open, model: str, context: int) -> None:
    measured(DEMO)
    measured(BIG, model)
    app = open_page(PAGE)
    assert app.slider(key="context").max == context
    healthy(app.slider(key="context").set_value(1920).run())
    healthy(box(app, "Measurement").select_index(1).run())
    assert app.slider(key="context").max == 1024


def test_measuring_is_started_with_what_was_chosen(open_page: Open, commands: list[list[str]]) -> None:
    press(open_page(PAGE), "Measure")
    assert " ".join(commands[0]) == (
        f"-m benchmarks run --model demo --variants {','.join(DEMO_VARIANTS)} --suite memory "
        "--prompt-tokens 32,512 --answer-tokens 64 --progress json"
    )


TINY = ChatGLM6BConfig(
    num_layers=1, num_attention_heads=2, hidden_size=8, inner_hidden_size=8, vocab_size=8, bos_token_id=3,
    pad_token_id=0, eos_token_id=4, mask_token_id=5, gmask_token_id=6,
)  # fmt: skip


def test_a_learned_prefix_takes_its_part_of_each_cache() -> None:
    params = {"prompt_tokens": 100, "answer_tokens": 20}
    rows = pd.DataFrame(
        [("fast", "weights_memory", {}, 1.0), ("fast", "cache_memory", params, 256.0 * 8)],
        columns=["variant", "metric", "params", "value"],
    )
    need = memory.needs(rows, prefix=128)["fast"]
    assert need.token == 8
    assert (need.at(64, 1), need.at(65, 2)) == (1 + 8 * 192, 1 + 2 * 8 * 256)
    assert need.longest(1 + 8 * 256, 1) == 128


@pytest.mark.parametrize(("prompt", "answer"), [(10, 64), (64, 64), (65, 128), (50, 270), (1, 192), (1, 193), (1, 194)])
def test_a_token_of_cache_is_what_the_engines_set_aside(prompt: int, answer: int) -> None:
    model = ChatGLMForConditionalGeneration(TINY)
    fast, eager = FastEngine(model), EagerEngine(model)
    for variant, engine in (("fast", fast), ("original", eager)):
        cache = 0
        if variant == "fast":
            for _ in fast.generate([2] * prompt, answer, Sampling(do_sample=False), ()):
                cache = fast.cache_memory(0)
        else:
            cache = eager.cache_memory(prompt + answer)
        params = {"prompt_tokens": prompt, "answer_tokens": answer}
        rows = pd.DataFrame(
            [(variant, "weights_memory", {}, 1.0), (variant, "cache_memory", params, float(cache))],
            columns=["variant", "metric", "params", "value"],
        )
        assert memory.needs(rows)[variant].token == 2 * 2 * 4 * 4, (variant, engine)
