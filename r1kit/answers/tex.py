r"""Bring TeX into the one form that the parsers of answers know.

TeX lets an argument go without braces (`\frac12`, `\sqrt[3]4`, `\binom nk`, `x^\pi`), wraps formulas into environments
(`align*`) and decorates them (`\color{red}`). Uses the standard library only.

>>> brace_arguments(r"\frac\pi3 + \sqrt[3]4")
'\\frac{\\pi}{3} + \\sqrt[3]{4}'
"""

import re

# Commands with the number of arguments that they take.
_ARGUMENT_COUNTS = {"frac": 2, "binom": 2, "sqrt": 1}
_COMMAND_OR_SCRIPT = re.compile(r"\\(frac|binom|sqrt)(?![a-zA-Z])|\^(?=\s*[+-]?\s*(?:\\[a-zA-Z]|-\s*[a-zA-Z(]))")
_COMMAND_NAME = re.compile(r"\\[a-zA-Z]+")
# Other commands with an argument in braces, which an argument without braces may be.
_TAKES_ARGUMENT = re.compile(
    r"\\(?:overline|underline|overrightarrow|widehat|hat|bar|vec|dot|tilde|math[a-z]+|text[a-z]*)"
)
# Environments that only lay out what they hold.
_LAYOUT = re.compile(r"\\(begin|end)\{(?:align(?:ed|at)?|equation|gather(?:ed)?|split|multline|math|displaymath)\*?\}")
# \color{red}, \hspace{1cm}: commands whose first argument says nothing about the answer.
_DECORATION = re.compile(
    r"\\(?:(?:text)?color|colorbox|[hv]space|[hv]?phantom|label|tag)\*?\s*\{[^{}]*\}|\\(?:no)?tag\b"
)
# \frac with its backslash doubled, as JSON that was escaped twice has it.
_DOUBLED_BACKSLASH = re.compile(
    r"\\\\(?=(?:[dtc]?frac|sqrt|pi|text|cdot|times|infty|left|right|boxed|le|ge|leq|geq|pm|cup|cap|in|circ|mathbb|"
    r"begin|end|alpha|beta|theta|sin|cos|tan|ln|log)(?![a-zA-Z]))"
)
# Braces within one another; a text that has more is refused later (quick_verdict.py), so it may stay as it is.
MAX_BRACES = 40
_COMMANDS_IN_A_ROW = re.compile(rf"(?:\\(?:frac|binom|sqrt)\s*|\^\s*-?\s*){{{MAX_BRACES}}}")
_ROOT_INDEX = re.compile(r"\s*\[([^\]]*)\]")
_INFIX = re.compile(r"\{([^{}]*)\\(over|choose)(?![a-zA-Z])([^{}]*)\}")


def closing_bracket(text: str, start: int) -> int:
    """Return the index at which the bracket at `start` closes, -1 if it does not.

    Any bracket closes any other, since [1, 2) is an interval.
    """
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    return -1


def unescape_commands(text: str) -> str:
    r"""Return a text with single backslashes before commands that have two of them (`\\frac`)."""
    if "\\\\" not in text:
        return text
    if re.search(r"(?<!\\)\\[a-zA-Z]", text):  # the text has commands with one backslash: two of them end a row
        return text
    return _DOUBLED_BACKSLASH.sub(r"\\", text)


def strip_layout(text: str) -> str:
    r"""Return a text without `align` and its like, and without colours; its lines become the members of a list."""
    if "\\" not in text:
        return text
    text = _DECORATION.sub(" ", text)
    if _LAYOUT.search(text):
        text = _LAYOUT.sub(" ", text)
        if "\\begin" not in text:
            text = text.replace("&", "")
    if "\\begin" not in text and "\\\\" in text:
        rows = [row.strip() for row in text.split("\\\\")]
        text = ", ".join(filter(None, rows))
    return text


def brace_arguments(text: str) -> str:
    r"""Return a text in which each argument of `\frac`, `\binom`, `\sqrt` and each exponent is in braces.

    Arguments that are missing stay so, which the parser refuses later.
    """
    if ("\\" not in text and "^" not in text) or _is_nested_deeply(text):
        return text
    text = _INFIX.sub(_write_prefix, text)
    return _brace(text)


def _is_nested_deeply(text: str) -> bool:
    """Return whether braces, or commands without them, are within one another beyond MAX_BRACES."""
    if _COMMANDS_IN_A_ROW.search(text):
        return True
    if text.count("{") <= MAX_BRACES:
        return False
    depth = deepest = 0
    for char in text:
        depth += (char == "{") - (char == "}")
        deepest = max(depth, deepest)
    return deepest > MAX_BRACES


def _write_prefix(match: re.Match[str]) -> str:
    command = "frac" if match[2] == "over" else "binom"
    return f"\\{command}{{{match[1].strip()}}}{{{match[3].strip()}}}"


def _brace(text: str) -> str:
    pieces = []
    position = 0
    while match := _COMMAND_OR_SCRIPT.search(text, position):
        pieces.append(text[position : match.start()])
        braced, position = _read_command(text, match)
        pieces.append(braced)
    pieces.append(text[position:])
    return "".join(pieces)


def _read_command(text: str, match: re.Match[str]) -> tuple[str, int]:
    """Return a command, or a `^`, with its arguments in braces, and the index after them."""
    pieces = [match.group()]
    position = match.end()
    count = 1
    if match[1]:
        count = _ARGUMENT_COUNTS[match[1]]
        root_index = _ROOT_INDEX.match(text, position) if match[1] == "sqrt" else None
        if root_index:
            pieces.append(f"[{root_index[1]}]")
            position = root_index.end()
    for _ in range(count):
        argument, end = _read_argument(text, position, allow_sign=not match[1])
        if argument is None:
            break
        pieces.append(f"{{{argument}}}")
        position = end
    return "".join(pieces), position


def _read_argument(text: str, position: int, allow_sign: bool) -> tuple[str | None, int]:
    """Return the argument that starts here, without its braces, and the index after it; None where there is none."""
    while position < len(text) and text[position].isspace():
        position += 1
    if position >= len(text) or text[position] in "})]&,=":
        return None, position
    if allow_sign and text[position] in "+-":
        argument, end = _read_argument(text, position + 1, allow_sign=False)
        return (None, position) if argument is None else (text[position] + argument, end)
    if text[position] == "{":
        closing = closing_bracket(text, position)
        if closing < 0:
            return None, position
        return _brace(text[position + 1 : closing]), closing + 1
    if text[position] == "(":  # sqrt(2) and x^(2) are braced elsewhere
        if not allow_sign:
            closing = closing_bracket(text, position)
            if closing > 0 and position > 0 and text[position - 1] in "+-":
                return text[position : closing + 1], closing + 1
        return None, position
    if text[position] != "\\":
        return text[position], position + 1
    command = _COMMAND_OR_SCRIPT.match(text, position)
    if command and command[1]:
        return _read_command(text, command)
    name = _COMMAND_NAME.match(text, position)
    if name is None:
        return None, position
    end = name.end()
    if text[end : end + 1] == "{" and _TAKES_ARGUMENT.fullmatch(name[0]):
        closing = closing_bracket(text, end)
        if closing > 0:
            end = closing + 1
    return text[position:end], end
