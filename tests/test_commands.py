"""`r1kit runs`, `init`, `merge` and `chat`, each run as a command, and the model card of a run."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from helpers import COMMAND, r1kit, read_info, write_recipe

import r1kit as r1kit_package
from r1kit.commands.chat import CompletionPrinter
from r1kit.commands.init import find_shipped_recipes

SFT = {
    "model": {"path": "tiny:base"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 16, "split": "train"}]},
    "prompt": {"template": "tiny"},
    "training": {"steps": 2, "batch_size": 4, "learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    rows = [{"prompt": "What is 1 + 2?", "completion": "<think> 1 plus 2 is 3.</think><answer> 3</answer>"}] * 8
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {**SFT, "data": {"train": [{"path": str(folder / "rows.jsonl")}]}}
    values["model"] = {"path": "tiny:base", "lora": {"r": 4}}
    r1kit("sft", write_recipe(folder / "s.yaml", **values), f"output={folder}/runs/adapter")
    return folder


@pytest.mark.slow
def test_runs_are_listed_with_their_states(adapter):
    out, _ = r1kit("runs", adapter / "runs")
    header, line = out.strip().splitlines()
    assert header.split()[:3] == ["run", "stage", "state"]
    assert "sft" in line
    assert "finished" in line
    run = adapter / "runs/adapter"
    before = read_info(run)
    (run / "run.json").write_text(json.dumps({**before, "status": "running"}))
    assert "killed" in r1kit("runs", adapter / "runs")[0]
    (run / "run.json").write_text(json.dumps(before))
    for number, broken in enumerate(("", "[1]", '{"started": null}')):
        folder = adapter / f"runs/broken{number}"
        folder.mkdir()
        (folder / "run.json").write_text(broken)
    (adapter / "elsewhere").mkdir()
    shutil.copy(run / "run.json", adapter / "elsewhere/run.json")
    (adapter / "runs/linked").symlink_to(adapter / "elsewhere")
    (adapter / "runs/loop").symlink_to(adapter / "runs")
    lines = r1kit("runs", adapter / "runs")[0].splitlines()[1:]
    broken_names = [f"broken{number}" for number in range(3)]
    assert sorted(Path(line.split()[0]).name for line in lines) == ["adapter", *broken_names, "linked"]
    assert sum("damaged" in line for line in lines) == len(broken_names)


@pytest.mark.slow
def test_an_adapter_is_merged_into_a_plain_model(adapter):
    from transformers import AutoModelForCausalLM

    from r1kit.models.load import load_model
    from r1kit.recipe import ModelConfig

    run, plain = adapter / "runs/adapter", adapter / "plain"
    out, _ = r1kit("merge", run, "-o", plain)
    assert out.strip() == str(plain)
    assert not (plain / "adapter_config.json").exists()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        merged_logits = AutoModelForCausalLM.from_pretrained(plain)(ids).logits
        adapter_logits = load_model(ModelConfig(path=str(run)), training=False)(ids).logits
        base_logits = load_model(ModelConfig(path="tiny:base"), training=False)(ids).logits
    assert torch.allclose(merged_logits, adapter_logits, atol=1e-5)
    assert not torch.allclose(merged_logits, base_logits, atol=1e-3)
    _, err = r1kit("merge", run, "-o", plain, code=2)
    assert f"error: --output = {plain}; exists already" in err
    _, err = r1kit("merge", "tiny:base", "-o", "other", code=2)
    assert "error: RUN = tiny:base; must have an adapter" in err
    _, err = r1kit("merge", "nosuch", "-o", "other", code=2)
    assert "error: RUN = nosuch; must be a run or a folder with an adapter; check the path" in err


def test_a_recipe_is_copied_to_start_from(here):
    assert {"tiny", "qwen2.5-1.5b", "sky-t1"} <= find_shipped_recipes().keys()
    out, _ = r1kit("init", "tiny", "-o", "mine/first")
    assert out.strip() == "mine/first"
    assert (here / "mine/first/run.sh").read_text() == (find_shipped_recipes()["tiny"] / "run.sh").read_text()
    r1kit("rl-zero", "mine/first/rl_zero.yaml", "--dry-run")
    _, err = r1kit("init", "tiny", "-o", "mine/first", code=2)
    assert "error: --output = mine/first; exists already" in err
    _, err = r1kit("init", "huge", code=2)
    assert "error: NAME = huge; no such recipe folder; use one of:" in err


def test_thinking_is_printed_or_folded_however_the_text_is_cut():
    text = "<think> 1 < 2, so</think> it is 2 < 3"
    for fold, printed in ((False, " 1 < 2, so\n it is 2 < 3\n"), (True, "[thinking] \n it is 2 < 3\n")):
        for size in (1, 3, 7, len(text)):
            out = io.StringIO()
            printer = CompletionPrinter(fold, False, out)
            for start in range(0, len(text), size):
                printer.add(text[start : start + size])
            printer.end()
            assert out.getvalue() == printed


@pytest.mark.slow
def test_a_model_answers_line_by_line(here):
    questions = b"What is 1 + 2?\n\nWhat is \xff the capital of France?\n"
    command = [*COMMAND, "chat", "tiny:base", "--template", "tiny", "--temperature", "0", "--max-tokens", "40"]
    done = subprocess.run(command, input=questions, capture_output=True, timeout=300)
    assert done.returncode == 0
    assert b"<answer> 3</answer>" in done.stdout
    assert b"Paris" in done.stdout
    assert b"Traceback" not in done.stderr
    _, err = r1kit("chat", "tiny:base", "--temperature", "-1", code=2)
    assert "error: --temperature = -1.0; must be 0, or at least 0.001" in err


@pytest.mark.slow
def test_a_model_has_a_card_and_goes_to_the_hub(adapter, monkeypatch):
    """HfApi is replaced, since no hub can be reached here; a push that fails leaves the model in its folder."""
    from types import SimpleNamespace

    from huggingface_hub import ModelCard

    from r1kit.recipe import CardConfig
    from r1kit.training.card import push_model

    text = (adapter / "runs/adapter/model/README.md").read_text()
    card = ModelCard(text)
    assert card.data.library_name == "peft"
    assert "sft" in card.data.tags
    for excerpt in (
        "- model: tiny:base",
        "| loss |",
        "```yaml\noutput:",
        "```text\ntiny\n```",
        "AutoPeftModelForCausalLM",
    ):
        assert excerpt in text
    words = [adapter / "s.yaml", f"output={adapter}/runs/adapter", "card.push_to_hub=me/adapter", "training.steps=3"]
    _, err = r1kit("sft", *words, code=2)
    assert "error: card.push_to_hub = me/adapter; could not be sent: " in err
    assert (adapter / "runs/adapter/model/adapter_model.safetensors").exists()
    calls = []
    api = SimpleNamespace(
        create_repo=lambda *a, **k: (calls.append(("create_repo", a, k)), SimpleNamespace(repo_id="me/it"))[1],
        upload_folder=lambda **k: calls.append(("upload_folder", (), k)),
    )
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    assert push_model(adapter / "runs/adapter/model", CardConfig(push_to_hub="it")) == "https://huggingface.co/me/it"
    assert calls[0][1:] == (("it",), {"private": True, "exist_ok": True})
    assert calls[1][2]["folder_path"] == adapter / "runs/adapter/model"
    assert calls[1][2]["repo_id"] == "me/it"


def test_a_card_shows_a_template_unchanged():
    from markdown_it import MarkdownIt

    from r1kit.recipe import PromptConfig
    from r1kit.training.card import describe_prompt

    template = "Question: 1 + 1\n\nAnswer: <think>```1 + 1```</think>\n\nQuestion: {prompt}\nAnswer:"
    tokens = MarkdownIt().parse(describe_prompt(PromptConfig(template=template, prefill="<think>")))
    assert [token.content for token in tokens if token.type == "fence"] == [template + "\n", "<think>\n"]
    assert not any(token.type == "html_block" for token in tokens)


@pytest.mark.slow
def test_without_its_checkpoints_a_finished_run_has_a_new_card_and_is_not_trained_again(adapter):
    run, words = adapter / "runs/bare", [adapter / "s.yaml", f"output={adapter}/runs/bare"]
    r1kit("sft", *words)
    shutil.rmtree(run / "checkpoints")
    before = (run / "metrics.jsonl").read_text()
    r1kit("sft", *words, "card.license=mit")
    assert "license: mit" in (run / "model/README.md").read_text()
    assert (run / "metrics.jsonl").read_text() == before
    _, err = r1kit("sft", *words, "card.license=mit", "training.steps=4", code=2)
    assert "has a model, but no checkpoint to go on from" in err
    assert (run / "metrics.jsonl").read_text() == before


@pytest.mark.slow
def test_a_card_names_the_checkpoint_that_became_the_model(adapter):
    rows = adapter / "eval.jsonl"  # other answers than those trained on, which become ever less likely
    rows.write_text(json.dumps({"prompt": "Who are you?", "completion": "<think> 5 plus 4 is 9.</think>"}) + "\n")
    changes = ["training.steps=6", "training.save_steps=2", "training.eval_steps=2", "training.learning_rate=0.01"]
    r1kit("sft", adapter / "s.yaml", f"output={adapter}/runs/best", f"data.eval={rows}", *changes)
    run = adapter / "runs/best"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}
    best = min(losses, key=losses.get)
    assert best < 6
    assert read_info(run)["model_step"] == best
    card = (run / "model/README.md").read_text()
    assert f"## At step {best}, whose evaluation was the best" in card
    assert f"| eval_loss | {losses[best]:.4g} |" in card


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM


class Own(LlamaConfig):
    model_type = "mine_of_r1kit"


class Mine(LlamaForCausalLM):
    config_class = Own
"""


@pytest.mark.slow
def test_a_models_own_code_runs_only_where_it_is_trusted(here):
    folder = here / "own"
    shutil.copytree(Path(r1kit_package.__file__).parent / "tiny/base", folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine_of_r1kit",
        "auto_map": {"AutoConfig": "mine.Own", "AutoModelForCausalLM": "mine.Mine"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(OWN_CODE)
    words = ["chat", folder, "--template", "tiny", "--max-tokens", "4"]
    _, err = r1kit(*words, code=2)
    assert f"error: model.path = {folder}; brings code of its own" in err
    assert "Traceback" not in err
    done = subprocess.run(
        [*COMMAND, *map(str, words), "--trust-remote-code"], input="What is 1 + 2?\n", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_version_is_printed():
    assert r1kit("--version")[0].strip() == r1kit_package.__version__
