"""Recipes: permitted and forbidden YAML, and the effect on a config."""

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from fastglm.compress.recipe import Recipe, find_recipe, named_recipes
from fastglm.compress.size import predict_size
from fastglm.compress.steps import STEPS, Distil, PruneDepth, PruneVocabulary, PruneWidth, Quantise, Sparse24
from fastglm.errors import UsageError
from fastglm.models.chatglm.config import ChatGLM6BConfig

DEMO = ChatGLM6BConfig(
    vocab_size=4352,
    hidden_size=256,
    num_layers=9,
    num_attention_heads=8,
    inner_hidden_size=1024,
    tie_word_embeddings=False,
)
WHOLE = """
name: all of it
seed: 7
steps:
  - prune-depth: {layers: 1}
  - prune-width: {channels: 0.5, heads: 0.75}
  - distil:
      steps: 10
      learning_rate: 1e-3
      student: {num_layers: 0.5, hidden_size: 64, tie_word_embeddings: true}
  - prune-vocabulary
  - quantise: {format: int4-g64, embedding: int8}
"""


def test_every_field_is_read() -> None:
    recipe = Recipe.from_yaml(WHOLE, "file")
    assert (recipe.name, recipe.seed) == ("all of it", 7)
    student = {"num_layers": 0.5, "hidden_size": 64, "tie_word_embeddings": True}
    assert recipe.steps == (
        PruneDepth(layers=1),
        PruneWidth(channels=0.5, heads=0.75),
        Distil(steps=10, learning_rate=0.001, student=student),
        PruneVocabulary(),
        Quantise("int4-g64", "int8"),
    )


def test_a_written_recipe_is_read_again() -> None:
    assert Recipe.from_yaml("steps: [sparse24]", "file") == Recipe("file", (Sparse24(),))
    for recipe in (Recipe.from_yaml(WHOLE, "file"), *map(find_recipe, named_recipes())):
        assert Recipe.from_yaml(recipe.to_yaml(), "another") == recipe
        assert Recipe.from_dict(recipe.as_dict(), "another") == recipe


def test_the_named_ones() -> None:
    names = {"int8", "int4", "int4-g64", "int4-g32", "sparse24", "pruned", "distilled", "turbo"}
    assert names == set(named_recipes())
    assert all(find_recipe(name).name == name for name in names)


@pytest.mark.parametrize("config", [DEMO, ChatGLM6BConfig()], ids=["demo", "chatglm-6b"])
def test_the_named_ones_are_as_small_as_they_promise_at_any_size(config: ChatGLM6BConfig) -> None:
    whole = predict_size(config).parameters
    share = {
        name: predict_size(find_recipe(name).configs(config)[-1]).parameters / whole for name in ("pruned", "distilled")
    }
    assert 0.6 < share["pruned"] <= 0.75
    assert share["distilled"] <= 0.3
    turbo = predict_size(find_recipe("turbo").configs(config)[-1])
    assert turbo.bytes <= 4 * whole / 16


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghijk")
)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [", "file, line 1 is not YAML"),
        ("a\tb: [1", "file, line 1 is not YAML"),
        ("\x01", "file is not YAML"),
        ("", 'file is not a recipe: it needs a list of "steps"'),
        ("- quantise", "file is not a recipe"),
        ("steps: quantise", "file is not a recipe"),
        ("steps: []", "Recipe file has no steps: name some of prune-depth"),
        ("step: [quantise]\nsteps: [quantise]", "file has no 'step' (did you mean steps?)"),
        ("name: 3\nsteps: [quantise]", "the name must be a word (got 3)"),
        ("seed: -1\nsteps: [quantise]", "seed must be a whole number, 0 or more (got -1)"),
        ("seed: true\nsteps: [quantise]", "(got True)"),
        ("steps: [3]", "file, step 1: write a step's name"),
        ("steps: [{quantise: {}, distil: {}}]", "file, step 1: write a step's name"),
        ("steps: [sparse24, quantize]", "file, step 2: there is no 'quantize' (did you mean quantise?); known are"),
        ("steps: [quantise: int4]", "file, step 1 (quantise): write its fields by name: format, embedding."),
        ("steps: [sparse24: {share: 1}]", "step 1 (sparse24): there is no field 'share'; it has none."),
        (
            "steps: [prune-depth: {shares: 0.2}]",
            "there is no field 'shares' (did you mean share?); it has layers, share",
        ),
        ("steps: [prune-depth: {layers: 1.5}]", "layers must be a whole number (got 1.5)"),
        ("steps: [prune-depth: {layers: true}]", "layers must be a whole number (got True)"),
        ("steps: [prune-depth: {layers: 0}]", "layers is 0: 1 or more go"),
        ("steps: [prune-depth]", "name either layers or share"),
        ("steps: [prune-depth: {layers: 1, share: 0.5}]", "name either layers or share"),
        ("steps: [prune-depth: {share: 1}]", "share is 1.0"),
        ("steps: [prune-depth: {share: .nan}]", "share is nan"),
        ("steps: [prune-depth: {share: many}]", "share must be a number (got 'many')"),
        ("steps: [prune-width]", "all channels and heads stay"),
        ("steps: [prune-width: {channels: 1.2}]", "channels is 1.2: the share that stays is above 0 and up to 1"),
        ("steps: [prune-width: {heads: 0}]", "heads is 0.0"),
        ("steps: [quantise: {format: int5}]", "Unknown weight format 'int5'; known are int8"),
        ("steps: [quantise: {embedding: int4}]", "Unknown weight format 'int4'"),
        ("steps: [distil: {steps: 0}]", "steps is 0: 1 or more"),
        ("steps: [distil: {row: 8}]", "row is 8: 16 or more"),
        ("steps: [distil: {learning_rate: 0}]", "learning_rate is 0.0: above 0"),
        (f"steps: [distil: {{temperature: 1{'0' * 400}}}]", "a number in it has more than 19 digits"),
        ("steps: [distil: {temperature: .inf}]", "temperature is inf: above 0"),
        ("steps: [distil: {hidden: -1}]", "hidden is -1.0: a weight is 0 or more"),
        ("steps: [distil: {logits: 0, hidden: 0, labels: 0}]", "nothing is left to learn from"),
        ("steps: [distil: {student: small}]", "student must be a table of fields (got 'small')"),
        ("steps: [distil: {student: {}}]", "student has no fields: name some of num_layers"),
        ("steps: [distil: {student: {layers: 3}}]", "student has no field 'layers'; it has num_layers"),
        ("steps: [distil: {student: {num_layers: 0}}]", "student: num_layers must be a whole number, 1 or more"),
        ("steps: [distil: {student: {hidden_size: 1.5}}]", "or a share such as 0.5 (got 1.5)"),
        ("steps: [distil: {student: {tie_word_embeddings: 1}}]", "tie_word_embeddings must be true or false (got 1)"),
        ("steps: [quantise, sparse24]", "Recipe file, step 2 (sparse24): nothing can follow quantise"),
        ("steps: [quantise, quantise]", "step 2 (quantise): nothing can follow quantise"),
        (
            "steps: [sparse24, prune-width: {heads: 0.5}]",
            "step 2 (prune-width): it cannot follow sparse24: narrower layers would not be 2:4 sparse.",
        ),
        ("steps: [sparse24, sparse24]", "step 2 (sparse24): it cannot follow sparse24"),
        ("steps: [prune-vocabulary, distil]", "step 2 (distil): it cannot follow prune-vocabulary"),
        ("seed: " + "9" * 5000 + "\nsteps: [quantise]", "file is not a recipe: a number is too large"),
        ("seed: " + "9" * 4000 + "\nsteps: [quantise]", "a number in it has more than 19 digits"),
        ("seed: 0x" + "f" * 5000 + "\nsteps: [quantise]", "a number in it has more than 19 digits"),
        ("seed: 1" + ":59" * 5000 + "\nsteps: [quantise]", "a number in it has more than 19 digits"),
        ("seed: 2001-99-99\nsteps: [quantise]", "a date is invalid"),
        ("seed: 2001-01-01\nsteps: [quantise]", "(got datetime.date(2001, 1, 1))"),
        ("seed: .inf\nsteps: [quantise]", "(got inf)"),
        ("seed: [1]\nsteps: [quantise]", "(got [1])"),
        ("name: [1]\nsteps: [quantise]", "the name must be a word (got [1])"),
        ('name: "a\\nb"\nsteps: [quantise]', r"(got 'a\nb')"),
        ("name: " + "x" * 2000 + "\nsteps: [quantise]", "a text in it is longer than 1000 characters"),
        ("steps: [" + "quantise, " * 1500 + "]", "more than 1000 values"),
        ("steps: [distil: {student: " + "{a: " * 20 + "1" + "}" * 20 + "}]", "more than 12 levels"),
        ("steps: " + "[" * 20_000, "file is not YAML"),
        ("a: &a [x]\nsteps: [*a]", "file, line 2 is not YAML: a recipe has no aliases (*name)"),
        ("a: &a {b: 1}\nsteps: [quantise: {<<: *a}]", "a recipe has no aliases"),
        (BOMB, "a recipe has no aliases"),
        ("#" * 70_000, "file is not a recipe: it is larger than 64 kB"),
        ("steps: !!python/object:os.system [x]", "file, line 1 is not YAML"),
        ("steps: [quantise: {format: [int8]}]", "format must be a word (got ['int8'])"),
        ("steps: [quantise: {format: !!binary aGk=}]", "must be a word"),
        ("steps: [prune-depth: {layers: 1e400}]", "must be a whole number"),
        ("? [1, 2]\n: x\nsteps: [quantise]", "file, line 1 is not YAML"),
        ("1: x\nsteps: [quantise]", "file has no 1"),
    ],
)
def test_wrong_recipes_are_told_in_a_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.from_yaml(text, "file")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_nothing_but_a_usage_error_comes_of_a_text() -> None:
    rng = random.Random(0)
    parts = [*STEPS, *"-[]{}:,|&*!%\"'\n ", "steps", "share", "student", "1", ".5", "null", "  - "]
    said = []
    for _ in range(300):
        text = WHOLE[: rng.randrange(len(WHOLE))] + "".join(rng.choices(parts, k=rng.randrange(8)))
        try:
            Recipe.from_yaml(text, "file")
        except UsageError as error:
            said.append(str(error))
    assert len(said) > 200
    assert not any("\n" in line for line in said)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("steps: [sparse24]", encoding="utf-8")
    assert find_recipe(path) == find_recipe(str(path)) == Recipe("mine", (Sparse24(),))
    path.write_bytes("name: 我的\n".encode("gb18030"))
    with pytest.raises(UsageError, match="cannot be read as UTF-8"):
        find_recipe(path)
    with pytest.raises(UsageError, match=r"other\.yaml cannot be read \(No such file"):
        find_recipe(tmp_path / "other.yaml")
    with pytest.raises(UsageError, match=r"Unknown recipe 'turbot' \(did you mean turbo\?\); known are distilled"):
        find_recipe("turbot")


def test_only_small_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "device.yml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "large.yaml").write_text("#" * 70_000)
    for name, said in (("pipe.yaml", "a pipe"), ("device.yml", "a device"), ("folder.yaml", "a folder")):
        with pytest.raises(UsageError, match=f"cannot be read .it is {said}, not a file"):
            find_recipe(tmp_path / name)
    with pytest.raises(UsageError, match=r"large\.yaml cannot be read .it has 0\.1 MB"):
        find_recipe(tmp_path / "large.yaml")
    for path in ("/dev/zero", "x\0.yaml", "x" * 5000, "x" * 5000 + ".yaml", "/"):
        with pytest.raises(UsageError) as caught:
            find_recipe(path)
        assert "\n" not in str(caught.value)


def test_a_recipe_that_holds_itself_is_refused() -> None:
    steps: list[object] = []
    steps.append(steps)
    with pytest.raises(UsageError, match="more than 12 levels"):
        Recipe.from_dict({"steps": steps}, "mine")


def test_each_step_changes_the_config() -> None:
    after = Recipe.from_yaml(WHOLE, "file").configs(DEMO)
    assert [config.num_layers for config in after] == [8, 8, 4, 4, 4]
    assert (after[1].inner_hidden_size, after[1].num_attention_heads, after[1].head_dim) == (512, 6, 32)
    assert (after[2].hidden_size, after[2].tie_word_embeddings, after[2].head_dim) == (64, True, 32)
    assert after[2].layer_numbers is None
    assert (after[4].weight_format, after[4].embedding_format) == ("int4-g64", "int8")
    assert DEMO.num_layers == 9


def test_a_student_of_layers_that_differ_has_those_at_the_same_depth() -> None:
    teacher = PruneDepth(layers=3).config(DEMO)
    teacher.inner_hidden_size = [128, 256, 384, 512, 640, 768]
    student = Distil(student={"num_layers": 3, "inner_hidden_size": 0.5}).config(teacher)
    assert student.inner_hidden_size == [64, 192, 320]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("[prune-depth: {layers: 9}]", "Recipe file, step 1 (prune-depth): 9 of 9 layers cannot be removed"),
        (
            "[prune-width: {channels: 0.99}]",
            "step 1 (prune-width): With 99% of the channels and 100% of the heads nothing",
        ),
        ("[prune-depth: {layers: 5}, prune-depth: {layers: 5}]", "step 2 (prune-depth): 5 of 4 layers cannot be"),
        ("[distil: {student: {num_layers: 12, hidden_size: 0.1}}]", "12 layers are more than the 9 of the teacher"),
        ("[distil: {student: {hidden_size: 1.0}}]", "step 1 (distil): the student has 9,3"),
        ("[distil: {student: {head_dim: 6}}]", "student: heads are 6 wide"),
        ("[sparse24, distil: {student: {num_layers: 2}}]", "step 2 (distil): the teacher is 2:4 sparse"),
        ("[sparse24, quantise]", "step 2 (quantise): The model is 2:4 sparse, which packed weights are not"),
    ],
)
def test_steps_that_a_model_cannot_go_through(steps: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.from_yaml(f"steps: {steps}", "file").configs(DEMO)
    assert said in str(caught.value)


def test_steps_that_need_texts() -> None:
    find_recipe("int4").check_texts(given=False)
    find_recipe("turbo").check_texts(given=True)
    with pytest.raises(UsageError, match=r"Recipe turbo, step 1 \(prune-depth\): it needs texts: name a file"):
        find_recipe("turbo").check_texts(given=False)
