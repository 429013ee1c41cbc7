"""The `r1kit` command: read the recipe, hand the stage over. Imports nothing heavy."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from r1kit.errors import EXIT_INTERRUPTED, EXIT_USER, UserError
from r1kit.stages import STAGES

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="Reasoning LLMs by the DeepSeek-R1 recipe. Each stage reads a recipe (YAML) and prints its output's path.",
)

# Typer carries a copy of click of its own, and shows this much of it.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


@app.callback()
def _help(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print r1kit's version.")] = False,
) -> None:
    if version:
        from r1kit import __version__

        print(__version__)
        raise typer.Exit()
    if context.invoked_subcommand is None:
        print(context.get_help())


def _stage(name: str):
    def command(
        recipe: Annotated[
            list[str] | None,
            typer.Argument(metavar="[RECIPE.yaml] [key.path=value ...]", help="A recipe, and values to set in it."),
        ] = None,
        model: Annotated[str | None, typer.Option(help="Sets model.path: a hub id, a folder or a run.")] = None,
        dataset: Annotated[
            list[str] | None, typer.Option(help="Sets data.train (eval: data.eval): a hub id, a file or a run.")
        ] = None,
        output: Annotated[str | None, typer.Option(help="Sets output: the run directory.")] = None,
        num_processes: Annotated[int | None, typer.Option(help="Processes on this machine.")] = None,
        accelerate_config: Annotated[str | None, typer.Option(help="An Accelerate config file.")] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Print recipe, launch command and sizes; stop.")
        ] = False,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Move an old run aside to NAME.1.")] = False,
    ) -> None:
        from r1kit.recipe import load_recipe, parse_override

        words = list(recipe or [])
        if name == "data" and words[:1] == ["inspect"]:
            from r1kit.commands.inspect import inspect_source

            inspect_source(words[1:])
            return
        file = words.pop(0) if words and ("=" not in words[0] or Path(words[0]).is_file()) else None
        given = {
            "model.path": model,
            f"data.{'eval' if name == 'eval' else 'train'}": [{"path": path} for path in dataset or ()] or None,
            "output": output,
        }
        values = {key: value for key, value in given.items() if value is not None}
        loaded = load_recipe(name, file, values | dict(parse_override(word) for word in words))
        if dry_run:
            from r1kit.commands.dry_run import print_dry_run

            print_dry_run(name, loaded, num_processes, accelerate_config)
            return
        from r1kit.launch import start

        raise typer.Exit(start(name, loaded, num_processes, accelerate_config, overwrite))

    command.__doc__ = STAGES[name].summary
    app.command(name)(command)


for _name in STAGES:
    _stage(_name)


@app.command()
def rewards(
    file: Annotated[
        str, typer.Argument(metavar="FILE.jsonl", help="Rows with `completion` and what the rewards need.")
    ],
    names: Annotated[str, typer.Option("--rewards", help="Names or dotted paths, with commas.")] = "accuracy,format",
    output: Annotated[str | None, typer.Option("-o", "--output", help="Where the scored rows go; else stdout.")] = None,
) -> None:
    """Score saved completions: one column a reward, and a table."""
    from r1kit.commands.score import score_file

    score_file(file, names.split(","), output)


TRUST = Annotated[bool, typer.Option("--trust-remote-code", help="Run the code that the model brings along.")]
RUNS = Annotated[list[str], typer.Argument(metavar="RUN...", help="Run directories; those they come from are added.")]


@app.command()
def report(
    runs: RUNS,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Default: report.html in the last RUN.")] = None,
) -> None:
    """One page of runs: their pipeline, curves, data, and every rollout kept. No network, no server."""
    from r1kit.report.page import write_report as write

    print(write(runs, Path(output or f"{runs[-1]}/report.html")))


@app.command()
def watch(
    runs: RUNS,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On the loopback; 0: any that is free.")] = 8000,
) -> None:
    """Serve that page while a run goes on; it follows what is written. Prints its address."""
    from r1kit.report.serve import serve_report as serve

    serve(runs, port)


@app.command()
def runs(folder: Annotated[str, typer.Argument(help="Where your runs are.")] = "runs") -> None:
    """List the runs below a folder: stage, state, time, and what they come from."""
    from r1kit.runs.listing import list_runs

    print(list_runs(Path(folder)))


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="A recipe folder that r1kit carries, such as tiny or qwen2.5-1.5b.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="Where it goes; default: ./NAME.")] = None,
) -> None:
    """Copy a recipe folder to start from."""
    from r1kit.commands.init import copy_recipe as copy

    print(copy(name, Path(output or name)))


@app.command()
def merge(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a folder, with an adapter.")],
    output: Annotated[str, typer.Option("-o", "--output", help="The folder for the plain model.")],
    trust_remote_code: TRUST = False,
) -> None:
    """Make a plain model of an adapter and its base."""
    from r1kit.commands.merge import merge_adapter as make

    print(make(run, Path(output), trust_remote_code))


@app.command()
def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a folder or a hub id.")],
    template: Annotated[str | None, typer.Option(help="chat, r1-zero, tiny or a text with {prompt}.")] = None,
    fold: Annotated[bool, typer.Option("--fold", help="Do not show the thinking.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 2048,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.6,
    trust_remote_code: TRUST = False,
) -> None:
    """Talk to a model: a line is a question, the end of input ends it."""
    from r1kit.commands.chat import run_chat as talk

    talk(model, template, fold, max_tokens, temperature, trust_remote_code)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    command = typer.main.get_command(app)
    try:
        code = command(standalone_mode=False)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_USER
    except UsageError as error:
        print(f"error: {error.format_message()} (see --help)", file=sys.stderr)  # type: ignore[attr-defined]
        code = EXIT_USER
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
