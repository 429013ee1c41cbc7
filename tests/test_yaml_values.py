"""Values of a recipe: text where text is meant, whatever YAML 1.1 would take it for."""

import datetime

import pytest

from r1kit.recipe.load import dump_recipe, load_recipe, parse_override
from r1kit.recipe.yaml_values import read_yaml

TEXTS = ["no", "yes", "on", "off", "No", "OFF", "y", "n", "2024-01-05", "2024-01-05 10:00:00", "12:30", "1:30:00"]
TEXTS += ["010", "007", "08", "0o10", "0x1F", "0b11", "1_000", "+7", "1.2.3", "~x", "=", "<<x"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_text(text):
    assert read_yaml(text) == text
    assert read_yaml(f"{{values: {{answer: {text}}}}}") == {"values": {"answer": text}}
    assert read_yaml(f"where: {{level: [{text}]}}") == {"where": {"level": [text]}}


@pytest.mark.parametrize("text", ["1.10", "1e5", "1.", "+1.5", "3.14159265358979323846"])
def test_a_number_in_a_row_keeps_its_text_where_the_number_would_not(text):
    assert read_yaml(f"values: {{answer: {text}}}") == {"values": {"answer": text}}
    assert read_yaml(f"learning_rate: {text}") == {"learning_rate": float(text)}
    assert parse_override(f"data.train.0.values.answer={text}") == ("data.train.0.values.answer", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("7", 7),
        ("-7", -7),
        ("1e-5", 1e-5),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("0.0", 0.0),
        (".inf", float("inf")),
        ("[1, a]", [1, "a"]),
        ("'7'", "7"),
        ('"no"', "no"),
    ],
)
def test_values_of_yaml_1_2(text, value):
    read = read_yaml(text)
    assert read == value
    assert type(read) is type(value)


def test_free_blocks_have_the_values_of_yaml_1_1():
    recipe = read_yaml(
        "trl: {bf16: no, max_steps: 1_000}\nprompt: {template_settings: {enable_thinking: no, day: 2024-01-05}}"
    )
    assert recipe["trl"] == {"bf16": False, "max_steps": 1000}
    assert recipe["prompt"]["template_settings"] == {"enable_thinking": False, "day": "2024-01-05"}
    assert parse_override("prompt.template_settings.enable_thinking=off")[1] is False


def test_fields_take_what_a_text_says(here):
    (here / "r.yaml").write_text(
        "output: out\nshuffle: no\nseed: 1_000\n"
        "data: {train: {path: rows.jsonl, stream: yes, rows: 10, name: no, values: {language: no, answer: 1.10}}}\n"
    )
    recipe = load_recipe("data", "r.yaml", {})
    [source] = recipe.data.train
    assert (recipe.shuffle, recipe.seed, source.stream, source.name) == (False, 1000, True, "no")
    assert source.values == {"language": "no", "answer": "1.10"}
    (here / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe("data", "again.yaml", {}) == recipe


def test_no_value_is_a_date():
    assert not isinstance(read_yaml("2024-01-05"), datetime.date)
