"""The `fastglm` command. What a command needs is imported when it runs, so that `--help` is quick."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastglm.errors import CancelledError, FastGLMError, UsageError, shortened
from fastglm.progress.progress import Show

if TYPE_CHECKING:
    from fastglm.hosting.host import Host

SEEDS = 2**63 - 1  # the largest
STOPPED = 130  # what shells report after Ctrl-C

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train = typer.Typer()
app.add_typer(train, name="train")

_wanted = {"debug": False}


def _want_debug(value: bool) -> None:
    _wanted["debug"] = value


Model = Annotated[
    str, typer.Option(help="demo, a checkpoint folder, a hub id such as zai-org/chatglm-6b, or shape:chatglm-6b.")
]
Variant = Annotated[str, typer.Option(help="How to run it: a name that `fastglm variants` lists.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; chat and evaluate: cuda:0,cuda:1 too.")]
Cache = Annotated[str, typer.Option(help="Keys and values: auto, as the model says, or int8, half the bytes of fp16.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", callback=_want_debug)]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Load, compress and run ChatGLM fast."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"fastglm {installed('fastglm')}")
    else:
        _want_command(context)


@train.callback(invoke_without_command=True)
def start_training(context: typer.Context) -> None:
    """Train a model."""
    _want_command(context)


def _want_command(context: typer.Context) -> None:
    """No command is wrong usage, answered with the help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())  # which Rich prints itself, where it is installed
        raise typer.Exit(2)


@app.command()
def chat(
    model: Model = "demo",
    variant: Variant = "original",
    device: Device = "auto",
    cache: Cache = "auto",
    max_length: Annotated[
        int, typer.Option(help="Most tokens of prompt and answer together.", min=1, max=1 << 20)
    ] = 2048,
    top_p: Annotated[
        float, typer.Option(help="Sample from the likeliest tokens up to this probability.", min=0.01, max=1)
    ] = 0.7,
    temperature: Annotated[
        float, typer.Option(help="Below 1 more certain, above 1 more varied.", min=0.01, max=100)
    ] = 0.95,
    seed: Annotated[int | None, typer.Option(help="The same answers every time.", min=0, max=SEEDS)] = None,
    debug: Debug = False,
) -> None:
    """Talk to a model.

    An empty line does nothing, clear forgets the conversation, stop leaves, Ctrl-C stops an answer.
    Answers go to standard output, all else to standard error: printf '你好\\nstop\\n' | fastglm chat
    """
    from fastglm.cli.chat import TerminalChat
    from fastglm.hosting.host import Host
    from fastglm.progress.bar import Bars

    def load() -> "Host":
        with Bars() as bars:
            return Host.start(model, variant, device, cache=cache, progress=bars)

    TerminalChat(load, {"max_length": max_length, "top_p": top_p, "temperature": temperature, "seed": seed}).run()


@app.command()
def variants(
    model: Model = "demo",
    device: Device = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the list there too.")] = None,
    debug: Debug = False,
) -> None:
    """List the variants: what each is, and whether it runs on this machine."""
    from fastglm.models.checkpoint import Checkpoint
    from fastglm.models.source import find_source
    from fastglm.system.devices import device_card
    from fastglm.system.files import in_words
    from fastglm.variants.offers import offers

    source, card = find_source(model), device_card(device)
    quantised = source.folder is not None and Checkpoint(source.folder).config.is_quantized
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
            help="To learn from, to calibrate and to score on: a UTF-8 file with a text a line, or JSON Lines of "
            "prompt and answer; demo: the demo model's world."
        ),
    ] = None,
    device: Device = "auto",
    progress: Annotated[Show, typer.Option(help="A bar, or JSON lines on standard output.")] = Show.bar,
    debug: Debug = False,
) -> None:
    """Write a compressed checkpoint, which `fastglm chat --model` reads back, with a record of how it was made.

    A recipe is a list of steps: prune-depth, prune-width, prune-vocabulary, sparse24, distil, quantise. Without --texts
    weights are rounded to nearest, and nothing can be pruned or distilled. What was stopped goes on with the same
    command.
    """
    import fastglm
    from fastglm.progress.bar import Bars
    from fastglm.progress.json_lines import JsonLines

    with JsonLines() if progress is Show.json else Bars() as told:
        made = fastglm.compress(model, recipe, out, texts, told, device=device)
    if progress is Show.bar:
        typer.echo(f"Written: {made}. Talk to it: fastglm chat --model {made}")


@app.command()
def evaluate(
    model: Model = "demo",
    variant: Variant = "original",
    device: Device = "auto",
    cache: Cache = "auto",
    suite: Annotated[
        str, typer.Option(help="skills, open, lm-eval:TASK[,TASK], with commas between and lm-eval last.")
    ] = "skills",
    questions: Annotated[
        int | None,
        typer.Option(
            help="Of each skill, split and language [default: 24], or of each task [default: all].",
            min=1,
            max=1_000_000,
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="lm-eval: a folder with YAML files of your own tasks.")
    ] = None,
    arithmetic: Annotated[
        str,
        typer.Option(
            help="Of likelihoods and perplexity. exact: activations are not rounded, so that only the weights' error "
            "shows. decoding: as answers run. Answers themselves always run so."
        ),
    ] = "exact",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write figures, questions and answers there.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Ask a variant held-out questions, and count its right answers.

    skills: new questions of every skill that can be right or wrong. open: advice, stories and poems, which are judged
    by their form. The questions are those of the demo model's world: other models are asked the same.
    lm-eval: tasks of lm-evaluation-harness (pip install 'fastglm[eval]'), whose data it downloads.
    """
    from fastglm.cli.suites import choose_suites
    from fastglm.evaluate.arithmetic import read_arithmetic
    from fastglm.models.source import find_source
    from fastglm.progress.bar import Bars
    from fastglm.variants.load import load

    if find_source(model).kind == "shape":
        raise UsageError(f"{model} has random weights, so its answers have no quality: evaluate a checkpoint or demo.")
    if json_file and not json_file.absolute().parent.is_dir():
        raise UsageError(f"{json_file} cannot be written: its folder does not exist.")
    chosen = read_arithmetic(arithmetic)
    suites = choose_suites(suite, tasks)
    with Bars() as bars:
        loaded, tokenizer = load(model, variant, device, cache=cache, progress=bars)
        found = {name: ask(loaded, tokenizer, questions, bars, chosen) for name, ask in suites.items()}
    for report in found.values():
        typer.echo(report.as_text())
    if json_file:
        info = loaded.fastglm
        origin = {"model": model, "variant": variant, "device": info.device, "dtype": info.dtype, "cache": info.cache}
        content = origin | {name: report.as_json() for name, report in found.items()}
        json_file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@train.command("demo")
def train_demo(
    out: Annotated[Path, typer.Option(help="The folder for the checkpoint; a stopped training is kept in it too.")],
    steps: Annotated[int, typer.Option(help="How long to train.", min=1, max=1_000_000_000)] = 24_000,
    seed: Annotated[int, typer.Option(help="Of the first weights and the order of the corpus.", min=0, max=SEEDS)] = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training that was stopped.")] = False,
    debug: Debug = False,
) -> None:
    """Train the embedded demo model from nothing, with its tokenizer."""
    from fastglm.demo.training.train import train

    trained = train(out, steps, seed, device, resume, progress=None)
    typer.echo(f"Written: {trained.out}. Held-out questions answered right: {trained.report.accuracy():.0%}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 when work failed, 2 on wrong usage, 130 after Ctrl-C."""
    _wanted["debug"] = False
    try:
        command = typer.main.get_command(app)
        status = command.main(arguments and list(arguments), prog_name="fastglm", standalone_mode=False)
        sys.stdout.flush()
        return _fail("Stopped.", STOPPED) if status == STOPPED else status or 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail("Stopped.", STOPPED)
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CancelledError as error:
        return _fail(str(error), STOPPED)
    except FastGLMError as error:
        return _fail(
            "\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), 2 if isinstance(error, UsageError) else 1
        )
    except OSError as error:
        return _fail(f"error: {error.filename or 'a file'}: {error.strerror or error}.", 1)
    except Exception as error:
        return _fail_unexpectedly(error)


def _fail_unexpectedly(error: Any) -> int:
    """Typer's own errors tell of wrong usage; all others of a mistake in this program."""
    if hasattr(error, "format_message"):
        path = error.ctx.command_path if getattr(error, "ctx", None) else "fastglm"
        return _fail(f"error: {error.format_message().rstrip('.')}. See {path} --help.", error.exit_code)
    first_line = str(error).strip().partition("\n")[0]
    return _fail(f"error: {type(error).__name__}: {first_line} (--debug shows where).", 1)


def _fail(line: str, status: int) -> int:
    if _wanted["debug"]:
        traceback.print_exc()
    print("\n".join(map(shortened, line.split("\n"))), file=sys.stderr)
    return status
