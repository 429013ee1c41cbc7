"""Run a command line: its words become a command, and a mistake in them becomes one line.

Here is what all commands share: the help of the group of commands, what is refused in the words of a command line, the
child process in which a command works, and its exit code. The commands themselves are in r1kit/cli.py.
"""

import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

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
)
from r1kit.messages import print_traceback
from r1kit.safe_text import escape_control_characters, mask_text
from r1kit.stages import STAGES
from r1kit.supervisor import describe_sys_exit, find_closed_descriptors, report_end, supervise
from r1kit.usage_errors import (
    UsageError,
    explain_unknown_command,
    explain_unknown_option,
    explain_usage_error,
    is_unknown_option,
)
from r1kit.user_paths import expand_home


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

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _explained_options(args):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            raise UserError("COMMAND", name, *explain_unknown_command(name, args[1:], self.commands))
        return super().resolve_command(ctx, args)


class Command(typer.core.TyperCommand):
    """A command that says what to type in the place of an option that it lacks, and refuses one that stands twice.

    Click takes the last of two, so that `--model a --model b` would do only half of what it says.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = list(args)
        with _explained_options(args):
            rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _, _, parameters = self.make_parser(ctx).parse_args(words)
            _check_repetition(parameters)
        return rest


class ScriptCommand(Command):
    """A command whose words may be `bash SCRIPT ARGUMENT ...`: what follows the script is the script's own.

    The options of the command that no stage has, such as --gpus, are its own wherever they stand.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "bash" in args:
            position = args.index("bash")
            own, script_words = self._divide_options(args[position + 2 :])
            args[:] = [*args[:position], *own, "--", *args[position : position + 2], *script_words]
        return super().parse_args(ctx, args)

    def _divide_options(self, words: list[str]) -> tuple[list[str], list[str]]:
        """Return the options of this command that no stage has, with their values, and the other words."""
        own_options: dict[str, Any] = {}
        for parameter in self.params:
            if not set(parameter.opts) & {"--num-processes", "--accelerate-config"}:
                own_options |= {name: parameter for name in parameter.opts if name.startswith("-")}
        own: list[str] = []
        others: list[str] = []
        remaining = iter(words)
        for word in remaining:
            name, equals_sign, _ = word.partition("=")
            if name not in own_options:
                others.append(word)
                continue
            own.append(word)
            if not equals_sign and not own_options[name].is_flag:
                own += [value for value in [next(remaining, None)] if value is not None]
        return own, others


@contextlib.contextmanager
def _explained_options(args: list[str]) -> Iterator[None]:
    """Turn click's error about an unknown option among `args` into one that says what to type."""
    words = list(args)  # click empties the list
    try:
        yield
    except UsageError as error:
        if not is_unknown_option(error):
            raise
        raise explain_unknown_option(error, words) from None


def _check_repetition(parameters: list[Any]) -> None:
    """Raise UserError for an option with a value that is given twice. `parameters` are in the order of the words."""
    for parameter, count in Counter(parameters).items():
        is_option = isinstance(parameter, typer.core.TyperOption)
        if is_option and count > 1 and not (parameter.multiple or parameter.is_flag):
            raise UserError(parameter.opts[-1], UNSET, f"stands {count} times in this command", "keep one of them")


# Whether this process runs a command line, and is no program that calls `app`.
_owns_process = False


def supervise_command() -> None:
    """Go on with the command in a child process (supervisor.py). A program that calls `app` is not forked."""
    if _owns_process:
        supervise()


def run_command_line(app: typer.Typer) -> NoReturn:
    """Run the command that `sys.argv` names, and exit; a user's mistake is one line on stderr and exit code 2."""
    global _owns_process
    _owns_process = True
    sys.excepthook = print_traceback
    code, error_line = EXIT_FAILED, ""
    try:
        code_of_command, error_line = _run_command(app)
        if error_line:
            with contextlib.suppress(OSError):
                print(f"error: {error_line}", file=sys.stderr, flush=True)
        code = code_of_command
    finally:
        # A reward may have closed stderr: the parent process then prints the line.
        report_end(code, error_line if 2 in find_closed_descriptors() else "")
    sys.exit(code)


def _run_command(app: typer.Typer) -> tuple[int, str]:
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
        return EXIT_USER, escape_control_characters(mask_text(explain_usage_error(error)))
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED, ""
    except BrokenPipeError:
        return _give_up_stdout()
    except OSError as error:
        refusal = explain_refused_file(error)
        if refusal is None:
            raise
        return EXIT_USER, str(refusal)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # click turns it into sys.exit(1)
            return _give_up_stdout()
        # A reward, a library or a model's code has called it; r1kit's commands never do.
        return EXIT_FAILED, f"{describe_sys_exit(error)}; remove it there, or what calls it"


def _give_up_stdout() -> tuple[int, str]:
    """Return the exit code and the error for a stdout that its reader has closed, such as `head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout once more when it ends
    return EXIT_FAILED, "stdout: was closed before all was written to it; let the command that reads it read it all"


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
