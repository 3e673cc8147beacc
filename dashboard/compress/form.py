"""The form of the Compress page: recipe, texts and name, checked and queued as a job."""

from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from benchmarks.jobs.compression import Compression
from dashboard import widgets
from dashboard.compress import recipe_builder, uploads
from dashboard.jobs import jobs, status
from dashboard.jobs.jobs import Job
from dashboard.markup import plain
from dashboard.texts import say
from fastglm.compress.recipe import Recipe, find_recipe, named_recipes
from fastglm.errors import FastGLMError, UsageError
from fastglm.models.source import EMBEDDED
from fastglm.text_files import read_texts

OWN = "own"
USUAL = "int4"


def pick_recipe(place: DeltaGenerator) -> Recipe:
    """Let the visitor choose a named recipe, or build one. Raises UsageError for an impossible one."""
    names = [*named_recipes(), OWN]
    linked = st.query_params.get("recipe", USUAL)
    chosen = str(
        place.selectbox(
            say("recipe"),
            names,
            names.index(linked if linked in names else USUAL),
            format_func=lambda name: say("recipe-own") if name == OWN else name,
            key="recipe",
            persist_state="session",
        )
    )
    st.query_params["recipe"] = chosen
    if chosen == OWN:
        return recipe_builder.build(find_recipe(st.session_state.get("recipe-last", USUAL)))
    st.query_params.pop("steps", None)
    if st.session_state.get("recipe-last") != chosen:
        st.session_state.pop(recipe_builder.KEY, None)  # the next recipe to build begins as this one
        st.session_state["recipe-last"] = chosen
    return find_recipe(chosen)


def show_yaml(recipe: Recipe) -> None:
    """The recipe as a file."""
    named = named_recipes().get(recipe.name)
    text = named.read_text(encoding="utf-8") if named else recipe.to_yaml()
    with st.expander(say("recipe-yaml"), icon=":material/description:"):
        st.code(text, language="yaml")
        st.download_button(
            say("recipe-download"), text, f"{recipe.name}.yaml", "application/yaml", icon=":material/download:"
        )


def pick_texts(model: str, recipe: Recipe) -> str:
    """Let the visitor choose the texts to learn from: "demo", "own" or, if the recipe needs none, "none"."""
    words = {"demo": say("texts-demo"), "own": say("texts-own"), "none": say("texts-none")}
    if recipe.needs_texts:
        del words["none"]
    usual = "demo" if model in EMBEDDED else list(words)[-1]
    names, linked = list(words), st.query_params.get("texts", "")
    chosen = str(
        st.selectbox(
            say("texts"),
            names,
            names.index(linked if linked in names else usual),
            format_func=words.__getitem__,
            key=f"texts-{model}-{recipe.needs_texts}",
            help=say("texts-help"),
        )
    )
    st.query_params["texts"] = chosen
    return chosen


def start(model: str, recipe: Recipe, name: str, texts: str, own: Any) -> None:
    """Queue the compression. `own` is the file of a visitor's texts, if any. Raises FastGLMError."""
    if texts == "own" and own is None:
        raise UsageError(say("texts-missing"))
    file = str(uploads.keep(own.name, own.getvalue(), read_texts)) if texts == "own" else None
    world = model if model in EMBEDDED else "demo"
    given = file or (world if texts == "demo" else None)
    known = named_recipes()
    kept = recipe.name if recipe.name in known else str(uploads.keep_recipe(recipe.to_yaml()))
    wanted = Compression(model, kept, name, given)
    if wanted.folder.exists():
        raise UsageError(say("name-taken", name=name))
    making = filter(None, map(status.compression, jobs.unfinished()))
    if name.lower() in (each.name.lower() for each in making):
        raise UsageError(say("name-in-making", name=name))
    jobs.start(wanted.arguments())


def usual_name(model: str, recipe: Recipe) -> str:
    """Propose a name for the result: model and recipe, with a number if the name is taken."""
    stem = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in Path(model).name)
    name = f"{stem.strip('-')[:40] or 'model'}-{recipe.name}"[:55]
    try:
        number = 1
        while Compression("demo", USUAL, name if number == 1 else f"{name}-{number}").folder.exists():
            number += 1
        return name if number == 1 else f"{name}-{number}"
    except UsageError:
        return ""


def offer_rest() -> None:
    """Draw the button that continues the last compression, if it ended early and its work is kept."""
    try:
        job = None if jobs.unfinished() else jobs.last()
        if job is None or not _can_go_on(job):
            return
        if st.button(say("compress-go-on"), key="go-on", icon=":material/resume:"):
            jobs.start(job.arguments)
            st.rerun()
    except FastGLMError as error:
        st.error(plain(error), icon=":material/error:")


def _can_go_on(job: Job) -> bool:
    wanted = status.compression(job)
    if wanted is None or job.state not in ("cancelled", "failed"):
        return False
    return wanted.work.is_dir() and not wanted.folder.exists() and widgets.refusal(wanted.model) is None
