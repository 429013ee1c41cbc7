"""`model.chat_template`: a file, a family of TRL, or the plain template of R1-Distill."""

import pytest

from r1kit.errors import UserError
from r1kit.models.chat_templates import check_template_settings, family_names, read_chat_template, setting_names
from r1kit.models.load import load_tokenizer
from r1kit.recipe import ModelConfig

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]


def tokenizer_with(template: str):
    return load_tokenizer(ModelConfig(path="tiny:base", chat_template=template))


def refused(template: str) -> str:
    with pytest.raises(UserError) as error:
        tokenizer_with(template)
    return str(error.value)


def test_the_plain_template_of_r1_distill_needs_no_tokens_of_its_own():
    tokenizer = tokenizer_with("r1-distill")
    answer = {"role": "assistant", "content": "4", "reasoning_content": "2 and 2."}
    prompt = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*QUESTION, answer], tokenize=False)
    assert prompt == "Be brief.<｜User｜>2 + 2?<｜Assistant｜>"
    assert whole == f"{prompt}<think>\n2 and 2.\n</think>\n\n4<|end|>"


def test_the_plain_template_can_be_asked_not_to_think():
    settings = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    text = tokenizer_with("r1-distill").apply_chat_template(QUESTION, **settings)
    assert text.endswith("<｜Assistant｜><think>\n\n</think>\n\n")


def test_a_file_is_a_template(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert tokenizer_with(str(file)).apply_chat_template(QUESTION, tokenize=False) == "Be brief.2 + 2?"


@pytest.mark.parametrize(("name", "family"), [("qwen3", "qwen3"), ("Qwen2.5", "qwen2_5"), ("llama-3.1", "llama3_1")])
def test_a_family_is_found_by_its_usual_spelling(name, family):
    assert family in family_names()
    assert read_chat_template(name) == read_chat_template(family)


def test_a_family_whose_marks_are_no_tokens_of_the_model_is_refused():
    line = refused("qwen3")
    assert line.startswith(
        "model.chat_template = qwen3; writes <|im_end|>, <|im_start|>, which no token of this model is"
    )
    assert line.endswith("use r1-distill, which needs no tokens of its own")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{% for m in messages %}", "is no template of Jinja"),
        ("{{ messages[5].content }}", "fails on a question and its answer"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, line):
    file = tmp_path / "broken.jinja"
    file.write_text(text)
    assert line in refused(str(file))


def test_what_is_neither_a_file_nor_a_family_is_refused():
    assert "there is no such file" in refused("templates/none.jinja")
    assert (
        "must be a file, r1-distill, plain-tools, or a family whose template TRL ships; did you mean qwen3?"
        in refused("qwenn3")
    )


def test_settings_that_a_template_does_not_read_are_refused():
    assert setting_names(read_chat_template("qwen3")) == ["enable_thinking"]
    tokenizer = tokenizer_with("r1-distill")
    check_template_settings(tokenizer, {"enable_thinking": False})
    with pytest.raises(UserError, match="reads no such setting; did you mean enable_thinking"):
        check_template_settings(tokenizer, {"enable_thinkng": False})
    with pytest.raises(UserError, match="reads no such setting"):
        check_template_settings(tokenizer, {"think": False})  # it stands in the template as a text alone
