"""`r1kit fields` and `r1kit schema`: what they print of a recipe's fields. The texts are tested with r1kit.recipe."""

import json

import pytest

from r1kit.commands.fields import print_fields, print_schema
from r1kit.errors import UserError
from r1kit.stages import STAGES


def test_without_a_stage_all_stages_are_listed(capsys):
    print_fields(None, None)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(STAGES) + 1]] == list(STAGES)


def test_a_stage_lists_the_keys_of_its_recipe_and_fits_the_terminal(capsys):
    print_fields("sft", None, width=80)
    output = capsys.readouterr().out
    assert {"output", "model", "data", "training", "trl"} <= {line.split(" ")[0] for line in output.splitlines()}
    assert max(map(len, output.splitlines())) <= 80


def test_one_field_is_described_with_its_type_and_its_default(capsys):
    print_fields("sft", "training.steps", width=40)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training.steps  (sft)"
    assert "  type: integer above 0" in lines
    assert "  default: not set" in lines
    assert max(map(len, lines)) <= 40


def test_a_field_without_a_stage_is_described_in_all_stages_that_have_it(capsys):
    print_fields("group_size", None)
    assert capsys.readouterr().out.startswith("sampling.group_size  (rl-zero, rl)\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sftt", "training"], "STAGE = sftt; no such stage; did you mean sft?"),
        (["rlzero", None], "STAGE = rlzero; no such stage or key; did you mean rl-zero?"),
        (
            ["sft", "training.step"],
            "KEY = training.step; must be a key of the recipe of sft; did you mean training.steps?",
        ),
        (["groupsize", None], "KEY = groupsize; must be a key of any recipe; did you mean sampling.group_size?"),
    ],
)
def test_an_unknown_stage_or_key_is_refused_with_a_suggestion(words, message):
    with pytest.raises(UserError) as refusal:
        print_fields(*words)
    assert str(refusal.value) == message


def test_the_schema_of_a_stage_is_json(capsys):
    print_schema("sft")
    schema = json.loads(capsys.readouterr().out)
    assert "training" in schema["properties"]
    with pytest.raises(UserError, match="STAGE = sfft; no such stage; did you mean sft"):
        print_schema("sfft")
