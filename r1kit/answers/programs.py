r"""Find the program in a reply: in a fenced block of its language, in another kind of block, or bare.

>>> find_program("Here it is:\n```python\nprint(7)\n```\nOutput:\n```\n7\n```")
'print(7)'
>>> find_program("def double(x):\n    return 2 * x\n\nIt doubles.")
'def double(x):\n    return 2 * x'
"""

import ast
import json
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

_PYTHON_NAMES = frozenset(("python", "python3", "python2", "py", "py3", "pypy", "pypy3", "ipython", "sage", "code"))
# Other marks between which models write programs: CodeLlama's, HTML's, LaTeX's.
_OTHER_BLOCK = re.compile(
    r"\[PYTHON\](.*?)\[/PYTHON\]"
    r"|<code>(.*?)</code>"
    r"|\\begin\{(?:lstlisting|verbatim|python|minted)\}(?:\{python\}|\[[^\]\n]{0,80}\])*(.*?)\\end\{",
    re.DOTALL,
)
_OTHER_BLOCK_END = re.compile(r"\[/PYTHON\]|</code>|\\end\{")
# The first line of a program that stands in prose without a fence.
_FIRST_LINE = re.compile(r"async def |def |class |import |from |@\w|for |while |if |try:|with |print\(|#!|\w{1,40} ?=")
_DEFINITION = re.compile(r"^(?:async def|def|class|import|from)\b", re.MULTILINE)
# Under which keys a reply in JSON has its program.
_JSON_KEYS = ("code", "program", "python", "answer", "solution")
# No program is longer, in characters; of a longer text the end is read.
_MAX_CHARS = 300_000
# A bare program is sought only in a text of at most this many characters, and tried from at most this many of its
# lines, since each try parses the text.
_MAX_BARE_CHARS = 100_000
_MAX_BARE_TRIES = 8


# The languages of blocks that hold no program: what a shell is told, what is read and what is printed.
_NO_PROGRAMS = frozenset(
    (
        *("bash", "sh", "shell", "zsh", "fish", "console", "terminal", "cmd", "powershell", "ps1", "shell-session"),
        *(
            "text",
            "txt",
            "plaintext",
            "plain",
            "output",
            "out",
            "stdout",
            "stderr",
            "input",
            "stdin",
            "result",
            "results",
        ),
        *("json", "jsonl", "yaml", "yml", "toml", "ini", "csv", "tsv", "xml", "html", "markdown", "md", "diff", "log"),
        *("latex", "tex", "math", "mermaid", "pycon", "python-repl", "python-console", "pytb", "traceback", "none"),
        *("example", "sample"),
    )
)


@dataclass(frozen=True)
class _Block:
    """A fenced block: the language after its fence, in lower case, and its text."""

    language: str
    text: str


def find_program(text: str) -> str | None:
    """Return the program in a reply, or None where it has none.

    It is, in this order: the last block marked as Python; the last unmarked block that does something; the last block
    of any other language that is not a shell's or an output; a block between other marks; the reply itself, or that
    part of it which is Python. A block that is cut off counts up to its end. Where a later block only uses what an
    earlier one defines, both belong to the program, unless the earlier one reads its input itself.
    """
    text = _normalise(text)
    return find_fenced_program(text) or _find_json_program(text) or _find_bare_program(text)


def find_fenced_program(text: str) -> str | None:
    """Return the program in the fenced blocks of a reply, or None where it has none."""
    blocks = _find_blocks(_normalise(text))
    python_blocks = [block.text for block in blocks if block.language in _PYTHON_NAMES and block.text.strip()]
    if python_blocks:
        return _join_blocks(python_blocks)
    unmarked = [block.text for block in blocks if not block.language and block.text.strip()]
    programs = [block for block in unmarked if _is_program(block)]
    if programs:
        return _join_blocks(programs)
    marked = [block.text for block in blocks if block.language and block.language not in _NO_PROGRAMS]
    others = [block for block in (*marked, *unmarked) if block.strip()]
    if others:
        return others[-1].strip("\n")
    return _find_other_block(text)


def _normalise(text: str) -> str:
    """Return a text with plain line ends; of a very long one the end."""
    return text[-_MAX_CHARS:].replace("\r\n", "\n")


def _find_blocks(text: str) -> list[_Block]:
    """Return the fenced blocks of a text in their order, also one that is cut off."""
    if "```" not in text and "~~~" not in text:
        return []
    blocks: list[_Block] = []
    fence = ""  # of the open block
    language = ""
    indent = 0
    lines: list[str] = []
    for line in text.split("\n"):
        if not fence:
            fence, info = _opening_fence(line)
            if fence:
                indent = len(line) - len(line.lstrip(" \t>"))
                language, first_line = _split_info(info)
                lines = [first_line] if first_line else []
            else:
                blocks += _find_inline_blocks(line)
            continue
        stripped = line.strip(" \t>")
        closes = stripped.startswith(fence) and not stripped.strip(fence[0])
        line_indent = len(line) - len(line.lstrip(" \t>"))
        if closes and line_indent <= indent + 3:
            blocks.append(_Block(language, _dedent(lines)))
            fence = ""
        elif stripped.startswith(fence) and line_indent <= indent:
            # A new block opens before the old one has closed.
            blocks.append(_Block(language, _dedent(lines)))
            language, first_line = _split_info(stripped.lstrip(fence[0]))
            lines = [first_line] if first_line else []
        elif line.rstrip().endswith(fence) and not stripped.startswith(
            fence
        ):  # the fence closes on the last line of the program
            blocks.append(_Block(language, _dedent([*lines, line.rstrip().removesuffix(fence)])))
            fence = ""
        else:
            lines.append(line)
    if fence:
        blocks.append(_Block(language, _dedent(lines)))
    return blocks


def _opening_fence(line: str) -> tuple[str, str]:
    """Return the fence that a line opens and the text after it; both empty where it opens none.

    A fence may follow words, as in "Answer: ```python". One that closes on the same line opens none.
    """
    for mark in ("```", "~~~"):
        end = line.rfind(mark) + len(mark)
        if end < len(mark) or line.count(mark) % 2 == 0:
            continue
        fence = line[len(line[:end].rstrip(mark[0])) : end]
        return fence, line[end:]
    return "", ""


def _find_inline_blocks(line: str) -> list[_Block]:
    """Return the blocks that open and close on one line, such as ```print(7)```."""
    if "```" not in line:
        return []
    parts = line.split("```")
    blocks = []
    for text in parts[1::2]:
        first_word, _, following = text.strip().partition(" ")
        if first_word.lower() in _PYTHON_NAMES and following:
            blocks.append(_Block("python", following.strip()))
        else:
            blocks.append(_Block("", text.strip()))
    return blocks


def _split_info(info: str) -> tuple[str, str]:
    """Return the language that stands after a fence, and the first line of the program where it stands there too."""
    words = info.strip().strip("{}").lstrip(".").split(maxsplit=1)
    if not words:
        return "", ""
    language = re.split(r"[:,{(\s]", words[0].lower(), maxsplit=1)[0]
    following = words[1] if len(words) > 1 else ""
    if language in _PYTHON_NAMES:
        is_code = bool(re.match(r"(?:def|class|import|from|print)\b", following))
        return "python", following if is_code else ""
    if following and _parses(info.strip()):
        return "", info.strip()  # no language: the program begins on the line of the fence
    return language, ""


def _dedent(lines: Sequence[str]) -> str:
    """Return the lines of a block as a text, without the indentation or quotation marks that all of them have."""
    if lines and all(line.startswith(">") for line in lines):
        lines = [line[1:].removeprefix(" ") for line in lines]
    text = "\n".join(lines).strip("\n")
    # `dedent` also empties lines of white space, which may stand in a string of a program that is not indented.
    return textwrap.dedent(text) if text[:1].isspace() else text


def _join_blocks(blocks: Sequence[str]) -> str:
    """Return the program that a reply's blocks make: the last, with the earlier one that it builds on."""
    while len(blocks) > 1 and _only_asserts(blocks[-1]):
        blocks = blocks[:-1]
    program = blocks[-1]
    for earlier in reversed(blocks[:-1]):
        defined = _defined_names(earlier)
        own_names = _defined_names(program)
        # A later version of the program defines the same names again, or needs none of the earlier.
        if not defined or defined & own_names or not defined & _used_names(program):
            continue
        if own_names or not _reads_input(earlier):
            program = f"{earlier}\n\n{program}"
        else:  # the later block only shows how the program is used
            program = earlier
    return program


def _only_asserts(block: str) -> bool:
    """Return whether a block only tests the program before it."""
    tree = _parse(block)
    return tree is not None and bool(tree.body) and all(isinstance(node, ast.Assert) for node in tree.body)


def _parse(program: str) -> ast.Module | None:
    """Return the syntax tree of a program, or None where it is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as an invalid escape sequence in a model's string
        try:
            return ast.parse(program)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _parses(program: str) -> bool:
    return _parse(program) is not None


def _defined_names(program: str) -> frozenset[str]:
    """Return the functions and classes that a program defines at its top level."""
    tree = _parse(program)
    if tree is None:
        return frozenset()
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in tree.body if isinstance(node, definitions))


def _used_names(program: str) -> frozenset[str]:
    """Return all names that stand in a program."""
    return frozenset(re.findall(r"[A-Za-z_]\w*", program))


def _reads_input(program: str) -> bool:
    """Return whether a program reads its standard input."""
    return bool(re.search(r"\binput\(|\bstdin\b|\bopen\(0", program))


def _is_program(text: str) -> bool:
    """Return whether a text is Python that does something, and not just a value that was printed."""
    tree = _parse(text)
    if tree is None:
        return False
    return any(not _is_value(node) for node in tree.body)


def _is_value(node: ast.stmt) -> bool:
    """Return whether a statement is a mere value, such as `7` or `[1, 2]` or a word."""
    return isinstance(node, ast.Expr) and not any(isinstance(child, ast.Call) for child in ast.walk(node))


def _find_other_block(text: str) -> str | None:
    """Return the last program between CodeLlama's, HTML's or LaTeX's marks."""
    last_end = 0
    for match in _OTHER_BLOCK_END.finditer(text):
        last_end = match.end()
    program = None
    for match in _OTHER_BLOCK.finditer(text, 0, last_end):
        content = textwrap.dedent(next(group for group in match.groups() if group is not None)).strip("\n")
        if _is_program(content):
            program = content
    return program


def _find_json_program(text: str) -> str | None:
    """Return the program in a reply that is a JSON object, `{"code": "print(7)"}`, fenced or not."""
    text = re.sub(r"\A\s*```(?:json)?\s|```\s*\Z", "", text).strip()
    if not text.startswith("{") or len(text) > _MAX_BARE_CHARS:
        return None
    try:
        members = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    for key in _JSON_KEYS:
        member = members.get(key)
        program = find_program(member) if isinstance(member, str) else None
        if program:
            return program
    return None


def _find_bare_program(text: str) -> str | None:
    """Return the program in a text without fences: all of it, or the longest run of its lines that is Python."""
    text = re.split(r"```|~~~", text, maxsplit=1)[0]  # what stands in fences was read before
    if len(text) > _MAX_BARE_CHARS:
        return None
    lines = text.strip("\n").split("\n")
    if lines and lines[0].strip().lower() in _PYTHON_NAMES:
        lines = lines[1:]
    whole = _dedent(lines)
    if _is_program(whole):
        return whole
    starts = [i for i, line in enumerate(lines) if _FIRST_LINE.match(line)]
    for start in starts[:_MAX_BARE_TRIES]:
        program = _longest_program(lines[start:])
        if program and _DEFINITION.search(program) and _is_program(program):
            return program
        if program and start == starts[0] and _is_program(program) and "(" in program:
            return program
    return None


def _longest_program(lines: Sequence[str]) -> str | None:
    """Return the longest run from the first of these lines that is Python."""
    end = len(lines)
    for _ in range(_MAX_BARE_TRIES):
        program = "\n".join(lines[:end]).rstrip()
        tree_error = _syntax_error_line(program)
        if tree_error is None:
            return program
        # The error is in or after the first line of prose: go back to the last line that begins a statement before it.
        end = min(end - 1, tree_error - 1)
        while end > 0 and not lines[end - 1].strip():
            end -= 1
        if end <= 0:
            return None
    return None


def _syntax_error_line(program: str) -> int | None:
    """Return the number of the line at which a program is no Python, None where all of it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(program)
        except SyntaxError as error:
            return error.lineno or 1
        except (ValueError, RecursionError, MemoryError):
            return 1
    return None
