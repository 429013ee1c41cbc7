"""What could hold a run up: texts that are made to be slow to judge, broken tests, rewards that never return."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from r1kit.answers.extract import final_reply, parse_completion, read_answer
from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.recipe import RewardConfig
from r1kit.rewards import accuracy
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.registry import REWARDS, resolve_reward

# Characters of a text, and seconds of processor time after which it counts as one that holds a run up. Judging one
# takes 0.1 s (and 2 s for 17,000 lines of code, which Python parses); a search in quadratic time takes minutes.
CHARACTERS = 100_000
LIMIT = 30.0
UNITS = (
    *("1", "1,", "1 ", "1.", "0.", "1/", "-1", "1e9", "1 000", "1'000", "9**", "9^", "9^{", "9!", "٣", "½", "²"),
    *("(", ")", "[", "{", "}", "\\", "\\\\", "$", "*", "**", "_", "`", "```", "```python\n", "<", ">", " ", "\n", "\t"),
    *("\\boxed{", "\\boxed{1}", "\\boxed ", "\\frac{", "\\frac1", "\\sqrt(", "\\text{", "\\begin{align}", "\\left("),
    *("<think>", "</think>", "<answer>", "</answer>", "<answer", "<|channel|>", "<|channel|>analysis<|message|>"),
    *(
        "a",
        "é",
        "中",
        "🙂",
        "\u0301",
        "\u0301\u0323",
        "\u200b",
        "x = 1\n",
        "x=",
        "A ",
        "(A) ",
        "A or ",
        "A, ",
        "not ",
        "wait ",
        "and ",
    ),
    *("The answer is 4.\n", "answer: ", "- ", "1. ", "# ", "> ", "| x |", "def f():\n", "return x\n", "import a\n"),
    *("step 1:", "First, ", "%", "...", "five ", "cm ", "\\overline{", "\\dot{1}", "\\pm", "\\cup", "&", ";1", "[1,"),
)
FRAMES = (("<answer>", "</answer>"), ("", ""), ("\\boxed{", "}"), ("The answer is ", ""), ("<think>x</think>", ""))


def seconds_of(function):
    started = time.process_time()
    function()
    return time.process_time() - started


@pytest.mark.parametrize("frame", FRAMES, ids=["block", "bare", "box", "phrase", "reply"])
def test_texts_made_to_be_slow_are_judged_in_linear_time(frame):
    """Text, choice and mathematics together; none of these answers reaches a worker, so all of it is this process."""
    checkers = ["math", "exact", "choice"]
    for unit in UNITS:
        text = frame[0] + (unit * CHARACTERS)[:CHARACTERS] + frame[1]
        columns = {"answer": ["1/2", "Paris", "B"], "prompts": ["What percent is 1 + 1?\nA) 1\nB) 2"] * 3}
        seconds = seconds_of(lambda t=text, c=columns: accuracy([t] * 3, checker=checkers, answers="any", **c))
        assert seconds < LIMIT, (unit, frame)


def test_programs_and_other_rewards_read_slow_texts_in_linear_time():
    names = ("format", "tags", "fenced", "repetition", "steps", "language")
    for unit in UNITS:
        text = (unit * CHARACTERS)[:CHARACTERS]
        seconds = seconds_of(lambda t=text: (read_answer(t, "code"), parse_completion(t), final_reply(t)))
        assert seconds < LIMIT, unit
        for name in names:
            seconds = seconds_of(lambda t=text, n=name: REWARDS[n]([t], prompts=["a"], language=["en"]))
            assert seconds < LIMIT, (unit, name)


@pytest.mark.parametrize(
    "answer",
    [
        "9" * 2100,
        "9" * 5000 + "/2",
        "1/" * 1000,
        "9^{9^{9^9}}",
        "9**9**9",
        "(" * 900 + "1" + ")" * 900,
        "x" * 1_000_000,
    ],
)
def test_answers_that_cannot_be_computed_are_wrong_and_leave_the_others_their_verdicts(answer):
    scores = accuracy(["<answer>0.5</answer>", f"<answer>{answer}</answer>"], answer=["1/2", "1/2"], seconds=1.0)
    assert scores == [1.0, 0.0]


# Tests of programs

RIGHT = "<answer>def add(a, b):\n    return a + b</answer>"


def nest_finally(depth):
    """Return code whose compiled form doubles with each level."""
    levels = [f"{' ' * i}try:\n{' ' * i} pass\n{' ' * i}finally:\n" for i in range(depth)]
    return "".join(levels) + " " * depth + "pass\n"


BROKEN_TESTS = {
    "doubled code": nest_finally(25) + "assert add(1, 2) == 3",
    "computed constants": "x = " + " + ".join(["'a' * 4000"] * 2000) + "\nassert add(1, 2) == 3",
    "deep expression": "assert " + "-" * 100_000 + "add(1, 2)",
    "deep brackets": "assert " + "(" * 10_000 + "1" + ")" * 10_000,
    "no Python": "def (:",
    "null": "assert add(1, 2) == 3\0",
}


def test_a_broken_test_is_a_fault_of_its_own_row_and_is_compiled_under_limits():
    tests = [json.dumps([{"kind": "assert", "code": code}]) for code in BROKEN_TESTS.values()]
    right_tests = json.dumps([{"kind": "assert", "code": "assert add(1, 2) == 3"}])
    memory_before = memory_bytes()
    scores = accuracy([RIGHT] * (len(tests) + 1), tests=[*tests, right_tests])
    assert dict(zip(BROKEN_TESTS, scores, strict=False)) == dict.fromkeys(BROKEN_TESTS, FAULT)
    assert scores[-1] == 1.0
    assert memory_bytes() - memory_before < 200 * 2**20


def memory_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "value", [json.dumps([[]]), "[" * 100_000, {"kind": "assert"}, [{"kind": "assert", "code": 5}]]
)
def test_tests_that_are_no_tests_cost_only_their_own_row_a_verdict(value):
    right_tests = [{"kind": "call", "function": "add", "args": [1, 2], "expected": 3}]
    assert accuracy([RIGHT, RIGHT], tests=[value, right_tests], checker=["code", "code"]) == [FAULT, 1.0]


def test_a_judge_that_fails_on_one_row_judges_the_others(monkeypatch):
    from r1kit.sandbox import judge

    judge_all = judge.judge_programs

    def judge_programs(programs, *args, **kwargs):
        if any("bomb" in program.text for program, _ in programs):
            raise MemoryError
        return judge_all(programs, *args, **kwargs)

    monkeypatch.setattr(judge, "judge_programs", judge_programs)
    tests = [{"kind": "call", "function": "add", "args": [1, 2], "expected": 3}]
    bomb = RIGHT.replace("return", "bomb = 1; return")
    assert accuracy([RIGHT, bomb, RIGHT], tests=[tests] * 3) == [1.0, FAULT, 1.0]


# Settings


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0, 10**12, "3", True, None])
def test_a_time_limit_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="seconds"):
        accuracy([], seconds=value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("setting", ["weight", "max_seconds", "seconds", "max_tokens", "wrong_long"])
def test_numbers_that_are_not_finite_are_refused_in_an_entry(setting, number):
    with pytest.raises(ValueError, match=rf"(?s){setting}.*finite number"):
        RewardConfig(name="cosine", **{setting: number})


@pytest.mark.parametrize("name", sorted(set(REWARDS) - {"preference", "judge"}))
def test_negative_time_limits_and_counts_are_refused(name):
    for setting in ("seconds", "max_tokens", "ngram", "wanted", "margin"):
        with pytest.raises(UserError, match=setting):
            resolve_reward(RewardConfig(name=name, **{setting: -1}))


# Rewards of one's own


def loop_for_ever(completions, **columns):
    while True:
        pass


def sleep_for_ever(completions, **columns):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(3600)


async def wait_for_ever(completions, **columns):
    import asyncio

    await asyncio.sleep(3600)


def search_for_ever(completions, **columns):
    import re

    return re.match(r"(a+)+$", "a" * 100 + "b")


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("name", ["loop_for_ever", "sleep_for_ever", "wait_for_ever"])
def test_a_reward_that_never_returns_ends_the_run_in_one_line(name, in_thread):
    reward = bind_reward(RewardConfig(name=f"test_stalls.{name}", max_seconds=0.2), 2)
    call = partial(reward, completions=["a", "b"])
    requirement = f"test_stalls.{name} has not returned after so many seconds, for 2 completions"
    with pytest.raises(UserError, match=f"rewards.2.max_seconds = 0.2; {requirement}"):
        ThreadPoolExecutor(1).submit(call).result() if in_thread else call()


STUCK_IN_C = """
from r1kit.supervisor import supervise
supervise()
import r1kit.rewards.own_code as own_code
own_code.HARD_LIMIT_SECONDS = 0.5
from r1kit.recipe import RewardConfig
from r1kit.rewards.binding import bind_reward
bind_reward(RewardConfig(name="test_stalls.search_for_ever", max_seconds=0.5))(completions=["a"])
"""


def test_a_process_that_runs_no_python_any_more_is_ended_and_says_where():
    result = subprocess.run([sys.executable, "-c", STUCK_IN_C], cwd=os.path.dirname(__file__), capture_output=True)
    assert result.returncode == 1
    assert b"in search_for_ever" in result.stderr
    assert b"it ended in the reward test_stalls.search_for_ever, which may take 0.5 seconds" in result.stderr


STUCK_POOL = """
import threading
import r1kit.rewards.own_code as own_code
own_code.EXIT_SECONDS = 0.2
try:
    wait = threading.Event().wait
    own_code.call_with_limit(lambda: [threading.Thread(target=wait).start(), wait()], 0.2)
except own_code.CallTimeout:
    print("timeout", flush=True)
"""


def test_threads_that_a_reward_leaves_behind_do_not_keep_the_process_from_its_end():
    result = subprocess.run([sys.executable, "-c", STUCK_POOL], capture_output=True, timeout=60)
    assert (result.stdout, result.returncode) == (b"timeout\n", 1)


def test_the_limit_of_a_call_grows_with_its_completions_and_own_rewards_have_none(monkeypatch):
    from r1kit.rewards import binding

    limits = []
    monkeypatch.setattr(binding, "call_with_limit", lambda call, seconds, name: limits.append(seconds) or call())
    assert bind_reward(RewardConfig(name="test_stalls.count_words"))(completions=["a b", "c"]) == [2.0, 1.0]
    assert bind_reward(RewardConfig(name="format"))(completions=["a"]) == [0.0]
    assert limits == [620.0]


def count_words(completions, **columns):
    return [len(text.split()) for text in completions]


def use_signals(completions, **columns):
    """Use a signal for a time limit, as math-verify does, which only the main thread can."""
    import signal

    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(5)
    signal.alarm(0)
    return [1.0] * len(completions)


def test_a_reward_may_use_signals_where_it_is_called_in_the_main_thread():
    assert bind_reward(RewardConfig(name="test_stalls.use_signals"))(completions=["a"]) == [1.0]


def change_directory(completions, **columns):
    os.chdir("/")
    return [1.0] * len(completions)


def test_a_reward_that_changes_the_working_directory_does_not_move_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    reward = bind_reward(RewardConfig(name="test_stalls.change_directory"))
    assert [reward(completions=["a"]), reward(completions=["b"])] == [[1.0], [1.0]]
    assert os.getcwd() == str(tmp_path)
    assert capsys.readouterr().err.count("changed the working directory to /") == 1


def test_a_module_of_rewards_that_changes_the_working_directory_does_not_move_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = """
        import os
        os.chdir("/")
        def reward(completions, **columns):
            return [1.0] * len(completions)
    """
    (tmp_path / "moves_at_import.py").write_text(textwrap.dedent(code))
    bind_reward(RewardConfig(name="moves_at_import.reward"))
    assert os.getcwd() == str(tmp_path)


def return_value(completions, *, value=None, **columns):
    return {"none": None, "text": "1", "number": 1.0, "dict": {"a": 1}, "short": [1.0], "texts": ["1", "x"]}[value]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("none", "must return a list with a number, or None, for each completion, not NoneType"),
        ("text", "must return a list with a number, or None, for each completion, not str"),
        ("number", "must return a list with a number, or None, for each completion, not float"),
        ("dict", "must return a list with a number, or None, for each completion, not dict"),
        ("short", "returned 1 values for 2 completions"),
        ("texts", "must return a number, or None, for each completion, not '1'"),
    ],
)
def test_a_reward_that_returns_something_else_is_told_what_it_must_return(value, message):
    reward = bind_reward(RewardConfig(name="test_stalls.return_value", value=value))
    with pytest.raises(UserError) as error:
        reward(completions=["a", "b"])
    assert message in str(error.value)


def return_not_finite(completions, **columns):
    return [float("nan"), 1.0, float("inf")]


def test_a_reward_that_returns_nan_is_a_fault_of_these_rows_which_is_said_once(capsys):
    reward = bind_reward(RewardConfig(name="test_stalls.return_not_finite"))
    for _ in range(2):
        assert reward(completions=["a", "b", "c"]) == [FAULT, 1.0, FAULT]
    assert capsys.readouterr().err.count("test_stalls.return_not_finite returned nan") == 1
