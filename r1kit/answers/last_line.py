"""Read the answer in the last line of a reply, which is the answer by itself or a sentence that states it.

>>> read_last_line("So we have 80 + 6.\\n86", "math")
'86'
>>> read_last_line("We add.\\nIn total she sold 86 clips.", "math")
'86'
>>> read_last_line("The capital of France is Paris.", "exact")
'Paris'
"""

import re

from r1kit.answers.phrases import LIST_ITEM, RULE_LINE, read_correction
from r1kit.answers.plain_value import (
    FENCE_LINE,
    LONGEST_LINE,
    clean_value,
    is_bare,
    is_list_of_values,
    join_assignments,
    strip_symbols,
)
from r1kit.answers.sentences import COMPUTATION, drop_denied, drop_restatement, read_sentence, states_no_value
from r1kit.answers.wording import (
    CONCLUSION,
    CONTINUATION,
    CORRECTION,
    DENIAL,
    DENIAL_BEHIND,
    DOUBT,
    EXPLANATION_LINE,
    NAME_LINK,
    NEGATION,
    NO_SOLUTION,
    NOTE,
    PLAN,
    REASON_LINE,
    VALUE_LINK,
    WEAK_LINK,
    YES_OR_NO,
)

# "Sentiment: negative", "Sam's age: 45": a label of a few words before the answer.
_LABEL = re.compile(r"[*_]{0,3}[A-Z][a-z]{1,20}(?:['’]s)?(?: [a-z]{1,20}){0,3}[*_]{0,3}:[*_]{0,3}\s(?=\S)")
# "It was written by Shakespeare", "It's called blue".
_PARTICIPLE = re.compile(r"^(?:called|named|\w{2,15}(?:ed|n) (?:by|in|as|on))\s")
# "Paris is the capital of France": the answer is what the sentence is about.
_NAME_FIRST = re.compile(
    r"((?!The\b|It\b|This\b|That\b)[A-ZÀ-ÞА-Я][^\s,.]{0,30}(?: [A-ZÀ-Þ][^\s,.]{0,30}){0,3}) (?:is|was) (?:the|a|"
    r"an) (?=[a-z])"
)
# A sentence that begins with a condition: "If x is 3, then y is 4."
_SUPPOSES = re.compile(r"\s*(?:if|when|since|because|given|as|where|for)\b", re.IGNORECASE)
# "15 is the answer."
_IS_THE_ANSWER = re.compile(
    r"([^\s,;][^,;\n]{0,60}?) is (?:the|our|my) (?:final |correct |right )?(?:answer|result|solution)\b"
    r"[^.\n\d]{0,30}\.?",
    re.IGNORECASE,
)
# When or where a value is reached, behind it: ", attained at x = 2".
_CIRCUMSTANCE = re.compile(r",\s(?:\w{3,20}ed|at|for|with)\s|,?\s(?:when|where)\s")
# Bold type or code, and what stands before the one that is the answer: "It is called **Paris**", not "Unlike **Rome**".
_EMPHASIS = re.compile(r"\*\*([^*\n]{1,100})\*\*|`([^`\n]{1,100})`")
_BEFORE_EMPHASIS = re.compile(
    r"(?:\b(?:is|are|was|were|be|on|in|by|of|the|an?|at|as|called|named|ist|war|der|die|das|est|la|le|es|el|è|é)|"
    r"[:：=—–是は])\s{0,3}\Z"
)
_LAST_SENTENCE = re.compile(r"(?<=[.!?。])\s+(?=[A-ZÀ-ÞА-Я*\"(])")


def read_last_line(reply: str, checker: str) -> str:
    """Return the answer in the last line of a reply, "" where the line neither is an answer nor states one."""
    lines = [line for line in reply.split("\n") if line.strip()]
    while lines and _is_behind_answer(lines, checker):
        lines.pop()
    if not lines or lines[-1].rstrip().endswith((":", "：", "?", "？")):
        return ""
    assignments = _last_assignments(lines)
    if assignments and checker != "exact":
        return assignments
    if len(lines) > 1 and _is_explanation_in_brackets(lines[-1]):
        before = clean_value(lines[-2], checker)
        if is_bare(before, checker):
            return before
    line = strip_symbols(lines[-1])
    if len(line) > 4 * LONGEST_LINE:
        return ""
    conclusion = CONCLUSION.match(line)
    line = line[conclusion.end() :] if conclusion else line
    yes_or_no = _read_yes_or_no(line, lines[0]) if checker == "exact" else ""
    if yes_or_no:
        return yes_or_no
    corrected = read_correction(line, checker)
    if corrected is not None:
        return corrected
    line = drop_denied(line)
    return _read_line_of_math(line) if checker == "math" else _read_line_of_text(line, checker)


def _is_behind_answer(lines: list[str], checker: str) -> bool:
    """Return whether the last of some lines states no answer: a rule, a note, or the reason of the line before it."""
    last = lines[-1]
    if not strip_symbols(last) or RULE_LINE.fullmatch(last) or FENCE_LINE.fullmatch(last) or NOTE.match(last):
        return True
    if len(lines) < 2:
        return False
    if checker == "math" and CONTINUATION.match(last):
        return any(mark in lines[-2] for mark in ("$", "\\]", "\\end{"))
    before = _LABEL.sub("", lines[-2].strip(), count=1)
    return bool(REASON_LINE.match(last)) and is_bare(clean_value(before, checker), checker)


def _last_assignments(lines: list[str]) -> str:
    """Return the items of a list at the end of a reply as one answer, where each gives a name a value: "- x = 2".

    Numbered items that give one name several values are steps of a computation, and no answer.
    """
    start = len(lines)
    while start > 0 and LIST_ITEM.match(lines[start - 1]):
        start -= 1
    items = "\n".join(lines[start:])
    joined = join_assignments(items)
    if joined == items:
        return ""
    names = [item.partition("=")[0].strip(" $") for item in joined.split(", ")]
    is_numbered = lines[start].lstrip()[:1].isdigit()
    return "" if is_numbered and len(set(names)) < len(names) else joined


def _is_explanation_in_brackets(line: str) -> bool:
    """Return whether a line is nothing but an explanation: "(since 80 + 6 = 86)"."""
    is_bracketed = line.lstrip().startswith(("(", "（")) and line.rstrip(". ").endswith((")", "）"))
    return is_bracketed and bool(EXPLANATION_LINE.match(line))


def _read_line_of_math(line: str) -> str:
    """Return the number or formula that a last line is or states; "" where there is none."""
    if states_no_value(line):
        return ""
    without_solution = NO_SOLUTION.search(line)
    if without_solution:
        return without_solution[1]
    line = drop_restatement(line)
    label = _LABEL.match(line)
    if label and not PLAN.match(line):  # "Total amount: $500"
        value = clean_value(line[label.end() :], "math")
        if re.search(r"\d", value) and is_bare(value, "math"):
            return value
    sentence = _drop_circumstance(_LAST_SENTENCE.split(line.strip())[-1])
    stated_last = _stated_value(sentence)
    if stated_last and not line.strip().startswith(sentence[:-1]):  # the sentences before it only lead to it
        return stated_last
    value = clean_value(line, "math")
    # "The rest, which is 17": two words that a clause was cut from are no answer.
    is_fragment = not re.search(r"[\d$\\]", value) and len(line.split()) > 4
    if is_bare(value, "math") and not is_fragment:
        return value
    is_finished = re.search(r"[.!。।*$)]\s*\Z", sentence) or "=" in sentence or stated_last
    if not COMPUTATION.search(sentence) and (PLAN.match(sentence) or not is_finished):
        return ""
    stated = "" if COMPUTATION.search(sentence) else stated_last
    return stated or _value_behind(WEAK_LINK, sentence, "math") or read_sentence(sentence) or stated_last


def _stated_value(sentence: str) -> str:
    """Return what a sentence says that something is, "The roots are $2$ and $3$."; empty where it only supposes so."""
    if DOUBT.search(sentence):
        return ""
    called_answer = _IS_THE_ANSWER.fullmatch(sentence)
    value = clean_value(called_answer[1], "math") if called_answer else ""
    if value and is_bare(value, "math"):
        return value
    if _SUPPOSES.match(sentence):  # "If x is 3, then y is 4."
        sentence = sentence.partition(", ")[2]
    if len(VALUE_LINK.findall(sentence)) > 1:  # "Tom is 10 and Ann is 12."
        return ""
    return _value_behind(VALUE_LINK, sentence, "math")


def _drop_circumstance(sentence: str) -> str:
    """Return a sentence without when or where its value is reached: "The minimum is -5, attained at x = 2."."""
    circumstance = _CIRCUMSTANCE.search(sentence)
    has_value = circumstance and VALUE_LINK.search(sentence, 0, circumstance.start())
    return sentence[: circumstance.start()] + "." if circumstance and has_value else sentence


def _read_yes_or_no(last_line: str, first_line: str) -> str:
    """Return the yes or no with which a reply starts its last or its first line: "No. It has a factor 3."."""
    for line in (last_line, first_line.lstrip(" #>")):
        direct = YES_OR_NO.match(line)
        if direct and not CORRECTION.search(line, direct.end()):
            return direct[1]
    return ""


def _read_line_of_text(line: str, checker: str) -> str:
    """Return the name, word or choice that a last line is or states; "" where there is none."""
    if checker == "exact":
        label = _LABEL.match(line)
        if label and len(line) < 100:
            return clean_value(line[label.end() :], checker)
    link = WEAK_LINK.match(line)
    if link:  # "It is Paris."
        value = _PARTICIPLE.sub("", clean_value(line[link.end() :], checker))
        value = clean_value(value, checker)
        return value if value and not NEGATION.match(value) and is_bare(value, checker) else ""
    sentence = _LAST_SENTENCE.split(line.strip())[-1]
    emphasised = _emphasised_text(sentence) if checker == "exact" else ""
    if emphasised:
        return clean_value(emphasised, checker)
    value = clean_value(line, checker)
    is_sentence = checker == "exact" and line.rstrip().endswith((".", "。")) and NAME_LINK.search(line)
    if is_bare(value, checker) and not is_sentence:
        return value
    if PLAN.match(sentence) or not re.search(r"[.!。।*$)]\s*\Z", sentence):
        return ""
    stated = _value_behind(WEAK_LINK, sentence, checker)
    if stated or checker != "exact" or DOUBT.search(sentence) or DENIAL_BEHIND.search(sentence):
        return stated
    name = _NAME_FIRST.match(sentence)
    return name[1] if name else _value_behind(NAME_LINK, sentence, checker)


def _emphasised_text(sentence: str) -> str:
    """Return the one text in bold type, or as code, that a sentence states: "It took place on **July 20, 1969**."."""
    matches = list(_EMPHASIS.finditer(sentence))
    is_finished = sentence.rstrip().endswith((".", "。", "*", "`"))
    if len(matches) != 1 or not is_finished or DOUBT.search(sentence):
        return ""
    return (matches[0][1] or matches[0][2]) if _BEFORE_EMPHASIS.search(sentence[: matches[0].start()]) else ""


def _value_behind(link: re.Pattern[str], sentence: str, checker: str) -> str:
    """Return the answer behind the last link such as "it is", if it is one by itself; else an empty text."""
    matches = list(link.finditer(sentence))
    if not matches or DENIAL.search(sentence, max(0, matches[-1].start() - 8), matches[-1].end()):
        return ""
    value = clean_value(sentence[matches[-1].end() :], checker)
    is_answer = is_bare(value, checker) or (checker == "math" and is_list_of_values(value))
    return value if value and not NEGATION.match(value) and is_answer else ""


def last_paragraph(reply: str) -> str:
    """Return the last lines of a reply, from its last empty line on, without a fence around them."""
    lines = [line for line in reply.strip().split("\n") if not FENCE_LINE.fullmatch(line)]
    start = max((i + 1 for i, line in enumerate(lines) if not line.strip()), default=0)
    return "\n".join(lines[start:]).strip()
