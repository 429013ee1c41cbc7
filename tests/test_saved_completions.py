"""`r1kit rewards` on runs, Parquet files and tables, with settings of rewards on the command line."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1kit.commands.score import score_file
from r1kit.data.completions import read_completions
from r1kit.data.example_questions import example_questions
from r1kit.errors import UserError

ROWS = [
    {"prompt": "2 + 2?", "completion": "<think>two and two</think><answer>4</answer>", "answer": "4", "step": 1},
    {"prompt": "2 + 2?", "completion": "<think>guess</think><answer>5</answer>", "answer": "4", "step": 2},
    {"prompt": "Capital?", "completion": "<answer>B</answer>", "answer": "B", "step": 2, "checker": "choice"},
]


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def scored(source, *settings, rewards=("accuracy", "format")):
    score_file(str(source), rewards, "scored.jsonl", "any", settings)
    with open("scored.jsonl") as lines:
        return [json.loads(line) for line in lines]


def test_the_rollouts_of_a_run_are_scored(here):
    run = here / "runs/zero"
    write_parquet(run / "completions/step-00000001.parquet", ROWS[:1])
    write_parquet(run / "completions/step-00000002.parquet", ROWS[1:])
    write_parquet(run / "data/other.parquet", ROWS)  # an RL run's rollouts come first
    assert [row["accuracy"] for row in scored(run)] == [1.0, 0.0, 1.0]


def test_the_samples_of_all_models_of_an_evaluation_are_scored(here):
    for name in ("base", "r1"):
        write_parquet(here / f"runs/e/samples/{name}/shard-000000.parquet", ROWS)
    assert [row["format"] for row in scored(here / "runs/e")] == [1.0, 1.0, 0.0] * 2


def test_files_of_all_formats_hold_the_same_rows(here):
    write_parquet(here / "rows.parquet", ROWS)
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    lines = ["completion,answer,checker"]
    lines += [",".join([row["completion"], row["answer"], row.get("checker", "")]) for row in ROWS]
    (here / "rows.csv").write_text("\n".join(lines) + "\n")
    expected = [1.0, 0.0, 1.0]
    for name in ("rows.parquet", "rows.jsonl", "rows.csv"):
        assert [row["accuracy"] for row in scored(name)] == expected


def test_settings_of_rewards_stand_on_the_command_line(here):
    """DAPO's overlong reward with 6 tokens and a margin of 4: of 4 words -(4 - 2) / 4, of 2 words 0."""
    rows = [{"completion": text} for text in ("a b", "a b c d", "a b c d e f g")]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ("overlong.max_tokens=6", "overlong.margin=4")
    assert [row["overlong"] for row in scored("rows.jsonl", *settings, rewards=["overlong"])] == [0.0, -0.5, -1.0]


@pytest.mark.parametrize(
    ("rewards", "settings", "error"),
    [
        (["accuracy"], ["format"], "argument = format; must be REWARD.SETTING=VALUE; write --rewards format"),
        (["accuracy"], ["format.a=1"], "format.a = 1; must be REWARD.SETTING, with a reward of --rewards; write"),
        (["accuracy"], ["accuracy.weight=much"], "accuracy.weight = much; has no meaning for saved completions"),
        (["accuracy"], ["accuracy.answer=tags"], "accuracy has no such setting; did you mean answers?"),
        ([""], [], "--rewards: names no reward; use some of: accuracy, "),
    ],
)
def test_wrong_settings_are_one_line(rewards, settings, error, here):
    (here / "rows.jsonl").write_text(json.dumps(ROWS[0]))
    with pytest.raises(UserError) as raised:
        score_file("rows.jsonl", rewards, None, "any", settings)
    assert error in str(raised.value)


def test_what_has_no_completions_is_refused(here):
    (here / "runs/sft/model").mkdir(parents=True)
    write_parquet(here / "rows.parquet", [{"prompt": "a"}])
    with pytest.raises(UserError, match="has no completions: no Parquet file in completions, samples, data"):
        read_completions("runs/sft")
    with pytest.raises(UserError, match=r"FILE = rows.parquet, row 1; has no completion"):
        read_completions("rows.parquet")
    with pytest.raises(UserError, match=r"none.parquet; must be a file"):
        read_completions("none.parquet")


# Questions of a run's own data, which `r1kit chat` shows


def test_example_questions_come_from_the_data_of_the_run(here):
    rows = [{"prompt": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(5)]
    rows.append({"prompt": "long " * 200, "answer": "1"})
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (here / "recipe.yaml").write_text("data: {train: rows.jsonl}\n")
    questions = example_questions(here, count=3)
    assert len(set(questions)) == 3
    assert set(questions) <= {row["prompt"] for row in rows[:5]}


def test_example_questions_of_conversations_are_the_users(here):
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"}]
    (here / "rows.jsonl").write_text(json.dumps({"messages": [*chat, {"role": "assistant", "content": "I."}]}))
    (here / "recipe.yaml").write_text("data: {train: [{path: rows.jsonl}]}\n")
    assert example_questions(here) == ["Who?"]


@pytest.mark.parametrize("recipe", ["", "data: {train: org/set}", "data: {train: none.jsonl}", "data: [", "data: 5"])
def test_without_readable_data_there_are_no_examples(recipe, here):
    (here / "recipe.yaml").write_text(recipe)
    assert example_questions(here) == []
    assert example_questions(here / "none") == []
