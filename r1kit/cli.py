"""The `r1kit` command line: one function for each command, which reads its options and calls the module of its work.

`r1kit --help` must answer at once, so this module imports nothing heavy: each function imports what it needs.
A user's mistake is one line on stderr and exit code 2; see r1kit.errors for the other exit codes.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from r1kit.command_line import Command, CommandGroup, ScriptCommand, run_command_line, supervise_command
from r1kit.errors import UNSET, UserError
from r1kit.messages import set_verbosity
from r1kit.safe_text import print_result
from r1kit.stages import STAGES, Stage

HELP = """Build reasoning LLMs by the DeepSeek-R1 recipe.

A stage reads a recipe, which is a YAML file, and prints the path of what it made.

Example: r1kit sft recipes/tiny/dev1.yaml training.epochs=2
"""

PLAN_VARIABLE = "R1KIT_PLAN"
"""Environment variable that is set while a script is planned (r1kit/plan/chain.py)."""

app = typer.Typer(
    cls=CommandGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=HELP,
)

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print debug messages too.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print warnings and errors only.")]

# Options of all stages.
Processes = Annotated[int | None, typer.Option(help="Processes to start on this machine.")]
AccelerateConfig = Annotated[str | None, typer.Option(help="An Accelerate config file to launch with.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and print all that can be known; run nothing.")]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="Try the recipe in two minutes, in OUTPUT.smoke: few rows and steps.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew: move an existing run to OUTPUT.1.")]
SUITE_HELP = "Benchmarks with commas between: r1, math500, gsm8k=FILE, ... Sets suite."
READ_HELP = "A result file of lm-evaluation-harness or Inspect to show. Sets read."


@app.callback()
def read_global_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version of r1kit.")] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Apply the options that stand before the command."""
    _set_verbosity(verbose, quiet)
    if version:
        from r1kit.version import __version__

        print(__version__)
        raise typer.Exit()
    if context.invoked_subcommand is None:
        print(context.get_help())
    elif PLAN_VARIABLE in os.environ and context.invoked_subcommand not in STAGES:
        from r1kit.commands.plan import skip_in_script

        skip_in_script(sys.argv)
        raise typer.Exit()


def _set_verbosity(verbose: bool, quiet: bool) -> None:
    if verbose and quiet:
        raise UserError("--quiet", UNSET, "contradicts --verbose", "use one of the two")
    if verbose or quiet:
        set_verbosity(verbose, quiet)


def add_stage_command(stage: Stage) -> None:
    """Add the command of a stage: all stages have the same arguments and options."""
    is_eval = stage.name == "eval"
    arguments_help = "The recipe, and values that replace those in it."
    model_help = "The model: a hub id, a folder or a run. Sets model.path."
    dataset_help = f"The data: a hub id, a file or a run. Sets data.{'eval' if is_eval else 'train'}."
    if is_eval:
        arguments_help += " Or the model."
        model_help = "A model: a hub id, a folder or a run, or NAME=PATH. Several set models."

    def run_stage_command(
        arguments: Annotated[
            list[str] | None,
            typer.Argument(metavar="[RECIPE.yaml] [key.path=value ...]", help=arguments_help, show_default=False),
        ] = None,
        model: Annotated[list[str] | None, typer.Option(help=model_help)] = None,
        dataset: Annotated[list[str] | None, typer.Option(help=dataset_help)] = None,
        suite: Annotated[str | None, typer.Option(help=SUITE_HELP, hidden=not is_eval)] = None,
        read: Annotated[list[str] | None, typer.Option(help=READ_HELP, hidden=not is_eval)] = None,
        output: Annotated[str | None, typer.Option(help="The run directory to write. Sets output.")] = None,
        num_processes: Processes = None,
        accelerate_config: AccelerateConfig = None,
        dry_run: DryRun = False,
        smoke: Smoke = False,
        overwrite: Overwrite = False,
        verbose: Verbose = False,
        quiet: Quiet = False,
    ) -> None:
        words = list(arguments or [])
        if PLAN_VARIABLE in os.environ:
            from r1kit.commands.plan import plan_in_script
            from r1kit.stage_words import StageOptions

            options = StageOptions(model or [], dataset or [], suite, read or [], output)
            plan_in_script(stage.name, words, options, num_processes, accelerate_config)
            return
        supervise_command()
        _set_verbosity(verbose, quiet)
        if stage.name == "data" and words[:1] == ["inspect"]:
            from r1kit.commands.inspect import inspect_source

            inspect_source(words[1:])
            return
        from r1kit.stage_words import StageOptions, read_stage_recipe

        options = StageOptions(model or [], dataset or [], suite, read or [], output)
        # A smoke run replaces models first, and only then looks at them.
        recipe, notes = read_stage_recipe(stage, words, options, load_models=not (dry_run or smoke))
        if smoke:
            from r1kit.commands.smoke import prepare_smoke_run

            recipe, notes = prepare_smoke_run(recipe, num_processes, accelerate_config, load_models=not dry_run)
        if dry_run:
            from r1kit.commands.dry_run import print_dry_run

            print_dry_run(stage.name, recipe, num_processes, accelerate_config, notes)
            return
        from r1kit.launch import start

        raise typer.Exit(start(stage.name, recipe, num_processes, accelerate_config, overwrite, notes, smoke))

    run_stage_command.__doc__ = _stage_help(stage)
    app.command(stage.name, cls=Command)(run_stage_command)


def _stage_help(stage: Stage) -> str:
    """Return the text that `r1kit STAGE --help` shows."""
    help_text = (
        f"{stage.summary}\n\n"
        f"Example: r1kit {stage.name} recipe.yaml output=runs/first seed=1\n\n"
        f"`r1kit fields {stage.name}` describes the fields of the recipe."
    )
    if stage.name == "data":
        help_text += " `r1kit data inspect PATH` shows what a data set holds."
    return help_text


for _stage in STAGES.values():
    add_stage_command(_stage)


@app.command(cls=ScriptCommand)
def plan(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE] RECIPE.yaml [key.path=value ...] | bash SCRIPT [ARGUMENT ...]",
            help="The recipe of a stage, or a script that runs several.",
            show_default=False,
        ),
    ] = None,
    gpus: Annotated[
        str | None,
        typer.Option(help="GPUs of a node: 8xH100-80GB, cpu, or figures as in 8x80GB,989TFLOPS,3350GB/s."),
    ] = None,
    nodes: Annotated[int, typer.Option(help="Number of nodes.")] = 1,
    price: Annotated[str | None, typer.Option(help="Price of a GPU for an hour, such as 2.5.")] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Choose the fastest settings that fit, and print them as overrides.")
    ] = False,
    mean_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean tokens of a row or a completion; default: 0.3 of the longest.")
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option(help="PATH=MODEL: a model that is not here is planned as another one.")
    ] = None,
    num_processes: Annotated[int | None, typer.Option(help="Processes on this machine, without --gpus.")] = None,
    accelerate_config: Annotated[str | None, typer.Option(help="The Accelerate config of the launch.")] = None,
) -> None:
    """Say what a recipe or a script will take: memory, hours, money."""
    from r1kit.commands.plan import print_plan, read_likes, read_plan_options

    options = read_plan_options(gpus, nodes, price, mean_tokens, num_processes, accelerate_config)
    raise typer.Exit(print_plan(list(arguments or []), options, read_likes(like or []), fit))


@app.command(cls=Command)
def rewards(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A run, or a JSONL, Parquet or CSV file whose rows have a `completion`."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REWARD.SETTING=VALUE ...]",
            help="Settings of the rewards, such as overlong.max_tokens=512.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        str, typer.Option("--rewards", help="Names of rewards or dotted paths of functions, with commas between.")
    ] = "accuracy,format",
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="File, pipe or `-` for the scored rows; default: stdout.")
    ] = None,
    answers: Annotated[
        str, typer.Option("--answers", help="Which forms of an answer are read: tags, boxed or any.")
    ] = "any",
) -> None:
    """Score saved completions with any rewards, and summarise them."""
    supervise_command()
    from r1kit.commands.score import score_file

    score_file(file, names.split(","), output, answers, settings or [])


@app.command(cls=Command)
def prove(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE] RECIPE.yaml [key.path=value ...]",
            help="The recipe, or a run; its stage, where two read it; and values that replace those in it.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The folder to write, instead of OUTPUT.prove.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--on", metavar="DEVICE", help="cpu or cuda; default: a GPU if any.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Prove on a small random model that a recipe trains what it says.

    Exit codes: 0 all checks hold, 1 one fails, 2 the recipe is wrong, 3 some could not be made here.
    """
    supervise_command()
    from r1kit.commands.prove import prove_recipe

    raise typer.Exit(prove_recipe(words or [], output, device, verbose))


Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help="Run directories; their parents are added.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the Python code that comes with the model.")
]


@app.command(cls=Command)
def report(
    runs: Runs,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The file to write, instead of report.html in the last RUN.")
    ] = None,
) -> None:
    """Write runs as one HTML page: curves, data and all rollouts."""
    from r1kit.report.page import write_report
    from r1kit.runs.files import is_stdout

    written = str(write_report(runs, Path(output or f"{runs[-1]}/report.html")))
    if not is_stdout(written):
        print_result(written)


@app.command(cls=Command)
def watch(
    runs: Runs,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes one that is free.")] = 8000,
) -> None:
    """Serve the report of runs as a web page that follows them."""
    from r1kit.report.serve import serve_report

    serve_report(runs, port)


@app.command(cls=Command)
def runs(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="The folder that your runs are in.")] = "runs",
) -> None:
    """List runs: stage, state, duration, result and parents."""
    from r1kit.runs.listing import list_runs

    print(list_runs(Path(folder), _terminal_width()))


@app.command(cls=Command)
def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a folder or a hub id.")],
    template: Annotated[
        str | None, typer.Option(help="Prompt template: chat, r1-zero, tiny, or a text with {prompt} in it.")
    ] = None,
    fold: Annotated[bool, typer.Option("--fold", help="Hide the thinking.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a completion.")] = 2048,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; 0 takes the likeliest token.")] = 0.6,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Ask a model questions in the terminal, one a line."""
    from r1kit.commands.chat import run_chat

    run_chat(model, template, fold, max_tokens, temperature, trust_remote_code)


@app.command(cls=Command)
def answer(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a folder or a hub id.")],
    questions: Annotated[
        str,
        typer.Argument(metavar="QUESTIONS", help="Rows with a `prompt`: JSONL, CSV, Parquet, text lines; - is stdin."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key.path=value ...]", help="How is sampled, such as sampling.batch_size=64."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=1, help="Completion tokens that a question may cost, on average.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="The method, such as greedy, vote@8 or best@8,by=logprob.")] = None,
    scaling: Annotated[
        str | None, typer.Option(help="The run of `r1kit eval` that measured the model; else it is looked for.")
    ] = None,
    verifier: Annotated[str | None, typer.Option(help="The run of `r1kit verifier`, for methods by=verifier.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="File, pipe or `-` for the answers; default: stdout.")
    ] = None,
) -> None:
    """Answer new questions by the method that eval recommends."""
    supervise_command()
    from r1kit.commands.answer import answer_questions

    answer_questions(model, questions, budget, method, scaling, verifier, output, settings or [])


@app.command(cls=Command)
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped recipe folder: tiny, qwen2.5-1.5b, ...")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The folder to write, instead of ./NAME.")
    ] = None,
) -> None:
    """Copy a shipped recipe folder, to start your own from."""
    from r1kit.commands.init import copy_recipe

    print_result(str(copy_recipe(name, Path(output or Path(name).name))))


@app.command(cls=Command)
def merge(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run or a folder with a LoRA adapter.")],
    output: Annotated[str, typer.Option("-o", "--output", help="The folder for the merged model.")],
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Merge a LoRA adapter into its base, as one plain model."""
    supervise_command()
    from r1kit.commands.merge import merge_adapter

    print_result(str(merge_adapter(run, Path(output), trust_remote_code)))


@app.command(cls=Command)
def fields(
    stage: Annotated[
        str | None, typer.Argument(metavar="[STAGE]", help="A stage such as sft; without it, all stages.")
    ] = None,
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="A field such as training.steps, or its last name.")
    ] = None,
) -> None:
    """Describe the fields of recipes: meaning, type and default."""
    from r1kit.commands.fields import print_fields

    print_fields(stage, key, _terminal_width())


@app.command(cls=Command)
def schema(stage: Annotated[str, typer.Argument(metavar="STAGE", help="A stage such as sft.")]) -> None:
    """Print the JSON schema of a stage's recipe, for editors."""
    from r1kit.commands.fields import print_schema

    print_schema(stage)


def _terminal_width() -> int | None:
    """Return the columns of the terminal that stdout is, or None if it is a file or a pipe."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def main() -> None:
    """Run the command line that this process was started with."""
    run_command_line(app)


if __name__ == "__main__":
    main()
