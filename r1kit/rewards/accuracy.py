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

from collections.abc import Callable, Sequence
from typing import Any

from r1kit.answers.extract import ANSWER_FORMS, AnswerForms, strip_box
from r1kit.answers.fault import FAULT
from r1kit.answers.text_match import accepted_texts, same_as_any, same_choice
from r1kit.errors import UserError
from r1kit.rewards.answer_rows import AnswerRow, can_be_judged, collect_answer_rows
from r1kit.rewards.instructions import judge_instructions
from r1kit.rewards.math_answers import judge_math
from r1kit.rewards.own_checkers import Checkers, call_checker, checker_paths, load_checker
from r1kit.rewards.program_tests import require_packages, warn_of_fault
from r1kit.rewards.settings import SettingError, require_lists, require_seconds
from r1kit.rewards.timeouts import count_timeouts
from r1kit.rows import CHECKERS


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

    Raises ValueError for an unknown checker or a wrong setting, TypeError for a column that is no list.
    Source: the accuracy reward of R1 (arXiv 2501.12948, section 2.2).

    >>> accuracy(["<think>1/2</think><answer>0.5</answer>", "<answer>7</answer>"], answer=["1/2", "8"])
    [1.0, 0.0]
    >>> accuracy(["<answer>(b)</answer>", "<answer>4</answer>"], answer=["B", None], checker=["choice", None])
    [1.0, None]
    """
    row_columns = {"answer": answer, "checker": checker, "tests": tests, "metadata": metadata}
    questions = {name: columns.get(name) for name in ("question", "prompts", "finish_reason")}
    require_lists("accuracy", completions, **row_columns, **questions)
    if "solution" in columns and not checkers and all(column is None for column in row_columns.values()):
        raise TypeError("accuracy: reads the gold answers from the column answer, not from solution; rename it")
    require_seconds("accuracy", "seconds", seconds)
    if answers not in ANSWER_FORMS:
        raise SettingError("accuracy", "answers", answers, f"must be one of {', '.join(ANSWER_FORMS)}")
    require_packages(packages)
    own_paths = checker_paths(checkers)
    for path in own_paths.values():
        load_checker(path)
    rows = collect_answer_rows(completions, answer, checker, tests, metadata, answers, {*CHECKERS, *own_paths}, columns)
    rewards: list[float | None] = [None] * len(rows)
    judges: dict[str, Callable[[list[AnswerRow]], list[float]]] = {
        "exact": _judge_texts,
        "choice": _judge_choices,
        "math": lambda checker_rows: judge_math(checker_rows, seconds),
        "code": lambda checker_rows: _judge_code(checker_rows, partial, seconds, isolation, packages),
        "instructions": lambda checker_rows: [judge_instructions(r.metadata, r.reply, partial) for r in checker_rows],
        "reasoning_gym": lambda checker_rows: _judge_gym(checker_rows, partial, seconds),
    }
    for name, path in own_paths.items():
        judges[name] = _own_judge(path)
    for name, judge in judges.items():
        indices = [i for i, row in enumerate(rows) if row.checker == name and can_be_judged(row)]
        checker_rewards = _judge_or_fault(judge, [rows[i] for i in indices]) if indices else []
        for i, reward in zip(indices, checker_rewards, strict=True):
            rewards[i] = reward
    return rewards


def _judge_or_fault(judge: Callable[[list[AnswerRow]], list[float]], rows: list[AnswerRow]) -> list[float]:
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


def _own_judge(path: str) -> Callable[[list[AnswerRow]], list[float]]:
    """Return the judge of rows whose checker is the user's function at a dotted path."""

    def judge(rows: list[AnswerRow]) -> list[float]:
        return [call_checker(path, row.answer, row.gold, row.columns) for row in rows]

    return judge


def _judge_texts(rows: list[AnswerRow]) -> list[float]:
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


def _judge_choices(rows: list[AnswerRow]) -> list[float]:
    """Compare answers with gold answers as choices of the question; FAULT for an empty gold answer."""
    rewards = []
    for row in rows:
        gold = str(row.gold)
        if not gold.strip():
            rewards.append(FAULT)
        else:
            rewards.append(float(row.answer is not None and same_choice(gold, row.answer, row.question)))
    return rewards


def _judge_gym(rows: list[AnswerRow], partial: bool, seconds: float) -> list[float]:
    """Score answers by reasoning_gym's own scorers."""
    from r1kit.rewards.gym import score_gym_answers

    # Many scorers compare letter by letter, so that white space or a box around the answer would make it wrong.
    pairs = [(row.gym_entry, row.answer and strip_box(row.answer)) for row in rows]
    rewards = []
    for score in score_gym_answers(pairs, seconds):
        if score is None:
            count_timeouts(1)
            rewards.append(0.0)
        elif partial or score == FAULT:
            rewards.append(score)
        else:
            rewards.append(float(score == 1.0))
    return rewards


def _judge_code(
    rows: list[AnswerRow], partial: bool, seconds: float, isolation: str, packages: Sequence[str]
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
        count_timeouts(int(verdict.timed_out))
        rewards[i] = verdict.passed / verdict.total if partial else float(verdict.ok)
    return rewards
