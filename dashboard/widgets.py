"""Controls that pages share: model, variant and sampling; and the drawing of an unfinished answer."""

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import address, machine, safe_markdown
from dashboard.markup import bold, plain
from dashboard.session.answering import Turn
from dashboard.session.state import MESSAGE, Figures, Settings
from dashboard.texts import say
from fastglm.errors import CheckpointError, FastGLMError
from fastglm.hosting.protocol import HostKey
from fastglm.models.architecture import architectures
from fastglm.models.facts import ModelFacts
from fastglm.models.folder import CheckpointFolder
from fastglm.models.source import EMBEDDED, find_source, openable
from fastglm.progress.progress import COMPILING
from fastglm.serve.record import server_of
from fastglm.system.devices import DeviceCard
from fastglm.system.files import in_words
from fastglm.variants.offers import Offer, offers

LISTED = 20  # folders that are no models


def pick(
    place: str,
    left: DeltaGenerator,
    right: DeltaGenerator,
    model: str = "demo",
    variant: str = "original",
    link: str = "model",
) -> tuple[HostKey, str | None]:
    """Let the visitor choose a model and a variant; returns them, and one line on why they cannot run (or None).

    The first choice comes from the address: from `model` and `variant`, or `model-a` and `variant-a`.
    """
    variant_link = link.replace("model", "variant")
    with left:
        chosen = pick_model(place, model, link)
    with right:
        if (refused := refusal(chosen)) is not None:
            st.selectbox(say("variant"), [variant], key=f"{place}-no-variant", disabled=True)
            return HostKey(chosen, variant), refused
        offered = {offer.name: offer for offer in offers_for(chosen)}
        names = list(offered)
        linked = address.take(variant_link, f"{place}-variant", lambda name: name in names)
        name = st.selectbox(
            say("variant"),
            names,
            names.index(variant) if variant in names and not linked else 0,
            key=f"{place}-variant",
            persist_state="session",
            help="  \n".join(f"{bold(offer.name)}: {plain(offer.summary)}" for offer in offered.values()),
        )
        address.keep(variant_link, name)
        key = HostKey(chosen, name)
        if server_of(key):
            st.caption(f":material/dns: {say('served-here')}")
            return key, None
        if offered[name].note and not offered[name].reason:
            st.caption(f":material/info: {plain(offered[name].note)}")
    return key, offered[name].reason


def pick_model(place: str, model: str = "demo", link: str = "") -> str:
    """Let the visitor choose one of the permitted models, or type a hub id.

    The first choice is `model`, or the address's parameter `link`.
    """
    found, key = openable(), f"{place}-model"
    models = found.models
    linked = address.take(link, key)
    models += [name for name in (model, linked) if name and name not in models]
    chosen = str(
        st.selectbox(
            say("model"),
            models,
            index=0 if linked else models.index(model),
            format_func=model_name,
            key=key,
            persist_state="session",
            accept_new_options=True,
            help=say("model-help"),
        )
    )
    address.keep(link, chosen)
    if found.refused:
        with st.expander(say("model-refused", count=len(found.refused)), icon=":material/folder_off:"):
            for folder, reason in list(found.refused.items())[:LISTED]:
                st.caption(f"{bold(model_name(folder))}: {plain(reason)}")
    return chosen


def model_name(model: str) -> str:
    """A model's name for people: a folder by its last part."""
    if is_embedded(model):
        return say("model-embedded", name=model)
    return Path(model).name if Path(model).is_absolute() else model


def is_embedded(model: str) -> bool:
    """Tell whether a model comes with the package."""
    return model in EMBEDDED


def refusal(model: str) -> str | None:
    """The reason why a visitor may not open a model, in one line; None if it may be tried."""
    try:
        find_source(model, restricted=True)
    except FastGLMError as error:
        return str(error)
    return None


def offers_for(model: str) -> list[Offer]:
    """Every variant, with remarks on it for this model on this machine, as far as known."""
    card = machine.device() or DeviceCard("cpu", "", 0, 0, 1, 1)
    try:
        known = known_facts(model)
    except CheckpointError:  # the loader will name the fault
        known = None
    return offers(card, find_source(model, restricted=True), quantised=known is not None and known[0].is_quantized)


def known_facts(model: str) -> tuple[ModelFacts, int] | None:
    """The facts of a model's config, and the bytes of its weights (0 for a shape); None if it has not been downloaded.

    Raises:
        FastGLMError: visitors may not open it, or it cannot be read.
    """
    source = find_source(model, restricted=True)
    if source.kind == "shape":
        known = next(known for known in architectures() if source.shape in known.shapes)
        return known.facts_class.of_shape(source.shape, source.layers), 0
    folder = source.folder
    if source.kind == "hub":
        from huggingface_hub import try_to_load_from_cache  # the first page does not wait for this import

        cached = try_to_load_from_cache(model.removeprefix("modelscope:"), "config.json")
        folder = Path(cached).parent if isinstance(cached, str) else None
    if folder is None:
        return None
    checkpoint = CheckpointFolder(folder)
    return checkpoint.facts, checkpoint.size


def system_text(model: str, now: str) -> str:
    """Let the visitor write a system message; none for a model that knows no such role or is not downloaded yet."""
    try:
        known = known_facts(model)
    except FastGLMError:  # the page says so elsewhere
        return ""
    if known is None or "system" not in known[0].conversation.roles:
        return ""
    return st.text_area(say("system"), now, max_chars=MESSAGE, help=say("system-help")).strip()


def sampling(now: Settings) -> Settings:
    """Let the visitor choose the settings of sampling."""
    top_p = st.slider(say("top-p"), 0.05, 1.0, now.top_p, 0.05, help=say("top-p-help"))
    temperature = st.slider(say("temperature"), 0.0, 2.0, now.temperature, 0.05, help=say("temperature-help"))
    max_length = st.number_input(say("max-length"), 16, 1 << 20, now.max_length, 64, help=say("max-length-help"))
    seed = st.number_input(say("seed"), 0, 2**31 - 1, now.seed, 1, placeholder=say("seed-none"), help=say("seed-help"))
    return Settings(top_p, temperature, int(max_length), None if seed is None else int(seed))


def figures_line(figures: Figures, model: str = "", variant: str = "", ended: bool = True) -> None:
    """Draw the line under an answer: its figures and remarks."""
    parts = [
        say("figure-tokens", count=figures.tokens),
        say("figure-ttft", seconds=f"{figures.ttft:.2f}" if figures.ttft >= 0.01 else f"{figures.ttft:.1g}"),
        say("figure-rate", rate=f"{figures.decode_rate:.1f}") if figures.decode_rate else "",
        "" if figures.acceptance is None else say("figure-acceptance", share=f"{100 * figures.acceptance:.0f}"),
        say("figure-memory", memory=in_words(figures.memory)) if figures.memory else "",
        plain(f"{model_name(model)} · {variant}") if variant else "",
    ]
    st.caption(" · ".join(part for part in parts if part))
    if figures.rounds_left_out:
        st.caption(":material/history: " + say("rounds-left-out", count=figures.rounds_left_out))
    if figures.context_full:
        st.caption(":material/content_cut: " + say("stopped-context"))
    elif figures.stop == "length":
        st.caption(":material/content_cut: " + say("stopped-length"))
    elif figures.stop is None and ended:
        st.caption(":material/stop_circle: " + say("stopped-user"))


def turn_status(turn: Turn) -> None:
    """Draw the state of an unfinished answer as a line or a bar; nothing while it streams."""
    match turn.state:
        case "loading":
            st.progress(turn.progress.fraction if turn.progress else 0.0, _loading(turn))
        case "warming":
            st.caption(":shimmer[" + say("warming") + "]")
        case "waiting":
            st.caption(":material/hourglass_top: " + say("waiting", holder=turn.waiting_for))
        case "queued":
            st.caption(":material/groups: " + say("queued", count=turn.ahead))
        case "running" if turn.piece is None:
            st.caption(":shimmer[" + say("thinking") + "]")


def _loading(turn: Turn) -> str:
    """The current step of loading a variant, and its progress."""
    progress = turn.progress
    if turn.served:
        return say("loading-served", variant=turn.key.variant)
    if progress and progress.stage == COMPILING:
        return say("loading-compile", variant=turn.key.variant)
    if progress is None or not progress.total:
        return say("loading-start", variant=turn.key.variant)
    return say("loading", variant=turn.key.variant, done=in_words(progress.done), total=in_words(progress.total))


def turn_text(turn: Turn) -> None:
    """Draw the text so far of an unfinished answer."""
    safe_markdown.draw(turn.text)
