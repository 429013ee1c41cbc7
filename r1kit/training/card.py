"""The card of a trained model (README.md, beside its weights), and sending both to the Hugging Face hub.

A card says where the model comes from, what its metrics were at the end, how it is to be prompted and loaded, and from
which recipe it was trained. Its front matter is what the hub reads: license, languages, base model and tags.
"""

import json
import math
import re
from pathlib import Path

from r1kit.errors import UserError
from r1kit.recipe import CardConfig, PromptConfig, RewardModelRecipe, TrainingRecipe, dump_recipe
from r1kit.rewards.reward_models import describe_judged_text, write_judged_text
from r1kit.runs.files import write_file
from r1kit.runs.reading import read_json_lines
from r1kit.runs.run import Run
from r1kit.runs.trained_prompt import write_trained_prompt
from r1kit.safe_text import mask_secrets, mask_text
from r1kit.version import __version__

CARD_METRICS = (
    "loss",
    "eval_loss",
    "accuracy",
    "eval_accuracy",
    "margin",
    "reward",
    "eval_reward",
    "completions/mean_length",
    "mean_token_accuracy",
    "entropy",
)
MAX_LINEAGE_DEPTH = 12
"""Generations of parent runs on a card; more are found only where runs name each other in a circle."""

MODEL_USAGE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{path}")
tokenizer = AutoTokenizer.from_pretrained("{path}")
```

`vllm serve {path}`, `transformers serve` and `r1kit chat {path} --template {template}` take it as it is; llama.cpp's
`convert_hf_to_gguf.py` makes a GGUF file of it."""
ADAPTER_USAGE = """```python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("{path}")
```

`r1kit chat {path} --template {template}` takes it as it is; `r1kit merge {path} -o FOLDER` makes a plain model."""

REWARD_MODEL_USAGE = """```yaml
rewards: [{{name: preference, model: {path}}}]    # in a recipe of r1kit
```

```python
from r1kit.rewards import preference

scores = preference(["Paris."], prompts=["What is the capital of France?"], model="{path}")
```

`AutoModelForSequenceClassification.from_pretrained("{folder}")` loads it; it has one label, the score."""


def model_card(run: Run, recipe: TrainingRecipe) -> str:
    """Return the README.md of a run's model, in Markdown with front matter for the hub."""
    sections = [
        f"# {run.path.name}",
        recipe.card.about,
        _describe_training(run, recipe),
        "## Where it comes from",
        "\n".join(lineage(run)),
        *_metrics_section(run),
        "## How to prompt it",
        describe_prompt(recipe.prompt),
        "## How to load it",
        _describe_usage(run, recipe),
        "## Recipe",
        f"```yaml\n{dump_recipe(recipe).strip()}\n```",
        ", ".join(f"{name} {version}" for name, version in run.info.get("versions", {}).items()),
    ]
    text = "\n\n".join(section for section in sections if section)
    return f"---\n{_front_matter(run, recipe)}\n---\n\n{text}\n"


def _front_matter(run: Run, recipe: TrainingRecipe) -> str:
    """Return the YAML that the hub reads."""
    from huggingface_hub import ModelCardData

    base = recipe.model.path or ""
    # The hub shows a base model as a link, which a local path cannot be.
    is_hub_id = "/" in base and not Path(base).exists()
    data = ModelCardData(
        library_name="peft" if _is_adapter(run) else "transformers",
        pipeline_tag="text-classification" if isinstance(recipe, RewardModelRecipe) else "text-generation",
        license=recipe.card.license or None,
        language=recipe.card.language or None,
        base_model=base if is_hub_id else None,
        tags=["r1kit", "reasoning", str(run.info.get("stage")), *recipe.card.tags],
    )
    return data.to_yaml()


def _is_adapter(run: Run) -> bool:
    return (run.path / "model" / "adapter_config.json").exists()


def _describe_training(run: Run, recipe: TrainingRecipe) -> str:
    """Return such as "Made by `r1kit sft` 0.3.0: seed 0, 200 steps, 81920 tokens."."""
    info = run.info
    facts = [f"seed {recipe.seed}", f"{info.get('steps')} steps"]
    if info.get("tokens"):
        facts.append(f"{info['tokens']} tokens")
    if info.get("seconds"):
        facts.append(f"{info['seconds']:.0f} s before the last session")
    return f"Made by `r1kit {info.get('stage')}` {__version__}: {', '.join(facts)}."


def lineage(run: Run, depth: int = 0) -> list[str]:
    """Return the parents of a run, and theirs, as the lines of a nested list in Markdown."""
    lines = []
    # A parent that is a run has a stage; a hub id or a file has none.
    for parent in run.info.get("parents", []):
        made_by = f", `r1kit {parent['stage']}`" if parent.get("stage") else ""
        lines.append(f"{'  ' * depth}- {parent['role']}: {parent['path']}{made_by}")
        if parent.get("stage") and depth < MAX_LINEAGE_DEPTH:
            lines += lineage(Run(Path(parent["path"])), depth + 1)
    return lines


def _metrics_section(run: Run) -> list[str]:
    """Return the heading and the table of the metrics at the step whose weights the model has."""
    model_step, last_step = run.info.get("model_step"), run.info.get("steps")
    heading, until_step = "## At the end of training", math.inf
    if model_step is not None and last_step is not None and model_step < last_step:
        heading = f"## At step {model_step}, whose evaluation was the best: its weights are these"
        until_step = model_step
    rows = [f"| {name} | {value:.4g} |" for name, value in last_metrics(run, until_step).items()]
    return [heading, "\n".join(["| | |", "| --- | --- |", *rows])]


def last_metrics(run: Run, until_step: float = math.inf) -> dict[str, float]:
    """Return the last value of each metric that a card shows, up to a step."""
    metrics: dict[str, float] = {}
    for logs in read_json_lines(run.metrics_file):
        if logs.get("step", 0) > until_step:
            continue
        for name, value in logs.items():
            is_mean_reward = name.startswith("rewards/") and name.endswith("/mean")
            if (name in CARD_METRICS or is_mean_reward) and isinstance(value, int | float):
                metrics[name] = value
    return metrics


def describe_prompt(prompt: PromptConfig) -> str:
    """Return in Markdown how a question is put to the model: template, system message and prefill."""
    if prompt.template == "chat":
        parts = ["By its chat template."]
        if prompt.system:
            parts += ["With the system message", format_code_block(prompt.system)]
        if prompt.template_settings:
            arguments = json.dumps(mask_secrets(prompt.template_settings), ensure_ascii=False)
            parts += ["With these arguments of the template", format_code_block(arguments)]
    else:
        parts = ["By this template (`prompt.template` of r1kit):", format_code_block(prompt.template)]
    if prompt.prefill:
        parts += ["Its completion begins with", format_code_block(prompt.prefill)]
    return "\n\n".join(parts)


def format_code_block(text: str) -> str:
    """Return text as a code block of Markdown, whose fence is longer than any run of backticks in the text."""
    longest_run = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest_run + 1)
    return f"{fence}text\n{text}\n{fence}"


def _describe_usage(run: Run, recipe: TrainingRecipe) -> str:
    if isinstance(recipe, RewardModelRecipe):
        path = recipe.card.push_to_hub or str(run.path)
        return REWARD_MODEL_USAGE.format(path=path, folder=recipe.card.push_to_hub or f"{run.path}/reward_model")
    path = recipe.card.push_to_hub or str(run.path / "model")
    template = recipe.prompt.template
    if template not in ("r1-zero", "tiny", "chat"):
        template = "'...{prompt}...'"
    usage = ADAPTER_USAGE if _is_adapter(run) else MODEL_USAGE
    return usage.format(path=path, template=template)


def write_card(run: Run, recipe: TrainingRecipe, model_dir: Path) -> None:
    """Write the card of a run's model in `model_dir`, and send both to the hub where the recipe names a repository.

    Raises UserError where the hub does not take them.
    """
    write_file(model_dir / "README.md", mask_text(model_card(run, recipe)))
    write_trained_prompt(recipe.prompt, model_dir)
    if isinstance(recipe, RewardModelRecipe):
        write_judged_text(describe_judged_text(recipe), model_dir)
    if recipe.card.push_to_hub:
        run.update(hub=push_model(model_dir, recipe.card, recipe.trl.get("hub_token")))


def push_model(model_dir: Path, card: CardConfig, token: str | None = None) -> str:
    """Send a model's directory to the hub and return its address. Raises UserError where that fails.

    Without a `token`, that of the environment (HF_TOKEN) or of `hf auth login` is taken.
    """
    from huggingface_hub import HfApi

    repository = card.push_to_hub or ""
    api = HfApi(token=token) if token else HfApi()
    try:
        # The hub returns the id with the user's name, where the recipe has none.
        repository = api.create_repo(repository, private=card.private, exist_ok=True).repo_id
        api.upload_folder(folder_path=model_dir, repo_id=repository, commit_message="Trained by r1kit")
    except Exception as error:  # no network, no token, no right to write: each library has exceptions of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        action = f"the model is complete in {model_dir}; log in with `hf auth login`, then repeat the same command"
        raise UserError("card.push_to_hub", repository, f"could not be sent: {reason}", action) from None
    return f"https://huggingface.co/{repository}"
