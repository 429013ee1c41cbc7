r"""Accuracy: does the answer of a completion match the row's gold answer, or pass its tests?

R1's accuracy reward (arXiv 2501.12948, section 2.2). The column `checker` says how a row is judged:

    math            the same mathematics, by algebra in worker processes (r1kit/answers/symbolic.py)
    exact           the same text, except for case, white space and a full stop at the end; of a list, any member
    choice          the same letter of a multiple-choice question
    code            the row's tests, run in a sandbox (r1kit/sandbox/judge.py)
    instructions    the rules that the prompt sets, as in IFEval (r1kit/rewards/instructions.py)
    reasoning_gym   the scorer of that library, for rows that it generated (gym.py)
    a name of yours a function of your own, which the setting `checkers` names (own_checkers.py)

Which part of a completion is the answer is read by `read_answer` (r1kit/answers/extract.py); how strictly, the setting
`answers` says.
"""

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.answers.extract import ANSWER_FORMS, AnswerForms, completion_text, final_reply, read_answer, strip_box
from r1kit.answers.fault import FAULT
from r1kit.answers.quick_verdict import MAX_CHARACTERS
from r1kit.answers.sentences import read_bound
from r1kit.answers.text_match import accepted_texts, same_as_any, same_choice, same_text
from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.wording import DECIMAL_COMMA_LANGUAGE
from r1kit.errors import UserError
from r1kit.rewards.instructions import judge_instructions
from r1kit.rewards.own_checkers import Checkers, call_checker, checker_paths, load_checker
from r1kit.rewards.program_tests import parse_tests, require_packages, warn_of_fault
from r1kit.rewards.settings import SettingError, require_seconds
from r1kit.rows import CHECKERS

_timeouts: Counter[str] = Counter()

# A thread sets `EAGER_THREADS.active` where its timeouts do not count: eager.py judges those rows a second time.
EAGER_THREADS = threading.local()


def accuracy(
    completions: Sequence[Any],
    answer: Sequence[Any] | None = None,
    checker: Sequence[str | None] | None = None,
    tests: Sequence[Any] | None = None,
    metadata: Sequence[Any] | None = None,
    *,
    partial: bool = False,
    seconds: float = 3.0,
    isolation: str = "auto",
    answers: AnswerForms = "tags",
    packages: Sequence[str] = ("numpy", "sortedcontainers"),
    checkers: Checkers | None = None,
    **columns: Any,
) -> list[float | None]:
    """Pay 1.0 for a right answer and 0.0 for a wrong one, as the row's `checker` judges it.

    Rows without a checker are `code` where they have tests, else `math`. `None`: the row has neither an answer nor
    tests. FAULT: no verdict could be had, because of a dead sandbox or worker, broken tests, or a gold answer that
    does not parse.

    Columns: `answer` (the gold answer), `checker`, `tests` (a list of tests of a program, or its JSON), `metadata` (of
    instructions and reasoning_gym); `question` or `prompts`, since an answer that only copies a computation from the
    question is wrong.

    Settings:
        partial: pay `code` the fraction of tests that pass, `instructions` that of those followed, and `reasoning_gym`
            the library's own score, in [0, 1].
        seconds: time limit of one test of a program and of one comparison in mathematics; what takes longer is wrong.
        isolation: how programs are isolated: auto, bubblewrap, landlock or none (r1kit/sandbox/isolation.py).
        answers: which forms of an answer are read: `tags` (R1's own, the default here), `boxed` or `any`
            (r1kit/answers/extract.py). In a recipe it is the key `answers`, unless the entry sets it.
        packages: what programs and tests may import beside the standard library, if it is installed: a list of names
            as they are imported. A program that needs another package gets a FAULT, and one warning names the package.
        checkers: functions of your own by the names that rows have in `checker`, such as {geometry: my_checkers.check},
            or a list of their dotted paths (r1kit/rewards/own_checkers.py).

    Raises ValueError for an unknown checker or a wrong setting.
    Source: the accuracy reward of R1 (arXiv 2501.12948, section 2.2).

    >>> accuracy(["<think>1/2</think><answer>0.5</answer>", "<answer>7</answer>"], answer=["1/2", "8"])
    [1.0, 0.0]
    >>> accuracy(["<answer>(b)</answer>", "<answer>4</answer>"], answer=["B", None], checker=["choice", None])
    [1.0, None]
    """
    require_seconds("accuracy", "seconds", seconds)
    if answers not in ANSWER_FORMS:
        raise SettingError("accuracy", "answers", answers, f"must be one of {', '.join(ANSWER_FORMS)}")
    require_packages(packages)
    own_paths = checker_paths(checkers)
    for path in own_paths.values():
        load_checker(path)
    rows = _collect_rows(completions, answer, checker, tests, metadata, answers, {*CHECKERS, *own_paths}, columns)
    rewards: list[float | None] = [None] * len(rows)
    judges: dict[str, Callable[[list[_Row]], list[float]]] = {
        "exact": _judge_texts,
        "choice": _judge_choices,
        "math": lambda checker_rows: _judge_math(checker_rows, seconds),
        "code": lambda checker_rows: _judge_code(checker_rows, partial, seconds, isolation, packages),
        "instructions": lambda checker_rows: [judge_instructions(r.metadata, r.reply, partial) for r in checker_rows],
        "reasoning_gym": lambda checker_rows: _judge_gym(checker_rows, partial, seconds),
    }
    for name, path in own_paths.items():
        judges[name] = _own_judge(path)
    for name, judge in judges.items():
        indices = [i for i, row in enumerate(rows) if row.checker == name and _can_be_judged(row)]
        checker_rewards = _judge_or_fault(judge, [rows[i] for i in indices]) if indices else []
        for i, reward in zip(indices, checker_rewards, strict=True):
            rewards[i] = reward
    return rewards


def _judge_or_fault(judge: Callable[["list[_Row]"], list[float]], rows: "list[_Row]") -> list[float]:
    """Return the rewards of rows by a judge; if it raises, judge each row alone, and give FAULT where it raises again.

    A row whose tests or texts break the judge must not cost the other rows of its batch a verdict.
    """
    try:
        return judge(rows)
    except UserError:
        raise
    except Exception as error:  # MemoryError and RecursionError among them
        if len(rows) == 1:
            warn_of_fault(f"judging by {rows[0].checker} failed with {type(error).__name__}: {error}"[:200])
            return [FAULT]
    return [_judge_or_fault(judge, [row])[0] for row in rows]


@dataclass(slots=True)
class _Row:
    """One completion with what it is judged by."""

    checker: str
    gold: Any
    answer: str | None
    whole: str  # the text that the answer was taken from
    question: str
    tests: list[dict[str, Any]] | None  # None where they are broken
    gym_entry: dict[str, Any] | None
    metadata: Any
    reply: str  # all text after the thinking
    columns: dict[str, Any]  # the row's other columns, for a checker of the user's own


def _collect_rows(
    completions: Sequence[Any],
    golds: Sequence[Any] | None,
    checkers: Sequence[str | None] | None,
    tests: Sequence[Any] | None,
    metadata: Sequence[Any] | None,
    answers: AnswerForms,
    known_checkers: Collection[str],
    columns: dict[str, Any],
) -> list[_Row]:
    """Return the columns as rows. Raises ValueError for an unknown checker."""
    missing = [None] * len(completions)
    questions = columns.get("question") or columns.get("prompts") or missing
    finish_reasons = columns.get("finish_reason") or missing
    values = zip(
        completions,
        golds or missing,
        checkers or missing,
        tests or missing,
        metadata or missing,
        questions,
        finish_reasons,
        strict=True,
    )
    rows = []
    for i, (completion, gold, checker, row_tests, row_metadata, prompt, finish_reason) in enumerate(values):
        parsed_tests = parse_tests(row_tests)
        if not checker:
            checker = "math" if parsed_tests == [] else "code"
        if checker not in known_checkers:
            raise ValueError(f"unknown checker {checker!r}: use {', '.join(sorted(known_checkers))}")
        question = _question_text(prompt)
        gym_entry = _gym_entry(row_metadata, question, gold) if checker == "reasoning_gym" else None
        text = completion_text(completion)
        read = read_answer(text, checker, answers, is_cut=finish_reason == "length")
        reply = final_reply(text) if checker == "instructions" else ""
        row = _Row(checker, gold, read.text, read.whole, question, parsed_tests, gym_entry, row_metadata, reply, {})
        if checker not in CHECKERS:
            row.columns = {**_columns_of_row(columns, i, len(completions)), "question": question, "completion": text}
        rows.append(row)
    return rows


def _columns_of_row(columns: dict[str, Any], index: int, row_count: int) -> dict[str, Any]:
    """Return the values of one row; what is no column (a logger, say) is left out, as is the prompt (`question`)."""
    values = {}
    for name, column in columns.items():
        if name != "prompts" and isinstance(column, list | tuple) and len(column) == row_count:
            values[name] = column[index]
    return values


def _own_judge(path: str) -> Callable[["list[_Row]"], list[float]]:
    """Return the judge of rows whose checker is the user's function at a dotted path."""

    def judge(rows: list[_Row]) -> list[float]:
        return [call_checker(path, row.answer, row.gold, row.columns) for row in rows]

    return judge


def _can_be_judged(row: _Row) -> bool:
    """Return whether the row has what its checker needs; a checker of the user's own may need no gold answer."""
    if row.checker not in CHECKERS:
        return True
    if row.checker == "code":
        return row.tests != []
    if row.checker == "instructions":
        return row.metadata is not None
    if row.checker == "reasoning_gym":
        return row.gym_entry is not None
    return row.gold is not None and row.gold != []


def _question_text(prompt: Any) -> str:
    """Return the text of a prompt, or of the last message of a chat."""
    if isinstance(prompt, str):
        return prompt
    return str(prompt[-1]["content"]) if prompt else ""


def _gym_entry(metadata: Any, question: str, answer: Any) -> dict[str, Any] | None:
    """Return the entry that reasoning_gym's scorers expect; None for a row without metadata, which may be JSON."""
    try:
        parsed_metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    except (ValueError, RecursionError):
        parsed_metadata = {}  # the scorer reports such an entry as broken
    if parsed_metadata is None:
        return None
    return {"question": question, "answer": answer, "metadata": parsed_metadata}


def _judge_texts(rows: list[_Row]) -> list[float]:
    """Compare answers with gold answers as texts; FAULT for an empty gold answer."""
    rewards = []
    for row in rows:
        if not accepted_texts(row.gold):
            rewards.append(FAULT)
        elif row.answer is None:
            rewards.append(0.0)
        else:
            # A gold answer may look like a sentence, or like markup, that was taken off the answer.
            is_right = same_as_any(row.gold, strip_box(row.answer)) or same_as_any(row.gold, strip_box(row.whole))
            rewards.append(float(is_right))
    return rewards


def _judge_choices(rows: list[_Row]) -> list[float]:
    """Compare answers with gold answers as choices of the question; FAULT for an empty gold answer."""
    rewards = []
    for row in rows:
        gold = str(row.gold)
        if not gold.strip():
            rewards.append(FAULT)
        else:
            rewards.append(float(row.answer is not None and same_choice(gold, row.answer, row.question)))
    return rewards


def _judge_math(rows: list[_Row], seconds: float) -> list[float]:
    """Compare answers with gold answers by their mathematics, in worker processes."""
    from r1kit.answers.workers import verify_answers

    pairs = []
    for row in rows:
        gold = str(row.gold)
        may_be_right = row.answer and (same_text(gold, row.answer) or _is_own_answer(row.answer, row.question))
        pairs.append((gold, (row.answer or "") if may_be_right else ""))
    verdicts = verify_answers(pairs, seconds)
    retries: dict[int, tuple[str, str]] = {}
    for i, (gold, answer) in enumerate(pairs):
        second_reading = _second_reading(rows[i], gold, answer) if verdicts[i] is AnswerVerdict.WRONG else None
        if second_reading is not None:
            retries[i] = (gold, second_reading)
    if retries:
        for i, verdict in zip(retries, verify_answers(list(retries.values()), seconds), strict=True):
            verdicts[i] = verdict
    _count_timeouts(verdicts.count(AnswerVerdict.TIMEOUT))
    return [_math_reward(verdict) for verdict in verdicts]


def _second_reading(row: _Row, gold: str, answer: str) -> str | None:
    """Return another reading of an answer that was judged wrong, by its question and reply; None without one.

    A question that asks for a percentage takes a number with or without the sign. In a reply in German, and in other
    languages that write so, 3,5 is three and a half and 1.500 may be 1500; elsewhere 3,5 is a list. "At least 5" is an
    answer only where the gold answer is an inequality.
    """
    if _INEQUALITY.search(gold) and not _INEQUALITY.search(answer):
        return read_bound(row.answer or row.whole[-_LANGUAGE_CHARS:]) or None
    if "%" not in gold and _PERCENT_SIGN.search(answer) and _ASKS_FOR_PERCENT.search(row.question):
        return _PERCENT_SIGN.sub("", answer)
    has_comma = _DECIMAL_COMMA.search(answer) and not _DECIMAL_COMMA.search(gold)
    if has_comma and DECIMAL_COMMA_LANGUAGE.search(row.whole[-_LANGUAGE_CHARS:]):
        return _DECIMAL_COMMA.sub(r"\1.", answer)
    has_points = _POINTS_OF_THOUSANDS.search(answer) and not _POINTS_OF_THOUSANDS.search(gold)
    if has_points and DECIMAL_COMMA_LANGUAGE.search(row.whole[-_LANGUAGE_CHARS:]):
        return _POINTS_OF_THOUSANDS.sub(lambda match: match[0].replace(".", ""), answer)
    return None


def _math_reward(verdict: AnswerVerdict) -> float:
    """Return the reward for a verdict."""
    if verdict in (AnswerVerdict.BROKEN_GOLD, AnswerVerdict.FAULT):
        return FAULT
    return float(verdict is AnswerVerdict.RIGHT)


# Such a question has the gold answer 50 for 50%.
_ASKS_FOR_PERCENT = re.compile(r"\bwhat (?:\w+ ){0,3}percent|\bpercentage\b", re.IGNORECASE)

# The comma of 3,5: neither that of thousands, nor that of a list of three.
_DECIMAL_COMMA = re.compile(r"(?<![\d,])(\d{1,9}),(?!\d{3}(?!\d))(?=\d{1,9}(?![\d,]))")
# The points of 1.500, which is 1500 in a language with a decimal comma.
_POINTS_OF_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3})+(?![\d.,])")
_LANGUAGE_CHARS = 2_000  # at the end of a reply, which show its language

_INEQUALITY = re.compile(r"[<>≤≥≦≧⩽⩾]|\\(?:[lg]eq?(?:slant|q)?|lt|gt|infty)(?![a-z])|∞")
_PERCENT_SIGN = re.compile(r"\\?%[ $]*\Z")

# A number or a fraction, or several of them in brackets: there is nothing in it to compute.
_NUMBER = r"-?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d+/\d+|\d+(?:\.\d+)?)"
_NUMBER_OR_POINT = re.compile(rf"{_NUMBER}|[(\[]{_NUMBER}(?:,{_NUMBER})+[)\]]")
_FRACTION = re.compile(r"frac\{\d+\}\{\d+\}|(?<!\d)\d+/\d+")


def _is_own_answer(answer: str, question: str) -> bool:
    """Return whether an answer is short enough to be mathematics, and no computation that stands in the question."""
    return len(answer) <= MAX_CHARACTERS and not _is_copied(answer, question)


def _is_copied(answer: str, question: str) -> bool:
    r"""Return whether an answer is a computation that stands in the question, such as "3 + 4" for "What is 3 + 4?"."""
    compact_answer = re.sub(r"[\s$]|\\(?:left|right)\b", "", answer)
    if _is_fully_computed(compact_answer):
        return False
    has_operator = re.search(r"\w\W*[-+*/^!×÷·\\]", compact_answer)
    return bool(has_operator) and compact_answer in re.sub(r"[\s$]", "", question)


def _is_fully_computed(compact_answer: str) -> bool:
    """Return whether an answer without white space is a number or a point, with its fractions in lowest terms."""
    if not _NUMBER_OR_POINT.fullmatch(compact_answer):
        return False
    for fraction in _FRACTION.findall(compact_answer):
        numerator, denominator = map(int, re.findall(r"\d+", fraction))
        if denominator <= 1 or math.gcd(numerator, denominator) != 1:
            return False
    return True


def _judge_gym(rows: list[_Row], partial: bool, seconds: float) -> list[float]:
    """Score answers by reasoning_gym's own scorers."""
    from r1kit.rewards.gym import score_gym_answers

    # Many scorers compare letter by letter, so that white space or a box around the answer would make it wrong.
    pairs = [(row.gym_entry, row.answer and strip_box(row.answer)) for row in rows]
    rewards = []
    for score in score_gym_answers(pairs, seconds):
        if score is None:
            _count_timeouts(1)
            rewards.append(0.0)
        elif partial or score == FAULT:
            rewards.append(score)
        else:
            rewards.append(float(score == 1.0))
    return rewards


def _judge_code(
    rows: list[_Row], partial: bool, seconds: float, isolation: str, packages: Sequence[str]
) -> list[float]:
    """Run the programs in the answers against the rows' tests, in a sandbox."""
    from r1kit.sandbox.judge import judge_programs
    from r1kit.sandbox.prompt_code import complete_program

    rewards = [0.0] * len(rows)
    jobs: dict[int, tuple[Any, list[dict[str, Any]]]] = {}  # by the row's index; a row without a program needs no run
    for i, row in enumerate(rows):
        if row.tests is None:
            rewards[i] = FAULT
        elif row.answer:
            jobs[i] = (complete_program(row.answer, row.question, row.tests), row.tests)
    verdicts = judge_programs(
        list(jobs.values()), seconds, count_all=partial, isolation=isolation, packages=tuple(packages)
    )
    for i, verdict in zip(jobs, verdicts, strict=True):
        if verdict.fault:
            rewards[i] = FAULT
            warn_of_fault(verdict.reason)
            continue
        _count_timeouts(int(verdict.timed_out))
        rewards[i] = verdict.passed / verdict.total if partial else float(verdict.ok)
    return rewards


def _count_timeouts(count: int) -> None:
    """Add to the count of timeouts, unless this is a thread whose timeouts do not count."""
    if not getattr(EAGER_THREADS, "active", False):
        _timeouts["timeouts"] += count


def take_timeout_count() -> int:
    """Return how many answers of this process took too long since the last call."""
    count = _timeouts["timeouts"]
    _timeouts["timeouts"] -= count
    return count
