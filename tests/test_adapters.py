"""Each adapter on a small file of its data set's real columns, found by them; expected rows are written by hand."""

import base64
import json
import pickle
import zlib

import pytest

from r1kit.answers.extract import parse_completion
from r1kit.data.adapters import ADAPTERS
from r1kit.data.problems import load_problems
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import PromptConfig, SourceConfig
from r1kit.rewards.accuracy import accuracy

WRAPPED = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n{}\n\n"
    'Remember to put your answer on its own line after "Answer:".'
)
SKY = (
    "<|begin_of_thought|>\n\nTwo and two.\n\n<|end_of_thought|>\n\n"
    "<|begin_of_solution|>\n\nIt is \\boxed{4}\n\n<|end_of_solution|>"
)
THOUGHT = "<think>\nTwo and two.\n</think>\n<answer>\nIt is \\boxed{4}\n</answer>"

MATH = {
    "gsm8k": (
        {"question": "Natalia sold 48 clips.", "answer": "Natalia sold 48/2 = <<48/2=24>>24.\n#### 1,072"},
        {"prompt": "Natalia sold 48 clips.", "answer": "1072"},
    ),
    "math": (
        {"problem": "What is $2+3$?", "level": "Level 1", "type": "Algebra", "solution": "$\\boxed{\\frac{10}{2}}$."},
        {"prompt": "What is $2+3$?", "answer": "\\frac{10}{2}", "level": "Level 1"},
    ),
    "math-500": (
        {
            "problem": "What is $10 - 3$?",
            "solution": "$10 - 3 = \\boxed{7}$.",
            "answer": "7",
            "subject": "Prealgebra",
            "level": 1,
            "unique_id": "test/prealgebra/1.json",
        },
        {"prompt": "What is $10 - 3$?", "answer": "7", "id": "test/prealgebra/1.json", "level": 1},
    ),
    "aime": (
        {"id": 60, "problem": "Every morning", "solution": "...", "answer": "033", "url": "https://x", "year": "2024"},
        {"prompt": "Every morning", "answer": "33", "id": "aime/2024/60"},
    ),
    "aime-2024": (
        {"ID": "2024-II-4", "Problem": "Let $x,y$ and $z$", "Solution": "...", "Answer": 33},
        {"prompt": "Let $x,y$ and $z$", "answer": "33", "id": "2024-II-4"},
    ),
    "aime-1983-2024": (
        {"ID": "1983-1", "Year": 1983, "Problem Number": 1, "Question": "Let $x$", "Answer": "060", "Part": None},
        {"prompt": "Let $x$", "answer": "060", "id": "1983-1"},
    ),
    "problem-answer": (
        {"problem": "Find the sum of all bases", "answer": "70", "id": "0"},
        {"prompt": "Find the sum of all bases", "answer": "70"},
    ),
    "numina-math": (
        {
            "source": "synthetic_math",
            "problem": "Solve for $y$.",
            "solution": "$y = \\boxed{\\frac{13}{6}}$.",
            "messages": [{"role": "user", "content": "Solve for $y$."}, {"role": "assistant", "content": "..."}],
        },
        {"prompt": "Solve for $y$.", "answer": "\\frac{13}{6}", "source": "synthetic_math"},
    ),
    "numina-math-1.5": (
        {
            "problem": "Find x.",
            "solution": "...",
            "answer": "12",
            "problem_type": "Algebra",
            "question_type": "math-word-problem",
            "problem_is_valid": "Yes",
            "solution_is_valid": "Yes",
            "source": "olympiads",
            "synthetic": False,
        },
        {"prompt": "Find x.", "answer": "12", "source": "olympiads"},
    ),
    "openr1-math": (
        {
            "problem": "A ship",
            "solution": "...",
            "answer": "4",
            "problem_type": "Algebra",
            "question_type": "math-word-problem",
            "source": "olympiads",
            "uuid": "586fd646",
            "is_reasoning_complete": [True, True],
            "generations": ["<think>a</think>4", "<think>b</think>5"],
            "correctness_math_verify": [True, False],
            "correctness_llama": None,
            "finish_reasons": None,
            "correctness_count": 1,
            "messages": [{"role": "user", "content": "A ship"}],
        },
        {"prompt": "A ship", "answer": "4", "id": "586fd646"},
    ),
    "dapo-math": (
        {
            "data_source": "math_dapo",
            "prompt": [{"role": "user", "content": WRAPPED.format("In triangle $ABC$.")}],
            "ability": "MATH",
            "reward_model": {"ground_truth": "34", "style": "rule-lighteval/MATH_v2"},
            "extra_info": {"index": "9a9b6eb4"},
        },
        {"prompt": "In triangle $ABC$.", "answer": "34", "id": "9a9b6eb4", "source": "math_dapo"},
    ),
    "dapo-math-processed": (
        {
            "prompt": "In triangle $ABC$.",
            "solution": "34",
            "data_source": "math_dapo",
            "source_prompt": [{"role": "user", "content": WRAPPED.format("In triangle $ABC$.")}],
            "ability": "MATH",
            "reward_model": {"ground_truth": "34", "style": "rule-lighteval/MATH_v2"},
            "extra_info": {"index": "9a9b6eb4"},
        },
        {"prompt": "In triangle $ABC$.", "answer": "34"},
    ),
    "deepscaler": (
        {"problem": "The operation $\\otimes$", "answer": "-\\frac{2}{3}", "solution": ""},
        {"prompt": "The operation $\\otimes$", "answer": "-\\frac{2}{3}"},
    ),
    "big-math": (
        {"problem": "How many?", "answer": "12", "source": "orca_math", "domain": ["a"], "llama8b_solve_rate": 0.36},
        {"prompt": "How many?", "answer": "12", "source": "orca_math"},
    ),
}  # fmt: skip
CHAT = {
    "sky-t1": {
        "system": "Your role",
        "conversations": [{"from": "user", "value": "2 + 2?"}, {"from": "assistant", "value": SKY}],
    },
    "openthoughts": {
        "problem": "2 + 2?",
        "deepseek_reasoning": "Two and two.",
        "deepseek_solution": "It is \\boxed{4}",
        "ground_truth_solution": "$\\boxed{4}$",
        "domain": "math",
        "source": "numina_math",
        "test_cases": None,
        "starter_code": None,
    },
    "openthoughts3": {
        "difficulty": None,
        "source": "openmath",
        "domain": "math",
        "conversations": [
            {"from": "human", "value": "2 + 2?"},
            {"from": "gpt", "value": "<think>\nTwo and two.\n</think>\n\nIt is \\boxed{4}"},
        ],
    },
    "s1k": {
        "solution": "4",
        "question": "2 + 2?",
        "cot_type": "math",
        "source_type": "AIME",
        "metadata": "{'ID': '2000'}",
        "cot": None,
        "thinking_trajectories": ["Two and two."],
        "attempt": "It is \\boxed{4}",
    },
    "s1k-1.1": {
        "solution": "4",
        "question": "2 + 2?",
        "cot_type": "math",
        "source_type": "AIME",
        "metadata": "{}",
        "gemini_thinking_trajectory": "x",
        "gemini_attempt": "y",
        "deepseek_thinking_trajectory": "Two and two.",
        "deepseek_attempt": "It is \\boxed{4}",
        "gemini_grade": "Yes",
        "deepseek_grade": "Yes",
    },
    "mixture-of-thoughts": {
        "messages": [
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nIt is \\boxed{4}"},
        ],
        "num_tokens": 30,
        "source": "open-r1/OpenR1-Math-220k",
    },
    "o1-journey": {
        "idx": "0",
        "question": "2 + 2?",
        "answer": "4",
        "longCOT": "Two and two.\n\n#### It is \\boxed{4}",
    },
}
ADD = "n = int(input())\nprint(n + 1)"
SOLVE = "class Solution:\n    def twoSum(self, a, t):\n        return [a.index(t - a[-1]), len(a) - 1]"
STDIO = {"inputs": ["1\n", "2\n"], "outputs": ["2\n", "3\n"]}
# LiveCodeBench's form of private tests: JSON that is pickled, compressed and encoded.
PRIVATE_TESTS = base64.b64encode(
    zlib.compress(pickle.dumps(json.dumps([{"input": "5\n", "output": "6\n", "testtype": "stdin"}])))
).decode()
CODE = {
    "humaneval": (
        {
            "task_id": "HumanEval/0",
            "prompt": "def helper(x):\n    return x + 1\n\n\ndef f(x):\n    '''Add two.'''\n",
            "canonical_solution": "    return helper(x) + 1\n",
            "test": "def check(candidate):\n    assert candidate(1) == helper(2)\n",
            "entry_point": "f",
        },
        "def f(x):\n    return x + 2",
        "def f(x):\n    return x",
    ),
    "mbpp": (
        {
            "task_id": 1,
            "text": "Write a function to add one.",
            "code": "def add(x):\r\n  return x + 1",
            "test_list": ["assert add(1) == 2", "assert add(K) == 6"],
            "test_setup_code": "K = 5",
            "challenge_test_list": [],
        },
        "def add(x):\n    return x + 1",
        "def add(x):\n    return 2",
    ),
    "mbpp-sanitized": (
        {
            "source_file": "x.ipynb",
            "task_id": 2,
            "prompt": "Write a function to find the shared elements.",
            "code": "def shared(a, b): ...",
            "test_imports": ["import math"],
            "test_list": [
                "assert set(shared((3, 4), (4, 5))) == {4}",
                "assert math.isclose(len(shared((1,), (1,))), 1)",
            ],
        },
        "def shared(a, b):\n    return [x for x in a if x in b]",
        "def shared(a, b):\n    return []",
    ),
    "apps": (
        {
            "problem_id": 0,
            "question": "Add one to n.",
            "solutions": json.dumps([ADD]),
            "input_output": json.dumps(STDIO),
            "difficulty": "interview",
            "url": "https://x",
            "starter_code": "",
        },
        ADD,
        "print(2)",
    ),
    "taco": (
        {
            "question": "Add a and b.",
            "solutions": "[]",
            "starter_code": "def solve(a, b):\n\t",
            "input_output": json.dumps({"fn_name": "solve", "inputs": [[1, 2], [3, 4]], "outputs": [[3], [7]]}),
            "difficulty": "EASY",
            "raw_tags": "['Fundamentals']",
            "name": None,
            "source": "codewars",
            "tags": "[]",
            "skill_types": "[]",
            "url": "https://x",
        },
        "def solve(a, b):\n    return a + b",
        "def solve(a, b):\n    return [a + b]",
    ),
    "code-contests": (
        {
            "name": "76_B. Mice",
            "description": "Add one to n.",
            "public_tests": {"input": ["1\n"], "output": ["2\n"]},
            "private_tests": {"input": ["5\n"], "output": ["6\n"]},
            "generated_tests": {"input": [], "output": []},
            "source": 2,
            "difficulty": 8,
            "input_file": "",
            "output_file": "",
        },
        ADD,
        "print(2)",
    ),
    "codeforces": (
        {
            "id": "852/A",
            "title": "Digits",
            "description": "Add one to n.",
            "input_format": "One number.",
            "output_format": "One number.",
            "interaction_format": None,
            "note": None,
            "examples": [{"input": "1", "output": "2"}],
            "rating": 800,
            "official_tests": [{"input": "1\r\n", "output": "2\r\n"}, {"input": "8\r\n", "output": "9\r\n"}],
            "official_tests_complete": True,
            "input_mode": "stdio",
            "generated_checker": None,
        },
        ADD,
        "print(2)",
    ),
    "leetcode": (
        {
            "task_id": "two-sum",
            "question_id": 1,
            "difficulty": "Easy",
            "tags": ["Array"],
            "problem_description": "Given an array ...",
            "starter_code": "class Solution:\n    def twoSum(self, a: List[int], t: int) -> List[int]:\n        ",
            "prompt": "from typing import *\n",
            "completion": SOLVE,
            "entry_point": "Solution().twoSum",
            "test": "def check(candidate):\n    assert candidate(nums = [3,3], target = 6) == [0, 1]\n",
            "input_output": [
                {"input": "nums = [3,3], target = 6", "output": "[0, 1]"},
                {"input": "nums = [1,5,3], target = 8", "output": "[1, 2]"},
                {"input": "nums = list_node([1]), target = 8", "output": "Error: x"},
            ],
            "query": "...",
            "response": "...",
        },
        SOLVE,
        "class Solution:\n    def twoSum(self, nums, target):\n        return [0, 1]",
    ),
    "verifiable-coding": (
        {
            "source": "apps",
            "task_type": "verifiable_code",
            "in_source_id": "0",
            "problem_statement": "Add one to n.",
            "gold_standard_solution": f"```python\n{ADD}\n```",
            "problem_id": "vcp_0",
            "metadata": {"difficulty": "interview"},
            "verification_info": {
                "language": "python",
                "test_cases": [
                    {"fn_name": None, "input": "1\n", "output": "2\n", "type": "stdin_stdout"},
                    {"fn_name": None, "input": "5\n", "output": "6\n", "type": "stdin_stdout"},
                ],
            },
        },
        ADD,
        "print(2)",
    ),
    "livecodebench": (
        {
            "question_title": "Add",
            "question_content": "Add one to n.",
            "platform": "atcoder",
            "question_id": "abc",
            "difficulty": "easy",
            "starter_code": "",
            "public_test_cases": json.dumps([{"input": "1\n", "output": "2\n", "testtype": "stdin"}]),
            "private_test_cases": PRIVATE_TESTS,
            "metadata": "{}",
        },
        ADD,
        "print(2)",
    ),
    "deepcoder": (
        {
            "problem": "Add one to n.",
            "solutions": [ADD],
            "tests": json.dumps([{"type": "stdin_stdout", "input": "1\n", "output": "2\n"}]),
            "starter_code": "",
        },
        ADD,
        "print(3)",
    ),
    "kodcode": (
        {
            "question_id": "k1",
            "question": "Add one.",
            "solution": "def add(x):\n    return x + 1",
            "test": "from solution import add\n\ndef test_one():\n    assert add(1) == 2\n\n"
            "def test_two():\n    assert add(2) == 3\n",
            "test_info": [{"function_declaration": "def add(x):", "function_name": "add"}],
        },
        "def add(x):\n    return x + 1",
        "def add(x):\n    return 2",
    ),
}


@pytest.fixture(autouse=True)
def _folder(here):
    pass


def adapted(*rows, **settings) -> list[dict]:
    with open("rows.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return read_source(SourceConfig(path="rows.jsonl", **settings)).to_list()


def test_every_adapter_is_tested():
    assert set(ADAPTERS) == {*MATH, *CHAT, *CODE, "ifeval"}  # that of IFEval in test_instructions.py


@pytest.mark.parametrize("name", MATH)
def test_mathematics(name, capsys):
    raw_rows, expected = MATH[name]
    [row] = adapted(raw_rows)
    assert f"is read as {name}" in capsys.readouterr().err
    assert expected.items() <= row.items()
    assert row["checker"] == "math"
    assert accuracy([f"<answer>{expected['answer']}</answer>"], answer=[row["answer"]], checker=["math"]) == [1.0]


@pytest.mark.parametrize("name", CHAT)
def test_finished_answers(name, capsys):
    [row] = adapted(CHAT[name])
    assert f"is read as {name}" in capsys.readouterr().err
    assert (row["prompt"], row["completion"]) == ("2 + 2?", THOUGHT)
    assert parse_completion(row["completion"]).well_formed()
    assert accuracy([row["completion"]], answer=["4"], checker=["math"]) == [1.0]


@pytest.mark.parametrize("name", CODE)
def test_code(name, capsys):
    """A right program passes its tests in the box, a wrong one does not."""
    raw_rows, right, wrong = CODE[name]
    [row] = adapted(raw_rows)
    assert f"is read as {name}" in capsys.readouterr().err
    assert row["checker"] == "code"
    completions = [f"<answer>\n```python\n{program}\n```\n</answer>" for program in (right, wrong)]
    assert accuracy(completions, checker=["code"] * 2, tests=[row["tests"]] * 2) == [1.0, 0.0]


def test_rows_that_no_checker_can_check_are_left_out_and_counted(capsys):
    row, _ = MATH["numina-math-1.5"]
    odd = [
        {**row, "question_type": "proof"},
        {**row, "answer": "proof"},
        {**row, "answer": "notfound"},
        {**row, "question_type": "MCQ", "answer": "A"},
        {**row, "problem_is_valid": "Incomplete"},
    ]
    assert len(adapted(row, *odd)) == 1
    assert "5 of 6 rows cannot be used and are dropped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("codeforces", {"generated_checker": "#include <testlib.h>"}),
        ("codeforces", {"input_mode": "file"}),
        ("codeforces", {"official_tests_complete": False}),
        ("code-contests", {"input_file": "input.txt"}),
        ("apps", {"input_output": ""}),
        ("apps", {"input_output": "no JSON"}),
        ("verifiable-coding", {"verification_info": {"language": "rust", "test_cases": []}}),
        ("s1k-1.1", {"deepseek_grade": "No"}),
        ("openthoughts3", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "<think>cut"}]}),
        ("sky-t1", {"conversations": [{"from": "user", "value": "a"}]}),
    ],
)
def test_what_cannot_be_used_is_refused_where_nothing_else_is_there(name, change):
    raw_rows = CHAT.get(name) or CODE[name][0]
    with pytest.raises(UserError, match=rf"no row of it can be used as {name}; set .*adapter=none"):
        adapted({**raw_rows, **change}, adapter=name)


def test_a_codeforces_checker_in_python_judges_the_outputs():
    checker = "import sys\nprint(int(abs(int(open(sys.argv[3]).read()) - int(open(sys.argv[2]).read())) < 2))"
    raw_row, right, _ = CODE["codeforces"]
    [row] = adapted({**raw_row, "generated_checker": checker})
    assert {test["kind"] for test in json.loads(row["tests"])} == {"checker"}
    for program, reward in ((right, 1.0), ("print(int(input()) + 2)", 1.0), ("print(int(input()) + 9)", 0.0)):
        completion = f"<answer>\n```python\n{program}\n```\n</answer>"
        assert accuracy([completion], checker=["code"], tests=[row["tests"]]) == [reward]


@pytest.mark.parametrize("form", ["{}", "list_node({})"])
def test_linked_lists_of_leetcode_are_called_with_nodes(form):
    raw_row, _, _ = CODE["leetcode"]
    starter = "class Solution:\n    def twoSum(self, head: Optional[ListNode]) -> Optional[ListNode]:\n        "
    cases = [{"input": f"head = {form.format('[1, 2]')}", "output": form.format("[2]")}]
    [row] = adapted({**raw_row, "starter_code": starter, "input_output": cases})
    completion = (
        "<answer>```python\nclass Solution:\n    def twoSum(self, head):\n        return head.next\n```</answer>"
    )
    columns = {"tests": [row["tests"]], "question": [row["prompt"]]}
    assert accuracy([completion], checker=["code"], **columns) == [1.0]
    with pytest.raises(UserError, match="no row of it can be used as leetcode"):
        adapted({**raw_row, "starter_code": starter.replace("ListNode", "Node")}, adapter="leetcode")


def test_verification_info_may_be_a_python_literal_with_calls():
    """PrimeIntellect's form: one text, a prompt, and calls whose input is a list of arguments."""
    raw_rows, _, _ = CODE["verifiable-coding"]
    cases = [{"type": "function_call", "fn_name": "most", "input": [[3, 2, 3]], "output": 3}]
    info = str({"language": "python", "test_cases": cases})
    row = {k: v for k, v in raw_rows.items() if k != "problem_statement"} | {
        "prompt": "Most?",
        "verification_info": info,
    }
    [new] = adapted(row)
    assert json.loads(new["tests"]) == [{"kind": "call", "function": "most", "args": [[3, 2, 3]], "expected": 3}]


def test_columns_of_the_recipe_win_over_adapters():
    raw_rows, _ = MATH["dapo-math-processed"]
    [row] = adapted(raw_rows, columns={"answer": "solution"})
    assert row["answer"] == "34"
    assert "reward_model" in row


def test_rows_of_ours_are_left_as_they_are():
    row = {"prompt": "2 + 2?", "answer": "4", "level": "1", "task_id": "a", "problem": "x"}
    assert adapted(row) == [row]


def test_none_turns_adapters_off_and_an_unknown_one_is_told():
    raw_rows, _ = MATH["gsm8k"]
    assert adapted(raw_rows, adapter="none") == [raw_rows]
    with pytest.raises(UserError, match=r"adapter = gsm8; no such adapter; did you mean gsm8k\?"):
        adapted(raw_rows, adapter="gsm8")
    with pytest.raises(UserError, match="adapter = humaneval; reads canonical_solution, entry_point, "):
        adapted(raw_rows, adapter="humaneval")


def test_an_adapted_set_makes_problems():
    adapted(MATH["gsm8k"][0])
    [row] = load_problems(
        [SourceConfig(path="rows.jsonl", values={"domain": "gsm8k"})], PromptConfig(template="tiny")
    ).to_list()
    assert (row["question"], row["answer"], row["domain"]) == ("Natalia sold 48 clips.", "1072", "gsm8k")
