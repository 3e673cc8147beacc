"""The `fastglm` command. Each command imports its needs when it runs, so that `--help` is quick."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastglm.cli.errors import run, want_command
from fastglm.cli.options import SEEDS, Adapter, Cache, Debug, Device, Generation, Model, Progress, Seed, Variant
from fastglm.convert.kinds import Kind, Layout
from fastglm.errors import UsageError
from fastglm.progress.progress import Show

if TYPE_CHECKING:
    from fastglm.hosting.host import Host
    from fastglm.serve.cluster import ClusterModel

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train = typer.Typer()
app.add_typer(train, name="train")


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Load, compress and run ChatGLM fast."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"fastglm {installed('fastglm')}")
    else:
        want_command(context)


@train.callback(invoke_without_command=True)
def start_training(context: typer.Context) -> None:
    """Train a model."""
    want_command(context)


@app.command()
def chat(
    model: Model = "demo",
    variant: Variant = "original",
    device: Device = "auto",
    cache: Cache = "auto",
    adapter: Adapter = None,
    generation: Generation = "auto",
    max_length: Annotated[
        int, typer.Option(help="Most tokens of prompt and answer together, within the context.", min=1, max=1 << 20)
    ] = 8192,
    top_p: Annotated[
        float, typer.Option(help="Sample from the likeliest tokens up to this probability.", min=0.01, max=1)
    ] = 0.7,
    temperature: Annotated[
        float, typer.Option(help="Below 1 more certain, above 1 more varied.", min=0.01, max=100)
    ] = 0.95,
    seed: Seed = None,
    system: Annotated[
        str, typer.Option(help="Instructions before the conversation, for ChatGLM3, GLM-4 and CodeGeeX4.")
    ] = "",
    debug: Debug = False,
) -> None:
    r"""Talk to a model.

    An empty line does nothing, clear forgets the conversation, stop leaves, Ctrl-C stops an answer.
    Answers go to standard output, everything else to standard error: printf '你好\nstop\n' | fastglm chat
    """
    from fastglm.cli.chat import TerminalChat
    from fastglm.hosting.host import Host
    from fastglm.progress.bar import Bars

    def load() -> "Host":
        with Bars() as bars:
            return Host.start(
                model, variant, device, cache=cache, adapter=adapter, generation=generation, progress=bars
            )

    settings = {"max_length": max_length, "top_p": top_p, "temperature": temperature, "seed": seed}
    TerminalChat(load, settings, system).run()


@app.command()
def serve(
    model: Model = "demo",
    variant: Variant = "original",
    device: Device = "auto",
    cache: Cache = "auto",
    adapter: Adapter = None,
    generation: Generation = "auto",
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8000,
    key_file: Annotated[
        Path | None, typer.Option(help="A file with the key that requests need [default: FASTGLM_API_KEY, or none].")
    ] = None,
    is_open: Annotated[
        bool, typer.Option("--open", help="Listen without a key at an address that others can reach.")
    ] = False,
    server_name: Annotated[
        list[str] | None, typer.Option(help="A name of this server in addresses; may be given again.")
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="https://… of pages that may use the server from a browser; may be given again."),
    ] = None,
    queue: Annotated[int, typer.Option(help="Most answers that run or wait; more are refused.", min=1, max=4096)] = 64,
    deadline: Annotated[float, typer.Option(help="Most seconds for an answer.", min=1, max=86_400)] = 600,
    ray: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Have replicas on this Ray cluster answer.")
    ] = None,
    replicas: Annotated[int | None, typer.Option(help="With --ray [default: 1].", min=1, max=1000)] = None,
    debug: Debug = False,
) -> None:
    """Answer over HTTP: POST / as published for ChatGLM-6B, and OpenAI's API under /v1.

    http://127.0.0.1:8000/docs shows all fields; docs/serve.md tells how to serve behind nginx.
    """
    from fastglm.hosting.protocol import HostKey

    try:
        from fastglm.serve.app import Settings
        from fastglm.serve.server import check_exposure, read_key, serve
    except ImportError as error:
        raise UsageError(f"Serving needs the package {error.name}: pip install 'fastglm[serve]'.") from error

    key = read_key(key_file)
    check_exposure(host, key, is_open)
    tuned = str(Path(adapter).expanduser().absolute()) if adapter else None
    names = [host, *(server_name or [])]
    served = HostKey(model, variant, device, cache=cache, adapter=tuned, generation=generation)
    settings, say = Settings(key, names, origin or [], queue, deadline), partial(typer.echo, err=True)
    if ray is None:
        if replicas:
            raise UsageError("--replicas are for a cluster: name one with --ray.")
        serve(served, host, port, settings, say)
    else:
        with _on_cluster(ray, model, replicas or 1, queue) as replicated:
            serve(served, host, port, settings, say, replicated)


@contextmanager
def _on_cluster(address: str, model: str, replicas: int, limit: int) -> "Iterator[partial[ClusterModel]]":
    """Connect to a Ray cluster, on which a server's model can have replicas."""
    from fastglm.models.source import EMBEDDED, as_path

    try:
        from fastglm.serve.cluster import ClusterModel
        from fastglm.system.ray_cluster import connected
    except ImportError as error:
        raise UsageError(f"--ray needs the package {error.name}: pip install 'fastglm[ray]'.") from error

    known = model if model in EMBEDDED or not as_path(model).is_dir() else str(as_path(model).absolute())
    with connected(address):
        yield partial(ClusterModel, model=known, replicas=replicas, limit=limit)


@app.command()
def variants(
    model: Model = "demo",
    device: Device = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the list there too.")] = None,
    debug: Debug = False,
) -> None:
    """List the variants with a description, and whether each runs on this machine."""
    from fastglm.models.folder import CheckpointFolder
    from fastglm.models.source import find_source
    from fastglm.system.devices import device_card
    from fastglm.system.files import in_words
    from fastglm.variants.offers import offers

    source, card = find_source(model), device_card(device)
    quantised = source.folder is not None and CheckpointFolder(source.folder).facts.is_quantized
    offered = offers(card, source, quantised)
    typer.echo(f"{card.name} ({card.kind}), {in_words(card.memory_free)} of {in_words(card.memory_total)} free")
    for offer in offered:
        runs = f"no: {offer.reason}" if offer.reason else f"yes; {offer.note}" if offer.note else "yes"
        typer.echo(f"  {offer.name:11} {offer.summary}\n  {'':11} runs here: {runs}")
    if json_file:
        rows = [asdict(offer) | {"runs": offer.reason is None} for offer in offered]
        json_file.write_text(json.dumps(rows, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@app.command()
def compress(
    out: Annotated[Path, typer.Option(help="The folder to make; it must not exist yet.")],
    model: Model = "demo",
    recipe: Annotated[
        str,
        typer.Option(
            help="A file in YAML, or a name: int8, int4 (groups of 128), int4-g64, int4-g32, sparse24, pruned, "
            "distilled or turbo (pruned, distilled, int4)."
        ),
    ] = "int4",
    texts: Annotated[
        str | None,
        typer.Option(
            help="To learn from, to calibrate and to score on: a UTF-8 file with one text per line, or JSON Lines of "
            "prompt and answer; demo or demo-glm: the world of that model."
        ),
    ] = None,
    device: Device = "auto",
    progress: Progress = Show.bar,
    debug: Debug = False,
) -> None:
    """Write a compressed checkpoint, which `fastglm chat --model` reads, with a record of how it was made.

    A recipe is a list of steps: prune-depth, prune-width, prune-vocabulary, sparse24, distil, quantise. Without --texts
    weights are rounded to nearest, and nothing can be pruned or distilled. The same command continues an interrupted
    compression.
    """
    import fastglm
    from fastglm.progress.bar import Bars
    from fastglm.progress.json_lines import JsonLines

    with JsonLines() if progress is Show.json else Bars() as told:
        made = fastglm.compress(model, recipe, out, texts, told, device=device)
    if progress is Show.bar:
        typer.echo(f"Written: {made}. Talk to it: fastglm chat --model {made}")


@app.command()
def convert(
    model: Annotated[
        str, typer.Option(help="demo-glm, or a folder or hub id of ChatGLM2, 3, GLM-4 or CodeGeeX as published.")
    ],
    out: Annotated[Path, typer.Option(help="The folder, or the GGUF file, to make; it must not exist yet.")],
    to: Annotated[Layout, typer.Option(help="glm: a folder for transformers; gguf: a file for llama.cpp.")],
    kind: Annotated[Kind, typer.Option("--type", help="Of the matrices in a GGUF file.")] = Kind.f16,
    generation: Generation = "auto",
    progress: Progress = Show.bar,
    debug: Debug = False,
) -> None:
    """Write a checkpoint for other programs, which need neither this package nor remote code for it.

    glm: transformers' GlmForCausalLM with a tokenizer.json and a chat template, in the dtype of the weights; int8 and
    int4 ones are unpacked. gguf: needs the package gguf.
    """
    from fastglm.convert.conversion import convert as write
    from fastglm.progress.bar import Bars
    from fastglm.progress.json_lines import JsonLines

    with JsonLines() if progress is Show.json else Bars() as told:
        made = write(model, to, out, kind, told, generation=generation)
    if progress is Show.bar:
        typer.echo(f"Written: {made}")


Suite = Annotated[str, typer.Option(help="skills, open, lm-eval:TASK[,TASK], with commas between and lm-eval last.")]
Questions = Annotated[
    int | None,
    typer.Option(
        help="Of each skill, split and language [default: 24], or of each task [default: all].",
        min=1,
        max=1_000_000,
        show_default=False,
    ),
]
Tasks = Annotated[Path | None, typer.Option(metavar="DIR", help="lm-eval: a folder with YAML files of your own tasks.")]
Arithmetic = Annotated[
    str,
    typer.Option(
        help="Of likelihoods and perplexity. exact: activations are not rounded, so that only the weights' error "
        "shows. decoding: as answers run. Answers themselves always run so."
    ),
]


@app.command()
def evaluate(
    model: Model = "demo",
    variant: Variant = "original",
    device: Device = "auto",
    cache: Cache = "auto",
    adapter: Adapter = None,
    generation: Generation = "auto",
    suite: Suite = "skills",
    questions: Questions = None,
    tasks: Tasks = None,
    arithmetic: Arithmetic = "exact",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write figures, questions and answers there.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Ask a variant held-out questions, and count its right answers.

    skills: new questions of every skill whose answers can be right or wrong. open: advice, stories and poems, which are
    judged by their form. The questions are those of the demo model's world, for other models too; demo-glm
    has those of its calculator besides.
    lm-eval: tasks of lm-evaluation-harness (the extra eval), whose data it downloads.
    """
    from fastglm.cli.suites import choose_suites
    from fastglm.evaluate.arithmetic import read_arithmetic
    from fastglm.models.source import find_trained
    from fastglm.progress.bar import Bars
    from fastglm.variants.load import load

    find_trained(model)
    if json_file and not json_file.absolute().parent.is_dir():
        raise UsageError(f"{json_file} cannot be written: its folder does not exist.")
    chosen = read_arithmetic(arithmetic)
    suites = choose_suites(suite, tasks)
    with Bars() as bars:
        loaded, tokenizer = load(
            model, variant, device, cache=cache, adapter=adapter, generation=generation, progress=bars
        )
        found = {name: ask(loaded, tokenizer, questions, bars, chosen) for name, ask in suites.items()}
    for report in found.values():
        typer.echo(report.as_text())
    if json_file:
        info = loaded.fastglm
        told = {name: getattr(info, name) for name in ("device", "dtype", "cache", "adapter")}
        origin = {"model": model, "variant": variant, **told}
        content = origin | {name: report.as_json() for name, report in found.items()}
        json_file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


TrainingFolder = Annotated[
    Path, typer.Option(help="The folder for the checkpoint; a stopped training is kept in it too.")
]
Steps = Annotated[int, typer.Option(help="How long to train.", min=1, max=1_000_000_000)]
TrainingSeed = Annotated[int, typer.Option(help="Of the first weights and the order of the corpus.", min=0, max=SEEDS)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the training that was stopped.")]


@train.command("demo")
def train_demo(
    out: TrainingFolder,
    steps: Steps = 24_000,
    seed: TrainingSeed = 0,
    device: Device = "auto",
    resume: Resume = False,
    debug: Debug = False,
) -> None:
    """Train the first embedded model from nothing, with its tokenizer."""
    from fastglm.demo.training.train import train

    trained = train(out, steps, seed, device, resume, progress=None)
    typer.echo(f"Written: {trained.out}. Held-out questions answered right: {trained.report.accuracy():.0%}.")


@train.command("demo-glm")
def train_demo_glm(
    out: TrainingFolder,
    steps: Steps = 15_000,
    seed: TrainingSeed = 0,
    device: Device = "auto",
    resume: Resume = False,
    further: Annotated[
        bool, typer.Option("--further", help="Begin with the embedded weights, not with new ones; take another seed.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train the second embedded model, in ChatGLM3's layout, taught by the first."""
    from fastglm.demo.training.glm import FurtherGLMDemo, GLMDemo
    from fastglm.demo.training.train import train

    design = FurtherGLMDemo() if further else GLMDemo()
    trained = train(out, steps, seed, device, resume, progress=None, design=design)
    typer.echo(f"Written: {trained.out}. Held-out questions answered right: {trained.report.accuracy():.0%}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(app, "fastglm", arguments)
