"""`r1kit rewards`: its warnings, and reasoning_gym's problems scored by their own scorers."""

import json

import pytest
from helpers import r1kit

from r1kit.commands.score import reward_warnings, score_rows
from r1kit.recipe import RewardConfig

CORRECT = "<think>2 + 2</think><answer>4</answer>"


def warnings_for(rows, *names):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return reward_warnings(score_rows(rows, [RewardConfig(name=name) for name in names], columns), names)


def test_rows_from_which_a_model_can_learn_have_no_warnings():
    prompt = "Think in <think> </think>, answer in <answer> </answer>: 2 + 2"
    rows = [{"prompt": prompt, "completion": c, "answer": "4"} for c in (CORRECT, "<think>a</think> 5", "4")]
    assert warnings_for(rows, "accuracy", "format") == []


def test_a_prompt_that_never_asks_for_the_format():
    rows = [{"prompt": "2 + 2", "completion": c, "answer": "4"} for c in (CORRECT, "4")]
    assert warnings_for(rows, "format") == [
        "the reward format looks for <think> and <answer>, but no prompt asks for them: use a template that does"
    ]


def test_gold_answers_that_do_not_parse():
    rows = [{"completion": CORRECT, "answer": g} for g in ("4", "\\frac{1}{", "\\frac{1}{")]
    warning = "the reward accuracy could not judge 2 of 3 rows: check their gold answers or tests"
    assert warning in warnings_for(rows, "accuracy")


def test_rewards_that_are_all_equal():
    rows = [{"completion": CORRECT, "answer": "4"}] * 3
    assert warnings_for(rows, "accuracy") == [
        "the reward accuracy is 1 for every row, from which nothing can be learnt"
    ]


def test_groups_with_one_total_reward():
    rows = [
        {"prompt": prompt, "completion": completion, "answer": "4"}
        for prompt, completions in (("a", (CORRECT, CORRECT)), ("b", (CORRECT, "5")), ("c", ("5", "6")))
        for completion in completions
    ]
    assert warnings_for(rows, "accuracy") == [
        "for 2 of 3 prompts all completions have the same total reward, from which GRPO learns nothing"
    ]


@pytest.mark.parametrize(
    "truncated_row",
    [{"completion": "<think>2 + "}, {"completion": "<answer>4"}, {"completion": "4", "finish_reason": "length"}],
)
def test_completions_that_were_truncated(truncated_row):
    rows = [{"completion": CORRECT, "answer": "4"}, {**truncated_row, "answer": "4"}]
    assert warnings_for(rows, "accuracy") == ["1 of 2 completions end before their answer: allow more tokens"]


def test_the_command_prints_its_warnings(here):
    (here / "rows.jsonl").write_text(json.dumps({"completion": CORRECT, "answer": "4"}) + "\n")
    (here / "cut.jsonl").write_text(json.dumps({"completion": "<think>", "answer": "4"}) + "\n")
    _, err = r1kit("rewards", "cut.jsonl", "--rewards", "accuracy", "-o", "out.jsonl")
    assert "note: 1 of 1 completions end before their answer" in err
    _, err = r1kit("rewards", "rows.jsonl", "--rewards", "accuracy")
    assert "note" not in err


# Tasks whose answers are unlike each other: numbers, words, sets, grids, formulas, programs of moves.
TASKS = """
    ab acre advanced_geometry aiw base_conversion basic_arithmetic binary_alternation bitwise_arithmetic caesar_cipher
    calendar_arithmetic chain_sum color_cube_rotation complex_arithmetic count_bits count_primes countdown
    course_schedule decimal_arithmetic family_relationships fraction_simplification gcd gsm_symbolic
    intermediate_integration isomorphic_strings knights_knaves largest_island lcm leg_counting letter_counting maze
    n_queens number_sorting polynomial_equations power_function prime_factorization products propositional_logic
    rotate_matrix shortest_path simple_equations simple_geometry spell_backward sudoku time_intervals word_sorting
""".split()  # noqa: SIM905


def test_reasoning_gym_scores_by_its_own_scorers(here):
    reasoning_gym = pytest.importorskip("reasoning_gym")
    rows = []
    for task in TASKS:
        entry = reasoning_gym.create_dataset(task, size=1, seed=3)[0]
        row = {"prompt": entry["question"], "metadata": entry["metadata"], "checker": "reasoning_gym", "task": task}
        for text in (str(entry["answer"]), "no idea"):
            completion = f"<think>a</think><answer>{text}</answer>"
            rows.append({**row, "answer": entry["answer"], "completion": completion})
    (here / "rows.jsonl").write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    r1kit("rewards", "rows.jsonl", "--rewards", "accuracy", "-o", "out.jsonl")
    scored = [json.loads(line) for line in (here / "out.jsonl").read_text().splitlines()]
    correct = {row["task"] for row in scored[::2] if row["accuracy"] == 1.0}
    wrong = {row["task"] for row in scored[1::2] if row["accuracy"] == 0.0}
    assert len(correct & wrong) >= 30
    assert wrong == set(TASKS)
    print(sorted(set(TASKS) - correct))


def test_the_workers_of_reasoning_gym_outlive_a_batch():
    """A worker asks the kernel to end it with its parent, which means the thread that started it."""
    reasoning_gym = pytest.importorskip("reasoning_gym")
    from r1kit.rewards.gym import _pool, score_gym_answers

    problems = list(reasoning_gym.create_dataset("chain_sum", size=12, seed=5))
    pids = []
    for batch in (problems[:6], problems[6:]):
        assert score_gym_answers([(p, p["answer"]) for p in batch]) == [1.0] * 6
        pids.append({worker.process.pid for worker in _pool().workers if worker.process.poll() is None})
    assert pids[0] & pids[1]
