"""The overview page."""

import platform
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from page_run import DEMO_VARIANTS, Open, box, button, healthy, words
from stored import keep, more

from benchmarks.store.run import Run
from benchmarks.store.store import Store
from dashboard.jobs import measure_form
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.source import demo_folder

PAGE = "pages/overview.py"
FIGURES = {  # tokens/s, bytes, share of right answers
    "original": (10.0, 12e9, 0.95),
    "fast": (15.0, 12e9, 0.95),
    "int8": (20.0, 7e9, 0.94),
    "int4": (30.0, 4e9, 0.80),
}


def measured(
    suites: tuple[str, ...] = ("latency", "memory", "quality"), variants: tuple[str, ...] = tuple(FIGURES), **about: Any
) -> Run:
    """A finished run in the store."""
    rows: list[tuple[Any, ...]] = []
    answer = {"prompt_tokens": 128, "answer_tokens": 64}
    for variant in variants:
        speed, memory, quality = FIGURES[variant]
        for suite, metric, params, value in (
            ("latency", "decode_rate", answer, speed),
            ("latency", "decode_rate", {**answer, "prompt_tokens": 32}, 2 * speed),
            ("memory", "weights_memory", {}, memory / 2),
            ("memory", "peak_memory", {"during": "answer", **answer}, memory),
            ("quality", "skill_accuracy", {}, quality),
            ("quality", "skill_accuracy", {"skill": "talk"}, 1.0),
        ):
            if suite in suites:
                rows.append((variant, metric, params, value, 5, value, value))
    return keep(Run(about.pop("model", "demo"), variants, suites, {}, **about), *rows, device="cuda")


def test_the_empty_page_names_the_command_and_has_a_button(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(measure_form, "start", lambda *what: started.append(what))
    app = open_page(PAGE)
    text = words(app)
    assert "Not measured on this machine yet: speed, memory, quality." in text
    variants = ",".join(DEMO_VARIANTS)
    command = f"python -m benchmarks run --model demo --variants {variants} --suite latency,memory,quality"
    assert command in text
    assert not app.get("plotly_chart")
    healthy(button(app, "measure").click().run())
    assert started == [("demo", DEMO_VARIANTS, "latency,memory,quality", [])]


def test_facts_of_machine_and_model(open_page: Open) -> None:
    text = words(open_page(PAGE))
    assert "**Test GPU** · 24.0 GB of memory · 8 cores, 8 threads" in text
    tensors = dict(Checkpoint(demo_folder()).tensors())
    vocabulary, hidden = tensors["transformer.word_embeddings.weight"].shape
    millions = sum(tensor.numel() for tensor in tensors.values()) / 1e6
    assert f"**demo (built in)** · {millions:.2f} M parameters · " in text
    assert f" layers, hidden size {hidden:,} · context of " in text
    assert f"vocabulary of {vocabulary:,} tokens · " in text
    assert text.count(" on disk") == 1


def test_a_variant_is_recommended_and_everything_drawn(open_page: Open) -> None:
    run = measured()
    app = open_page(PAGE)
    (advice,) = app.success
    assert advice.value == (
        "Run **int8** here. It writes **2.00 ×** as fast as original (20.0 against 10.0 tokens/s). "
        "It takes **0.58 ×** the memory (7.0 GB against 12.0 GB). "
        "It answers 94.0 % of the questions right, original 95.0 %. "
        "If quality matters above all, take **fast**: 95.0 % instead of 94.0 %, at 15.0 tokens/s."
    )
    text = words(app)
    assert "The rule: a variant counts if it takes at most 90 %" in text
    assert "after prompts of 128" in text
    assert "at most 12.0 GB" in text
    assert "Hollow" not in text
    assert "Not measured" not in text
    assert len(app.get("plotly_chart")) == 1
    table = app.dataframe[0].value
    assert table["variant"].tolist() == ["original", "fast", "int8", "int4"]
    assert table["memory"].tolist() == [12, 12, 7, 4]
    assert table["fits"].all()
    assert all(run.code_version in text for text in table["runs"])
    assert len(app.dataframe[1].value) == 12


def test_newer_values_and_their_runs_are_shown(open_page: Open) -> None:
    measured(started=datetime.now(UTC) - timedelta(days=400), code_version="before")
    measured(("latency",), ("int4",), started=datetime.now(UTC) - timedelta(days=2), code_version="after")
    table = open_page(PAGE).dataframe[0].value.set_index("variant")
    assert "before" in table.loc["int8", "runs"]
    assert "after" not in table.loc["int8", "runs"]
    assert "before" in table.loc["int4", "runs"]
    assert "after" in table.loc["int4", "runs"]


def test_without_quality_memory_is_drawn_and_the_rest_can_be_measured(open_page: Open) -> None:
    measured(("latency", "memory"))
    app = open_page(PAGE)
    text = words(app)
    assert "Run **fast** here." in text
    assert "Faster still, but of unknown quality: int8, int4." in text
    assert "Not measured on this machine yet: quality." in text
    assert "--suite quality`" in text
    assert "shows speed against memory" in text
    assert len(app.get("plotly_chart")) == 1


def test_random_weights_have_no_quality_to_measure(open_page: Open) -> None:
    measured(("latency",), model="shape:chatglm-6b")
    text = words(open_page(PAGE, model="shape:chatglm-6b"))
    assert "no quality to measure" in text
    assert "Not measured on this machine yet: memory." in text
    assert "**shape:chatglm-6b** · 6.17 B parameters · 28 layers, hidden size 4,096" in text


def test_variants_that_do_not_fit_are_hollow_and_a_failed_original_is_told(open_page: Open) -> None:
    there = {"node": platform.node(), "device": {"name": "Small GPU", "memory_total": 13_000_000_000}}
    run = measured(variants=("fast", "int8", "int4"), machine=there)
    failure = {"suite": "latency", "kind": "MemoryShortError", "error": "13 GB are too few"}
    more(run, ("original", "failure", failure, 1.0), device="cuda")
    app = open_page(PAGE, machine=f"{platform.node()} · Small GPU")
    text = words(app)
    assert "**original** could not be measured: 13 GB are too few" in text
    assert "Hollow bubbles do not fit: they take more than 90 % of the device's 13.0 GB." in text
    assert "Run **int8** here. original does not fit into the memory of this device" in text


def test_other_machines_have_to_be_chosen(open_page: Open) -> None:
    measured(machine={"node": "elsewhere", "device": {"name": "Big GPU", "memory_total": 80_000_000_000}})
    app = open_page(PAGE)
    assert "but another one has: choose it above" in words(app)
    assert not app.get("plotly_chart")
    healthy(box(app, "Machine").set_value("elsewhere · Big GPU").run())
    assert "Run **int8** here." in words(app)
    assert app.query_params["machine"] == "elsewhere · Big GPU"
    assert not button(app, "measure")
    assert "**Big GPU** · 80.0 GB of memory" in words(app)


def test_links_to_what_is_not_here(open_page: Open) -> None:
    text = words(open_page(PAGE, model="/etc", machine="![](http://elsewhere/)"))
    assert "names a model that may not be opened here" in text
    assert "names a machine that has no results here" in text
    assert "elsewhere" not in text


def test_only_few_runs_are_read(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(8):
        measured(("memory",), ("int4",))
    asked: list[Any] = []
    read = Store.measurements

    def watched(self: Store, run_ids: Any = None, metric: str | None = None) -> Any:
        asked.append(run_ids)
        return read(self, run_ids, metric)

    monkeypatch.setattr(Store, "measurements", watched)
    open_page(PAGE)
    assert [len(ids) for ids in asked] == [5]


def test_the_page_speaks_chinese(open_page: Open) -> None:
    measured()
    app = open_page(PAGE, locale="zh-CN")
    assert app.success[0].value.startswith("建议在此运行 **int8**。书写速度是 original 的 **2.00 倍**")
