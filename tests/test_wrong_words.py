"""Commands that newcomers, labs and researchers type, and that r1kit lacks: each is one line that says what to type."""

import shlex
import sys

import pytest

from r1kit import command_line, synonyms
from r1kit.cli import app
from r1kit.errors import UserError
from r1kit.recipe import RewardConfig, load_recipe, parse_recipe
from r1kit.recipe.key_words import suggest_setting
from r1kit.recipe.reference import list_fields
from r1kit.recipe.stages import recipe_class
from r1kit.rewards.registry import REWARDS, resolve_reward
from r1kit.rows import COLUMNS
from r1kit.runs.paths import resolve_data_path
from r1kit.stages import STAGES
from r1kit.suites import SUITES


def error_of(line, monkeypatch):
    """Run the command `r1kit LINE` in this process, which must be refused, and return its error."""
    monkeypatch.setattr(sys, "argv", ["r1kit", *shlex.split(line)])
    code, error = command_line._run_command(app)
    assert code == 2, (code, error)
    assert "\n" not in error
    return error


@pytest.fixture
def _files(here):
    (here / "x.yaml").write_text("output: runs/a\nmodel: {path: org/model}\ndata: {train: rows.jsonl}\n")
    (here / "rows.jsonl").write_text('{"prompt": "2 + 2?", "answer": "4"}\n')
    (here / "folder").mkdir()
    (here / "folder/dev1.yaml").write_text("seed: 1\n")
    (here / "runs/zero").mkdir(parents=True)
    (here / "runs/zero/run.json").write_text("{}")


# What is typed after `r1kit`, and what the error must say to type.
COMMANDS = {
    "train x.yaml": "run r1kit sft to train on rows, r1kit rl-zero or r1kit rl to train by rewards",
    "grpo x.yaml": "run r1kit rl-zero x.yaml",
    "finetune x.yaml seed=1": "run r1kit sft x.yaml seed=1",
    "evaluate x.yaml": "run r1kit eval x.yaml",
    "compare runs/a runs/b": "run r1kit eval --model RUN --model RUN --dataset DATA --output DIR",
    "serve runs/zero": "run vllm serve RUN/model",
    "sample x.yaml": "run r1kit generate x.yaml",
    "inspect 'my rows.csv'": "run r1kit data inspect 'my rows.csv'",
    "resume runs/zero": "give the command of the run again",
    "tensorboard runs/zero": "run r1kit watch runs/zero",
    "list": "run r1kit runs",
    "help": "run r1kit --help, or r1kit STAGE --help",
    "help sft": "run r1kit --help, or r1kit STAGE --help",
    "version": "run r1kit --version",
    "config sft": "run r1kit fields sft",
    "new tiny": "run r1kit init tiny",
    "dpo x.yaml": "run r1kit reward-model",
    "reward_model x.yaml": "run r1kit reward-model x.yaml",
    "x.yaml": "a recipe stands after its stage; run r1kit STAGE x.yaml",
    "runs/zero": "run r1kit chat runs/zero",
    "sfft x.yaml": "did you mean sft?",
}
OPTIONS = {
    "-help": "did you mean --help?",
    "--hepl": "did you mean --help?",
    "sft -help": "did you mean --help?",
    "-V": "did you mean --version?",
    "--dry-run sft x.yaml": "write it after the command, such as r1kit rl-zero --dry-run",
    "sft --config x.yaml": "name the recipe's file before all options: r1kit sft RECIPE.yaml",
    "sft x.yaml --wandb": "write trl.report_to=wandb",
    "sft x.yaml --lr 1e-5": "write training.learning_rate=1e-5",
    "sft x.yaml --LR=1e-5": "write training.learning_rate=1e-5",
    "sft x.yaml -lr 1e-5": "-lr: no such option; write training.learning_rate=1e-5",
    "sft x.yaml --learning-rate 1e-5": "write training.learning_rate=1e-5",
    "sft x.yaml --training.steps 50": "write training.steps=50",
    "sft x.yaml --epochs 3": "write training.epochs=3",
    "sft x.yaml --bs 8": "write training.batch_size=8",
    "sft x.yaml --output-dir a": "did you mean --output?",
    "sft x.yaml -o a": "did you mean --output?",
    "sft x.yaml --num_processes 2": "did you mean --num-processes?",
    "sft x.yaml --gpus 8": "did you mean --num-processes?",
    "sft x.yaml --deepspeed ds.json": "did you mean --accelerate-config?",
    "sft x.yaml --force": "did you mean --overwrite?",
    "sft x.yaml --resume": "leave it out: the same command goes on where the run stopped",
    "sft x.yaml --lora": "write model.lora=true",
    "sft x.yaml --bf16": "write model.dtype=bfloat16",
    "sft x.yaml --load-in-4bit": "write model.quantize=4bit",
    "sft x.yaml --max-seq-length 2048": "write training.max_length=2048",
    "sft x.yaml --adam_beta2 0.95": "write trl.adam_beta2=0.95",
    "rl x.yaml --beta 0.01": "write training.kl=0.01",
    "rl x.yaml --num_generations 8": "write sampling.group_size=8",
    "rl x.yaml --report_to wandb": "write trl.report_to=wandb",
    "eval --server http://a/v1": "write sampling.server.urls=http://a/v1 sampling.engine=openai",
    "eval --limit 3": "write data.eval.0.rows=3",
    "eval --temperature 0": "write sampling.temperature=0",
    "eval -n 4": "write sampling.samples=4",
    "eval --models a": "did you mean --model?",
    "chat runs/zero --temp 1": "did you mean --temperature?",
    "chat runs/zero --max_new_tokens 8": "did you mean --max-tokens?",
    "chat --model runs/zero": "write runs/zero without an option: r1kit chat runs/zero",
    "report --run runs/zero": "write runs/zero without an option: r1kit report runs/zero",
    "data inspect rows.jsonl --split test": "write split=test",
    "data --inspect rows.jsonl": "run r1kit data inspect PATH",
    "sft x.yaml --output": "--output: needs a value; write --output VALUE",
    "sft x.yaml --dry-run=true": "--dry-run: takes no value; write --dry-run alone",
    "sft x.yaml --output a --output b": "--output: stands 2 times in this command; keep one of them",
    "sft --model a --model b": "--model = a, b; stands 2 times in this command, and sft takes one model; keep one",
    "sft x.yaml --model a model.path=b": "model.path = b; an option of this command sets it too; keep one of the two",
    "eval --model a,b": "--model = a,b; names one model; write --model a --model b",
    "distill --teacher big/model": "write teacher.path=big/model",
    "eval --model a --model a": "the name a stands for a already",
    "eval --model a= --dataset rows.jsonl": "--model = a=; names no path after =; write a=PATH, or a alone",
    "eval --model =a --dataset rows.jsonl": "write --model a",
    "sft x.yaml --model base=a": "and sft takes the path alone; write --model a",
    "sft x.yaml --model ''": 'model.path = ""; must not be empty',
    "sft x.yaml --output ''": 'output = ""; must not be empty',
    "sft x.yaml --dataset ''": 'data.train.0.path = ""; must not be empty',
    "sft x.yaml --bf16 false": "leave it out, or write model.dtype=float32",
}
WORDS = {
    "sft training.steps 5": "write training.steps=5, without spaces",
    "sft x.yaml training.steps = 5": "write training.steps=5, without spaces",
    "sft x.yaml training.steps= 5": "write training.steps=5, without spaces",
    "sft x.yaml training.steps =5": "write training.steps=5, without spaces",
    "sft x.yaml training.steps:5": "write training.steps=5",
    "sft x.yaml +training.steps=5": "write training.steps=5",
    "sft x.yaml steps": "write training.steps=...",
    "sft x.yaml y.yaml": "a command reads one recipe, which stands first",
    "sft x.yaml rows.jsonl": "write --dataset rows.jsonl",
    "sft rows.jsonl": "write --dataset rows.jsonl",
    "sft folder": "name one of its files, such as dev1.yaml",
    "sft another-recipe.yaml": "r1kit init NAME copies a shipped recipe",
    "sft help": "run r1kit sft --help",
    "sft x.yaml –output a": "write --output",  # as a web page prints it
    "sft —output a": "write --output",
    "rl runs/zero": "write --model runs/zero",
    "sft Qwen/Qwen2.5-1.5B": "write --model Qwen/Qwen2.5-1.5B or --dataset",
    "eval help": "run r1kit eval --help",
    "eval temperature 0": "write sampling.temperature=0, without spaces",
    "eval rows.jsonl": "write --dataset rows.jsonl",
    "data inspect rows.jsonl split test": "write split=test",
    "data inspect": "run r1kit data inspect PATH",
    "rewards rows.jsonl --rewards judge urls=http://a/v1": "write judge.server.urls=http://a/v1",
    "chat runs/zero 'What is 1 + 2?'": "write echo 'What is 1 + 2?' | r1kit chat MODEL",
    "init tinny": "did you mean tiny?",
    "fields lr": "did you mean training.learning_rate?",
    "fields sft lr": "did you mean training.learning_rate?",
    "fields per_device_train_batch_size": "did you mean training.micro_batch_size?",
    "answer org/model 'What is 3 + 4?'": "pipe it: echo 'What is 3 + 4?' | r1kit answer org/model -",
    "answer org/model none.jsonl": "QUESTIONS = none.jsonl; no such file",
    "answer org/model rows.jsonl --method majority@4": "did you mean vote@4?",
    "plan --model org/model": "write model.path=org/model",
}
KEYS = {
    "sft x.yaml lr=1e-5": "write training.learning_rate=1e-05",
    "sft x.yaml training.lr=1e-5": "did you mean learning_rate?",
    "sft x.yaml training.step=5": "did you mean steps?",
    "sft x.yaml epochs=2": "write training.epochs=2",
    "sft x.yaml learning_rat=1": "did you mean training.learning_rate?",
    "sft x.yaml lora=true": "write model.lora=true",
    "sft x.yaml use_peft=true": "write model.lora=true",
    "sft x.yaml qlora=true": "write model.quantize=4bit",
    "sft x.yaml model.lora.target_modules=[q_proj]": "did you mean targets?",
    "sft x.yaml model=Qwen/Qwen2.5-1.5B": "write model.path=Qwen/Qwen2.5-1.5B",
    "sft x.yaml model.lora=16": "write model.lora.r=16",
    "sft x.yaml dataset=rows.jsonl": "write data.train=rows.jsonl",
    "sft x.yaml data.train.rows=5": "such as data.train.0.rows",
    "sft x.yaml data.train[0].row=5": "data.train.0.row = 5; no such key; did you mean rows?",
    "sft x.yaml prompt=chat": "write prompt.template=chat",
    "sft x.yaml output_dir=a": "did you mean output?",
    "sft x.yaml per_device_train_batch_size=8": "write training.micro_batch_size=8",
    "sft x.yaml gradient_accumulation_steps=8": "write training.batch_size=...",
    "sft x.yaml report_to=wandb": "write trl.report_to=wandb",
    "sft x.yaml wandb=true": "write trl.report_to=wandb",
    "rl x.yaml sampling.engine=vllm": "write trl.use_vllm=true",
    "rl x.yaml temperature=1": "write sampling.temperature=1",
    "rl x.yaml reward_funcs=[accuracy]": "did you mean rewards?",
    "rl x.yaml rewards=accuracy,format": "write 'rewards=[accuracy,format]'",
    "rl x.yaml model.dtype=bf16": "did you mean bfloat16?",
    "sft x.yaml training.schedule=linaer": "did you mean linear?",
    "eval x.yaml sampling.engine=sglang": "did you mean openai?",
    "eval x.yaml sampling.urls=http://a/v1": "write sampling.server.urls=http://a/v1",
    "sft x.yaml prompt.template=chatml": "did you mean chat?",
    "rl x.yaml actor_rollout_ref.rollout.n=8": "write sampling.group_size=8",
    "rl x.yaml algorithm.kl_ctrl.kl_coef=0.01": "write training.kl=0.01",
    "rl x.yaml gpu_memory_utilization=0.5": "write trl.vllm_gpu_memory_utilization=0.5",
    "rl x.yaml rewards.accuracy=1": "write 'rewards=[{name: accuracy, weight: 1}]'",
    "rl x.yaml trl=report_to=wandb": "write trl.report_to=wandb",
    "rl x.yaml trl.lr=1e-3": "did you mean training.learning_rate?",
    "sft x.yaml deepspeed=zero3.json": "pass --accelerate-config FILE",
    "sft x.yaml data.train.0.columns=question": "write data.train.0.columns.prompt=question",
    "eval a split=test": "write data.eval.0.split=test, or suite.NAME.split of a benchmark",
    "eval a rows=9": "write data.eval.0.rows=9, or suite.NAME.rows of a benchmark",
    "sft x.yaml rows=9": "write data.train.0.rows=9",
    "rl x.yaml qlora=false": "leave it out, or write model.quantize=null",
    "rl x.yaml bf16=false": "leave it out, or write model.dtype=float32",
    "rl x.yaml flash_attn=off": "leave it out, or write model.attention=sdpa",
    "rl x.yaml lora=false": "write model.lora=false",
    "rl x.yaml use_vllm=false": "write trl.use_vllm=false",
    "sft x.yaml use_vllm=false": "use_vllm = false; no such key; leave it out",
    "sft x.yaml model.quantize=false": "leave it out, or write model.quantize=null",
    "sft x.yaml card.push_to_hub=false": "leave it out, or write card.push_to_hub=null",
    "sft x.yaml push_to_hub=true": "write card.push_to_hub=...",
    "sft x.yaml wandb=false": "leave it out, or write trl.report_to=none",
    "sft x.yaml wandb=my_project": "write trl.report_to=wandb, and set WANDB_PROJECT=my_project before the command",
    "sft x.yaml wandb_project=p": "write trl.report_to=wandb, and set WANDB_PROJECT=p before the command",
    "sft x.yaml trackio=p": "write trl.report_to=trackio, and write trl.project=p",
    "sft x.yaml dataset_text_field=body": "write data.train.0.columns.text=body",
    "sft x.yaml dataset_text_field=text": "leave it out: a column called text is read as that",
    "eval a answer_column=target": "write data.eval.0.columns.answer=target",
    "eval a answer_key=target": "write data.eval.0.columns.answer=...",
    "rl x.yaml reward=accuracy": "write 'rewards=[accuracy]'",
    "rl x.yaml reward=acc,fmt": "write 'rewards=[accuracy, format]'",
    "sft x.yaml wandb.project=p": "write trl.report_to=wandb, and set WANDB_PROJECT=p before the command",
    "sft x.yaml 'trl.report_to={project: p}'": "must be the name of a tracker, or a list of names",
    "sft x.yaml trl.fsdp=full_shard": "pass --accelerate-config FILE",
    "sft x.yaml sequence_len=9": "write training.max_length=9",
    "sft x.yaml sample_packing=true": "write training.packing=true",
    "sft x.yaml train_on_inputs=true": "write training.loss_on=everything",
    "rl x.yaml data.max_prompt_length=9": "leave it out: a prompt has the room that sampling.max_tokens leaves",
    "rl x.yaml algorithm.adv_estimator=grpo": "leave it out: the advantages are those of GRPO",
    "rl x.yaml judge.urls=http://a/v1": "write it as an entry of rewards: {name: judge, model: NAME",
    "rl x.yaml trainer.logger=wandb": "write trl.report_to=wandb",
    "rl x.yaml resume_from_checkpoint=true": "leave it out: the same command goes on where the run stopped",
    "generate x.yaml api_key=sk-abc": "set OPENAI_API_KEY before the command",
    "generate x.yaml sampling.server=http://a/v1": "write sampling.server.urls=http://a/v1",
}


@pytest.mark.usefixtures("_files")
@pytest.mark.parametrize(("line", "action"), [*COMMANDS.items(), *OPTIONS.items(), *WORDS.items(), *KEYS.items()])
def test_a_wrong_word_is_answered_by_what_to_type(line, action, monkeypatch):
    assert action in error_of(line, monkeypatch)


def test_wrong_paths_and_rewards_are_answered_too():
    """These are looked at when the stage runs, not when its recipe is read."""
    with pytest.raises(UserError, match=r"write several as a list, such as \[a, b\], or give an option for each"):
        resolve_data_path("a.jsonl,b.jsonl")
    with pytest.raises(UserError, match=r"write data.train=rows.jsonl without an option before it"):
        resolve_data_path("data.train=rows.jsonl")
    with pytest.raises(UserError, match=r"rewards.0.name = acc; no such reward; did you mean accuracy\?"):
        resolve_reward(RewardConfig(name="acc"))


# What people write in a recipe, and that is right


@pytest.mark.parametrize(("value", "rank"), [(True, 16), ("yes", 16), ({"r": 8}, 8), (False, None), (None, None)])
def test_lora_may_be_switched_on(value, rank):
    lora = parse_recipe("sft", {"model": {"path": "m", "lora": value}}).model.lora
    assert (lora.r if lora else None) == rank


def test_other_blocks_that_may_be_left_out_are_switched_on_alike():
    recipe = parse_recipe("eval", {"scaling": True})
    assert recipe.scaling == parse_recipe("eval", {"scaling": {}}).scaling
    assert recipe.scaling is not None
    assert parse_recipe("generate", {"refine": True}).refine == parse_recipe("generate", {"refine": {}}).refine


def test_rewards_may_be_named_alone():
    recipe = parse_recipe("rl", {"rewards": ["accuracy", {"name": "format", "weight": 0.5}]})
    assert [(reward.name, reward.weight) for reward in recipe.rewards] == [("accuracy", 1.0), ("format", 0.5)]


def test_addresses_may_stand_with_commas():
    server = parse_recipe("eval", {"sampling": {"server": {"urls": "http://a/v1, http://b/v1"}}}).sampling.server
    assert server.urls == ["http://a/v1", "http://b/v1"]


@pytest.mark.parametrize("words", [("suite", "suite.aime24.samples"), ("suite.aime24.samples", "suite")])
def test_a_setting_of_one_benchmark_stays_beside_the_name_of_its_suite(words):
    values = {"suite": "mathematics", "suite.aime24.samples": 3}
    suite = load_recipe("eval", None, {"model.path": "m", **{word: values[word] for word in words}}).suite
    assert (suite["aime24"].samples, len(suite)) == (3, len(SUITES["mathematics"]))


def test_fields_stand_after_short_forms_of_their_blocks():
    values = {"model.path": "m", "output": "run", "data.train.0.rows": 5, "data.train": "a.jsonl"}
    recipe = load_recipe("rl", None, {**values, "rewards": ["accuracy"], "rewards.0.weight": 2})
    assert (recipe.data.train[0].path, recipe.data.train[0].rows) == ("a.jsonl", 5)
    assert [(reward.name, reward.weight) for reward in recipe.rewards] == [("accuracy", 2)]
    values = {"models": ["a", "b"], "models.b.prompt.template": "chat", "output": "run", "data.eval": "p.jsonl"}
    models = load_recipe("eval", None, values).models
    assert [model.prompt and model.prompt.template for model in models.values()] == [None, "chat"]


# The table itself


def test_every_suggestion_of_the_table_exists():
    """A renamed command, option or field must be renamed in the table too."""
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {name.partition(" ")[0] for name in synonyms.RENAMED_COMMANDS} <= commands
    keys = {entry.key.replace(".N", ".0") for stage in STAGES for entry in list_fields(stage)}
    assert {key for key in synonyms.KEYS if not key.startswith("trl.")} <= keys
    for block, field in synonyms.BLOCK_FIELDS.items():
        assert any(key.endswith(f"{block}.{field}") for key in keys)
    last_names = {key.rpartition(".")[2] for key in keys} | {"report_to", "use_vllm"}
    assert set(synonyms.VALUES) <= last_names
    assert set(synonyms.OFF_VALUES) <= last_names
    assert set(synonyms.TRACKER_PROJECTS) <= set(synonyms.VALUES["report_to"])
    assert set(synonyms.COLUMNS) <= {*COLUMNS, "text"}
    assert set(synonyms.VALUES["rewards"]) <= set(REWARDS)


def test_no_command_stands_in_the_table_as_a_wrong_word():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    words = {word for words in synonyms.RENAMED_COMMANDS.values() for word in words.split()}
    assert not commands & (words | set(synonyms.COMMAND_ACTIONS))


def test_a_setting_without_its_value_is_written_with_dots():
    assert suggest_setting(recipe_class("sft"), "lr") == "write training.learning_rate=..."
    assert suggest_setting(recipe_class("sft"), "nothing_like_it") == ""
