"""Data sets of the usual forms, whatever they are called: problems, choices, conversations, verl's rows."""

import base64
import json
import pickle
import zlib

import pytest

from r1kit.data.examples import load_examples
from r1kit.data.problems import load_problems
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import PromptConfig, SourceConfig
from r1kit.rewards.accuracy import accuracy

ASK = PromptConfig(template="Q {prompt} A")
CHAT = PromptConfig(template="chat")


@pytest.fixture(autouse=True)
def _folder(here):
    pass


def source(*rows, **settings):
    with open("rows.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return SourceConfig(path="rows.jsonl", **settings)


def refused(*rows):
    with pytest.raises(UserError) as error:
        read(*rows)
    return str(error.value)


def read(*rows, **settings):
    dataset = read_source(source(*rows, **settings))
    return [dataset[i] for i in range(len(dataset))]


# Problems

PROBLEMS = {
    "GSM8K": ({"question": "3 + 4?", "answer": "3 + 4 = 7\n#### 7"}, "3 + 4?", "7", "math"),
    "ASDiv": (
        {"body": "Ann has 9 apples.", "question": "How many?", "answer": "9 (apples)", "formula": "9=9"},
        "Ann has 9 apples. How many?",
        "9",
        "math",
    ),
    "ASDiv's names": (
        {"body": "Jim has 3, Al 4.", "question": "Who has more?", "answer": "Al's class"},
        "Jim has 3, Al 4. Who has more?",
        "Al's class",
        "exact",
    ),
    "SVAMP": (
        {"Body": "Ann has 9 apples", "Question": "How many?", "Answer": 145.0, "Equation": "9", "Type": "x", "ID": "c"},
        "Ann has 9 apples. How many?",
        "145.0",
        "math",
    ),
    "MAWPS": ({"input": "How many?", "target": 43.0, "type": "t", "idx": 0}, "How many?", "43.0", "math"),
    "DeepMath": (
        {"question": "Find x.", "final_answer": "\\frac{1}{2}", "difficulty": 5.5, "topic": "A"},
        "Find x.",
        "\\frac{1}{2}",
        "math",
    ),
    "OlympiadBench": ({"question": "Find x.", "final_answer": ["2"], "unit": None}, "Find x.", "2", "math"),
    "OpenMathReasoning": (
        {"problem": "Find x.", "expected_answer": "2", "generated_solution": "<think>a</think>2"},
        "Find x.",
        "2",
        "math",
    ),
    "TheoremQA": ({"Question": "Find x.", "Answer": 2, "Answer_type": "integer"}, "Find x.", "2", "math"),
    "a solution with a box": ({"problem": "Find x.", "solution": "So \\boxed{2}."}, "Find x.", "2", "math"),
    "a prompt of messages": (
        {"prompt": [{"role": "user", "content": "Find x."}], "solution": "\\boxed{2}"},
        [{"role": "user", "content": "Find x."}],
        "2",
        "math",
    ),
    "BoolQ": (
        {"question": "is it so", "passage": "It is so.", "answer": True},
        "It is so.\n\nis it so",
        "True",
        "exact",
    ),
    "a context that most rows lack": (
        {"question": "Find x.", "context": None, "final_answer": "2"},
        "Find x.",
        "2",
        "math",
    ),
    "a context in parts": (
        {"question": "Find x.", "context": {"title": ["a"]}, "answer": "2"},
        "Find x.",
        "2",
        "math",
    ),
    "MGSM": ({"question": "Find x.", "answer": None, "answer_number": 18}, "Find x.", "18", "math"),
    "Tulu's RL set": (
        {"messages": [{"role": "user", "content": "Find x."}], "ground_truth": "2", "dataset": "gsm8k"},
        [{"role": "user", "content": "Find x."}],
        "2",
        "math",
    ),
    "ms-swift's RL set": (
        {"messages": [{"role": "user", "content": "Find x."}], "solution": "\\boxed{2}"},
        [{"role": "user", "content": "Find x."}],
        "2",
        "math",
    ),
    "AIME 2025": ({"question": "Find x.", "answer": "70"}, "Find x.", "70", "math"),
    "Open-Reasoner-Zero": (
        {
            "0": {"from": "human", "value": "Find x."},
            "1": {"from": "assistant", "ground_truth": {"value": "2"}},
        },
        "Find x.",
        "2",
        "math",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems(name):
    raw_row, prompt, answer, checker = PROBLEMS[name]
    [row] = read(raw_row)
    assert (row["prompt"], row["answer"], row["checker"]) == (prompt, answer, checker)
    assert accuracy([f"<answer>{answer}</answer>"], answer=[answer], checker=[checker]) == [1.0]


def test_answers_that_cannot_be_checked_are_left_out_and_counted(capsys):
    rows = [{"question": "Find x.", "final_answer": answer} for answer in (["2"], ["2", "3"], None, "proof", "4", [])]
    assert [row["answer"] for row in read(*rows)] == ["2", "4"]
    assert "4 of 6 rows cannot be used and are dropped" in capsys.readouterr().err


@pytest.mark.parametrize("question", ["question", "problem"])
def test_rows_after_a_first_one_with_a_number_have_other_answers(question):
    answers = ["4", "Paris", ["1", "2"], ["7"]]
    rows = read(*[{question: f"Question {i}?", "answer": answer} for i, answer in enumerate(answers)])
    assert [row["answer"] for row in rows] == ["4", "Paris", "7"]


@pytest.mark.parametrize(
    ("answer", "verdict"), [("Yes", 1.0), ("\\boxed{true}", 1.0), ("No", 0.0), ("False", 0.0), ("unknown", 0.0)]
)
@pytest.mark.parametrize("checker", ["exact", "math"])
def test_a_truth_value_is_yes_or_no(answer, verdict, checker):
    assert accuracy([answer], answer=["True"], checker=[checker], answers="any") == [verdict]


def test_what_is_no_form_stays_as_it_is():
    for row in (
        {"question": "Which?", "answer": "7", "choices": ["a", "b"]},
        {"question": "Why?", "answer": "Because.\nAnd so on.\n" * 20},
        {"title": "a", "body": "b"},
        {"prompt": "a?", "answer": "1", "solution": "\\boxed{1}"},
    ):
        assert read(row) == [row]


def test_columns_of_ones_own_are_carried():
    own = {"my_tag": "x", "year": 2024, "extra": [1, "s"]}
    [row] = read({"question": "3 + 4?", "answer": "#### 7", **own})
    assert row == {"prompt": "3 + 4?", "answer": "7", "checker": "math", "domain": "math", **own}
    [row] = read({"problem": "3 + 4?", "answer": "7", **own})
    assert own.items() <= row.items()
    # A known set with its own columns: single values are carried.
    known = {"problem": "1?", "solution": "s", "answer": "7", "subject": "A", "level": 1, "unique_id": "u"}
    [row] = read({**known, **own})
    assert (row["my_tag"], row["year"]) == ("x", 2024)


# Multiple choice

FOUR = ["one", "two", "three", "four"]
CHOICES = {
    "MMLU": {"question": "1 + 2?", "subject": "s", "choices": FOUR, "answer": 2},
    "MMLU-Pro": {"question_id": 1, "question": "1 + 2?", "options": FOUR, "answer": "C", "answer_index": 2, "src": "x"},
    "ARC": {
        "id": "a",
        "question": "1 + 2?",
        "choices": {"text": FOUR, "label": ["A", "B", "C", "D"]},
        "answerKey": "C",
    },
    "ARC by numbers": {
        "question": "1 + 2?",
        "choices": {"text": FOUR, "label": ["1", "2", "3", "4"]},
        "answerKey": "3",
    },
    "OpenBookQA": {
        "question_stem": "1 + 2?",
        "choices": {"text": FOUR, "label": ["A", "B", "C", "D"]},
        "answerKey": "C",
    },
    "CommonsenseQA": {
        "question": "1 + 2?",
        "question_concept": "sum",
        "choices": {"label": ["A", "B", "C", "D"], "text": FOUR},
        "answerKey": "C",
    },
    "labels in objects": {
        "question": "1 + 2?",
        "choices": [{"label": label, "text": text} for label, text in zip("ABCD", FOUR, strict=True)],
        "answerKey": "C",
    },
    "MedQA": {
        "question": "1 + 2?",
        "options": dict(zip("ABCD", FOUR, strict=True)),
        "answer": "three",
        "answer_idx": "C",
        "meta_info": "s",
    },
    "SuperGPQA": {"question": "1 + 2?", "options": FOUR, "answer": "three", "answer_letter": "C"},
    "a column for each": {"question": "1 + 2?", **dict(zip("ABCD", FOUR, strict=True)), "answer": "C"},
    "options in columns": {
        "question": "1 + 2?",
        **{f"option_{letter}": text for letter, text in zip("abcd", FOUR, strict=True)},
        "answer": "c",
    },
    "a list as text": {"question": "1 + 2?", "options": str(FOUR), "answer": 2},
    "lines": {
        "question": "1 + 2?",
        "options": "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", FOUR, strict=True)),
        "answer": "C",
    },
    "by its text": {"question": "1 + 2?", "options": FOUR, "answer": "three"},
    "RACE": {"article": "1 + 2", "question": "is?", "options": FOUR, "answer": "C"},
    "HellaSwag": {"ctx": "1 + 2 is", "endings": FOUR, "label": "2", "activity_label": "x"},
    "AQuA": {
        "question": "1 + 2?",
        "options": ["A)one", "B)two", "C)three", "D)four"],
        "rationale": "r",
        "correct": "C",
    },
    "MathQA": {"Problem": "1 + 2?", "options": "a ) one , b ) two , c ) three , d ) four", "correct": "c"},
    "C-Eval": {"question": "1 + 2?", "A": "one", "B": "two", "C": "three", "D": "four", "answer": "C"},
    "CMMLU": {"Question": "1 + 2?", "A": "one", "B": "two", "C": "three", "D": "four", "Answer": "C"},
    "MedMCQA": {"question": "1 + 2?", "opa": "one", "opb": "two", "opc": "three", "opd": "four", "cop": 2},
    "SocialIQA": {
        "context": "1 + 2.",
        "question": "?",
        "answerA": "one",
        "answerB": "two",
        "answerC": "three",
        "label": "3",
    },
    "a prompt": {"prompt": "1 + 2?", "choices": FOUR, "answer": "C"},
}


@pytest.mark.parametrize("name", CHOICES)
def test_multiple_choice(name):
    [row] = read(CHOICES[name])
    assert (row["answer"], row["checker"]) == ("C", "choice")
    assert "\n\nA. one\nB. two\nC. three\n" in row["prompt"]
    assert row["prompt"].startswith("1 + 2")
    assert accuracy(["<answer>C</answer>", "<answer>B</answer>"], answer=["C"] * 2, checker=["choice"] * 2) == [
        1.0,
        0.0,
    ]


def test_there_may_be_more_than_four_columns_of_choices():
    [row] = read({"Question": "1 + 2?", **dict(zip("ABCDE", [*FOUR, "five"], strict=True)), "Answer": "E"})
    assert row["answer"] == "E"
    assert "E. five" in row["prompt"]


def test_choices_with_the_first_of_two_right():
    [row] = read({"goal": "Sum", "sol1": "one", "sol2": "two", "label": 0})
    assert (row["answer"], row["prompt"].split("\n")[:4]) == ("A", ["Sum", "", "A. one", "B. two"])
    [row] = read({"sentence": "It is _.", "option1": "one", "option2": "two", "answer": "1"})
    assert row["answer"] == "A"


def gpqa(number):
    return {
        "Question": f"{number}?",
        "Correct Answer": "right",
        "Incorrect Answer 1": "x",
        "Incorrect Answer 2": "y",
        "Incorrect Answer 3": "z",
        "Subdomain": "Physics",
    }


def test_choices_of_which_the_right_one_has_its_place_are_shuffled_by_the_seed():
    rows = read(*[gpqa(number) for number in range(200)])
    for row in rows:
        assert f"\n{row['answer']}. right\n" in row["prompt"]
    counts = [sum(row["answer"] == letter for row in rows) for letter in "ABCD"]
    assert min(counts) > 25
    assert rows == read(*[gpqa(number) for number in range(200)])
    assert rows != read(*[gpqa(number) for number in range(200)], seed=1)
    assert rows[50:60] == read(*[gpqa(number) for number in range(50, 60)])
    [row] = read(
        {"question": "?", "correct_answer": "right", "distractor1": "x", "distractor2": "y", "distractor3": "z"}
    )
    assert f"\n{row['answer']}. right\n" in row["prompt"]


def test_a_right_choice_that_is_none_is_left_out(capsys):
    rows = [{"question": f"{n}?", "choices": FOUR, "answer": answer} for n, answer in enumerate((2, 9, None, "x", -1))]
    assert len(read(*rows)) == 1
    assert "4 of 5 rows cannot be used" in capsys.readouterr().err


def numbered(count, first, **columns):
    return [{"question": f"{n}?", **columns, "answer": n % count + first} for n in range(6)]


OPTION_COLUMNS = {"option_a": "x", "option_b": "y", "option_c": "z"}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("written_as", [int, str, float])
@pytest.mark.parametrize(
    "columns", [{"choices": ["x", "y", "z"]}, OPTION_COLUMNS, {"option1": "x", "option2": "y", "option3": "z"}]
)
def test_numbers_of_choices_count_as_those_of_the_whole_set_do(columns, first, written_as):
    rows = numbered(3, first, **columns)
    # The first row does not show it.
    rows = [{**row, "answer": written_as(row["answer"])} for row in [rows[1], *rows]]
    assert "".join(row["answer"] for row in read(*rows)) == "BABCABC"


def test_numbers_of_choices_that_may_count_in_both_ways_are_refused():
    rows = numbered(2, 1, **OPTION_COLUMNS)
    line = refused(*rows)
    assert "may count from 0 or from 1, and no row shows which; write the letters" in line
    line = refused(*numbered(4, 0, **OPTION_COLUMNS))
    assert "some rows have 0 for the right choice, and some the number of their choices" in line


def test_numbers_that_are_the_choices_themselves():
    rows = [{"question": f"{n}?", "choices": ["3", "1", "2"], "answer": n} for n in (1, 2, 3)]
    assert "".join(row["answer"] for row in read(*rows)) == "BCA"
    labelled = {"label": ["1", "2", "3"], "text": ["x", "y", "z"]}
    [row] = read({"question": "?", "choices": labelled, "answerKey": 2})
    assert row["answer"] == "B"


def test_a_choice_that_is_missing_before_another_leaves_the_row_out():
    rows = [{"question": "?", **OPTION_COLUMNS, "answer": "C"} for _ in range(2)]
    rows[1]["option_b"] = ""
    assert len(read(*rows)) == 1


# Any of several answers

OBAMA = ["Barack Obama", "Obama"]
ACCEPTED = {
    "TriviaQA": {"question": "Who?", "answer": {"value": OBAMA[0], "aliases": OBAMA, "normalized_aliases": OBAMA}},
    "SQuAD": {"context": "Obama won.", "question": "Who?", "answers": {"text": OBAMA, "answer_start": [0, 0]}},
    "SQuAD as it was published": {"question": "Who?", "answers": [{"text": text} for text in OBAMA]},
    "NQ": {"question": "who", "answer": OBAMA},
    "WebQuestions": {"question": "Who?", "answers": OBAMA},
    "PopQA": {"question": "Who?", "possible_answers": json.dumps(OBAMA)},
    "MuSiQue": {"question": "Who?", "answer": OBAMA[0], "answer_aliases": OBAMA[1:]},
    "FlashRAG": {"id": "1", "question": "Who?", "golden_answers": OBAMA},
    "a prompt": {"prompt": "Who?", "golden_answers": OBAMA},
    "Search-R1": {"prompt": "Who?", "reward_model": {"ground_truth": {"target": OBAMA}}, "data_source": "nq"},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_any_accepted_answer_is_right(name):
    [row] = read(ACCEPTED[name])
    assert row["checker"] == "exact"
    completions = [f"<answer>{text}</answer>" for text in ("obama", "Barack Obama.", "Bush", "Barack")]
    columns = {"answer": [row["answer"]] * 4, "checker": ["exact"] * 4}
    assert accuracy(completions, **columns) == [1.0, 1.0, 0.0, 0.0]


def test_a_row_may_have_one_accepted_answer_or_none(capsys):
    rows = [
        {"question": "Who?", "answers": {"text": OBAMA, "answer_start": [0, 0]}},
        {"question": "How many?", "answers": {"text": ["7", "7"], "answer_start": [0, 0]}},
        {"question": "Who?", "answers": {"text": [], "answer_start": []}},
    ]
    assert [row["checker"] for row in read(*rows)] == ["exact", "math"]
    assert "1 of 3 rows cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "columns",
    [
        {"answer": ["2", "3"]},  # the solutions of an equation
        {"answer": ["\\frac12", "x+1"]},
        {"answers_spans": {"spans": ["Ann", "Bob"], "types": ["span", "span"]}},  # DROP's question for both
    ],
)
def test_a_list_that_may_ask_for_all_of_its_answers_is_left_out(columns, capsys):
    first_value = {"answer": ["2"]} if "answer" in columns else {"answers_spans": {"spans": ["2"], "types": ["number"]}}
    assert len(read({"question": "?", **first_value}, {"question": "?", **columns})) == 1
    assert "1 of 2 rows cannot be used" in capsys.readouterr().err


def test_a_list_of_numbers_is_one_exact_answer():
    completions = ["<answer>1</answer>", "<answer>[1, 2]</answer>"]
    assert accuracy(completions, answer=["[1, 2]"] * 2, checker=["exact"] * 2) == [0.0, 1.0]


# Other trainers


@pytest.mark.parametrize("column", ["input", "prompt", "messages"])
@pytest.mark.parametrize("label", ["7", 7])
def test_a_label_is_the_answer_of_openrlhf(column, label):
    question = [{"role": "user", "content": "3 + 4?"}] if column == "messages" else "3 + 4?"
    [row] = read({column: question, "label": label})
    assert (row["prompt"], row["answer"], row["checker"]) == (question, "7", "math")


def nemo_gym(request="3 + 4?", **columns):
    return {"responses_create_params": {"input": request}, **columns, "agent_ref": {"name": "x"}}


def test_rows_of_nemo_gym(capsys):
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "3 + 4?"}
    tests = {"unit_tests": {"inputs": ["1"], "outputs": ["2"]}}
    assert read(nemo_gym(question="3 + 4?", expected_answer="7")) == [
        {"prompt": "3 + 4?", "answer": "7", "checker": "math"}
    ]
    [row] = read(nemo_gym([system, user], expected_answer="7"))
    assert row["prompt"] == [system, user]
    [row] = read(nemo_gym([user], options=[{"A": "6"}, {"B": "7"}], expected_answer="B", grading_mode="strict"))
    assert (row["answer"], row["checker"]) == ("B", "choice")
    [row] = read(nemo_gym([user], verifier_metadata=tests))
    assert row["checker"] == "code"
    assert json.loads(row["tests"]) == [{"kind": "stdio", "input": "1", "output": "2"}]
    with_tools = {"responses_create_params": {"input": "?", "tools": [{"name": "add"}]}, "expected_answer": "7"}
    assert len(read(nemo_gym(expected_answer="7"), with_tools)) == 1
    assert "1 of 2 rows cannot be used" in capsys.readouterr().err


# verl


def verl(truth, ability="math", prompt=None, **further):
    prompt = prompt or [{"role": "user", "content": "What is 3+4?"}]
    return {
        "data_source": "x",
        "prompt": prompt,
        "ability": ability,
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"index": 0, "split": "train"},
        **further,
    }


@pytest.mark.parametrize("truth", ["7", 7, ["7"], '["7"]', '"7"', {"answer": "7"}, '{"answer": "7"}', ["7", "7"]])
def test_a_ground_truth_is_what_it_holds(truth):
    [row] = read(verl(truth))
    assert (row["prompt"], row["answer"], row["checker"], row["id"]) == ("What is 3+4?", "7", "math", "x/train/0")


@pytest.mark.parametrize("reward", ["reward_model", "reward_spec"])
def test_rows_without_the_name_of_a_source(reward):
    [row] = read({"prompt": [{"role": "user", "content": "3+4?"}], reward: {"ground_truth": "7", "style": "rule"}})
    assert (row["prompt"], row["answer"], row["checker"]) == ("3+4?", "7", "math")


def test_a_list_of_numbers_is_an_answer():
    [row] = read(verl("[1, 2]"))
    assert row["answer"] == "[1, 2]"


@pytest.mark.parametrize("truth", [["7", "8"], '["7", "8"]', {"target": 7, "numbers": [3, 4]}, None, "", []])
def test_a_ground_truth_that_is_no_answer_is_left_out(truth, capsys):
    assert len(read(verl("7"), verl(truth))) == 1
    assert "1 of 2 rows cannot be used and are dropped" in capsys.readouterr().err


CODE_TRUTHS = {
    "stdio": {"inputs": ["1 2\n"], "outputs": ["3\n"]},
    "cases": [{"input": "1 2\n", "output": "3\n"}],
    "typed cases": [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}],
    "asserts": ["assert add(1, 2) == 3"],
    "calls": {"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]},
    "functional": {"functional": "assert add(1, 2) == 3"},
}


@pytest.mark.parametrize("name", CODE_TRUTHS)
def test_code_is_judged_by_its_tests(name):
    truth = CODE_TRUTHS[name]
    [row, as_text] = read(
        verl(truth, "code"), verl(json.dumps(truth), "code", prompt=[{"role": "user", "content": "b"}])
    )
    assert row["tests"] == as_text["tests"]
    assert row["checker"] == "code"
    assert row.get("answer") is None
    right = "def add(a, b):\n    return a + b\n\nif __name__ == '__main__':\n    print(add(*map(int, input().split())))"
    completions = [f"<answer>\n```python\n{program}\n```\n</answer>" for program in (right, "print(4)")]
    assert accuracy(completions, checker=["code"] * 2, tests=[row["tests"]] * 2) == [1.0, 0.0]


def test_mathematics_and_code_in_one_set_and_all_turns():
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "3+4?"},
    ]
    rows = read(verl("7"), verl(json.dumps(CODE_TRUTHS["stdio"]), "code"), verl("7", prompt=turns))
    assert [row["checker"] for row in rows] == ["math", "code", "math"]
    assert rows[2]["prompt"] == turns
    assert rows[0]["prompt"] == [{"role": "user", "content": "What is 3+4?"}]
    assert read(verl("no tests", "code"), verl("7"))[0]["answer"] == "7"


def test_a_letter_is_a_choice_where_the_prompt_has_choices():
    prompt = [{"role": "user", "content": "Which?\nA. one\nB. two\nC. three"}]
    assert read(verl("B", prompt=prompt))[0]["checker"] == "choice"
    assert read(verl("B"))[0]["checker"] == "math"


def test_pickled_tests_that_hold_more_than_text_are_not_run(capsys):
    class Harmful:
        def __reduce__(self):
            return print, ("pwned",)

    row = {
        "question_content": "Add one.",
        "starter_code": "",
        "public_test_cases": "[]",
        "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Harmful()))).decode(),
        "metadata": "{}",
    }
    with pytest.raises(UserError, match="no row of it can be used as livecodebench"):
        read(row)
    assert "pwned" not in capsys.readouterr().out


# Finished answers

TALK = [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "7"}]


def test_conversations_of_many_turns_are_kept():
    turns = [("human", "Hi"), ("gpt", "Hello"), ("human", "3 + 4?"), ("gpt", "7")]
    row = {"id": "c1", "conversations": [{"from": role, "value": text} for role, text in turns], "system": "Be brief."}
    roles = ["system", "user", "assistant", "user", "assistant"]
    texts = ["Be brief.", "Hi", "Hello", "3 + 4?", "7"]
    expected = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
    assert read(row)[0]["messages"] == expected
    assert load_examples([source(row)], CHAT)["messages"][:] == [expected]


def test_an_unknown_role_is_refused_with_its_row():
    good = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    wrong = {"conversations": [{"from": "human", "value": "a"}, {"from": "narrator", "value": "b"}]}
    with pytest.raises(UserError) as caught:
        read(good, wrong)
    assert str(caught.value) == (
        'data.train.0.path = row 2 of rows.jsonl; the role "narrator" is not known; use system, user, assistant or '
        "tool; correct or drop the row"
    )


@pytest.mark.parametrize(
    ("row", "prompt", "completion"),
    [
        ({"instruction": "Add.", "input": "3, 4", "output": "7"}, "Add.\n\n3, 4", "7"),
        ({"instruction": "Add 3, 4.", "input": "", "output": "7"}, "Add 3, 4.", "7"),
        ({"instruction": "Add.", "context": "3, 4", "response": "7", "category": "x"}, "Add.\n\n3, 4", "7"),
        ({"query": "3 + 4?", "response": "7", "type": "x"}, "3 + 4?", "7"),
        ({"prompt": "3 + 4?", "response": "7"}, "3 + 4?", "7"),
        ({"input": "3 + 4?", "output": "7"}, "3 + 4?", "7"),
        ({"prompt": "3 + 4?", "chosen": "7", "rejected": "8"}, "3 + 4?", "7"),
    ],
)
def test_instructions(row, prompt, completion):
    [adapted] = read(row)
    assert (adapted["prompt"], adapted["completion"]) == (prompt, completion)
    assert load_examples([source(row)], ASK).to_list() == [{"prompt": f"Q {prompt} A", "completion": completion}]


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": TALK, "rejected": [TALK[0], {"role": "assistant", "content": "8"}]},
        {"prompt": "3 + 4?", "chosen": TALK, "rejected": TALK},
        {"prompt": TALK[:1], "chosen": TALK[1:], "rejected": TALK[1:]},
        {"instruction": "3 + 4?", "input": "", "output": "7", "history": [], "system": ""},
    ],
)
def test_what_becomes_messages(row):
    assert read(row)[0]["messages"] == TALK


def test_a_history_is_kept():
    row = {"instruction": "3 + 4?", "input": "", "output": "7", "history": [["Hi", "Hello"]], "system": "Be brief."}
    roles = [message["role"] for message in read(row)[0]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


# Sets with both problems and finished answers

OPENR1 = {
    "problem": "3 + 4?",
    "solution": "\\boxed{7}",
    "answer": "7",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "source": "x",
    "uuid": "u1",
    "generations": ["<think>a</think>7"],
    "messages": [TALK[0], {"role": "assistant", "content": "<think>a</think>\n\n7"}],
}


def test_a_set_with_problems_and_messages_serves_both():
    [example] = load_examples([source(OPENR1)], CHAT).to_list()
    assert example == {"messages": OPENR1["messages"]}
    [problem] = load_problems([source(OPENR1)], ASK).to_list()
    assert (problem["question"], problem["answer"], problem["id"]) == ("3 + 4?", "7", "u1")


@pytest.mark.parametrize(
    "row",
    [
        {"question": "3 + 4?", "final_answer": "7", "r1_solution_1": "<think>a</think>7", "r1_solution_2": "b"},
        {"problem": "3 + 4?", "expected_answer": "7", "generated_solution": "<think>a</think>7"},
    ],
)
def test_generated_solutions_are_trained_on(row):
    [example] = load_examples([source(row)], CHAT).to_list()
    assert [message["content"] for message in example["messages"]] == ["3 + 4?", "<think>a</think>7"]
    assert load_problems([source(row)], ASK)["answer"][:] == ["7"]


@pytest.mark.parametrize(
    "good",
    [
        {"prompt": "3 + 4?", "completion": "7"},
        {"messages": [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "7"}]},
    ],
)
@pytest.mark.parametrize("labels", [(True, False), (1, 0), (1.0, 0.0), ("true", "false"), ("1", "0")])
def test_examples_that_a_label_calls_bad_are_left_out(good, labels, capsys):
    bad = json.loads(json.dumps(good).replace("7", "8"))
    [row] = read({**good, "label": labels[0]}, {**bad, "label": labels[1]})
    assert row == good
    assert "1 of 2 rows cannot be used and are dropped" in capsys.readouterr().err


def test_conversations_and_generated_rows_are_trained_on_together(here):
    pair = {"prompt": "5 + 6?", "completion": "11", "id": "g1", "correct": True}
    (here / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    sources = [source({"messages": TALK}), SourceConfig(path="pairs.jsonl")]
    expected = [{"role": "user", "content": "5 + 6?"}, {"role": "assistant", "content": "11"}]
    assert load_examples(sources, CHAT)["messages"][:] == [TALK, expected]
    pairs = [{"prompt": "Q 3 + 4? A", "completion": "7"}, {"prompt": "Q 5 + 6? A", "completion": "11"}]
    assert load_examples(sources, ASK).to_list() == pairs
    both = [source(OPENR1), SourceConfig(path="pairs.jsonl")]
    assert load_examples(both, CHAT)["messages"][:] == [OPENR1["messages"], expected]
