"""The `r1kit` command line: one function for each command, which reads its options and calls the module of its work.

`r1kit --help` must answer at once, so this module imports nothing heavy: each function imports what it needs.
A user's mistake is one line on stderr and exit code 2; see r1kit.errors for the other exit codes.
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from r1kit.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USER,
    UNSET,
    UserError,
    explain_refused_file,
    suggest,
)
from r1kit.messages import print_traceback, set_verbosity
from r1kit.safe_text import escape_control_characters, mask_text, print_result
from r1kit.stages import STAGES, Stage
from r1kit.supervisor import describe_sys_exit, find_closed_descriptors, report_end, supervise
from r1kit.user_paths import expand_home

if TYPE_CHECKING:
    from r1kit.recipe import Recipe

# Typer carries a copy of click of its own, from which it exports only some exceptions; this is their base class.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]
# What click calls the types of options, in the words of a recipe's errors.
_CLICK_TYPES = {"a valid int": "a whole number", "a valid float": "a number"}


class CommandGroup(typer.core.TyperGroup):
    """The group of all commands; its help lists the stages first and never cuts a line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        stages: list[tuple[str, str]] = []
        tools: list[tuple[str, str]] = []
        width = max(map(len, self.commands))
        for name, command in self.commands.items():
            section = stages if name in STAGES else tools
            section.append((name.ljust(width), (command.help or "").partition("\n")[0]))
        with formatter.section("Stages of the pipeline"):
            formatter.write_dl(stages)
        with formatter.section("Tools"):
            formatter.write_dl(tools)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            raise UserError("COMMAND", name, "no such command", suggest(name, self.commands))
        return super().resolve_command(ctx, args)


HELP = """Build reasoning LLMs by the DeepSeek-R1 recipe.

A stage reads a recipe, which is a YAML file, and prints the path of what it made.

Example: r1kit sft recipes/tiny/dev1.yaml training.epochs=2
"""

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


def _set_verbosity(verbose: bool, quiet: bool) -> None:
    if verbose and quiet:
        raise UserError("--quiet", UNSET, "contradicts --verbose", "use one of the two")
    if verbose or quiet:
        set_verbosity(verbose, quiet)


def add_stage_command(stage: Stage) -> None:
    """Add the command of a stage: all stages have the same arguments and options."""
    train_or_eval = "eval" if stage.name == "eval" else "train"

    def run_stage_command(
        arguments: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[RECIPE.yaml] [key.path=value ...]",
                help="The recipe, and values that replace those in it.",
                show_default=False,
            ),
        ] = None,
        model: Annotated[
            str | None, typer.Option(help="The model: a hub id, a folder or a run. Sets model.path.")
        ] = None,
        dataset: Annotated[
            list[str] | None,
            typer.Option(help=f"The data: a hub id, a file or a run. Sets data.{train_or_eval}."),
        ] = None,
        output: Annotated[str | None, typer.Option(help="The run directory to write. Sets output.")] = None,
        num_processes: Annotated[int | None, typer.Option(help="Processes to start on this machine.")] = None,
        accelerate_config: Annotated[str | None, typer.Option(help="An Accelerate config file to launch with.")] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Print the recipe, launch command and sizes; run nothing.")
        ] = False,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Start anew: move an existing run to OUTPUT.1.")
        ] = False,
        verbose: Verbose = False,
        quiet: Quiet = False,
    ) -> None:
        _supervise_command()
        _set_verbosity(verbose, quiet)
        words = list(arguments or [])
        if stage.name == "data" and words[:1] == ["inspect"]:
            from r1kit.commands.inspect import inspect_source

            inspect_source(words[1:])
            return
        options = {
            "model.path": model,
            f"data.{train_or_eval}": [{"path": path} for path in dataset or []] or None,
            "output": output,
        }
        recipe, notes = _read_recipe(stage, words, options, load_models=not dry_run)
        if dry_run:
            from r1kit.commands.dry_run import print_dry_run

            print_dry_run(stage.name, recipe, num_processes, accelerate_config, notes)
            return
        from r1kit.launch import start

        raise typer.Exit(start(stage.name, recipe, num_processes, accelerate_config, overwrite, notes))

    run_stage_command.__doc__ = _stage_help(stage)
    app.command(stage.name)(run_stage_command)


def _read_recipe(
    stage: Stage, words: list[str], options: dict[str, Any], load_models: bool
) -> tuple["Recipe", list[str]]:
    """Return a stage's recipe, with the values of options and of `key=value` words set, and notes on its prompts.

    `words` may begin with the recipe's file. `options` are keys with their values, None where an option is not given.
    """
    from r1kit.models.prompt_choice import choose_prompts
    from r1kit.recipe import load_recipe, parse_override

    has_file = bool(words) and ("=" not in words[0] or os.path.isfile(words[0]))
    recipe_file = words[0] if has_file else None
    overrides = {key: value for key, value in options.items() if value is not None}
    for word in words[1:] if has_file else words:
        key, value = parse_override(word)
        overrides[key] = value
    return choose_prompts(load_recipe(stage.name, recipe_file, overrides), load_models=load_models)


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


@app.command()
def rewards(
    file: Annotated[
        str, typer.Argument(metavar="FILE.jsonl", help="Rows with a `completion` and the columns its rewards need.")
    ],
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
    _supervise_command()
    from r1kit.commands.score import score_file

    score_file(file, names.split(","), output, answers)


Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help="Run directories; their parents are added.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the Python code that comes with the model.")
]


@app.command()
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


@app.command()
def watch(
    runs: Runs,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes one that is free.")] = 8000,
) -> None:
    """Serve the report of runs as a web page that follows them."""
    from r1kit.report.serve import serve_report

    serve_report(runs, port)


@app.command()
def runs(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="The folder that your runs are in.")] = "runs",
) -> None:
    """List runs: stage, state, duration, result and parents."""
    from r1kit.runs.listing import list_runs

    print(list_runs(Path(folder), _terminal_width()))


@app.command()
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


@app.command()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped recipe folder: tiny, qwen2.5-1.5b, ...")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The folder to write, instead of ./NAME.")
    ] = None,
) -> None:
    """Copy a shipped recipe folder, to start your own from."""
    from r1kit.commands.init import copy_recipe

    print_result(str(copy_recipe(name, Path(output or name))))


@app.command()
def merge(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run or a folder with a LoRA adapter.")],
    output: Annotated[str, typer.Option("-o", "--output", help="The folder for the merged model.")],
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Merge a LoRA adapter into its base, as one plain model."""
    _supervise_command()
    from r1kit.commands.merge import merge_adapter

    print_result(str(merge_adapter(run, Path(output), trust_remote_code)))


@app.command()
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


@app.command()
def schema(stage: Annotated[str, typer.Argument(metavar="STAGE", help="A stage such as sft.")]) -> None:
    """Print the JSON schema of a stage's recipe, for editors."""
    from r1kit.commands.fields import print_schema

    print_schema(stage)


def _terminal_width() -> int | None:
    """Return the columns of the terminal that stdout is, or None if it is a file or a pipe."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# Whether this process runs a command line, and is no program that calls `app`.
_owns_process = False


def _supervise_command() -> None:
    """Go on with the command in a child process (supervisor.py). A program that calls `app` is not forked."""
    if _owns_process:
        supervise()


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    global _owns_process
    _owns_process = True
    sys.excepthook = print_traceback
    code, error_line = EXIT_FAILED, ""
    try:
        code_of_command, error_line = _run_command()
        if error_line:
            with contextlib.suppress(OSError):
                print(f"error: {error_line}", file=sys.stderr, flush=True)
        code = code_of_command
    finally:
        # A reward may have closed stderr: the parent process then prints the line.
        report_end(code, error_line if 2 in find_closed_descriptors() else "")
    sys.exit(code)


def _run_command() -> tuple[int, str]:
    """Run the command that the arguments name; return its exit code, and the error to print or ""."""
    command = typer.main.get_command(app)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # prints file names that are not UTF-8 unchanged
    try:
        _check_arguments(sys.argv[1:])
        words = [_expand_home_in_word(word) for word in sys.argv[1:]]
        code = command(words, standalone_mode=False, prog_name="r1kit") or EXIT_DONE
        sys.stdout.flush()
        return code, ""
    except UserError as error:
        return EXIT_USER, str(error)
    except UsageError as error:
        return EXIT_USER, escape_control_characters(mask_text(_explain_usage_error(error)))
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED, ""
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout once more when it ends
        return EXIT_FAILED, "stdout: was closed before all was written to it; let the command that reads it read it all"
    except OSError as error:
        refusal = explain_refused_file(error)
        if refusal is None:
            raise
        return EXIT_USER, str(refusal)
    except SystemExit as error:  # raised by a reward, a library or a model's code, never by r1kit's commands
        return EXIT_FAILED, f"{describe_sys_exit(error)}; remove it there, or what calls it"


def _check_arguments(arguments: list[str]) -> None:
    """Raise UserError for an argument with the character NUL, which no file name has (only a caller in Python can)."""
    for argument in arguments:
        if "\0" in argument:
            raise UserError("argument", argument.replace("\0", "\\0"), "must not have the character NUL", "correct it")


def _expand_home_in_word(word: str) -> str:
    """Return a word of the command line with the home folder for `~`, which shells leave in `--output=~/x`."""
    option, equals_sign, value = word.partition("=")
    if word.startswith("--") and equals_sign:
        return f"{option}={expand_home(value)}"
    return expand_home(word)


def _explain_usage_error(error: Any) -> str:
    """Return an error of click (an unknown option, a missing argument) as one line that names the way out."""
    command = error.ctx.command_path if error.ctx else "r1kit"
    unknown_option = getattr(error, "possibilities", UNSET) is not UNSET
    if not unknown_option:
        return _explain_wrong_value(error, f"see {command} --help")
    options: list[str] = []
    for parameter in error.ctx.command.params:
        options += [name for name in parameter.opts if name.startswith("--")]
    action = suggest(error.option_name, options)
    if not action.startswith("did you mean"):
        action = f"see {command} --help"
    return str(UserError(error.option_name, UNSET, "no such option", action))


def _explain_wrong_value(error: Any, action: str) -> str:
    """Return an error of click about a missing argument or the value of an option as `field = value; ...; action`."""
    parameter = getattr(error, "param", None)
    if parameter is None:
        return f"{error.format_message().rstrip('.')}; {action}"
    options = [option for option in parameter.opts if option.startswith("--")]
    field = options[0] if options else parameter.metavar or parameter.name
    if not error.message:  # an argument or option that is missing
        return str(UserError(field, UNSET, "is required", action))
    value, verb, expected = error.message.rstrip(".").partition(" is not ")
    if not verb:
        return str(UserError(field, UNSET, error.message.rstrip("."), action))
    expected = expected.removesuffix(" range")
    requirement = f"must be {_CLICK_TYPES.get(expected, expected)}"
    return str(UserError(field, value.strip("'"), requirement, action))


if __name__ == "__main__":
    main()
