"""By which forms an answer is read: a table of right and wrong ones by checker, and what stands beside them."""

import json
import time

import pytest

from r1kit.answers.extract import ANSWER_FORMS, FORMS, completion_text, parse_completion, read_answer
from r1kit.answers.forms import answer_form_fractions, count_answer_forms, describe_unread
from r1kit.answers.programs import find_program
from r1kit.answers.thinking import split_thinking
from r1kit.answers.vote_clusters import voted_answer
from r1kit.commands.evaluate import format_ladder, ladder_row
from r1kit.data.filters import RowFilter
from r1kit.data.journey import find_journey_pairs, stitch_journey
from r1kit.errors import UserError
from r1kit.recipe import FiltersConfig, RewardConfig, recipe_class
from r1kit.recipe.rewards import answers_of_accuracy
from r1kit.rewards import FAULT
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.binding import bind_reward
from r1kit.sampling.statistics import summarise_samples

QUESTIONS = {
    "math": "What is 80 + 6?",
    "exact": "What is the capital of France?",
    "choice": "Which is the capital of France?\nA) Rome\nB) Paris\nC) Bonn\nD) Bern",
    "code": "Write a program that prints seven.",
}
GOLDS = {"math": "86", "exact": "Paris", "choice": "B", "code": None}
OTHERS = {"math": "85", "exact": "Rome", "choice": "C", "code": None}
SEVEN = "\n```python\nprint(3 + 4)\n```\n"
EIGHT = "\n```python\nprint(4 + 4)\n```\n"
TESTS = [{"kind": "stdio", "input": "", "output": "7"}]
CHECKERS = tuple(GOLDS)


def values_of(checker):
    """Return the right and a wrong answer of the checker's question."""
    return (SEVEN, EIGHT) if checker == "code" else (GOLDS[checker], OTHERS[checker])


def judge(completion, checker, answers="any", gold=None, tests=TESTS, **columns):
    """Return the reward of a completion."""
    golds = [GOLDS[checker] if gold is None else gold]
    columns = {"prompts": [QUESTIONS[checker]], **columns}
    row_tests = [tests if checker == "code" else None]
    return accuracy([completion], golds, [checker], row_tests, answers=answers, **columns)[0]


# Twelve forms of a right answer; {x} is the answer.
RIGHT_FORMS = {
    "R1's own": "<think>\nso\n</think>\n<answer>\n{x}\n</answer>",
    "after the thinking": "<think>\nso\n</think>\n\n{x}",
    "the answer is": "<think>so</think>\n\nAfter all that, the answer is {x}.",
    "no thinking": "The answer is: {x}",
    "heading": "<think>so</think>\nWe add.\n\n**Final Answer**\n\n{x}",
    "heading in the block": "<think>so</think><answer>## Answer\n{x}</answer>",
    "GSM8K": "We add them up.\n#### {x}",
    "Magistral": "[THINK]so[/THINK]The answer is **{x}**",
    "gpt-oss": "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>Answer: {x}<|end|>",
    "emoji": "<think>so</think>✅ **Final answer:** {x}",
    "reason": "<think>so</think><answer>Answer: {x}\n(since that is what follows)</answer>",
    "opened by the prompt": "so it is\n</think>\n\n**Answer:** {x}",
}
# Twelve that are wrong, or say nothing; {x} is the right answer and {y} another one.
WRONG_FORMS = {
    "another answer": "<think>{x}</think><answer>{y}</answer>",
    "in the thinking alone": "<think>It must be {x}.</think>",
    "thinking cut off": "<think>It is {x}. The answer is {x}",
    "a guess before the thinking": "The answer is {x}. <think>Or not.</think>",
    "thinking of another family": "[THINK]The answer is {x}[/THINK]The answer is {y}",
    "cut off in gpt-oss": "<|channel|>analysis<|message|>The answer is {x}",
    "the last one counts": "<answer>{x}</answer> No: <answer>{y}</answer>",
    "revised": "<think>so</think>The answer is {x}. Wait, that is wrong. The answer is {y}",
    "said to be another": "<think>so</think>One may think of {x}, but the answer is {y}",
    "a heading with another": "<think>so</think>First {x}.\n\n**Final Answer**\n{y}",
    "empty": "<think>{x}</think><answer></answer>",
    "no answer": "<think>{x}</think>I do not know.",
}


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("form", RIGHT_FORMS)
def test_a_right_answer_in_every_form(form, checker):
    right, _ = values_of(checker)
    assert judge(RIGHT_FORMS[form].format(x=right), checker) == 1.0


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("form", WRONG_FORMS)
def test_a_wrong_answer_in_every_form(form, checker):
    right, wrong = values_of(checker)
    assert judge(WRONG_FORMS[form].format(x=right, y=wrong), checker) == 0.0


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("form", RIGHT_FORMS)
def test_a_wrong_answer_in_the_form_of_a_right_one(form, checker):
    _, wrong = values_of(checker)
    assert judge(RIGHT_FORMS[form].format(x=wrong), checker) == 0.0


# By the strict settings R1's form is read, a box and a fenced program always, and nothing that is said in words.
@pytest.mark.parametrize(
    ("completion", "checker", "tags", "boxed"),
    [
        ("<think>so</think><answer>86</answer>", "math", 1.0, 0.0),
        ("<think>so</think><answer>\\boxed{86}</answer>", "math", 1.0, 1.0),
        ("<think>so</think>So \\boxed{86}.", "math", 1.0, 1.0),
        ("<think>so</think>The answer is 86.", "math", 0.0, 0.0),
        ("<think>so</think>86", "math", 0.0, 0.0),
        ("<think>so</think><answer>Paris</answer>", "exact", 1.0, 0.0),
        ("<think>so</think>\\boxed{Paris}", "exact", 1.0, 1.0),
        ("<think>so</think>Paris", "exact", 0.0, 0.0),
        ("<think>so</think><answer>The answer is (B).</answer>", "choice", 1.0, 0.0),
        ("<think>so</think>\\boxed{B}", "choice", 1.0, 1.0),
        ("<think>so</think>The answer is (B).", "choice", 0.0, 0.0),
        ("<think>so</think><answer>print(7)</answer>", "code", 1.0, 0.0),
        (f"<think>so</think><answer>{SEVEN}</answer>", "code", 1.0, 1.0),
        (f"<think>so</think>Here:\n{SEVEN}", "code", 1.0, 1.0),
        ("<think>so</think>print(7)", "code", 0.0, 0.0),
    ],
)
def test_what_the_strict_settings_read(completion, checker, tags, boxed):
    assert judge(completion, checker, "tags") == tags
    assert judge(completion, checker, "boxed") == boxed
    assert judge(completion, checker, "any") == 1.0


def test_the_form_is_named():
    forms = {
        "<answer>4</answer>": "tags",
        "\\boxed{4}": "box",
        "The answer is 4.": "phrase",
        "4": "last line",
        "I give up.": "none",
        "<think>4": "none",
    }
    assert {text: read_answer(text, "math").form for text in forms} == forms
    assert read_answer("```python\nprint(1)\n```", "code").form == "program"
    assert set(forms.values()) | {"program"} == set(FORMS)


@pytest.mark.parametrize("answers", ["TAGS", "", None, ["any"]])
def test_another_setting_is_refused(answers):
    with pytest.raises(ValueError, match=", ".join(ANSWER_FORMS)):
        accuracy(["4"], ["4"], answers=answers)


# Where the thinking ends


@pytest.mark.parametrize(
    ("completion", "thinking", "reply"),
    [
        ("<think>a</think>b", "a", "b"),
        ("a</think>b", "a", "b"),
        ("<thought>a</thought>b", "a", "b"),
        ("<Thought>a</Thought>b", "a", "b"),
        ("<reasoning>\na\n</reasoning>\n<answer>b</answer>", "\na\n", "\n<answer>b</answer>"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "a", "b"),
        ("◁think▷a◁/think▷b", "a", "b"),
        ("<seed:think>a</seed:think>b", "a", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>", "a", "b"),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=f <|constrain|>json"
            "<|message|>{}<|call|><|start|>assistant<|channel|>final<|message|>b",
            "a\n{}",
            "b",
        ),
        ("<|channel|>final<|message|>b", "", "b"),
        ("analysisWe add.assistantfinalb", "We add.", "b"),
        ("analysisWe add", None, ""),
        ("Here is my thought process: a Here is my response: b", " a ", " b"),
        ("<think>a", None, ""),
        ("[THINK]a", None, ""),
        ("a", None, "a"),
        ("<think>a</think>b<think>c</think>d", "a\nc", "bd"),
        ("<think>a</think>b<think>c", "a", ""),
        ("<think>a <think> b</think>c", "a <think> b", "c"),
        ("analysis of the data", None, "analysis of the data"),
    ],
)
def test_where_the_thinking_ends(completion, thinking, reply):
    split = split_thinking(completion)
    assert (split.thinking, split.reply) == (thinking, reply)


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_thinking_that_stands_apart_is_seen(key):
    completion = [{"role": "assistant", key: "Three and four.", "content": "<answer>7</answer>"}]
    parsed = parse_completion(completion_text(completion))
    assert parsed.well_formed()
    assert parsed.thinking.strip() == "Three and four."


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({"content": "a", "reasoning_content": None}, "a"),
        ({"content": "<think>b</think>a", "reasoning_content": "b"}, "<think>b</think>a"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        (
            {"content": [{"type": "thinking", "thinking": "b"}, {"type": "text", "text": "a"}]},
            "<think>\nb\n</think>\n\na",
        ),
        ({"role": "tool", "content": "\\boxed{7}"}, ""),
    ],
)
def test_contents_of_messages(message, text):
    assert completion_text([{"role": "assistant", **message}]) == text


def test_what_a_tool_returned_is_no_answer():
    messages = [{"role": "assistant", "content": "Let me see."}, {"role": "tool", "content": "\\boxed{86}"}]
    assert judge(messages, "math") == 0.0
    assert judge([*messages, {"role": "assistant", "content": "\\boxed{86}"}], "math") == 1.0


# Mathematics and text


@pytest.mark.parametrize(
    "reply",
    [
        "So the total is 86.",
        "She has 86 apples.",
        "**86**",
        "x = 86",
        "So 80 + 6 = 86.",
        "\\[ x = 86 \\]",
        "The answer is 85. Wait, that is wrong: it should be 86.",
        "The answer is 85. Actually, it's 86.",
        "\\boxed{85} Wait, actually the answer is 86.",
        "\\boxed{85}\n\nFinal answer: 86",
        "\\fbox{86}",
        '{"answer": "86"}',
        '```json\n{"reasoning": "x", "answer": 86}\n```',
        "Die Antwort ist 86.",
        "La réponse est 86.",
        "答案是86。",
        "答案：86",
        "Ответ: 86",
        "الجواب: 86",
        "最终答案是 $86$。",
        "The answer to the question is therefore 86, because 80 + 6 = 86.",
        "<final_answer>86</final_answer>",
        "<|begin_of_solution|>We add.\n\nThe answer is 86.<|end_of_solution|>",
        "**Answer**: The total number of apples is **86**.",
        "The final answer is $86$. I hope it is correct.",
        "A: 86",
        "Thus we get 86.",
        "The answer is 86.<|im_end|>",
        "<answer>She has 86 apples.</answer>",
        "<answer>86\n\nExplanation: 80 and 6.</answer>",
        "The value is \\framebox{86}.",
        "<|begin_of_box|>86<|end_of_box|>",
        "\\boxed 86",
        "Then add them: 80 + 6 = 86 apples that are not sold",
    ],
)
def test_a_number_that_is_said(reply):
    assert judge(reply, "math") == 1.0
    assert judge(f"<think>so</think>{reply}", "math") == 1.0


@pytest.mark.parametrize(
    "reply",
    [
        "The answer is 86. Wait, that is wrong.",
        "The answer is not 86.",
        "I think 86 or 87.",
        "The answer is 86 or 87.",
        "Answer: 85\nAnswer: 86",
        "Let me try 86",
        "We have 86 cats and 3 dogs.",
        "Is it 86?",
        "It cannot be 86.",
        "86 is wrong. The answer is 85.",
        "\\boxed{86} Wait, \\boxed{85}",
        "\\boxed{85} and \\boxed{86}",
        "First, compute 86.",
        "The solutions are x = 85 and x = 86.",
        "We get x = 80 + 5 = 85 and y = 80 + 6 = 86.",
        "<answer>86",
        "<answer>The answer is 86. Wait, that is wrong.</answer>",
    ],
)
def test_a_number_that_is_not_the_answer(reply):
    assert judge(reply, "math") == 0.0


def test_a_bare_last_line_is_no_answer_where_the_completion_was_cut():
    assert judge("So\n86", "math", finish_reason=["stop"]) == 1.0
    assert judge("So\n86", "math", finish_reason=["length"]) == 0.0
    assert judge("So \\boxed{86} and", "math", finish_reason=["length"]) == 1.0


@pytest.mark.parametrize(
    "reply",
    ["It is Paris.", "**Paris**", '"Paris"', "Answer: Paris (the capital)", "The answer is Paris, because it is."],
)
def test_a_text_that_is_said(reply):
    assert judge(reply, "exact") == 1.0


@pytest.mark.parametrize("gold", ["Answer: 5", "**bold**", "St. Louis", "So it goes.", '"quoted"', "(a since b)"])
def test_a_gold_text_that_looks_like_a_phrase_or_markup(gold):
    assert judge(f"<answer>{gold}</answer>", "exact", gold=gold) == 1.0


# Choices


@pytest.mark.parametrize(
    ("gold", "reply"),
    [
        *(("B", f"{phrase} B") for phrase in ("Antwort:", "La réponse est", "La respuesta correcta es la", "Ответ:")),
        *(("B", f"{phrase} B") for phrase in ("Правильный ответ —", "答案：", "الإجابة الصحيحة هي", "پاسخ:", "उत्तर:")),
        *(
            ("B", text)
            for text in ("答案选B", "故选B。", "正解はBです", "정답은 B입니다", "Đáp án đúng là B", "คำตอบคือ B")
        ),
        *(("B", text) for text in ('"B"', "«B»", "Ｂ", "（Ｂ）", "Ⓑ", "【B】", "<b>B</b>", "`B`", "✅ B")),
        *(
            ("B", text)
            for text in ("B is correct.", "Option B is the right one.", "B ist richtig", "B选项正确", "I choose B")
        ),
        *(("B", text) for text in ("The answer is Paris.", "Paris", "**Paris**")),
        *(("A,C", text) for text in ("A, C", "AC", "A and C", "(A), (C)", "The answers are A and C.", "A、C")),
        *(("AC", text) for text in ("A, C", "A und C", "Both A and C are correct.", "答案：AC")),
        ("B", "ب"),
        ("ب", "الجواب: ب"),
        ("Б", "Ответ: Б"),
        ("2", "Option 2"),
        ("2", "گزینه ۲"),
        ("乙", "答案是乙"),
        ("B", "The answer is A. Wait, actually it is B."),
        ("B", "A. Rome is in Italy. B. Paris is in France. So it must be B."),
        ("B", "Portanto, a alternativa correta é a letra B."),
        ("A,C,D", "The correct options are A, C and D."),
        ("B", "A is wrong. C is wrong. So the answer is B, since it is the capital."),
    ],
)
def test_a_choice_that_is_said(gold, reply):
    assert judge(reply, "choice", gold=gold) == 1.0
    assert judge(f"<think>so</think><answer>{reply}</answer>", "choice", gold=gold) == 1.0


@pytest.mark.parametrize(
    ("gold", "reply"),
    [
        *(
            ("B", text)
            for text in ("A or B", "Either A or B", "A, B", "The answer is not B.", "B is incorrect", "B is wrong")
        ),
        *(("B", text) for text in ("答案不是B", "We can exclude B.", "The answer is B. Wait, it is A.", "Rome")),
        *(("B", text) for text in ("Is it B?", "If B is correct, then C is.", "A) Rome\nB) Paris", "neither A nor B")),
        *(("A", text) for text in ("A good question.", "The answer is a city.", "I think so.")),
        ("A,C", "A"),
        ("A", "A, C"),
        ("AC", "A, B, C"),
        ("A", "A: no. B: yes."),
        ("В", "Б"),
        ("2", "3"),
    ],
)
def test_a_choice_that_is_not_made(gold, reply):
    assert judge(reply, "choice", gold=gold) == 0.0


# Programs


@pytest.mark.parametrize(
    "reply",
    [
        "Here it is:\n```python\nprint(7)\n```\nOutput:\n```\n7\n```",
        "```python\nprint(7)\n```\nRun it:\n```bash\npython a.py\n```\n```text\n7\n```",
        "```\nprint(7)\n```",
        "```\nprint(7)\n```\n```\n7\n```",
        "~~~python\nprint(7)\n~~~",
        "````python\nprint(7)\n````",
        "```Python3\nprint(7)\n```",
        "```{.python}\nprint(7)\n```",
        '```python title="a.py"\nprint(7)\n```',
        "1. So:\n   ```python\n   print(7)\n   ```",
        "> ```python\n> print(7)\n> ```",
        "Answer: ```python\nprint(7)```",
        "```python\nprint(7)",
        "```python\r\nprint(7)\r\n```\r\n",
        "x = 7\nprint(x)",
        "The program:\n\nx = 7\nprint(x)\n\nIt prints seven.",
        "[PYTHON]\nprint(7)\n[/PYTHON]",
        "```python\nprint(8)\n```\nNo, better:\n```python\nprint(7)\n```",
        "```python\ndef f():\n    return 7\n```\nand call it:\n```python\nprint(f())\n```",
        "```python\ninput()\ndef f():\n    return 7\nprint(f())\n```\nExample:\n```python\nprint(f() + 1)\n```",
        "<answer>As above.</answer>\n```python\nprint(7)\n```",
        "```json\n{}\n```\n```python\nprint(7)\n```",
    ],
)
def test_the_program_of_a_reply(reply):
    tests = [{"kind": "stdio", "input": "\n", "output": "7"}]
    assert judge(reply, "code", tests=tests) == 1.0
    assert judge(f"<think>so</think>\n\n{reply}", "code", tests=tests) == 1.0


@pytest.mark.parametrize(
    "reply", ["7", "```\n7\n```", "```bash\necho 7\n```", "It prints 7.", "```text\nprint(7)\n```", ""]
)
def test_what_is_no_program(reply):
    assert judge(reply, "code") == 0.0


def test_a_fence_within_a_program_does_not_end_it():
    program = 'def f():\n    """\n    ```\n    f()\n    ```\n    """\n    return 7'
    assert find_program(f"```python\n{program}\n```\n") == program


# What is counted and said


def test_forms_are_counted():
    rows = [{"answer": "1", "answer_form": form} for form in ("none", "tags", "tags", "none")]
    rows.append({"answer": None, "answer_form": "none"})
    rows.append({"answer": "1", "answer_form": "none", "finish_reason": "failed"})
    assert count_answer_forms(rows) == {"tags": 2, "none": 2}
    assert answer_form_fractions(rows) == {"tags": 0.5, "none": 0.5}
    assert describe_unread({"tags": 2, "none": 2}, "any") is None
    assert "3 of 4 completions no answer could be read (answers = tags)" in describe_unread(
        {"tags": 1, "none": 3}, "tags"
    )
    assert describe_unread({"none": 1}, "any") is None


# Time


@pytest.mark.parametrize(
    "unit",
    ["a", " ", "\n", "\\", "```\n", "answer is ", "wait ", "\\boxed{1} ", "<think>", "(A) ", "A or ", "*", "答案"],
)
def test_a_text_of_a_million_characters_is_read_in_a_moment(unit):
    text = unit * (1_000_000 // len(unit))
    for checker in ("math", "exact", "choice", "code"):
        started = time.process_time()
        read_answer.__wrapped__(text, checker)
        assert time.process_time() - started < 3  # a search in quadratic time takes minutes


def test_rows_with_tests_that_are_broken_stay_faults():
    assert judge(f"<think>so</think>{SEVEN}", "code", tests=json.dumps([{"kind": "no"}])) == FAULT


def test_the_table_of_eval_says_by_what_answers_were_read():
    rows = []
    for number in range(10):
        form = "box" if number < 2 else "none"
        row = {"id": str(number), "answer": "4", "answer_form": form, "domain": "math", "correct": False}
        row |= {"completion": "", "thinking": True, "thinks": False, "finish_reason": "stop", "tokens": 1}
        rows.append(row)
    entry = ladder_row("base", "org/base", summarise_samples(rows))
    assert entry["answer_forms"] == {"box": 0.2, "none": 0.8}
    header, line = (text.split() for text in format_ladder([entry]).splitlines()[:2])
    assert header[-3:] == ["by", "box", "unread"]
    assert line[-2:] == ["20.0", "80.0"]
    assert "unread" in line  # in the place of an accuracy of 0
    right = [{**row, "correct": number == 0} for number, row in enumerate(rows)]
    assert "10.0" in format_ladder([ladder_row("base", "org/base", summarise_samples(right))])


def test_the_drop_report_says_by_what_answers_were_read():
    row = {"id": "1", "prompt": "?", "answer": "4", "completion": "4", "finish_reason": "stop", "fault": False}
    row |= {"correct": True, "thinking": False, "answer_form": "last line"}
    row_filter = RowFilter(FiltersConfig(format=False, language=0.0))
    row_filter.filter([row, {**row, "answer_form": "none", "correct": False}])
    assert row_filter.report["answer_forms"] == {"last line": 1, "none": 1}


def test_votes_read_the_forms_that_the_recipe_reads():
    row = {"completion": "The answer is 4.", "checker": "math"}
    assert voted_answer(row) == "4"
    assert voted_answer(row, "tags") is None


def test_a_reward_takes_the_forms_of_the_recipe_or_its_own():
    completions = ["The answer is 4."]
    entry = RewardConfig(name="accuracy")
    assert bind_reward(entry)(completions=completions, answer=["4"]) == [0.0]
    assert bind_reward(entry, 0, "any")(completions=completions, answer=["4"]) == [1.0]
    strict = RewardConfig(name="accuracy", answers="tags")
    assert bind_reward(strict, 0, "any")(completions=completions, answer=["4"]) == [0.0]
    assert answers_of_accuracy([strict], "any") == "tags"
    assert bind_reward(RewardConfig(name="format"), 0, "any")(completions=completions) == [0.0]
    with pytest.raises(UserError, match=r"rewards.0.answers = all; must be one of tags, boxed, any"):
        bind_reward(RewardConfig(name="accuracy", answers="all"))


def test_the_stages_that_judge_have_the_setting():
    defaults = {
        stage: recipe_class(stage).model_fields["answers"].default for stage in ("rl", "rl-zero", "eval", "data")
    }
    assert defaults == {"rl": "tags", "rl-zero": "tags", "eval": "any", "data": "any"}


def test_a_journey_ends_with_the_reply_of_another_family():
    right = {"completion": "[THINK]a. b. c.[/THINK]The answer is 4.", "correct": True, "finish_reason": "stop"}
    wrong = {"completion": "[THINK]a. x. y.[/THINK]The answer is 5.", "correct": False, "finish_reason": "stop"}
    [pair] = find_journey_pairs([right, wrong], 1)
    assert stitch_journey(pair).endswith("</think>The answer is 4.")


@pytest.mark.parametrize(
    ("gold", "reply"),
    [
        ("no solution", "There is no solution."),
        ("no solution", "Answer: no solution"),
        ("x = 1, y = 2", "Answer:\n\n- x = 1\n- y = 2"),
        ("5!", "The answer is 5!"),
        ("(3, \\frac{\\pi}{2})", "The answer is $(3, \\frac{\\pi}{2})$."),
        ("\\frac{1}{2}", "The final answer is:\n\\[\n\\frac{1}{2}\n\\]"),
    ],
)
def test_a_formula_that_is_said(gold, reply):
    assert judge(reply, "math", gold=gold) == 1.0


def test_white_space_in_a_programs_strings_stays():
    program = 'print("""a\n   \nb""")'
    assert find_program(f"```python\n{program}\n```") == program
    assert find_program(program) == program


@pytest.mark.parametrize(
    "reply",
    [
        "Das Ergebnis ist nicht 42.",
        "La réponse n'est pas 42.",
        "Ответ не 42.",
        "答案不是42。",
        "The answer is less than 42.",
        "It isn't 42.",
        "So it is $\\boxed{42",
    ],
)
def test_a_denied_or_unfinished_number_is_not_read(reply):
    assert read_answer(reply, "math").text is None


def test_a_conclusion_within_a_sentence_stays_in_it():
    assert read_answer("Il y a donc 42 élèves au total.", "math").text != "Il y a42 élèves au total"
