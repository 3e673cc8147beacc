"""The commands `python -m benchmarks reference export | import`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import files
from benchmarks.cli.options import Beside
from fastglm.cli.errors import telling
from fastglm.cli.options import Debug

reference = typer.Typer(
    help="Carry what `original` makes of the questions of the quality suite to a machine without room for it.",
    rich_markup_mode=None,
)
ReferenceModel = Annotated[str, typer.Option(help="demo, a folder, a hub id.")]
ReferenceQuestions = Annotated[int, typer.Option(help="Questions of each skill, split and language.", min=1)]
ReferenceTexts = Annotated[Path | None, typer.Option(metavar="FILE", help="Your own questions instead, as for run.")]


@reference.command("export")
def export_reference(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    model: ReferenceModel = "demo",
    questions: ReferenceQuestions = 24,
    texts: ReferenceTexts = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    beside: Beside = False,
    debug: Debug = False,
) -> None:
    """Write the answers of `original` to the questions, for a machine with too little memory for it."""
    from benchmarks.execution.reference import Interview
    from benchmarks.measure import wording
    from benchmarks.run.device import beside_servers
    from benchmarks.run.progress import BarReporter

    reporter = BarReporter()
    with telling(reporter.error), beside_servers(beside):
        files.check_file(file, "FILE")
        interview = Interview.read(model, questions, texts, device)
        size, head = interview.check_room(file)
        print(f"{file} will take {wording.quantity(size, 'bytes')}, {wording.quantity(head, 'bytes')} of it the head")
        written = interview.export(file, reporter)
        reporter.close()
        print(f"{written.answered} answers and their probabilities written to {file} (made with {written.made})")


@reference.command("import")
def import_reference(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of export.", exists=True, dir_okay=False)],
    model: ReferenceModel = "demo",
    questions: ReferenceQuestions = 24,
    texts: ReferenceTexts = None,
    debug: Debug = False,
) -> None:
    """Store such a file: quality runs of the same model and questions compare with it."""
    from benchmarks.execution.reference import Interview

    files.check_source(file)
    kept = Interview.read(model, questions, texts, "cpu").adopt(file)
    if kept.complete:
        print(f"{kept.answered} answers and their probabilities kept (made with {kept.made})")
    else:
        print(
            f"{kept.answered} answers kept. {file} is of an earlier version, which kept only the 64 best logits of "
            "a token: KL from them would be too low, so that probabilities are computed here when they are needed"
        )
