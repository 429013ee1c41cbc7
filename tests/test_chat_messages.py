"""Conversations in the forms in which people have them become chat messages with the usual roles and text."""

import pytest

from r1kit.data.adapters.chat import is_conversation, normalise_messages, normalise_role

USER = {"role": "user", "content": "3 + 4?"}


@pytest.mark.parametrize(
    ("role", "usual"),
    [
        ("human", "user"),
        ("User", "user"),
        ("prompter", "user"),
        ("gpt", "assistant"),
        ("bot", "assistant"),
        ("model", "assistant"),
        ("AI", "assistant"),
        ("developer", "system"),
        ("function", "tool"),
        ("observation", "tool"),
        ("ipython", "tool"),
    ],
)
def test_roles_by_other_names(role, usual):
    assert normalise_role(role) == usual


@pytest.mark.parametrize("role", ["narrator", "", None, 5, ["user"]])
def test_an_unknown_role_is_refused(role):
    with pytest.raises(ValueError, match="is not known; use system, user, assistant or tool"):
        normalise_role(role)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"from": "gpt", "value": "7"}, {"role": "assistant", "content": "7"}),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "7"}, {"type": "text", "text": "."}]},
            {"role": "assistant", "content": "7."},
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "3, 4"}, {"type": "text", "text": "7"}]},
            {"role": "assistant", "content": "7", "reasoning_content": "3, 4"},
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "3"}]}, "7"]},
            {"role": "assistant", "content": "7", "reasoning_content": "3"},
        ),
        (
            {"role": "assistant", "content": "7", "reasoning_content": "3, 4", "tool_calls": None, "name": None},
            {"role": "assistant", "content": "7", "reasoning_content": "3, 4"},
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]},
        ),
        (
            {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 3}}'},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 3}}}],
            },
        ),
        (
            {"role": "tool", "content": "7", "tool_call_id": "c1"},
            {"role": "tool", "content": "7", "tool_call_id": "c1"},
        ),
    ],
)
def test_forms_of_a_message(message, expected):
    assert normalise_messages([USER, message]) == [USER, expected]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "at least one message"),
        ("hi", "at least one message"),
        (["hi"], "each message must have a role and a content"),
        ([{"content": "hi"}], "a message has no role"),
        ([{"role": "narrator", "content": "hi"}], 'the role "narrator" is not known'),
        ([{"role": "user", "content": None}], "a message has no content"),
        ([{"role": "user"}], "a message has no content"),
        ([{"role": "user", "content": 5}], "must be text, not 5"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "a part of the type image_url"),
        ([{"role": "user", "content": [5]}], "a part of the type int"),
        ([{"from": "function_call", "value": "add(3)"}], "a call of a tool must be JSON"),
        ([{"from": "function_call", "value": "[1]"}], "a call of a tool needs a name"),
    ],
)
def test_what_is_no_conversation_is_refused(messages, reason):
    with pytest.raises(ValueError, match=reason):
        normalise_messages(messages)


def test_what_looks_like_a_conversation():
    assert is_conversation([USER])
    assert is_conversation([{"from": "human", "value": "hi"}])
    for value in (None, "hi", [], ["hi"], [{"content": "hi"}], {"role": "user"}):
        assert not is_conversation(value)
