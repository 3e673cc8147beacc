"""Options that commands share, including those of `python -m benchmarks`."""

from typing import Annotated

import typer

from fastglm.progress.progress import Show

SEEDS = 2**63 - 1  # the largest

_wanted = {"debug": False}


def wants_debug(value: bool | None = None) -> bool:
    """Tell whether `--debug` was given to the running command; sets it if `value` is given."""
    if value is not None:
        _wanted["debug"] = value
    return _wanted["debug"]


Model = Annotated[
    str,
    typer.Option(help="demo, demo-glm, a checkpoint folder, a hub id such as zai-org/chatglm-6b, or shape:chatglm-6b."),
]
Variant = Annotated[str, typer.Option(help="How to run it: a name that `fastglm variants` lists.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; chat and evaluate: cuda:0,cuda:1 too.")]
Cache = Annotated[str, typer.Option(help="Keys and values: auto, as the model says, or int8, half the bytes of fp16.")]
Adapter = Annotated[
    str | None, typer.Option(metavar="DIR", help="What P-Tuning v2 made for the model, in a folder beside it.")
]
Generation = Annotated[
    str,
    typer.Option(help="chatglm2, chatglm3, glm4 or codegeex2, if the files of a checkpoint do not tell it."),
]
Progress = Annotated[Show, typer.Option(help="A bar, or JSON lines on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", callback=wants_debug)]
Seed = Annotated[int | None, typer.Option(help="The same answers every time.", min=0, max=SEEDS)]
