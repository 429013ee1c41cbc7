"""What is trained of a row: by the templates of public families, the prompt that is asked, and the mask of the loss."""

import json
from functools import cache

import pytest
from datasets import Dataset
from families import FAMILIES, make_tokenizer
from tokenizers import AddedToken

from r1kit.data.examples import read_conversation
from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.models.chat_templates import template_text
from r1kit.models.conversations import Conversation, RowError
from r1kit.models.pieces import IGNORED_LABEL, Piece, encode_pieces
from r1kit.models.renderer_choice import choose_renderer
from r1kit.models.templates import apply_template, encode_prompts
from r1kit.recipe import PromptConfig
from r1kit.recipe.load import parse_recipe
from r1kit.training import tokenized_rows
from r1kit.training.tokenized_rows import (
    describe_first_row,
    format_row,
    scored_end_ids,
    tokenize_examples,
    tokenize_once,
)

QUESTION = "What is 3 + 4?"
THOUGHT = "3 plus four makes 7."
COMPLETION = f"<think>\n{THOUGHT}\n</think>\n<answer>\n7\n</answer>"
ROW = {"prompt": QUESTION, "completion": COMPLETION}
TOOL = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}}}
TOOL_CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 3}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **further):
    return {"role": "assistant", "content": text, **further}


@cache
def family_tokenizer(name):
    return make_tokenizer(name)


def fresh_tokenizer(name, template=None):
    tokenizer = make_tokenizer(name)
    if template is not None:
        tokenizer.chat_template = template
    return tokenizer


def sft_recipe(**values):
    return parse_recipe(
        "sft", {"model": {"path": "tiny:base"}, "output": "unused", "data": {"train": "rows"}, **values}
    )


def tokenize(tokenizer, *rows, stops=(), field="data.train", **values):
    """Return the tokenized rows of chat examples, as `r1kit sft` trains them."""
    examples = []
    for row in rows:
        row = dict(row)
        if isinstance(row.get("prompt"), str):
            row["prompt"] = [user(row["prompt"])]
        if isinstance(row.get("completion"), str):
            row["completion"] = [assistant(row["completion"])]
        examples.append(row)
    return tokenize_examples(Dataset.from_list(examples), tokenizer, sft_recipe(**values), field, stops)


def scored_texts(tokenizer, row):
    """Return the stretches of a tokenized row that are in the loss, as text."""
    texts, ids = [], []
    for token, label in zip(row["input_ids"], row["labels"], strict=True):
        if label != IGNORED_LABEL:
            assert label == token
            ids.append(token)
        elif ids:
            texts.append(tokenizer.decode(ids))
            ids = []
    return texts + ([tokenizer.decode(ids)] if ids else [])


# How the row's own text stands after the prompt, by family: with the white space of the template.
AS_WRITTEN = COMPLETION
WITH_BLANK_LINE = f"<think>\n{THOUGHT}\n</think>\n\n<answer>\n7\n</answer>"
SCORED = {
    "r1-distill": AS_WRITTEN.removeprefix("<think>\n") + "<｜end▁of▁sentence｜>",
    "qwen3": WITH_BLANK_LINE + "<|im_end|>",
    "qwen2.5-base": AS_WRITTEN + "<|im_end|>",
    "qwen2.5-instruct": AS_WRITTEN + "<|im_end|>",
    "qwen3.5-think": WITH_BLANK_LINE.removeprefix("<think>\n") + "<|im_end|>",
    "qwen3.5-nothink": WITH_BLANK_LINE.removeprefix("<think>\n") + "<|im_end|>",
    "qwen3.6": WITH_BLANK_LINE.removeprefix("<think>\n") + "<|im_end|>",
    "gemma": AS_WRITTEN + "<end_of_turn>",
    "llama3": AS_WRITTEN + "<|eot_id|>",
    "phi3": AS_WRITTEN + "<|end|>",
    "lfm2": AS_WRITTEN + "<|im_end|>",
    "gpt-oss": (
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|>"
        "<|start|>assistant<|channel|>final<|message|><answer>\n7\n</answer><|return|>"
    ),
    "glm4": f"\n<think>{THOUGHT}</think>\n<answer>\n7\n</answer><|endoftext|>",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_covers_thinking_answer_and_end_of_turn_and_nothing_else(name):
    tokenizer = fresh_tokenizer(name)
    rows = tokenize(tokenizer, ROW)
    [row] = rows.dataset
    assert scored_texts(tokenizer, row) == [SCORED[name]]
    # The ids before it are those with which the model will be asked, by the template that is saved with it.
    messages = render_prompt(QUESTION, PromptConfig(template="chat"))
    text = apply_template(tokenizer, messages, PromptConfig(template="chat"))
    [prompt_ids] = encode_prompts(tokenizer, [messages], [text])
    scored_ids = tokenizer(SCORED[name], add_special_tokens=False).input_ids
    trained_end = len(prompt_ids) + len(scored_ids)
    assert row["input_ids"][:trained_end] == [*prompt_ids, *scored_ids]
    assert row["labels"] == [
        *[IGNORED_LABEL] * len(prompt_ids),
        *scored_ids,
        *[IGNORED_LABEL] * (len(row["labels"]) - trained_end),
    ]
    # What follows the end of the turn is white space of the template, and phi3's end of the text.
    rest = tokenizer.decode(row["input_ids"][trained_end:]).strip()
    assert rest == ("<|endoftext|>" if name == "phi3" else "")
    assert tokenizer.convert_ids_to_tokens(list(scored_end_ids(rows.dataset))) == [FAMILIES[name].turn_end]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_thinking_in_a_key_of_its_own_is_trained(name, key):
    tokenizer = family_tokenizer(name)
    row = {"messages": [user(QUESTION), assistant("It is 7.", **{key: THOUGHT})]}
    [text] = scored_texts(tokenizer, tokenize(fresh_tokenizer(name), row).dataset[0])
    assert text.index(THOUGHT) < text.index("It is 7.")
    assert text.endswith(FAMILIES[name].turn_end)


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_that_do_not_think_are_trained_to_answer_at_once(name):
    tokenizer = fresh_tokenizer(name)
    [text] = scored_texts(tokenizer, tokenize(tokenizer, {"prompt": QUESTION, "completion": "It is 7."}).dataset[0])
    answer = text.removesuffix(FAMILIES[name].turn_end)
    empty_thinking = answer.removesuffix("It is 7.").replace("<think>", "").replace("</think>", "").strip()
    assert answer.endswith("It is 7.")
    assert empty_thinking == ("<|channel|>final<|message|>" if name == "gpt-oss" else "")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_turn_of_a_conversation_is_trained_with_its_thinking(name):
    tokenizer = fresh_tokenizer(name)
    second = COMPLETION.replace(THOUGHT, "7 and 5 is 12.").replace("\n7\n", "\n12\n")
    row = {"messages": [user(QUESTION), assistant(COMPLETION), user("And 5?"), assistant(second)]}
    texts = []
    for tokenized in tokenize(tokenizer, row).dataset:
        texts += scored_texts(tokenizer, tokenized)
    assert len(texts) == 2
    for text, thought, answer in zip(texts, (THOUGHT, "7 and 5 is 12."), ("7", "12"), strict=True):
        assert text.index(thought) < text.index(f"<answer>\n{answer}\n</answer>")
        assert QUESTION not in text
        assert "And 5?" not in text
        assert text.endswith(FAMILIES[name].turn_end)


@pytest.mark.parametrize("mark", [{"weight": 0}, {"loss": False}, {"train": False}])
@pytest.mark.parametrize("name", ["qwen2.5-instruct", "qwen3", "r1-distill"])
def test_a_turn_that_is_marked_as_none_to_be_trained_is_not_in_the_loss(name, mark):
    tokenizer = fresh_tokenizer(name)
    messages = [user(QUESTION), assistant("A bad answer.", **mark), user("And 5?"), assistant("12")]
    texts = []
    for tokenized in tokenize(tokenizer, {"messages": messages}).dataset:
        texts += scored_texts(tokenizer, tokenized)
    assert len(texts) == 1
    assert "12" in texts[0]
    assert "bad" not in texts[0]


TEMPLATES_WITH_TOOLS = ("qwen3", "qwen2.5-instruct", "qwen3.5-think", "qwen3.6", "lfm2", "gpt-oss", "glm4")


@pytest.mark.parametrize("name", FAMILIES)
def test_tools_are_shown_and_their_calls_are_trained_or_the_row_is_refused(name):
    tokenizer = fresh_tokenizer(name)
    messages = [
        user("3 + 4?"),
        assistant("", tool_calls=[TOOL_CALL]),
        {"role": "tool", "content": "seven"},
        assistant("It is 7."),
    ]
    row = {"messages": messages, "tools": json.dumps([TOOL])}
    if name not in (*TEMPLATES_WITH_TOOLS, "qwen2.5-base", "qwen3.5-nothink"):
        with pytest.raises(UserError, match=r"data.train: row 1: the model's chat template"):
            tokenize(tokenizer, row)
        return
    rows = tokenize(tokenizer, row).dataset
    texts = [text for tokenized in rows for text in scored_texts(tokenizer, tokenized)]
    assert "add" in texts[0]
    assert "3" in texts[0]
    assert "It is 7." in texts[1]
    whole = tokenizer.decode(rows[0]["input_ids"])
    assert "Add." in whole
    assert "seven" in tokenizer.decode(rows[-1]["input_ids"])
    assert not any("seven" in text for text in texts)


def test_a_row_with_tools_that_the_template_cannot_show_is_refused():
    row = {"messages": [user("3 + 4?"), assistant("7")], "tools": [TOOL]}
    with pytest.raises(UserError) as error:
        tokenize(fresh_tokenizer("llama3"), row)
    assert str(error.value) == (
        "data.train: row 1: the model's chat template does not show it its tools, such as add; drop the column tools, "
        "or set model.chat_template to one that does"
    )


@pytest.mark.parametrize("arguments", ['{"a": 3}', {"a": 3}])
def test_arguments_of_a_call_may_be_json_or_a_mapping(arguments):
    call = {"type": "function", "function": {"name": "add", "arguments": arguments}}
    tokenizer = fresh_tokenizer("qwen2.5-instruct")
    row = {"messages": [user("3 + 4?"), assistant("", tool_calls=[call])]}
    [text] = scored_texts(tokenizer, tokenize(tokenizer, row).dataset[0])
    assert text == '<tool_call>\n{"name": "add", "arguments": {"a": 3}}\n</tool_call><|im_end|>'


# Refusals


@pytest.mark.parametrize(
    ("name", "messages", "reason"),
    [
        ("gemma", [{"role": "system", "content": "Be brief."}, user("a"), assistant("b")], "System role not supported"),
        ("gemma", [user("a"), user("a"), assistant("b")], "Conversation roles must alternate"),
        ("qwen3.6", [user("a"), {"role": "system", "content": "x"}, assistant("b")], "System message must be at the"),
    ],
)
def test_messages_that_a_template_refuses_are_one_line_that_names_the_row(name, messages, reason):
    good = {"messages": [user("a"), assistant("b")]}
    with pytest.raises(UserError) as error:
        tokenize(fresh_tokenizer(name), good, {"messages": messages})
    assert str(error.value).startswith(f"data.train: row 2: the model's chat template refuses it: {reason}")


def test_a_system_message_of_the_recipe_that_a_template_refuses_is_named():
    with pytest.raises(UserError) as error:
        tokenize(fresh_tokenizer("gemma"), {"messages": [user("a"), assistant("b")]}, prompt={"system": "Be brief."})
    assert str(error.value) == (
        "prompt.system = Be brief.; the model's chat template refuses it: System role not supported; remove it, or "
        "write it into the questions"
    )


def test_thinking_that_is_switched_off_while_the_rows_think_is_refused():
    settings = {"template_settings": {"enable_thinking": False}}
    with pytest.raises(UserError) as error:
        tokenize(fresh_tokenizer("qwen3"), ROW, prompt=settings)
    assert str(error.value) == (
        "data.train: row 1: it thinks, and the prompt of the model's chat template closes the thinking already; remove "
        "enable_thinking from prompt.template_settings"
    )


def test_template_settings_are_those_of_the_prompt_that_is_asked():
    tokenizer = fresh_tokenizer("qwen3.5-nothink")
    settings = {"enable_thinking": True}
    [row] = tokenize(tokenizer, ROW, prompt={"template_settings": settings}).dataset
    prompt = apply_template(tokenizer, [user(QUESTION)], PromptConfig(template="chat", template_settings=settings))
    prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
    assert row["input_ids"][: len(prompt_ids)] == prompt_ids
    assert prompt.endswith("<think>\n")
    assert "enable_thinking = true" not in template_text(tokenizer)  # the recipe has said it


def test_thinking_that_rows_need_is_switched_on_for_everyone_who_asks():
    tokenizer = fresh_tokenizer("qwen3.5-nothink")
    rows = tokenize(tokenizer, ROW, {"prompt": QUESTION, "completion": "7"})
    assert "enable_thinking" in rows.renderer.note
    assert apply_template(tokenizer, [user("a")], PromptConfig(template="chat")).endswith("<think>\n")
    off = PromptConfig(template="chat", template_settings={"enable_thinking": False})
    assert apply_template(tokenizer, [user("a")], off).endswith("<think>\n\n</think>\n\n")


# Templates that nobody knows

CUTS_THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


V31_LIKE = (  # DeepSeek-V3.1's: the setting is `thinking`, and what comes before `</think>` is cut out
    "{%- if not thinking is defined -%}{%- set thinking = false -%}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{- '<|im_start|>user\n' + message['content'] -}}"
    "{%- else -%}{{- '<|im_start|>assistant\n</think>' + message['content'].split('</think>')[-1] + '<|im_end|>' -}}"
    "{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}"
    "{{- '<think>' if thinking else '</think>' -}}{%- endif -%}"
)
K2_LIKE = (  # Kimi-K2-Thinking's: a think block in every turn, filled from a key
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<think>' + message.get('reasoning_content', '') + '</think>' -}}{%- endif -%}"
    "{{- message['content'] + '<|im_end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
NO_THINK_LIKE = (  # SmolLM3's, with thinking switched off: a closed block before whatever the row says
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['role'] == 'assistant' and enable_thinking is defined and not enable_thinking -%}"
    "{{- '<think>\n\n</think>\n' -}}{%- endif -%}{{- message['content'] + '<|im_end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}"
    "{%- if enable_thinking is defined and not enable_thinking -%}{{- '<think>\n\n</think>\n' -}}{%- endif -%}"
    "{%- endif -%}"
)


def test_thinking_is_switched_on_by_the_setting_that_the_template_has():
    tokenizer = fresh_tokenizer("qwen2.5-instruct", V31_LIKE)
    rows = tokenize(tokenizer, ROW, {"prompt": QUESTION, "completion": "7"})
    assert "sets thinking to true" in rows.renderer.note
    thinks, answers = [scored_texts(tokenizer, row) for row in rows.dataset]
    assert thinks == [COMPLETION.removeprefix("<think>") + "<|im_end|>"]
    assert answers == ["\n\n</think>\n\n7<|im_end|>"]
    asked = apply_template(tokenizer, [user(QUESTION)], PromptConfig(template="chat"))
    assert asked.endswith("<|im_start|>assistant\n<think>")


def test_an_empty_think_block_is_not_put_before_the_thinking():
    tokenizer = fresh_tokenizer("qwen2.5-instruct", K2_LIKE)
    [row] = tokenize(tokenizer, ROW).dataset
    assert scored_texts(tokenizer, row) == [f"<think>{THOUGHT}</think><answer>\n7\n</answer><|im_end|>"]


def test_thinking_after_a_closed_think_block_is_refused():
    settings = {"template": "chat", "template_settings": {"enable_thinking": False}}
    with pytest.raises(UserError, match=r"row 1: it thinks, .* closes the thinking already; remove enable_thinking"):
        tokenize(fresh_tokenizer("qwen2.5-instruct", NO_THINK_LIKE), ROW, prompt=settings)


@pytest.mark.parametrize("name", ["qwen3", "qwen3.5-think", "r1-distill", "gpt-oss"])
def test_an_answer_that_speaks_of_think_tags_is_trained_as_it_is(name):
    tokenizer = fresh_tokenizer(name)
    answer = "They write <think> and </think> around it."
    [row] = tokenize(tokenizer, {"prompt": QUESTION, "completion": answer}).dataset
    assert answer in "".join(scored_texts(tokenizer, row))


def test_a_call_that_is_only_in_the_list_of_tools_is_not_taken_for_written():
    template = (
        "{{- tools -}}{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' -}}"
        "{{- message['content'] + '<|im_end|>' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
    )
    messages = [user("3 plus what?"), assistant("", tool_calls=[TOOL_CALL]), {"role": "tool", "content": "7"}]
    with pytest.raises(UserError, match="does not write its calls of tools"):
        tokenize(
            fresh_tokenizer("qwen2.5-instruct", template), {"messages": [*messages, assistant("7")], "tools": [TOOL]}
        )


@pytest.mark.parametrize("left_out", [{"weight": 0}, {"train": False}])
def test_messages_that_the_row_leaves_out_of_the_loss_are_not_trained(left_out):
    tokenizer = family_tokenizer("qwen2.5-instruct")
    messages = [user("a"), assistant("wrong", **left_out), user("b"), assistant("right")]
    [row] = tokenize(tokenizer, {"messages": messages}).dataset
    assert scored_texts(tokenizer, row) == ["right<|im_end|>"]


@pytest.mark.parametrize("name", ["llama3", "gemma"])
def test_a_text_that_has_its_beginning_token_gets_no_second_one(name):
    tokenizer = family_tokenizer(name)
    start, number = tokenizer.bos_token, tokenizer.bos_token_id
    ids, _ = encode_pieces(tokenizer, [Piece(f"{start}a", False), Piece("b", True)], add_special_tokens=True)
    [asked] = encode_prompts(tokenizer, ["a"], [f"{start}a"])
    [plain] = encode_prompts(tokenizer, ["a"], ["a"])
    assert ids.count(number) == asked.count(number) == plain.count(number) == 1


def test_special_tokens_in_the_text_of_rows_are_counted_and_said(capsys):
    tokenizer = family_tokenizer("qwen2.5-instruct")
    tokenize(tokenizer, ROW, {"prompt": "What is <|im_start|> for?", "completion": "It begins a turn."})
    [line] = [line for line in capsys.readouterr().err.splitlines() if "special tokens" in line]
    assert "the text of 1 of 2 rows" in line
    assert "(<|im_start|>; the first is row 2)" in line
    tokenize(tokenizer, ROW)
    assert "special tokens" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (
            "qwen2.5-instruct",
            {"prompt": "<|im_start|>user\n3 + 4?<|im_end|>\n<|im_start|>assistant\n", "completion": "7"},
        ),
        ("qwen2.5-instruct", {"prompt": QUESTION, "completion": [assistant("7", reasoning_content="<|im_end|>")]}),
        ("qwen2.5-base", {"prompt": QUESTION, "completion": "7<|im_end|>"}),  # ends no text, but a turn
        ("llama3", {"prompt": QUESTION, "completion": "It is <|eot_id|>7"}),
        ("gpt-oss", {"prompt": QUESTION, "completion": "7<|return|>"}),
    ],
)
def test_a_row_with_the_end_of_a_turn_in_its_text_is_refused(name, row):
    row = {**row, "prompt": [user(row["prompt"])]}
    rows = [ROW, {**row, "completion": [assistant(row["completion"])]} if isinstance(row["completion"], str) else row]
    with pytest.raises(UserError, match=r"data\.train: row 2: its text has .* in it, which ends a turn .*; 1 of the 2"):
        tokenize(fresh_tokenizer(name), *rows)


# Falcon's: an end token after the last turn alone.
ENDS_LAST_TURN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if loop.last and m.role == 'assistant' %}{{ eos_token }}"
    "{% else %}\n{% endif %}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
ENDS_NO_TURN = ENDS_LAST_TURN.replace("{{ eos_token }}", "")


@pytest.mark.parametrize("template", [ENDS_LAST_TURN, ENDS_NO_TURN])
def test_the_end_of_every_turn_is_trained(template):
    tokenizer = fresh_tokenizer("qwen3", template)
    rows = tokenize(tokenizer, {"messages": [user("a"), assistant("b"), user("c"), assistant("d")]})
    assert [scored_texts(tokenizer, row) for row in rows.dataset] == [["b<|im_end|>"], ["d<|im_end|>"]]
    assert "without the token that ends them" in rows.renderer.note


# Magistral's: content is written as it is, and the thinking has tokens of its own.
MAGISTRAL = (
    "{{ bos_token }}{% if messages[0].role != 'system' %}Think between [THINK] and [/THINK].{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)


def test_thinking_is_trained_between_the_marks_of_the_family():
    tokenizer = fresh_tokenizer("llama3", MAGISTRAL)
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in ("[INST]", "[/INST]", "[THINK]", "[/THINK]")])
    in_a_key = {"prompt": QUESTION, "completion": [assistant("7", reasoning_content=THOUGHT)]}
    in_tags = {
        "prompt": QUESTION,
        "completion": [assistant(f"<think>\n{THOUGHT}\n</think>\n\n7", reasoning_content="")],
    }
    rows = tokenize(tokenizer, in_a_key, in_tags)
    for row in rows.dataset:
        assert scored_texts(tokenizer, row) == [f"[THINK]{THOUGHT}[/THINK]7<|eot_id|>"]
    rows = tokenize(tokenizer, {"prompt": QUESTION, "completion": "7"})
    assert scored_texts(tokenizer, rows.dataset[0]) == ["7<|eot_id|>"]


def test_one_rank_tokenizes_and_the_others_read_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenized_rows, "world_size", lambda: 2)
    monkeypatch.setattr(tokenized_rows, "barrier", lambda: None)
    tokenizer, other_tokenizer = fresh_tokenizer("qwen3"), fresh_tokenizer("qwen3")
    tokenizer.chat_template = "chosen"
    [rows] = tokenize_once(lambda: [tokenize(family_tokenizer("qwen3"), ROW)], tokenizer, tmp_path / "rows")
    monkeypatch.setattr(tokenized_rows, "is_main_rank", lambda: False)
    [read] = tokenize_once(pytest.fail, other_tokenizer, tmp_path / "rows")
    assert read.dataset[:] == rows.dataset[:]
    assert other_tokenizer.chat_template == "chosen"


@pytest.mark.parametrize("error", [UserError("a", 1, "must not", "change it"), RuntimeError("broken")])
def test_rows_that_rank_0_refuses_end_the_other_ranks_too(error, tmp_path, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(tokenized_rows, "world_size", lambda: 2)
    monkeypatch.setattr(tokenized_rows, "barrier", lambda: None)
    with pytest.raises(type(error)):
        tokenize_once(fail, None, tmp_path / "rows")
    monkeypatch.setattr(tokenized_rows, "is_main_rank", lambda: False)
    with pytest.raises(type(error), match="a = 1; must not; change it" if isinstance(error, UserError) else "rank 0"):
        tokenize_once(pytest.fail, None, tmp_path / "rows")


def test_an_unknown_template_that_cuts_the_thinking_out_gets_the_rows_own_text():
    tokenizer = fresh_tokenizer("qwen3", CUTS_THINKING)
    rows = tokenize(tokenizer, ROW)
    assert scored_texts(tokenizer, rows.dataset[0]) == [COMPLETION + "<|im_end|>"]
    assert "behind the prompt of the model's chat template" in rows.renderer.note


def test_an_unknown_template_that_ends_no_turn_ends_with_the_end_token():
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tokenizer = fresh_tokenizer("qwen3", template)
    assert scored_texts(tokenizer, tokenize(tokenizer, ROW).dataset[0]) == [COMPLETION + "<|im_end|>"]


def test_a_template_that_leaves_the_system_message_out_is_refused():
    template = CUTS_THINKING.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    row = {"messages": [{"role": "system", "content": "Be brief."}, user("a"), assistant("b")]}
    with pytest.raises(UserError, match="leaves out its message of the role system"):
        tokenize(fresh_tokenizer("qwen3", template), row)


@pytest.mark.parametrize("answer", ["im_end", "think", "assistant", "a", "<|im_start|>", "end of the turn\n"])
def test_an_answer_that_looks_like_the_template_is_found(answer):
    tokenizer = fresh_tokenizer("qwen3")
    row = {"messages": [user("a"), assistant(answer), user("a"), assistant(answer)]}
    texts = scored_texts(tokenizer, tokenize(tokenizer, row).dataset[0])
    assert [text.endswith(f"{answer}<|im_end|>") for text in texts] == [True, True]


def test_what_comes_after_the_last_answer_is_not_trained():
    tokenizer = fresh_tokenizer("qwen2.5-instruct")
    row = {"messages": [user("a"), assistant("b"), user("c")]}
    [tokenized] = tokenize(tokenizer, row).dataset
    assert tokenizer.decode(tokenized["input_ids"]).endswith("b<|im_end|>\n")


def test_of_a_prompt_with_history_the_completion_alone_is_trained():
    tokenizer = fresh_tokenizer("qwen3")
    row = {"prompt": [user("a"), assistant("<think>\nh\n</think>\n\nb"), user("c")], "completion": COMPLETION}
    [tokenized] = tokenize(tokenizer, row).dataset
    assert scored_texts(tokenizer, tokenized) == [SCORED["qwen3"]]
    assert "h\n" not in tokenizer.decode(tokenized["input_ids"])  # nor is the history's thinking, when it is asked


# Rows without a chat template


def test_plain_prompts_are_encoded_by_themselves():
    tokenizer = family_tokenizer("llama3")
    row = {"prompt": "Q: 3 + 4?\nA:", "completion": "\n7"}
    rows = tokenize_examples(
        Dataset.from_list([row]), tokenizer, sft_recipe(prompt={"template": "tiny"}), "data.train"
    ).dataset
    assert scored_texts(tokenizer, rows[0]) == ["\n7<|eot_id|>"]
    [prompt_ids] = encode_prompts(tokenizer, [row["prompt"]], [row["prompt"]])
    assert rows[0]["input_ids"][: len(prompt_ids)] == prompt_ids


def test_plain_text_is_trained_whole():
    tokenizer = family_tokenizer("llama3")
    rows = tokenize_examples(Dataset.from_list([{"text": "a b c"}]), tokenizer, sft_recipe(), "data.train").dataset
    assert scored_texts(tokenizer, rows[0]) == ["<|begin_of_text|>a b c<|eot_id|>"]


def test_the_loss_may_be_on_everything():
    tokenizer = fresh_tokenizer("qwen3")
    [row] = tokenize(tokenizer, ROW, training={"loss_on": "everything"}).dataset
    assert row["labels"] == row["input_ids"]


class PrefixingTokenizer:
    """Begins every text with a space, as SentencePiece does, and joins letters that stand beside each other."""

    eos_token, eos_token_id, bos_token_id = "#", 99, None

    def __call__(self, text, add_special_tokens=False):
        pieces = f" {text}".replace("ab", "\0")
        ids = [ord(letter) for letter in pieces]
        return type("Encoding", (), {"input_ids": ids})

    def decode(self, ids, **settings):
        return "".join(map(chr, ids)).replace("\0", "ab").removeprefix(" ")


def test_a_tokenizer_that_begins_every_text_with_a_space_encodes_a_row_at_once():
    ids, is_scored = encode_pieces(PrefixingTokenizer(), [Piece("xa\n", False), Piece("by", True)])
    assert ids == [ord(letter) for letter in " xa\nby"]
    assert is_scored == [False] * 4 + [True] * 2


# Long rows


def long_rows(*lengths):
    return [{"prompt": QUESTION, "completion": " ".join(["7"] * length)} for length in lengths]


def test_long_rows_are_dropped_and_counted(capsys):
    rows = tokenize(fresh_tokenizer("qwen3"), *long_rows(2, 200, 3), training={"max_length": 60})
    assert (len(rows.dataset), rows.too_long) == (2, 1)
    line = capsys.readouterr().err
    assert "warning: training.max_length = 60; 1 of the 3 rows of data.train are longer, the longest has " in line
    assert "tokens, and are dropped; raise it, or set training.too_long=truncate" in line


def test_long_rows_are_cut_where_the_recipe_says_so(capsys):
    settings = {"max_length": 60, "too_long": "truncate"}
    rows = tokenize(fresh_tokenizer("qwen3"), *long_rows(2, 200), training=settings)
    assert [len(ids) for ids in rows.dataset["input_ids"]][1] == 60
    assert "and lose their end; raise it to train on them" in capsys.readouterr().err


def test_a_cut_row_without_anything_to_train_is_dropped_and_counted(capsys):
    rows = [*long_rows(2), {"prompt": QUESTION * 30, "completion": "7"}]
    tokenized = tokenize(fresh_tokenizer("qwen3"), *rows, training={"max_length": 60, "too_long": "truncate"})
    assert len(tokenized.dataset) == 1
    assert "1 of them are dropped, whose prompt alone is longer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        ("refuse", "2 of the 2 rows of data.train are longer"),
        ("drop", "so that no row is left; raise it, or use shorter rows"),
        ("truncate", "so that no row has more than a prompt within it; raise it, or use shorter rows"),
    ],
)
def test_where_no_row_is_left_it_is_one_line(choice, line):
    rows = [{"prompt": QUESTION * 30, "completion": "7"}] * 2
    with pytest.raises(UserError) as error:
        tokenize(fresh_tokenizer("qwen3"), *rows, training={"max_length": 60, "too_long": choice})
    assert str(error.value).startswith("training.max_length = 60; ")
    assert line in str(error.value)


def test_long_text_is_cut_by_default_and_packing_may_keep_all_of_it(capsys):
    tokenizer, text = family_tokenizer("llama3"), Dataset.from_list([{"text": "a b " * 50}])
    rows = tokenize_examples(text, tokenizer, sft_recipe(training={"max_length": 20}), "data.train")
    assert [len(ids) for ids in rows.dataset["input_ids"]] == [20]
    assert "and lose their end" in capsys.readouterr().err
    recipe = sft_recipe(training={"max_length": 20, "packing": True}, trl={"packing_strategy": "wrapped"})
    assert len(tokenize_examples(text, tokenizer, recipe, "data.train").dataset["input_ids"][0]) > 20


# The first row


def test_the_first_row_is_shown_with_its_mask():
    tokenizer = fresh_tokenizer("qwen3")
    [row] = tokenize(tokenizer, {"prompt": "3 + 4?", "completion": COMPLETION}).dataset
    assert format_row(tokenizer, row) == (
        "<|im_start|>user\n3 + 4?<|im_end|>\n<|im_start|>assistant\n"
        f"⟦<think>\n{THOUGHT}\n</think>\n\n<answer>\n7\n</answer><|im_end|>⟧\n"
    )
    scored = sum(label != IGNORED_LABEL for label in row["labels"])
    first_line = describe_first_row(tokenizer, row).splitlines()[0]
    assert first_line == (
        f"first row as it is trained ({len(row['input_ids'])} tokens, {scored} of them in the loss, between ⟦ and ⟧):"
    )


def test_of_a_long_row_the_middle_is_left_out():
    tokenizer = fresh_tokenizer("qwen3")
    [row] = tokenize(tokenizer, *long_rows(1000)).dataset
    assert "characters ..." in format_row(tokenizer, row)
    assert len(format_row(tokenizer, row)) < 1000


# Examples


def test_a_conversation_is_read_from_messages_or_from_prompt_and_completion():
    chat = PromptConfig(template="chat", system="Be brief.")
    messages, first, tools = read_conversation(
        {"messages": json.dumps([user("a"), assistant("b")]), "tools": None}, chat
    )
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert (first, tools) == (0, None)
    row = {"prompt": [user("a")], "completion": [assistant("b")], "tools": json.dumps([TOOL])}
    messages, first, tools = read_conversation(row, chat)
    assert (messages[first]["role"], tools) == ("assistant", [TOOL])


def test_a_row_without_a_message_of_the_assistant_raises_a_row_error():
    def render(renderer):
        return renderer.examples(Conversation([user("a")]))

    with pytest.raises(RowError, match="no message of the assistant"):
        choose_renderer(family_tokenizer("qwen3"), {}, render)
