"""Tools and environments in RL: turns, masks, faults, resume, and what a recipe may not ask for."""

import json
import shutil
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from helpers import largest_difference, r1kit, read_metrics, read_weights

from r1kit.errors import UserError
from r1kit.models.tool_template import PLAIN_TOOLS_TEMPLATE, make_response_template
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.tools import ToolFault, python, resolve_environment, resolve_tools
from r1kit.tools.watch import ToolWatch

# How completions are read by which each turn of the model is a call, whatever it writes.
CALLING_RESPONSES = {
    "defaults": {"role": "assistant"},
    "start_anchor": "\nA",
    "fields": {
        "tool_calls": {
            "open_pattern": ":",
            "close_pattern": r"<\|end\|>|$",
            "content": "text",
            "repeats": True,
            "transform": {"type": "function", "function": {"name": "echo", "arguments": {"text": "{content}"}}},
        },
        "content": {"close_pattern": r"<\|end\|>", "content": "text"},
    },
}
MODULE = '''
from r1kit.training.grpo import RLTrainer
from transformers import TrainerCallback

def echo(text: str) -> str:
    """Count letters.

    Args:
        text: Any text.
    """
    return f" {len(text)} letters"

def undescribed(text: str) -> str:
    """A docstring without arguments."""

def untyped(text):
    """Args:
        text: Any.
    """

def digits(completions, **columns):
    return [float(sum(letter.isdigit() for letter in str(completion)) % 5) for completion in completions]

class Room:
    def reset(self, **row):
        self.heard = 0
        return " Say something."

    def echo(self, text: str) -> str:
        """Hear a text.

        Args:
            text: Any text.
        """
        self.heard += len(text)
        return " heard"

    def get_reward(self):
        return float(self.heard % 3)

class NoRoom:
    pass

class Half(RLTrainer):
    def _compute_loss(self, model, inputs):
        return 0.5 * super()._compute_loss(model, inputs)

class Printer(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        with open("steps.txt", "a") as file:
            file.write(f"{state.global_step}\\n")

class Picky(TrainerCallback):
    def __init__(self, needed):
        pass
'''
BROKEN_MODULE = '''
from r1kit.tools import ToolFault

def echo(text: str) -> str:
    """Never works.

    Args:
        text: Any text.
    """
    raise ToolFault("the server is down")
'''


@pytest.fixture
def project(here):
    """A folder with a module of the user's, and a model that calls a tool in each of its turns."""
    from transformers import AutoTokenizer

    (here / "mine_tools.py").write_text(MODULE)
    (here / "mine_broken.py").write_text(BROKEN_MODULE)
    shutil.copytree(SHIPPED_MODELS["tiny:student"], here / "caller", ignore=shutil.ignore_patterns("r1kit_*"))
    tokenizer = AutoTokenizer.from_pretrained(here / "caller")
    tokenizer.chat_template = PLAIN_TOOLS_TEMPLATE
    tokenizer.response_template = CALLING_RESPONSES
    tokenizer.save_pretrained(here / "caller")
    return here


RL = (
    "--model",
    "caller",
    "--dataset",
    "world:arithmetic",
    "data.train.0.rows=16",
    "sampling={group_size: 4, max_tokens: 60}",
    "training={steps: 2, batch_size: 8, learning_rate: 1.0e-3, kl: 0, save_steps: 2}",
    "trl.max_tool_calling_iterations=2",
    "rewards=[{name: mine_tools.digits}]",
)


def read_rollouts(run):
    return [row for file in sorted((run / "completions").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


@pytest.mark.slow
def test_turns_are_kept_and_a_resumed_run_is_the_same(project):
    r1kit("rl", *RL, "tools=[mine_tools.echo]", "output=whole", "training.steps=4", "callbacks=[mine_tools.Printer]")
    r1kit("rl", *RL, "tools=[mine_tools.echo]", "output=halves")
    r1kit("rl", *RL, "tools=[mine_tools.echo]", "output=halves", "training.steps=4")
    assert (project / "steps.txt").read_text() == "1\n2\n3\n4\n"
    whole, halves = read_rollouts(project / "whole"), read_rollouts(project / "halves")
    assert whole == halves
    assert largest_difference(read_weights(project / "whole/model"), read_weights(project / "halves/model")) == 0
    turns = [json.loads(row["turns"]) for row in whole if row["turns"]]
    assert len(turns) == len(whole)
    whole_turns = [messages for messages in turns if len(messages) > 1]  # else the result would not have fitted
    assert len(whole_turns) > len(turns) / 2
    for call, result, *_ in whole_turns:
        text = call["tool_calls"][0]["function"]["arguments"]["text"]
        assert result == {"role": "tool", "name": "echo", "content": f" {len(text)} letters"}
    metrics = read_metrics(project / "whole")
    assert all(line["tools/call_frequency"] >= 1 for line in metrics if "reward" in line)
    assert all(line["tools/failure_frequency"] == 0 for line in metrics if "reward" in line)
    # Tokens of results are not the model's.
    assert max(row["tokens"] for row in whole) <= 60
    page = r1kit("report", "whole", "-o", "report.html")[0].strip()
    assert page.endswith("report.html")
    _, errors = r1kit(
        "eval",
        "--model",
        "whole",
        "--dataset",
        "world:calculator",
        "output=eval",
        "sampling.max_tokens=64",
        "--dry-run",
    )
    assert "model.path = whole was trained with mine_tools.echo; here it is offered no tools" in errors


@pytest.mark.slow
def test_an_environment_sets_the_prompt_and_pays(project):
    r1kit("rl", *RL[:-1], "rewards=[]", "environment=mine_tools.Room", "output=run", "trainer=mine_tools.Half")
    rows = read_rollouts(project / "run")
    assert all("Say something." in str(row["prompt"]) for row in rows)
    assert {row["reward"] for row in rows} <= {0.0, 1.0, 2.0}
    for row in rows:
        turns = [message for message in json.loads(row["turns"]) if message["role"] == "assistant"]
        # The calls of two turns are run (max_tool_calling_iterations); a third is only written.
        texts = [turn["tool_calls"][0]["function"]["arguments"]["text"] for turn in turns[:2] if turn.get("tool_calls")]
        assert row["Room"] == float(sum(map(len, texts)) % 3)


@pytest.mark.slow
def test_rows_with_a_broken_tool_are_faults_and_the_run_ends_when_nothing_works(project):
    changed = [word.replace("steps: 2", "steps: 12") for word in RL]
    _, errors = r1kit("rl", *changed, "tools=[mine_broken.echo]", "output=run", code=2)
    assert "tool echo: the server is down" in errors
    assert "no completion of 10 generations had a verdict" in errors
    metrics = [line for line in read_metrics(project / "run") if "faults" in line]
    assert all(line["faults"] == line["tools/faults"] == 8 for line in metrics)
    assert all(row["advantage"] == 0 for row in read_rollouts(project / "run"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["tools=[pyton]"], "tools.0 = pyton; no such tool; did you mean python"),
        (["tools=[mine_tools.none]"], "tools.0 = mine_tools.none; must be a function that Python can import"),
        (["tools=[mine_tools.undescribed]"], "does not describe text to the model"),
        (["tools=[mine_tools.untyped]"], "its parameter text has no type"),
        (["tools=[python, python]"], "tools.1 = python; another tool has the same name"),
        (["tools=[python]", "prompt.template=r1-zero"], "set prompt.template=chat"),
        (["tools=[python]", "sampling.resample=2"], "sampling.resample = 2"),
        (["environment=mine_tools.NoRoom"], "an environment needs a method reset"),
        (["rewards=[]"], "RL needs at least one reward"),
        (["trainer=mine_tools.Room"], "must be a subclass of r1kit.training.grpo.RLTrainer"),
        (["callbacks=[mine_tools.Room]"], "must be a subclass of transformers.TrainerCallback"),
        (["callbacks=[mine_tools.Picky]"], "must be made without arguments"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(project, words, error):
    _, errors = r1kit("rl", *RL, "output=run", *words, code=2)
    assert error in errors.strip().splitlines()[-1]


def test_a_model_without_a_form_for_calls_is_refused(here):
    words = ("--model", "tiny:student", "--dataset", "world:arithmetic", "output=run", "tools=[python]")
    _, errors = r1kit(
        "rl", *words, "model.chat_template=r1-distill", "training.batch_size=16", "sampling.max_tokens=64", code=2
    )
    assert "the model's chat template has no form for calls of tools" in errors
    assert "set model.chat_template to plain-tools" in errors


def test_plain_tools_writes_what_it_reads():
    from transformers import AutoTokenizer
    from trl.chat_template_utils import is_chat_template_prefix_preserving, parse_response, supports_tool_calling

    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    tokenizer.chat_template = PLAIN_TOOLS_TEMPLATE
    tokenizer.response_template = make_response_template(tokenizer.eos_token)
    assert supports_tool_calling(tokenizer)
    assert is_chat_template_prefix_preserving(tokenizer)
    call = {"type": "function", "function": {"name": "python", "arguments": {"code": 'print("<a>\n", 3 * 4)'}}}
    message = {"role": "assistant", "content": "<think> so.</think>", "tool_calls": [call, call]}
    question = [{"role": "user", "content": "3 * 4?"}]
    prompt = tokenizer.apply_chat_template(question, tools=[python], add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([*question, message], tools=[python], return_dict=False)
    assert whole[: len(prompt)] == prompt
    assert parse_response(tokenizer, whole[len(prompt) :], prefix=prompt, tools=[python]) == message
    assert tokenizer.decode(prompt) == (
        "Tools:\npython(code): Run a Python program and return what it prints.\n\nQ: 3 * 4?\nA:"
    )


@pytest.mark.parametrize("depth", [300, 3000])
def test_a_call_that_is_nested_too_deep_is_text(depth):
    import copy

    from transformers import AutoTokenizer
    from trl.chat_template_utils import parse_response

    from r1kit.training.tool_calls import check_tool_template

    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    tokenizer.chat_template = PLAIN_TOOLS_TEMPLATE
    tokenizer.response_template = make_response_template(tokenizer.eos_token)
    check_tool_template(tokenizer, SimpleNamespace(tools=["python"], environment=None))
    deep = '<tool>python {"code": ' + "[" * depth + "]" * depth + "}</tool>"
    completion = {"role": "assistant", "content": deep}
    assert parse_response(tokenizer, tokenizer(deep)["input_ids"], prefix=[], tools=[python]) == completion
    call = '<tool>python {"code": "1"}</tool>'
    [read] = parse_response(tokenizer, tokenizer(call)["input_ids"], prefix=[], tools=[python])["tool_calls"]
    assert read["function"] == {"name": "python", "arguments": {"code": "1"}}
    assert copy.deepcopy(tokenizer).parse_response(call, prefix="")["tool_calls"]


def test_tools_are_functions_by_name_or_path(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    [own, echo] = resolve_tools(["python", "mine_tools.echo"])
    assert own is python
    assert echo("abc") == " 3 letters"
    assert resolve_environment("mine_tools.Room")().reset() == " Say something."
    with pytest.raises(UserError, match=r"environment = mine_tools\.nothing"):
        resolve_environment("mine_tools.nothing")


def test_a_guarded_tool_marks_its_row_for_what_is_not_the_models_fault():
    watch = ToolWatch(3)

    def fail(kind: str) -> str:
        raise {"fault": ToolFault("down"), "exit": SystemExit(3), "value": ValueError("no")}[kind]

    with pytest.raises(ToolFault):
        watch.guard(fail, 0)(kind="fault")
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        watch.guard(fail, 1)(kind="exit")
    with pytest.raises(ValueError, match="no"):
        watch.guard(fail, 2)(kind="value")
    assert watch.has_fault == [True, False, False]


def test_an_environment_that_cannot_work_ends_the_run_in_one_line(monkeypatch):
    from trl import GRPOTrainer

    from r1kit.training.grpo import RLTrainer

    def fail(trainer, inputs):
        raise ToolFault("the game's server is down")

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", fail)
    trainer = RLTrainer.__new__(RLTrainer)
    trainer.eager_judges = []
    with pytest.raises(
        UserError, match=r"^environment: reset or get_reward could not work: the game's server is down; "
    ):
        trainer._generate_and_score_completions([])


def test_python_returns_what_a_program_prints_or_how_it_failed():
    assert python("print(6 * 7)") == "42"
    assert python("x = 1") == "(nothing was printed)"
    assert python("print(1)\n1 / 0") == "1\nZeroDivisionError: division by zero\nerror: exit code 1"
    assert "SyntaxError: invalid syntax" in python("def f(:")
    assert python("import sys; sys.exit(3)") == "error: exit code 3"
    assert python("import os; os.kill(os.getppid(), 9)").startswith(("PermissionError", "error:", "ProcessLookup"))
    assert python("print('a' * 10**5)").endswith("(cut: the program printed more)")
    assert "No module named 'torch'" in python("import torch")


@pytest.mark.slow
@pytest.mark.parametrize("savings", [(), ("trim",), ("regroup",), ("skip",), ("share",), "all"])
def test_the_gradient_with_tools_is_stock_trls(tmp_path, savings):
    savings = ("trim", "regroup", "skip", "share") if savings == "all" else savings
    stock, stock_mask = tool_gradients(tmp_path / "stock", None)
    own, own_mask = tool_gradients(tmp_path / "own", savings)
    assert (stock_mask == 0).sum() > 0
    assert sorted(stock_mask.sum(dim=1).tolist()) == sorted(own_mask.sum(dim=1).tolist())
    error = sum((stock[name] - own[name]).double().pow(2).sum() for name in stock)
    norm = sum(value.double().pow(2).sum() for value in stock.values())
    assert (error / norm).sqrt() < 1e-5
    unmasked, _ = tool_gradients(tmp_path / "unmasked", None, is_masked=False)
    difference = sum((stock[name] - unmasked[name]).double().pow(2).sum() for name in stock)
    assert (difference / norm).sqrt() > 1e-2  # the mask matters here


def tool_gradients(path, savings, is_masked=True):
    """Return the gradient of a step on scripted turns, by stock TRL where `savings` is None; and the tools' mask."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from r1kit.training.grpo import RLTrainer

    def add(a: int, b: int) -> str:
        """Add.

        Args:
            a: First.
            b: Second.
        """
        return f"{a + b} and so on" * (1 + a % 3)

    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    tokenizer.chat_template = PLAIN_TOOLS_TEMPLATE
    tokenizer.response_template = make_response_template(tokenizer.eos_token)
    calls = SimpleNamespace(count=0, mask=None)

    class ScriptedTurns:
        def _generate_single_turn(self, prompt_ids, *more, **others):
            calls.count += 1
            texts = []
            for i in range(len(prompt_ids)):
                call = f'<tool>add {{"a": {i}, "b": 2}}</tool><|end|>'
                answer = " 3 plus 4." * (i % 4) + f"<answer> {i}</answer><|end|>"
                texts.append(call if calls.count == 1 and i % 2 == 0 else answer)
            torch.manual_seed(2)
            return [tokenizer(text).input_ids for text in texts], None

        def _calculate_rewards(self, inputs, *more):
            rewards = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5] * 2)
            return rewards.unsqueeze(1)

        def _compute_loss(self, model, inputs):
            if not is_masked:
                inputs = {name: value for name, value in inputs.items() if name != "tool_mask"}
            return super()._compute_loss(model, inputs)

        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            calls.mask = output["tool_mask"] * output["completion_mask"]
            return output

    class Stock(ScriptedTurns, GRPOTrainer):
        pass

    class Own(ScriptedTurns, RLTrainer):
        _get_train_sampler = GRPOTrainer._get_train_sampler

    gradient = {}

    class KeepGradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            gradient.update({name: p.grad.clone() for name, p in model.named_parameters()})

    arguments = GRPOConfig(
        output_dir=str(path),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=4,
        num_generations=4,
        max_completion_length=120,
        max_steps=1,
        bf16=False,
        use_cpu=True,
        report_to=[],
        beta=0.0,
        disable_tqdm=True,
        max_grad_norm=1e9,
        gradient_checkpointing=False,
        optim="sgd",
    )
    prompts = [{"prompt": [{"role": "user", "content": text}]} for text in ("3 + 4?", "1?", "Compute 5 + 1.", "2?")]
    torch.manual_seed(0)
    kind, more = (Stock, {}) if savings is None else (Own, {"savings": savings})
    trainer = kind(
        model=AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        args=arguments,
        reward_funcs=[lambda completions, **columns: [0.0] * len(completions)],
        train_dataset=Dataset.from_list(prompts),
        processing_class=tokenizer,
        tools=[add],
        callbacks=[KeepGradients()],
        **more,
    )
    if savings:
        trainer.completion_forward.pass_cost = 4  # prompts this short are shared, too
    trainer.train()
    return gradient, calls.mask
