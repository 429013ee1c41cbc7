import pytest

from r1kit.answers.extract import completion_text, last_boxed, parse_completion
from r1kit.prompts import fill_template, template_text


def test_r1_zero_ends_where_the_assistant_begins():
    text = fill_template("r1-zero", "What is 2 + 2?")
    assert text.endswith("User: What is 2 + 2?. Assistant:")
    assert "<think> </think>" in text
    assert "<answer> </answer>" in text


def test_tiny_is_a_question_and_ends_before_the_answer():
    assert fill_template("tiny", "What is 2 + 2?").rstrip() == "Q: What is 2 + 2?\nA:"


def test_a_text_that_names_no_template_is_a_template():
    assert template_text("Problem: {prompt}") == "Problem: {prompt}"
    assert fill_template("Problem: {prompt}\nUse \\boxed{}. {x}", "1+1") == "Problem: 1+1\nUse \\boxed{}. {x}"


def test_braces_of_the_prompt_are_left_alone():
    assert (
        fill_template("Q {prompt}", "Simplify \\frac{1}{2} and {0} and {x!r}")
        == "Q Simplify \\frac{1}{2} and {0} and {x!r}"
    )


def test_a_prompt_that_names_the_placeholder_is_put_in_once():
    assert fill_template("Q {prompt}", "What does {prompt} mean?") == "Q What does {prompt} mean?"


@pytest.mark.parametrize(
    ("completion", "thinking", "answer"),
    [
        ("<think>2+2 is 4</think><answer>4</answer>", "2+2 is 4", "4"),
        ("<think>\na\nb\n</think>\n\n<answer>\n4\n</answer>\n", "\na\nb\n", "\n4\n"),
        ("<answer>4</answer>", None, "4"),
        ("4", None, None),
        ("", None, None),
        # the last answer counts, and one within the thinking does not
        ("<think>a</think><answer>3</answer><answer>4</answer>", "a", "4"),
        ("<think>maybe <answer>3</answer></think><answer>4</answer>", "maybe <answer>3</answer>", "4"),
        ("<think>maybe <answer>3</answer></think>", "maybe <answer>3</answer>", None),
        # without an answer block, the last box after the thinking
        ("<think>a</think>So \\boxed{3}, no, \\boxed{4}.", "a", "4"),
        ("<think>\\boxed{3}</think>It is three.", "\\boxed{3}", None),
        ("It is \\boxed{\\frac{1}{2}}.", None, "\\frac{1}{2}"),
        # the block wins over a box, also over a later one
        ("<think>a</think><answer>4</answer> \\boxed{5}", "a", "4"),
        ("<think>a</think><answer>\\boxed{5}</answer>", "a", "\\boxed{5}"),
        # cut short
        ("<think>2+2", None, None),
        ("<think>2+2</think><answer>4", "2+2", None),
        ("<think>2+2</think>", "2+2", None),
        ("<think>maybe \\boxed{3}", None, None),  # cut off: a guess is no answer
        ("<think>maybe <answer>3</answer> hmm", None, None),
        ("<answer>3</answer><think>", None, None),
        ("so 4</think><answer>4</answer>", "so 4", "4"),  # the chat template opened it
        ("so \\boxed{3}</think>\\boxed{4}", "so \\boxed{3}", "4"),
    ],
)
def test_parse_completion(completion, thinking, answer):
    parsed = parse_completion(completion)
    assert parsed.thinking == thinking
    assert parsed.answer == answer


@pytest.mark.parametrize(
    "completion",
    [
        "<think>a</think><answer>4</answer>",
        "<think>a</think> <answer>4</answer>",
        "\n<think>\na\n</think>\n<answer>\n4\n</answer>\n",
        "<think>1 < 2 and <b>x</b></think><answer>x > 1</answer>",
    ],
)
def test_well_formed(completion):
    assert parse_completion(completion).well_formed()
    assert not parse_completion(completion).well_formed(thinking=False)


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "4",
        "a</think><answer>4</answer>",
        "<think>a<answer>4</answer>",
        "<think>a</think>4",
        "<think>a</think><answer>4",
        "<think></think><answer>4</answer>",
        "<think> \n</think><answer>4</answer>",
        "<think>a</think><answer></answer>",
        "<think>a</think><answer> \n </answer>",
        "<answer>4</answer><think>a</think>",
        "<answer>4</answer>",
        "Well, <think>a</think><answer>4</answer>",
        "<think>a</think> so <answer>4</answer>",
        "<think>a</think><answer>4</answer> done",
        "<think>a</think><think>b</think><answer>4</answer>",
        "<think>a</think><answer>3</answer><answer>4</answer>",
        "<think>a <think>b</think><answer>4</answer>",
        "<think>a</think></think><answer>4</answer>",
        "<think>a <answer>4</answer></think>",
        "<think>a <answer>3</answer></think><answer>4</answer>",
        "<THINK>a</THINK><ANSWER>4</ANSWER>",
        "<think>a</think>\\boxed{4}",
    ],
)
def test_not_well_formed(completion):
    assert not parse_completion(completion).well_formed()


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("<answer>Paris</answer>", True),
        (" <answer>Paris</answer>\n", True),
        ("<answer></answer>", False),
        ("Paris", False),
        ("It is <answer>Paris</answer>", False),
        ("<think>a</think><answer>Paris</answer>", False),
        ("<think></think><answer>Paris</answer>", False),
        ("<answer>Paris</answer><answer>Paris</answer>", False),
    ],
)
def test_well_formed_where_no_thinking_is_wanted(completion, expected):
    assert parse_completion(completion).well_formed(thinking=False) is expected


@pytest.mark.parametrize(
    ("completion", "thinks"),
    [("<think>a</think>4", True), ("<think> </think>4", False), ("<think>a", False), ("4", False)],
)
def test_thinks_needs_a_closed_block_that_is_not_empty(completion, thinks):
    assert parse_completion(completion).thinks is thinks


@pytest.mark.parametrize(
    ("text", "boxed"),
    [
        ("\\boxed{4}", "4"),
        ("\\boxed{3} then \\boxed{4} units", "4"),
        ("\\boxed{\\frac{1}{\\sqrt{2}}}", "\\frac{1}{\\sqrt{2}}"),
        ("\\boxed {4}", "4"),
        ("\\boxed{}", ""),
        ("\\boxed{a \\boxed{b}}", "b"),
        ("\\boxed{3} and \\boxed{4", "3"),
        ("\\boxed{4", None),
        ("boxed{4}", None),
        ("4", None),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
    ],
)
def test_last_boxed(text, boxed):
    assert last_boxed(text) == boxed


def test_completion_text_joins_chat_messages():
    assert completion_text([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]) == "ab"
    assert completion_text("ab") == "ab"
