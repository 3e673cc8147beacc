"""The Compress page: its predictions, its jobs, and its card of a compressed model."""

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_run import Open, box, button, healthy, place, press, words
from spoil import change_json
from stored import keep
from streamlit.testing.v1 import AppTest

from benchmarks.jobs.compression import Compression
from benchmarks.jobs.jobs import Job, Jobs
from benchmarks.measure.graded_answer import Graded
from benchmarks.store.run import Run
from benchmarks.store.store import Store
from fastglm.compress.recipe import find_recipe
from fastglm.models.source import demo_folder

PAGE = "pages/compress.py"


def number(app: AppTest, label: str) -> Any:
    return next(found for found in app.number_input if found.label == label)


def figures(app: AppTest) -> dict[str, tuple[str, str]]:
    return {found.label: (found.value, found.delta) for found in app.metric}


def address(app: AppTest, param: str) -> str:
    """The value of a parameter in the address."""
    value = app.query_params[param]
    return value if isinstance(value, str) else value[0]


def steps(app: AppTest) -> list[str]:
    """The steps of the displayed recipe."""
    return [next(iter(step)) for step in json.loads(address(app, "steps"))]


def make(home: Path, name: str, losses: tuple[float, ...] = (0.3, 0.9, 0.32), parent: str = "demo") -> Path:
    """A model with the record of its making, and an empty file for its weights."""
    folder = home / "models" / name
    folder.mkdir(parents=True)
    shutil.copy(demo_folder() / "config.json", folder)
    (folder / "model.safetensors").touch()
    scores = [{"loss": loss, "perplexity": 1 + loss, "tokens": 900} for loss in losses]
    sizes = [{"parameters": count, "bytes": 2 * count} for count in (9_000_000, 7_000_000, 6_000_000)]
    record: dict[str, Any] = {
        "recipe": {"name": "pruned", "seed": 0, "steps": []},
        "parents": [{"model": parent}],
        "sizes": {"before": sizes[0], "after": sizes[2]},
        "scores": {"before": scores[0], "after": scores[2]} if scores else None,
        "steps": [
            {"step": "prune-depth", "seconds": 30.0, "size": sizes[1]} | ({"scores": scores[1]} if scores else {}),
            {"step": "distil", "seconds": 90.0, "size": sizes[2]} | ({"scores": scores[2]} if scores else {}),
        ],
    }
    (folder / "fastglm.json").write_text(json.dumps(record))
    return folder


def test_the_empty_page_predicts_and_says_what_to_do(open_page: Open) -> None:
    app = open_page(PAGE)
    assert figures(app)["Parameters"] == ("9.34 M", "1 × the original")
    size, share = figures(app)["On disk"]
    assert size == "5.0 MB"
    assert 0.25 < float(share.split()[0]) < 0.3
    assert "at most 3." in words(app)
    assert "Computed, not measured" in words(app)
    assert "Nothing has been made yet" in words(app)
    assert (address(app, "model"), address(app, "recipe")) == ("demo", "int4")


def test_choices_come_from_the_address_and_go_there(open_page: Open) -> None:
    app = open_page(PAGE, recipe="turbo", model="shape:chatglm-6b")
    assert box(app, "Recipe").value == "turbo"
    assert figures(app)["Parameters"][0] == "1.79 B"
    assert "random weights" in words(app)
    assert next(found for found in app.button if found.label == "Compress").disabled
    healthy(box(app, "Model").set_value("demo").run())
    healthy(box(app, "Recipe").set_value("int8").run())
    assert (address(app, "model"), address(app, "recipe")) == ("demo", "int8")
    assert "random weights" not in words(app)


def test_the_form_keeps_its_place_below_any_choice(open_page: Open) -> None:
    """Otherwise a browser shows the form twice, until a slow page is complete."""
    app = open_page(PAGE, model="shape:chatglm-6b")
    places = [place(app.main, app.text_input[0])]
    for label, value in (("Model", "demo"), ("Recipe", "own"), ("Texts to learn from", "own")):
        healthy(box(app, label).set_value(value).run())
        places.append(place(app.main, app.text_input[0]))
    assert places[0]
    assert places == [places[0]] * 4


def test_a_recipe_is_built_step_by_step(open_page: Open, commands: list[list[str]]) -> None:
    app = open_page(PAGE, recipe="pruned")
    healthy(box(app, "Recipe").set_value("own").run())
    assert steps(app) == ["prune-depth", "prune-width", "distil"]  # steps of the recipe that was chosen before
    before = figures(app)["Parameters"]
    healthy(number(app, "Share to remove").set_value(0.5).run())
    assert figures(app)["Parameters"] != before
    for added in ("quantise", "prune-vocabulary"):
        healthy(box(app, "Step").set_value(added).run())
        healthy(button(app, "step-add").click().run())
    assert steps(app)[-2:] == ["prune-vocabulary", "quantise"]
    healthy(next(found for found in app.button if found.key.startswith("remove-")).click().run())
    assert steps(app) == ["prune-width", "distil", "prune-vocabulary", "quantise"]
    link = address(app, "steps")
    ups = [found for found in app.button if found.key.startswith("up-")]
    healthy(ups[2].click().run())
    assert "it cannot follow prune-vocabulary" in words(app)
    assert not [found for found in app.button if found.label == "Compress"]
    again = open_page(PAGE, recipe="own", steps=link)
    assert steps(again) == ["prune-width", "distil", "prune-vocabulary", "quantise"]
    press(again, "Compress")
    kept = Compression.of(commands[0])
    assert (kept.model, kept.name, kept.texts) == ("demo", "demo-own", "demo")
    assert [step.name for step in find_recipe(kept.recipe).steps] == steps(again)


@pytest.mark.parametrize("steps", ["no", "5", "[]", '[{"prune-depth":{"share":NaN}}]', '[{"burn":{}}]', "[" * 5000])
def test_an_address_with_other_steps_begins_anew(open_page: Open, steps: str) -> None:
    assert "quantise" in address(open_page(PAGE, recipe="own", steps=steps), "steps")


def test_a_compression_is_a_job_that_a_reload_finds_again(
    open_page: Open, worker: Callable[[], Job], own_home: Path
) -> None:
    queue = Jobs(Store())
    app = press(open_page(PAGE, recipe="pruned"), "Compress")
    assert "demo (built in) → demo-pruned · next in line" in words(app)
    assert "demo-pruned is being made" in words(press(app, "Compress"))
    job = worker()
    assert Compression.of(job.arguments) == Compression("demo", "pruned", "demo-pruned", "demo")
    said = ["step 3 of 3: training", *(f"{done}/4000 · loss {loss}" for done, loss in ((10, 2.5), (20, 2.25)))]
    queue.tell(job, {"stage": "step 3 of 3: training · loss 2.25", "fraction": 0.3, "eta": 12.0}, said)
    again = open_page(PAGE)
    (bar,) = again.get("progress")
    assert bar.proto.text == "step 3 of 3: training · loss 2.25 · about 12 s left"
    (chart,) = again.get("plotly_chart")
    (line,) = json.loads(chart.proto.spec)["data"]
    assert (line["x"], line["y"]) == ([10, 20], [2.5, 2.25])
    healthy(button(again, f"cancel-{job.id}").click().run())
    assert "Stopping; steps that are done are kept" in healthy(again.run()).get("progress")[0].proto.text
    queue.finish(job, "cancelled")
    assert "was cancelled; steps that were done are kept" in words(healthy(again.run()))
    assert not button(again, "go-on")  # no step was done
    (own_home / "models" / "demo-pruned.work").mkdir(parents=True)
    healthy(button(healthy(again.run()), "go-on").click().run())
    assert worker().arguments == job.arguments


def test_a_visitors_texts_are_checked_and_kept(open_page: Open, commands: list[list[str]], own_home: Path) -> None:
    app = healthy(box(open_page(PAGE), "Texts to learn from").set_value("own").run())
    assert "Give a file of texts" in words(press(app, "Compress"))
    app.file_uploader[0].upload("my ../own.txt", "一\n二\n".encode("gb18030"), "text/plain")
    press(app, "Compress")
    assert app.error[0].value.startswith("my ../own.txt")
    assert "UTF-8" in app.error[0].value
    assert not list((own_home / "texts").glob("*"))
    app.file_uploader[0].upload("my ../own.txt", "一\n二\n".encode(), "text/plain")
    press(app, "Compress")
    texts = Compression.of(commands[0]).texts
    assert texts is not None
    assert Path(texts).read_text(encoding="utf-8") == "一\n二\n"


def test_names_are_checked(open_page: Open, commands: list[list[str]], own_home: Path) -> None:
    app = open_page(PAGE)
    for wrong in ("../out", "a.work", ""):
        app.text_input[0].set_value(wrong)
        assert f"{wrong!r} cannot be the name of a model" in words(press(app, "Compress"))
    (own_home / "models" / "there").mkdir(parents=True)
    (own_home / "models" / "demo-int8").mkdir()
    assert open_page(PAGE, recipe="int8").text_input[0].value == "demo-int8-2"
    app.text_input[0].set_value("there")
    assert "A model named there exists already" in words(press(app, "Compress"))
    assert not commands


def test_models_that_cannot_be_compressed_are_refused_in_a_line(open_page: Open, own_home: Path) -> None:
    assert "may not be opened here" in words(open_page(PAGE, model="/etc"))
    folder = make(own_home, "packed")
    change_json(folder / "config.json", weight_format="int4-g128")
    shutil.copy(demo_folder() / "model.safetensors", folder)
    assert "is quantised already" in words(open_page(PAGE, model=str(folder)))
    app = open_page(PAGE, recipe="own", steps='[{"prune-depth":{"layers":9}}]')
    assert len(app.error) == 1


def test_the_card_shows_the_damage_and_the_healing(open_page: Open, own_home: Path) -> None:
    make(own_home, "demo-pruned")
    app = open_page(PAGE)
    assert "Made from demo (built in) by the recipe pruned in 2.0 min." in words(app)
    assert "0.3000 for the original, 0.9000 at its worst on the way, 0.3200 at the end" in words(app)
    card = {found.label: (found.value, found.delta) for found in app.metric[3:]}
    assert card["Parameters"] == ("6.00 M", "0.667 × the original")
    assert card["On disk"] == ("12.0 MB", "0.667 × the original")
    assert card["Perplexity"] == ("1.32", "1.02 × the original")
    (chart,) = app.get("plotly_chart")
    (line,) = json.loads(chart.proto.spec)["data"]
    assert (line["x"], line["y"]) == (["original", "1 prune-depth", "2 distil"], [0.3, 0.9, 0.32])
    assert app.dataframe[1].value["step"].tolist() == ["original", "1 prune-depth", "2 distil"]


def test_the_card_tells_no_healing_if_there_was_none(open_page: Open, own_home: Path) -> None:
    make(own_home, "hurt", losses=(0.3, 0.31, 0.5))
    text = words(open_page(PAGE))
    assert "0.3000 for the original, 0.5000 at the end" in text
    assert "at its worst" not in text


def test_the_newest_figures_of_both_stand_on_the_card(open_page: Open, own_home: Path) -> None:
    made = str(make(own_home, "small"))
    for model, variant, rate in (("demo", "original", 25.0), (made, "original", 30.0), (made, "fast", 75.0)):
        run = Run(model, (variant,), ("latency",), {}, machine={"node": platform.node()})
        keep(run, (variant, "decode_rate", {"prompt_tokens": 128, "answer_tokens": 64}, rate, 5))
    table = open_page(PAGE).dataframe[-1].value
    assert table[["variant", "speed"]].to_numpy().tolist() == [["original", 25.0], ["fast", 75.0]]


def test_the_card_shows_right_answers_and_samples_side_by_side(open_page: Open, own_home: Path) -> None:
    made = str(make(own_home, "small"))
    for model, variant, right, said in (("demo", "original", 0.75, "Paris."), (made, "fast", 0.5, "Rome.")):
        run = Run(model, (variant,), ("quality", "memory"), {}, machine={"node": platform.node()})
        share = (variant, "skill_accuracy", {}, right, 928, right, right)
        keep(run, share, (variant, "peak_memory", {}, right * 4e8))
        asked = (("Capital of Italy?", "Rome.", "Rome."), ("Capital of France?", "Paris.", said))
        answers = [
            Graded(variant, number, {}, [], question, expected, answer, answer == expected, 1, 0.1, None, None)
            for number, (question, expected, answer) in enumerate(asked)
        ]
        Store().add_answers(run.id, answers)
    few = Run("demo", ("original",), ("quality",), {}, machine={"node": platform.node()})
    keep(few, ("original", "skill_accuracy", {}, 1.0, 114, 1.0, 1.0))
    app = open_page(PAGE)  # newer shares of other questions are not compared
    assert figures(app)["Right answers"] == ("50.0 %", "0.667 × the original")
    assert figures(app)["Memory"] == ("200.0 MB", "0.667 × the original")
    assert "928 questions that the demo model was not trained on" in words(app)
    assert "1 of 2 are the same" in words(app)
    table, samples = (frame.value for frame in app.dataframe[-2:])
    assert table[["quality", "asked"]].to_numpy().tolist() == [[0.75, 928], [0.5, 928]]
    assert samples.to_numpy().tolist() == [
        ["Capital of France?", "Paris.", "Paris.", "Rome."],
        ["Capital of Italy?", "Rome.", "Rome.", "Rome."],
    ]


def test_a_model_made_without_texts_has_no_scores(open_page: Open, own_home: Path) -> None:
    make(own_home, "plain", losses=())
    app = open_page(PAGE)
    assert "its quality has no score yet" in words(app)
    assert not app.get("plotly_chart")


def test_a_model_can_be_picked_and_a_broken_record_is_said_in_a_line(open_page: Open, own_home: Path) -> None:
    make(own_home, "one")
    broken = make(own_home, "two")
    app = open_page(PAGE, made="one")
    assert box(app, "Finished model").value == "one"
    healthy(box(app, "Finished model").set_value("two").run())
    assert address(app, "made") == "two"
    for wrong in ("[]", "{", '{"steps": 3, "sizes": {"before": {}}}', '{"sizes": 4, "scores": null}', '{"parents": 3}'):
        (broken / "fastglm.json").write_text(wrong)
        assert len(open_page(PAGE, made="two").error) == 1, wrong


def test_a_record_with_numbers_that_no_page_can_draw_is_said_in_a_line(open_page: Open, own_home: Path) -> None:
    record = json.loads((make(own_home, "odd") / "fastglm.json").read_text())
    size = {"parameters": 1000, "bytes": 1000}
    for wrong in (
        {"sizes": {"before": size, "after": {**size, "bytes": 10**400}}},
        {"sizes": {"before": {**size, "parameters": 0}, "after": size}},
        {"sizes": {"before": {**size, "parameters": -1}, "after": size}},
        {"sizes": {"before": {**size, "parameters": 1e308}, "after": size}},
        {"scores": {"before": {"loss": 1e300, "perplexity": 1.0}, "after": None}},
        {"steps": [{"step": "x", "size": size, "seconds": float("inf")}]},
    ):
        (own_home / "models" / "odd" / "fastglm.json").write_text(json.dumps(record | wrong))
        assert len(open_page(PAGE).error) == 1, wrong


def test_both_can_be_measured(open_page: Open, commands: list[list[str]], own_home: Path) -> None:
    made = make(own_home, "small")
    app = open_page(PAGE)
    assert "have not been measured" in words(app)
    healthy(button(app, "measure").click().run())
    assert [command[4:7] for command in commands] == [
        ["demo", "--variants", "original"],
        [str(made), "--variants", "fast"],
    ]
    make(own_home, "foreign", parent="/etc")
    assert not button(open_page(PAGE, made="foreign"), "measure")


def test_other_pages_open_with_what_a_link_names(open_page: Open, own_home: Path) -> None:
    folder = str(make(own_home, "small"))
    app = open_page("pages/chat.py", model=folder, variant="fast")
    assert (box(app, "Model").value, box(app, "Variant").value) == (folder, "fast")
    healthy(box(app, "Variant").set_value("int8").run())
    assert (box(app, "Variant").value, address(app, "variant")) == ("int8", "int8")
    query = {"model-a": "demo", "variant-a": "original", "model-b": folder, "variant-b": "fast"}
    duel = open_page("pages/compare.py", **query)
    assert [found.value for found in duel.selectbox] == ["demo", "original", folder, "fast"]
    assert box(open_page("pages/latency.py", model=folder), "Model").value == folder


def test_the_card_links_to_the_other_pages_where_there_are_some(open_page: Open, own_home: Path) -> None:
    make(own_home, "small")
    assert not open_page(PAGE).get("page_link")
    app = healthy(open_page("streamlit_app.py").switch_page(PAGE).run())
    links = {link.proto.page: link.proto.query_string for link in app.get("page_link")}
    assert list(links) == ["", "compare", "latency", "memory", "quality"]  # the first is the chat
    assert "model-a=demo&variant-a=original&model-b=" in links["compare"]
    assert links["compare"].endswith("small&variant-b=fast")


def test_the_page_speaks_chinese(open_page: Open, own_home: Path) -> None:
    make(own_home, "small")
    text = words(open_page(PAGE, locale="zh-CN", recipe="own"))
    assert "预计的结果" in text
    assert "途中最差 0.9000" in text
