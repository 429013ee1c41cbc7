"""The card of a trained model, beside its weights, and the way to the hub."""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from r1kit.errors import UserError
from r1kit.recipe import CardConfig, PromptConfig, RLRecipe, SFTRecipe, dump_recipe
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.version import __version__

CARD_METRICS = (
    "loss",
    "eval_loss",
    "reward",
    "eval_reward",
    "completions/mean_length",
    "mean_token_accuracy",
    "entropy",
)
LOAD = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{path}")
tokenizer = AutoTokenizer.from_pretrained("{path}")
```

`vllm serve {path}`, `transformers serve` and `r1kit chat {path} --template {template}` take it as it is; llama.cpp's
`convert_hf_to_gguf.py` makes a GGUF file of it."""
ADAPTER = """```python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("{path}")
```

`r1kit chat {path} --template {template}` takes it as it is; `r1kit merge {path} -o FOLDER` makes a plain model."""


def lineage(run: Run, depth: int = 0) -> list[str]:
    """Return where a run comes from, as a nested list."""
    lines = []
    for parent in run.info.get("parents", []):
        made = f", `r1kit {parent['stage']}`" if parent.get("stage") else ""
        lines.append(f"{'  ' * depth}- {parent['role']}: {parent['path']}{made}")
        if parent.get("stage") and depth < 12:
            lines += lineage(Run(Path(parent["path"])), depth + 1)
    return lines


def last_metrics(run: Run, until: float = math.inf) -> dict[str, float]:
    """Return the last value of each metric that tells something, up to a step."""
    found: dict[str, float] = {}
    for line in run.metrics_file.read_text().splitlines() if run.metrics_file.exists() else []:
        values = json.loads(line)
        if values.get("step", 0) > until:
            continue
        shown = {
            k: v for k, v in values.items() if k in CARD_METRICS or (k.startswith("rewards/") and k.endswith("/mean"))
        }
        found |= {k: v for k, v in shown.items() if isinstance(v, int | float)}
    return found


def model_card(run: Run, recipe: SFTRecipe | RLRecipe) -> str:
    """Return the README.md of a run's model: front matter for the hub, lineage, metrics, recipe, how to load it."""
    info, card = run.info, recipe.card
    adapter = (run.path / "model" / "adapter_config.json").exists()
    front: dict[str, Any] = {"library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"}
    if card.license:
        front["license"] = card.license
    if card.language:
        front["language"] = card.language
    if recipe.model.path and not Path(recipe.model.path).exists() and "/" in recipe.model.path:
        front["base_model"] = recipe.model.path
    front["tags"] = ["r1kit", "reasoning", str(info.get("stage")), *card.tags]
    place = card.push_to_hub or str(run.path / "model")
    template = recipe.prompt.template if recipe.prompt.template in ("r1-zero", "tiny", "chat") else "'...{prompt}...'"
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {run.path.name}",
        "",
    ]
    lines += [card.about, ""] if card.about else []
    seconds, tokens = info.get("seconds"), info.get("tokens")
    made = [f"seed {recipe.seed}", f"{info.get('steps')} steps"]
    made += [f"{tokens} tokens"] if tokens else []
    made += [f"{seconds:.0f} s before the last session"] if seconds else []
    lines.append(f"Made by `r1kit {info.get('stage')}` {__version__}: {', '.join(made)}.")
    step, steps = info.get("model_step"), info.get("steps")
    best = step is not None and steps is not None and step < steps
    title = (
        f"At step {step}, whose evaluation was the best: its weights are these" if best else "At the end of training"
    )
    lines += ["", "## Where it comes from", "", *lineage(run), "", f"## {title}", ""]
    metrics = last_metrics(run, step if best else math.inf)
    lines += ["| | |", "| --- | --- |", *(f"| {k} | {v:.4g} |" for k, v in metrics.items()), ""]
    lines += [
        "## How to ask it",
        "",
        describe_prompt(recipe.prompt),
        "",
        "## How to load it",
        "",
        (ADAPTER if adapter else LOAD).format(path=place, template=template),
        "",
    ]
    versions = ", ".join(f"{k} {v}" for k, v in info.get("versions", {}).items())
    lines += ["## Recipe", "", "```yaml", dump_recipe(recipe).strip(), "```", "", versions, ""]
    return "\n".join(lines)


def describe_prompt(prompt: PromptConfig) -> str:
    """Return how a prompt is put, in words."""
    if prompt.template == "chat":
        parts = ["By its chat template."]
        parts += ["With the system message", fenced(prompt.system)] if prompt.system else []
    else:
        parts = ["By this template (`prompt.template` of r1kit):", fenced(prompt.template)]
    parts += ["Its completion begins with", fenced(prompt.prefill)] if prompt.prefill else []
    return "\n\n".join(parts)


def fenced(text: str) -> str:
    """Return text as a block that Markdown leaves as it is."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def write_card(run: Run, recipe: SFTRecipe | RLRecipe) -> None:
    """Write the card, and send the model to the hub where the recipe says so. Raises UserError where that fails."""
    write_file(run.path / "model" / "README.md", model_card(run, recipe))
    if recipe.card.push_to_hub:
        run.update(hub=push_model(run.path / "model", recipe.card))


def push_model(folder: Path, card: CardConfig) -> str:
    """Send a model's folder to the hub and return its address. Raises UserError where that fails."""
    from huggingface_hub import HfApi

    name, api = card.push_to_hub or "", HfApi()
    try:
        name = api.create_repo(name, private=card.private, exist_ok=True).repo_id  # with whose it is
        api.upload_folder(folder_path=folder, repo_id=name, commit_message="Trained by r1kit")
    except Exception as error:  # no network, no token, no right to write there: each library has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        do = f"the model is whole in {folder}; log in with `hf auth login`, then the same command again"
        raise UserError("card.push_to_hub", name, f"could not be sent: {reason}", do) from None
    return f"https://huggingface.co/{name}"
