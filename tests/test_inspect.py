"""`r1kit data inspect`: what it understands of a source, what it does not, and what it says to write."""

import json

import pytest

from r1kit.commands.inspect import inspect_source
from r1kit.data.argument_errors import errors_of_argument
from r1kit.data.column_guess import guess_columns
from r1kit.data.description import _draw_histogram
from r1kit.errors import UserError

CHAT = [{"from": "human", "value": "3 + 4?"}, {"from": "gpt", "value": "It is 7."}]
CHOSEN = [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "7"}]
PREFERENCE = "SFT trains on the chosen answers alone; r1kit reward-model trains on both."
UNKNOWN = "r1kit knows none of these names."
# Name and content of a file, and lines that must stand in what is printed of it.
SOURCES = {
    "semicolons.csv": (
        "Question;Answer;Topic\n3 + 4?;7;sums\n9 - 1?;8;sums\n",
        ["Read as question-answer: prompt is Question; answer is Answer.", "Kept as they are: Topic."],
    ),
    "plain.csv": (
        "question,answer\n3 + 4?,7\n9 - 1?,8\n",
        [
            "Read as question-answer: prompt is question; answer.",
            "  r1kit rl-zero --model MODEL --dataset plain.csv --output runs/zero",
        ],
    ),
    "capitals.csv": (
        "QUESTION,ANSWER\n3 + 4?,7\n",
        [
            f"{UNKNOWN} These columns may be meant:",
            "  r1kit data inspect capitals.csv 'columns={prompt: QUESTION, answer: ANSWER}'",
            "In a recipe: data.train: [{path: capitals.csv, columns: {prompt: QUESTION, answer: ANSWER}}]",
        ],
    ),
    "short.tsv": (
        "ques\tans\n3 + 4?\t7\n",
        ["  r1kit data inspect short.tsv 'columns={prompt: ques, answer: ans}'"],
    ),
    "strange.csv": (
        "left,right\n3 + 4?,7\n",
        [f"{UNKNOWN} Say which column is which, for example:"],
    ),
    "deutsch.csv": (
        "Frage;Lösung;Thema\n3 + 4?;7;Summen\n",
        ["  r1kit data inspect deutsch.csv 'columns={prompt: Frage, answer: Lösung}'"],
    ),
    "headless.csv": (
        '"What is 3 + 4?","7"\n"What is 9 - 1?","8"\n',
        ["The first line of the file looks like a row: write the names above it, such as prompt,answer."],
    ),
    "alpaca.json": (
        json.dumps([{"instruction": "Add.", "input": "3, 4", "output": "7"}]),
        [
            "Read as instruction: completion is output; prompt is made of input, instruction.",
            "  r1kit sft --model MODEL --dataset alpaca.json --output runs/sft",
        ],
    ),
    "sharegpt.jsonl": (
        json.dumps({"conversations": CHAT}),
        ["Read as conversation: messages is made of conversations."],
    ),
    "preference.jsonl": (
        json.dumps({"prompt": "3 + 4?", "chosen": "7", "rejected": "8"}),
        ["Read as preference: prompt; completion is chosen.", PREFERENCE],
    ),
    "preferred_chats.jsonl": (
        json.dumps({"chosen": CHOSEN, "rejected": CHOSEN}),
        ["Read as preference: messages is chosen.", PREFERENCE],
    ),
    "own.jsonl": (
        json.dumps({"prompt": "3 + 4?", "answer": "7", "note": "easy"}),
        ["r1kit knows these by their names: prompt, answer.", "Kept as they are: note."],
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_inspect_says_how_columns_are_read_or_what_to_write(name, here, capsys):
    content, expected_lines = SOURCES[name]
    (here / name).write_text(content)
    inspect_source([name])
    lines = capsys.readouterr().out.splitlines()
    names = lines[0].removeprefix(f"{name} has the columns ").rstrip(".").split(", ")
    assert all(column in content for column in names)
    assert [line for line in expected_lines if line not in lines] == []
    assert "aime" not in "\n".join(lines)


def test_what_inspect_says_to_write_is_understood(here, capsys):
    (here / "capitals.csv").write_text("QUESTION,ANSWER\n3 + 4?,7\n")
    inspect_source(["capitals.csv", "columns={prompt: QUESTION, answer: ANSWER}"])
    out = capsys.readouterr().out
    assert "prompt is QUESTION, answer is ANSWER." in out
    command = "r1kit rl-zero --model MODEL 'data.train=[{path: capitals.csv, columns: {prompt: QUESTION"
    assert command in out


def test_rows_are_drawn_at_random_with_a_seed(here, capsys):
    rows = [json.dumps({"prompt": f"question {n}", "answer": str(n)}) for n in range(200)]
    (here / "rows.jsonl").write_text("\n".join(rows))

    def shown_rows(*words):
        inspect_source(["rows.jsonl", *words])
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("Row ")]

    assert shown_rows() == shown_rows("seed=0")
    assert shown_rows() != shown_rows("seed=1")
    assert shown_rows() != ["Row 1:", "Row 2:", "Row 3:"]


def test_lengths_are_drawn_as_a_histogram():
    assert _draw_histogram([0, 1, 1, 2, 3, 3, 3, 9]) == [
        f"     0  1  {'#' * 8}",  # 1 of at most 4, of 30 characters
        f"     1  2  {'#' * 15}",
        f"   2-3  4  {'#' * 30}",
        "   4-7  0",
        f"  8-15  1  {'#' * 8}",
    ]


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["Prompt", "Response"], {"prompt": "Prompt", "completion": "Response"}),
        (["Problem Statement", "Final-Answer"], {"prompt": "Problem Statement", "answer": "Final-Answer"}),
        (["id", "promt", "lable"], {"prompt": "promt"}),
        (["Q_text", "gold"], {"prompt": "Q_text", "answer": "gold"}),
        (["Text", "year"], {"text": "Text"}),
        (["Frage", "Lösung"], {"prompt": "Frage", "answer": "Lösung"}),
        (["Aufgabe", "LOESUNG"], {"prompt": "Aufgabe", "answer": "LOESUNG"}),
        (["Énoncé", "Réponse"], {"prompt": "Énoncé", "answer": "Réponse"}),
        (["enonce", "re\u0301ponse"], {"prompt": "enonce", "answer": "re\u0301ponse"}),  # an accent of its own
        (["Pregunta", "Respuesta"], {"prompt": "Pregunta", "answer": "Respuesta"}),
        (["problema", "solución"], {"prompt": "problema", "answer": "solución"}),
        (["题目", "答案"], {"prompt": "题目", "answer": "答案"}),
        (["指令", "输出"], {"prompt": "指令", "completion": "输出"}),
        (["問題", "答え"], {"prompt": "問題", "answer": "答え"}),
        (["질문", "정답"], {"prompt": "질문", "answer": "정답"}),
        (["Вопрос", "Ответ"], {"prompt": "Вопрос", "answer": "Ответ"}),
        (["answer", "year"], {}),
        (["left", "right"], {}),
    ],
)
def test_columns_are_guessed_by_their_names(names, columns):
    assert guess_columns(names) == columns


# Advice about a source that is an argument, which no recipe has


def test_advice_on_a_wrong_source_can_be_typed(here):
    (here / "rows.jsonl").write_text('{"prompt": "3 + 4?"}\n{"prompt": \n')
    with pytest.raises(UserError) as caught:
        inspect_source(["rows.jsonl"])
    assert str(caught.value).startswith("PATH = rows.jsonl:2; ")
    assert str(caught.value).endswith("; correct the line, or set broken=skip")
    inspect_source(["rows.jsonl", "broken=skip"])
    (here / "sets").mkdir()
    (here / "sets/test.jsonl").write_text('{"prompt": "3 + 4?"}\n')
    with pytest.raises(UserError, match=r"^split = train; sets has only test; set split to one of these$"):
        inspect_source(["sets"])
    with pytest.raises(UserError, match=r"^PATH = none.jsonl; must be a file, a folder, a run or a hub id; check the"):
        inspect_source(["none.jsonl"])


def test_commands_without_fields_of_a_source_say_nothing_of_them():
    def error_line(line, **options):
        with pytest.raises(UserError) as caught, errors_of_argument(**options):
            raise UserError.from_line(line)
        return str(caught.value)

    broken = "QUESTIONS.0.path = q.jsonl:2; must be JSON; correct the line, or set QUESTIONS.0.broken=skip"
    questions = {"argument": "QUESTIONS", "source_name": "QUESTIONS.0"}
    assert error_line(broken, **questions) == "QUESTIONS = q.jsonl:2; must be JSON; correct the line"
    other_split = "FILE.split = train; sets has only test; set FILE.split to one of these"
    assert error_line(other_split, argument="FILE") == (
        "FILE: split = train; sets has only test; name a single file, such as one of JSON Lines"
    )
