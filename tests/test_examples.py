"""SFT examples that cannot be trained are one line that names the row; those in other people's forms are read."""

import json

import pytest

from r1kit.data.examples import load_examples, read_conversation
from r1kit.errors import UserError
from r1kit.recipe import PromptConfig, SourceConfig

CHAT, PLAIN = PromptConfig(template="chat"), PromptConfig(template="Q {prompt} A")
USER, ASSISTANT = {"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "7"}
TOOL = {"type": "function", "function": {"name": "add"}}


@pytest.fixture
def load(tmp_path):
    """Return a function that loads rows from a file of JSON lines, after a row of the same form that is right."""

    def load_rows(*rows, prompt=CHAT):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_examples([SourceConfig(path=str(tmp_path / "rows.jsonl"))], prompt)

    return load_rows


def calling(**call):
    return {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "a", "completion": None}, "completion of row 2 = null; each completion must be text"),
        ({"prompt": "a", "completion": ""}, 'completion of row 2 = ""; each completion must be text'),
        ({"prompt": "", "completion": "b"}, 'prompt of row 2 = ""; each prompt must be text'),
        ({"messages": []}, "messages of row 2 = []; messages must be a list of at least one message"),
        ({"messages": [USER]}, "a conversation must have a message of the assistant"),
        ({"messages": [ASSISTANT]}, "a conversation must have a message before the assistant's"),
        ({"messages": [USER, {"role": "critic", "content": "x"}]}, 'the role "critic" is not known'),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "a message of the assistant must not be empty"),
        ({"messages": [USER, {**ASSISTANT, "reasoning": 5}]}, "reasoning of a message must be text"),
        (calling(a=1), "each call of a tool must be a mapping with the name of its function"),
        ({"messages": [USER, ASSISTANT], "tools": "add"}, "tools must be a list, or its JSON"),
        ({"messages": [USER, ASSISTANT], "tools": [5]}, "tools must be a list of JSON schemas"),
        ({"text": " "}, "text of row 2 = ; each text must be text, and not empty"),
    ],
)
def test_a_row_that_cannot_be_trained_is_one_line_that_names_it(load, row, reason):
    good = {"prompt": "a", "completion": "b"}
    if "messages" in row:
        good = {"messages": [USER, ASSISTANT]}
    elif "text" in row:
        good = {"text": "a"}
    with pytest.raises(UserError) as error:
        load(good, row)
    assert str(error.value).startswith("data.train: ")
    assert " of row 2 = " in str(error.value)
    assert reason in str(error.value)


def test_a_completion_that_is_a_number_is_refused_by_its_row(load):
    with pytest.raises(UserError, match=r"data.train: completion of row 1 = 7; each completion must be text"):
        load({"prompt": "a", "completion": 7}, {"prompt": "a", "completion": 7})


@pytest.mark.parametrize("value", [[USER, ASSISTANT], json.dumps([USER, ASSISTANT])])
def test_roles_by_other_names_and_messages_as_json_are_read(load, value):
    [row] = load({"messages": value})
    assert read_conversation(row, CHAT)[0] == [USER, ASSISTANT]
    [row] = load({"messages": [{"from": "human", "value": "3 + 4?"}, {"from": "gpt", "value": "7"}]})
    assert read_conversation(row, CHAT)[0] == [USER, ASSISTANT]


def test_without_a_chat_template_a_conversation_becomes_a_prompt_and_its_last_answer(load):
    thinking = {"role": "assistant", "content": "7", "reasoning_content": "3 and 4"}
    [row] = load({"messages": [USER, thinking]}, prompt=PLAIN)
    assert row["prompt"] == "Q 3 + 4? A"
    assert row["completion"].index("3 and 4") < row["completion"].index("</think>") < row["completion"].index("7")
    [row] = load({"prompt": [USER], "completion": [ASSISTANT]}, prompt=PLAIN)
    assert row == {"prompt": "Q 3 + 4? A", "completion": "7"}


@pytest.mark.parametrize(
    "row", [{"messages": [USER, ASSISTANT], "tools": [TOOL]}, calling(type="function", function={"name": "add"})]
)
def test_tools_are_not_left_out_in_silence(load, row):
    with pytest.raises(UserError, match="tools need a chat template"):
        load(row, prompt=PLAIN)
    [loaded] = load(row)
    messages, _, tools = read_conversation(loaded, CHAT)
    assert tools == row.get("tools")
    assert ("tool_calls" in messages[1]) == (tools is None)


def test_nulls_that_other_rows_bring_are_no_arguments_of_a_call(load):
    rows = [calling(function={"name": "add", "arguments": {name: 3}}) for name in ("a", "b")]
    first, second = (read_conversation(row, CHAT)[0][1]["tool_calls"][0]["function"] for row in load(*rows))
    assert (first["arguments"], second["arguments"]) == ({"a": 3}, {"b": 3})


@pytest.mark.parametrize("column", ["reasoning_content", "reasoning"])
def test_thinking_in_a_column_of_its_own_is_trained(load, column):
    rows = load({"prompt": "a", "completion": "b", column: "why"}, {"prompt": "a", "completion": "b", column: None})
    [thinks, answers] = [read_conversation(row, CHAT)[0][-1] for row in rows]
    assert thinks == {"role": "assistant", "content": "b", "reasoning_content": "why"}
    assert not answers.get("reasoning_content")
    [row] = load({"prompt": "a", "completion": "b", column: "why"}, prompt=PLAIN)
    assert row == {"prompt": "Q a A", "completion": "<think>\nwhy\n</think>\n\nb"}


def test_the_system_message_in_a_column_of_its_own_is_trained_with(load):
    rows = load({"prompt": "a", "completion": "b", "system": "Be brief."}, {"prompt": "a", "completion": "b"})
    of_recipe = PromptConfig(template="chat", system="Be kind.")
    first, second = [read_conversation(row, of_recipe)[0][0]["content"] for row in rows]
    assert (first, second) == ("Be brief.", "Be kind.")


def test_conversations_with_think_tags_are_trained_as_they_are(load):
    """Also where the first is one question and its answer, as all of OpenThoughts3's are."""
    answer = "<think>\nwhy\n</think>\n\n7"
    turns = [{"from": "human", "value": "3 + 4?"}, {"from": "gpt", "value": answer}]
    rows = load({"conversations": turns, "system": "Be brief."}, {"conversations": turns * 2, "system": ""})
    conversations = [read_conversation(row, CHAT)[0] for row in rows]
    assert [len(messages) for messages in conversations] == [3, 4]
    assert all(messages[-1] == {"role": "assistant", "content": answer} for messages in conversations)
