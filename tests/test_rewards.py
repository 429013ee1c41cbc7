import asyncio
import inspect
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from r1kit.commands.score import score_rows
from r1kit.data.sources.generated import generate_rows
from r1kit.errors import UserError
from r1kit.languages.detect import detect_language, language_fraction
from r1kit.languages.words import word_scripts
from r1kit.recipe import RewardConfig, SourceConfig
from r1kit.rewards import FAULT
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.checks import check_reward_columns
from r1kit.rewards.form import brevity, format
from r1kit.rewards.language import language
from r1kit.rewards.registry import REWARDS, resolve_reward


def is_right(gold, answer, checker):
    """Return whether the accuracy reward pays for `answer`."""
    return accuracy([f"<answer>{answer}</answer>"], [gold], [checker]) == [1.0]


def completion_of(answer):
    """Return a well-formed completion with this answer."""
    return f"<think>so</think><answer>{answer}</answer>"


# Accuracy


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("4", "4"),
        ("4", " 4 "),
        ("4", "4.0"),
        ("4", "+4"),
        ("-3", "-3.00"),
        ("0.1", "0.10"),
        ("1000", "1,000"),
        ("4", "$4$"),
        ("4", "۴"),
        ("1/2", "0.5"),
        ("0.5", "1/2"),
        ("\\frac{1}{2}", "0.5"),
        ("0.5", "\\frac12"),
        ("\\frac{3}{4}", "\\frac{6}{8}"),
        ("2\\sqrt{3}", "\\sqrt{12}"),
        ("\\{1, 2\\}", "\\{2, 1\\}"),
        ("x^2", "x^2"),
        ("x+1", "1+x"),
        ("x^2+2x+1", "(x+1)^2"),
        ("(1, 2)", "(1,2)"),
        ("[0, 1)", "[0,1)"),
        ("x", "x"),
        ("even", "even"),
        ("\\text{even}", "even"),
        ("5", "x = 5"),
    ],
)
def test_the_same_mathematics_in_other_words_is_right(gold, answer):
    assert is_right(gold, answer, "math")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("4", "5"),
        ("4", "-4"),
        ("4", "40"),
        ("0.3", "0.33"),
        ("1/3", "0.3"),
        ("\\frac{1}{2}", "\\frac{1}{3}"),
        ("4", ""),
        ("4", "four or so"),
        ("x+1", "x-1"),
        ("x^2", "2"),
        ("3x", "3"),
        ("(1,2)", "2"),
        ("[0,1)", "(0,1]"),
        ("even", "odd"),
        ("4", "1 2 3 4"),
        ("4", "3, 4"),
        ("4", "3 or 4"),
        ("2", "1" * 1001),
    ],
)
def test_other_mathematics_is_wrong(gold, answer):
    assert not is_right(gold, answer, "math")


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("Paris", "Paris", True),
        ("Paris", " paris.\n", True),
        ("New York", "new   york", True),
        ("تهران", "تهران", True),
        ("Paris", "Paris, France", False),
        ("Paris", "Pari", False),
        ("1.0", "1", False),
        ("Paris", "", False),
        ("Paris", "\\boxed{Paris}", True),
        ("Paris", "$\\boxed{Paris}$", True),
        ("Paris", "\\boxed{Paris} or \\boxed{Rome}", False),
    ],
)
def test_exact(gold, answer, right):
    assert is_right(gold, answer, "exact") is right


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("B", "B", True),
        ("B", "b", True),
        ("(B)", "B", True),
        ("B", "(B)", True),
        ("B", "B.", True),
        ("B", "B) Berlin", True),
        ("B", " B: Berlin", True),
        ("B", "A", False),
        ("B", "Berlin", False),
        ("B", "AB", False),
        ("B", "A B", False),
        ("B", "", False),
        ("H", "H", True),  # ten choices, as in MMLU-Pro
    ],
)
def test_choice(gold, answer, right):
    assert is_right(gold, answer, "choice") is right


@pytest.mark.parametrize(
    ("question", "gold", "answer", "right"),
    [
        ("An event has probability 1/2. What is its complement's?", "\\frac{1}{2}", "1/2", 1.0),
        ("A line through (1,-2) meets another; where?", "\\left(1,-2\\right)", "(1,-2)", 1.0),
        ("What is 6/8 in lowest terms?", "\\frac{3}{4}", "6/8", 0.0),
        ("What is 3 + 4?", "7", "3 + 4", 0.0),
        ("What percent of 80 is 40?", "50", "50\\%", 1.0),
        ("What percentage is that?", "50", "50 %", 1.0),
        ("What percent of 80 is 40?", "50", "5\\%", 0.0),
        ("How many of them are left after 9% are gone?", "9", "9\\%", 0.0),
    ],
)
def test_what_a_question_says_of_its_answer(question, gold, answer, right):
    assert accuracy([completion_of(answer)], [gold], ["math"], prompts=[question]) == [right]


@pytest.mark.parametrize("task", ["gcd", "caesar_cipher", "rearc", "arc_agi"])
def test_reasoning_gym_takes_its_own_answer_with_white_space_around_it(task):
    rows = list(generate_rows(SourceConfig(path=f"reasoning_gym:{task}", rows=2), "data.train.0"))
    for row in rows:
        columns = {"prompts": [row["prompt"]], "metadata": [row["metadata"]]}
        for text in (f" {row['answer']} ", f"\n\\boxed{{{row['answer']}}}\n"):
            assert accuracy([completion_of(text)], [row["answer"]], ["reasoning_gym"], **columns) == [1.0], text
        assert accuracy([completion_of("no")], [row["answer"]], ["reasoning_gym"], **columns) == [0.0]


def test_an_unknown_checker_raises_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match="use choice, code, exact, instructions, math, reasoning_gym"):
        is_right("4", "4", "maths")


def test_accuracy_goes_by_each_rows_checker():
    completions = [completion_of("4.0"), completion_of("4.0"), completion_of("(a)"), completion_of("4.0"), "four"]
    scores = accuracy(completions, ["4", "4", "A", "4", "4"], ["math", "exact", "choice", None, None])
    assert scores == [1.0, 0.0, 1.0, 1.0, 0.0]


def test_accuracy_reads_the_answer_and_not_the_thinking():
    completions = ["<think>4</think><answer>5</answer>", "<think>4</think>", "\\boxed{4}", "4", ""]
    assert accuracy(completions, ["4"] * 5) == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_accuracy_takes_chat_messages_and_numbers():
    completions = [[{"role": "assistant", "content": completion_of("4")}]]
    assert accuracy(completions, [4], ["math"]) == [1.0]


def test_accuracy_does_not_apply_without_answer_and_tests():
    assert accuracy([completion_of("4"), completion_of("4"), completion_of("4")], [None, "4", "5"]) == [None, 1.0, 0.0]
    assert accuracy([completion_of("4")]) == [None]


DOUBLE = [{"kind": "call", "function": "f", "args": [x], "expected": 2 * x} for x in (0, 1, 5)]


def test_accuracy_runs_code_from_lists_and_from_json():
    completions = [
        completion_of("def f(x): return 2 * x"),
        completion_of("Here it is:\n```python\ndef f(x):\n    return x + x\n```\nDone."),
        completion_of("def f(x): return x"),
        completion_of("2 * x"),
        "def f(x): return 2 * x",
        completion_of(""),
    ]
    assert accuracy(completions, tests=[DOUBLE] * 6) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert accuracy(completions, tests=[json.dumps(DOUBLE)] * 6) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_accuracy_of_code_may_be_partial():
    half = completion_of("def f(x): return 0 if x < 5 else 10")  # right at 0 and 5, wrong at 1
    assert accuracy([half], tests=[DOUBLE]) == [0.0]
    assert accuracy([half], tests=[DOUBLE], partial=True) == [pytest.approx(2 / 3)]


def test_code_and_other_rows_stand_together():
    scores = accuracy(
        [completion_of("4"), completion_of("def f(x): return 2 * x"), completion_of("B")],
        answer=["4", None, "A"],
        checker=["math", "code", "choice"],
        tests=["", json.dumps(DOUBLE), ""],
    )
    assert scores == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("tests", ["[{not json", '[{"kind": "unknown"}]', '[{"kind": "stdio"}]'])
def test_a_row_whose_tests_are_broken_is_a_fault_and_no_crash(tests):
    completions = [completion_of("print(1)"), completion_of("def f(x): return 2 * x")]
    assert accuracy(completions, tests=[tests, json.dumps(DOUBLE)]) == [FAULT, 1.0]


# Format and brevity


def test_format():
    completions = [completion_of("4"), "<answer>4</answer>", "4", completion_of("4") + " done", completion_of("")]
    assert format(completions) == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_format_follows_the_rows_thinking():
    bare = "<answer>4</answer>"
    assert format(
        [completion_of("4"), bare, completion_of("4"), bare, bare], thinking=[True, True, False, False, None]
    ) == [
        1,
        0,
        0,
        1,
        0,
    ]


def test_brevity_falls_from_one_to_zero():
    ids = [range(n) for n in (0, 4, 8, 10, 12, 16, 40)]
    assert brevity([""] * 7, completion_ids=ids, max_tokens=8) == [1.0, 1.0, 1.0, 0.75, 0.5, 0.0, 0.0]


# Language


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("", []),
        ("3 plus 4 is 7.", ["latin"] * 2),
        ("a cat and x", ["latin"] * 2),  # single letters are variables
        ("don't", ["latin"]),
        ("café façade", ["latin"] * 2),
        ("سه بعلاوه چهار برابر هفت", ["arabic"] * 5),
        ("我们先算", ["han"] * 4),
        ("これは", ["kana"] * 3),
        ("где это", ["cyrillic"] * 2),
        ("می‌شود", ["arabic"] * 2),  # joined by a zero-width non-joiner
        ("<think>one</think>", ["latin"]),
        ("the `total_sum` of `xs`", ["latin"] * 2),
        ("so\n```python\nprint(value)\n```\nthat is all", ["latin"] * 4),
        ("so\n```python\nprint(value) cut short", ["latin"]),
        ("the $area + width$ of it", ["latin"] * 3),
        ("the $$area\n+ width$$ of it", ["latin"] * 3),
        ("\\frac{12}{34} \\cdot \\alpha", []),
        ("the \\(area + width\\) of it", ["latin"] * 3),
        ("the \\[area + width\\] of it", ["latin"] * 3),
        ("123 456", []),
        ("۱۲۳ + ۴۵", []),  # Persian digits are numbers too
        ("١٢٣", []),
        ("12×34", []),
    ],
)
def test_word_scripts(text, scripts):
    assert word_scripts(text) == scripts


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("three plus four", "en", 1.0),
        ("three plus four", "fa", 0.0),
        ("سه plus چهار is هفت", "fa", 3 / 5),
        ("سه plus چهار is هفت", "en", 2 / 5),
        ("首先 compute 3 + 4", "zh", 2 / 3),
        ("首先 compute 3 + 4", "en", 1 / 3),
        ("مقدار $x + total$ را `sum(xs)` می دهد", "fa", 1.0),
        ("我们有 $\\text{area} = 3$，所以 \\boxed{3}", "zh", 1.0),
        ("我们 first سپس", "en", 1 / 4),
        ("これは漢字", "ja", 1.0),
        ("これは漢字", "zh", 2 / 5),
        ("3 + 4 = 7", "fa", 1.0),  # no words, none in another language
        ("", "en", 1.0),
    ],
)
def test_language_fraction(text, code, expected):
    assert language_fraction(text, code) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is 2 + 2?", "en"),
        ("حاصل 2 + 2 چیست؟", "fa"),
        ("二加二等于几？", "zh"),
        ("これは何ですか", "ja"),
        ("漢字漢字漢字です", "ja"),
        ("Сколько будет?", "ru"),
        ("2 + 2", "en"),
        ("پایتخت France کجاست؟", "fa"),
    ],
)
def test_detect_language(text, expected):
    assert detect_language(text) == expected


def test_detect_language_returns_the_same_in_every_process():
    source = "from r1kit.languages.detect import detect_language; print(detect_language('hello سلام мир 你'))"
    outputs = set()
    for seed in "1234":
        command = [sys.executable, "-c", source]
        done = subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert "" not in outputs


def test_the_language_reward_weighs_the_thinking_only():
    completions = [
        "<think>سه plus چهار is</think><answer>seven is the answer</answer>",
        "<answer>هفت</answer>",
        "<think></think>",
    ]
    prompts = ["حاصل چیست؟"] * 3
    assert language(completions, prompts) == [0.5, 0.0, 0.0]


def test_the_language_reward_goes_by_the_rows_language_else_by_its_prompt():
    completion = "<think>سه plus چهار</think><answer>7</answer>"
    prompts = [
        "What is it?",
        "حاصل چیست؟",
        [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "حاصل چیست؟"}],
    ]
    assert language([completion] * 3, prompts) == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert language([completion] * 3, prompts, language=["fa", "en", None]) == pytest.approx([2 / 3, 1 / 3, 2 / 3])


def test_the_language_reward_does_not_apply_where_no_thinking_is_wanted():
    completion = "<think>one two</think><answer>7</answer>"
    assert language([completion] * 3, ["What?"] * 3, thinking=[True, False, None]) == [1.0, None, 1.0]


# Recipe entries


def test_every_reward_of_the_table_is_found_by_its_name():
    for name, function in REWARDS.items():
        if name not in ("preference", "judge"):  # which need a model
            assert resolve_reward(RewardConfig(name=name)) is function
    with pytest.raises(UserError, match=r"rewards\.0\.model: .*a reward model's hub id or directory"):
        resolve_reward(RewardConfig(name="preference"))
    with pytest.raises(UserError, match=r"rewards\.0\.model: .*the judge's model on its server"):
        resolve_reward(RewardConfig(name="judge"))


@pytest.mark.parametrize("entry", [{"name": "cosine", "max_tokens": 0}, {"name": "brevity", "max_tokens": -1}])
def test_a_setting_that_cannot_be_is_refused_at_the_start(entry):
    with pytest.raises(UserError, match=r"^rewards\.0\.max_tokens = (0|-1); must be a whole number"):
        resolve_reward(RewardConfig(**entry))


def test_a_setting_wins_over_a_column_of_its_name():
    function = bind_reward(RewardConfig(name="brevity", max_tokens=2))
    assert function(completions=["a"], completion_ids=[[1, 2]], max_tokens=[9]) == [1.0]


@pytest.mark.parametrize("value", ["float('nan')", "float('-inf')", "'text'", "1j"])
def test_a_value_that_is_no_number_is_a_fault_once_the_reward_has_worked(here, monkeypatch, value):
    (here / "odd.py").write_text(f"values = [1, {value}]\ndef odd(completions, **c):\n    return [values.pop(0)]\n")
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    function = bind_reward(RewardConfig(name="odd.odd"))
    assert function(completions=["a"]) == [1.0]
    assert function(completions=["a"]) == [FAULT]


def test_too_few_values_are_a_fault_and_the_first_call_may_raise(here, monkeypatch, capsys):
    (here / "few.py").write_text("def few(completions, **c):\n    return [1.0]\n")
    monkeypatch.syspath_prepend(str(here))
    with pytest.raises(UserError, match="returned 1 values for 2 completions"):
        bind_reward(RewardConfig(name="few.few"))(completions=["a", "b"])
    function = bind_reward(RewardConfig(name="few.few"))
    assert function(completions=["a"]) == [1.0]
    assert function(completions=["a", "b"]) == [FAULT, FAULT]
    assert "its 2 rows are left out" in capsys.readouterr().err


def test_rows_are_checked_before_a_run():
    from r1kit.rewards.checks import check_reward_rows

    accuracy_only, both = (
        [RewardConfig(name="accuracy")],
        [RewardConfig(name="accuracy"), RewardConfig(name="language")],
    )
    assert check_reward_rows(accuracy_only, {"checker": ["math", None]}, "d") == {}
    with pytest.raises(UserError, match=r"data = d; has rows of checker mth; did you mean math\?"):
        check_reward_rows(accuracy_only, {"checker": ["math", "mth"]}, "d")
    with pytest.raises(UserError, match="language xx, which r1kit cannot detect"):
        check_reward_rows(both, {"language": ["en", None, "pt-BR", "xx"]}, "d")
    code = check_reward_rows(
        [RewardConfig(name="accuracy", isolation="none")], {"tests": [None, [{"kind": "call"}]]}, "d"
    )
    assert code == {"isolation": "none"}


def test_an_unknown_reward_is_answered_with_the_nearest():
    with pytest.raises(UserError) as caught:
        resolve_reward(RewardConfig(name="acuracy"), 1)
    assert str(caught.value) == "rewards.1.name = acuracy; no such reward; did you mean accuracy?"


def test_an_unknown_setting_is_answered_with_the_nearest():
    with pytest.raises(UserError) as caught:
        resolve_reward(RewardConfig(name="brevity", max_token=5), 2)
    assert str(caught.value) == "rewards.2.max_token = 5; brevity has no such setting; did you mean max_tokens?"
    with pytest.raises(UserError, match=r"rewards\.0\.wieght = 2; .*did you mean weight\?"):
        resolve_reward(RewardConfig(name="format", wieght=2))


def test_a_wrong_setting_is_named_with_its_requirement():
    with pytest.raises(UserError) as caught:
        resolve_reward(RewardConfig(name="overlong", max_tokens=10, margin=20), 3)
    line = "rewards.3.margin = 20; must be at most max_tokens = 10; correct this setting"
    assert str(caught.value) == line
    with pytest.raises(UserError) as caught:
        resolve_reward(RewardConfig(name="preference"), 1)
    line = "rewards.1.model: must be a reward model's hub id or directory; correct this setting"
    assert str(caught.value) == line


def test_importing_the_rewards_imports_no_heavy_library():
    source = (
        "import sys, r1kit.rewards\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'pydantic', 'numpy', 'sympy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["no_such_module_here.f", "json.no_such_function", "math.pi", "json."])
def test_a_dotted_path_that_is_no_function_is_refused(name):
    with pytest.raises(UserError, match=r"^rewards\.0\.name = "):
        resolve_reward(RewardConfig(name=name))


@pytest.fixture
def user_rewards(here, monkeypatch):
    """A user's own rewards, importable as `mine`."""
    (here / "mine.py").write_text(
        "def length(completions, *, scale=1.0, **columns):\n"
        "    return [scale * len(c) for c in completions]\n\n"
        "def gold(completions, target, **columns):\n"
        "    return [float(c == t) for c, t in zip(completions, target)]\n\n"
        "async def slow(completions, **columns):\n"
        "    return [2.0 for _ in completions]\n"
    )
    monkeypatch.syspath_prepend(str(here))
    yield
    sys.modules.pop("mine", None)


def test_a_users_function_works_with_its_settings(user_rewards):
    function = bind_reward(RewardConfig(name="mine.length", scale=0.5))
    assert function.__name__ == "length"
    assert function(completions=["abcd", "ab"]) == [2.0, 1.0]


def test_a_users_async_function_works(user_rewards):
    values = bind_reward(RewardConfig(name="mine.slow"))(completions=["a", "b"])
    assert (asyncio.run(values) if inspect.isawaitable(values) else values) == [2.0, 2.0]
    assert score_rows([{"completion": "a"}], [RewardConfig(name="mine.slow")], ["completion"])[0]["slow"] == 2.0


def test_settings_reach_the_function():
    assert bind_reward(RewardConfig(name="brevity", max_tokens=2))(
        completions=[""] * 2, completion_ids=[[1, 2], [1, 2, 3]]
    ) == [
        1.0,
        0.5,
    ]


def test_where_excludes_the_other_rows():
    function = bind_reward(RewardConfig(name="accuracy", where={"domain": ["math", "logic"]}))
    scores = function(
        completions=[completion_of("1"), completion_of("2"), completion_of("3"), completion_of("4")],
        prompts=["?"] * 4,
        answer=["1", "2", "0", "4"],
        checker=["math"] * 4,
        domain=["facts", "math", "logic", "math"],
    )
    assert scores == [None, 1.0, 0.0, 1.0]


def test_where_wants_all_of_its_columns_and_may_leave_nothing():
    function = bind_reward(RewardConfig(name="format", where={"domain": ["math"], "level": [1]}))
    columns = {"domain": ["math", "math", "facts"], "level": [1, 2, 1]}
    assert function(completions=[completion_of("1")] * 3, **columns) == [1.0, None, None]
    assert function(completions=[completion_of("1")] * 2, domain=["facts"] * 2, level=[1, 1]) == [None, None]


def test_where_passes_arguments_that_are_no_columns_as_they_are():
    state = SimpleNamespace(global_step=0, max_steps=1)
    function = bind_reward(RewardConfig(name="format", where={"domain": ["math"]}))
    assert function(
        completions=[completion_of("1")] * 2, domain=["math", "facts"], trainer_state=state, log_metric=print
    ) == [
        1.0,
        None,
    ]


@pytest.mark.parametrize(
    ("settings", "applies"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"from_step": 1}, [1, 2, 3, 4, 5]),
        ({"from_step": 3}, [3, 4, 5]),
        ({"last_steps": 2}, [4, 5]),
        ({"last_steps": 5}, [1, 2, 3, 4, 5]),
        ({"last_steps": 9}, [1, 2, 3, 4, 5]),
        ({"from_step": 5, "last_steps": 2}, [5]),
        ({"from_step": 6}, []),
    ],
)
def test_a_reward_applies_in_its_steps_only(settings, applies):
    function = bind_reward(RewardConfig(name="format", **settings))
    steps_with_reward = []
    for step in range(1, 6):  # during step n, n - 1 steps are done
        state = SimpleNamespace(global_step=step - 1, max_steps=5)
        scores = function(completions=[completion_of("1")], trainer_state=state)
        assert scores in ([1.0], [None])
        if scores == [1.0]:
            steps_with_reward.append(step)
    assert steps_with_reward == applies


def test_outside_of_training_a_reward_applies_always():
    assert bind_reward(RewardConfig(name="format", from_step=100))(completions=[completion_of("1")]) == [1.0]


def test_check_columns(user_rewards):
    check_reward_columns([RewardConfig(name="accuracy"), RewardConfig(name="format")], ["prompt", "answer"], "d")
    check_reward_columns([RewardConfig(name="accuracy")], ["prompt", "tests"], "d")
    check_reward_columns([RewardConfig(name="mine.gold")], ["prompt", "target"], "d")
    check_reward_columns(
        [RewardConfig(name="language", where={"domain": ["a"]}), RewardConfig(name="brevity")],
        ["prompt", "domain"],
        "d",
    )


@pytest.mark.parametrize(
    ("entry", "missing"),
    [
        ({"name": "accuracy"}, "reward accuracy needs a column answer or tests; it has prompt, level"),
        ({"name": "format", "where": {"domain": ["math"]}}, "reward format needs the column domain; "),
        ({"name": "mine.gold"}, "reward mine.gold needs the column target; "),
    ],
)
def test_check_columns_names_what_is_missing(user_rewards, entry, missing):
    with pytest.raises(UserError) as caught:
        check_reward_columns([RewardConfig(**entry)], ["prompt", "level"], "rows.jsonl")
    assert str(caught.value).startswith(f"data = rows.jsonl; {missing}")


def test_check_columns_refuses_unknown_names_too():
    with pytest.raises(UserError, match="no such reward"):
        check_reward_columns([RewardConfig(name="formt")], ["prompt"], "d")


# The command `r1kit rewards`


def test_scoring_adds_a_column_for_each_reward(user_rewards):
    rows = [{"completion": completion_of("4"), "answer": "4"}, {"completion": "4", "answer": None, "note": "kept"}]
    entries = [RewardConfig(name="accuracy"), RewardConfig(name="format"), RewardConfig(name="mine.length", scale=0.1)]
    scored = score_rows(rows, entries, ["completion", "answer", "note"])
    assert [(r["accuracy"], r["format"]) for r in scored] == [(1.0, 1.0), (None, 0.0)]
    assert scored[1]["length"] == pytest.approx(0.1)
    assert scored[1]["note"] == "kept"
    assert "accuracy" not in rows[0]


def test_scoring_writes_a_fault_as_such(here, monkeypatch):
    (here / "broken.py").write_text(
        "from r1kit.rewards import FAULT\ndef dead(completions, **columns):\n    return [FAULT, None, 0.5]\n"
    )
    monkeypatch.syspath_prepend(str(here))
    rows = [{"completion": "a"}, {"completion": "b"}, {"completion": "c"}]
    assert [r["dead"] for r in score_rows(rows, [RewardConfig(name="broken.dead")], ["completion"])] == [
        "fault",
        None,
        0.5,
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy(["<answer>42</answer>"], answer="42"), "answer must be a list with a value for each"),
        (lambda: accuracy(["a", "b"], answer=["1"]), "each of the 2 completions, not of 1 values"),
        (lambda: accuracy(["a"], solution=["1"]), "from the column answer, not from solution"),
        (lambda: format("<answer>4</answer>"), "completions must be a list of completions, not the text"),
        (lambda: language(["a"], prompts="a"), "prompts must be a list"),
        (lambda: brevity(["a"], completion_ids=[[1], [2]]), "completion_ids must be a list"),
    ],
)
def test_a_text_in_the_place_of_a_list_is_refused_by_its_name(call, message):
    with pytest.raises(TypeError, match=message):
        call()
