"""The method of inference-time scaling that `r1kit answer` uses: as it is typed, and as it was recommended.

parse_method("stop@16,by=verifier,sure=0.9")
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.errors import UserError, suggest
from r1kit.messages import logger
from r1kit.recipe import EvalRecipe, load_recipe
from r1kit.runs.lineage import content_hash
from r1kit.runs.reading import read_json_object, read_parents
from r1kit.runs.run import Run
from r1kit.scaling.methods import ScalingPoint
from r1kit.scaling.recommend import Recommendation, method_option
from r1kit.synonyms import METHODS as METHOD_WORDS
from r1kit.synonyms import words_meaning

RUNS_DIR = Path("runs")
"""The folder where runs usually are; it is searched besides the folder of the model's run."""

METHODS_WITH_COUNT = ("vote", "best", "stop", "direct", "budget", "wait", "beam", "dvts")
METHODS = ("greedy", "sample", *METHODS_WITH_COUNT)
METHODS_WITH_SCORE = ("vote", "best", "stop")
METHODS_WITH_CERTAINTY = ("stop", "direct")
DEFAULT_CERTAINTY = 0.9
METHOD_EXAMPLES = "write it as greedy, sample, vote@8, best@8,by=logprob or stop@16,sure=0.9"


@dataclass(frozen=True)
class MethodChoice:
    """A method with its settings."""

    method: str
    """One of METHODS."""
    count: int = 1
    """Samples, direct answers, tokens of the budget, waits or paths."""
    score: str | None = None
    """What samples are chosen or weighted by: `shortness`, `logprob`, `verifier` or the name of a reward."""
    sure: float | None = None

    @property
    def option(self) -> str:
        """The method as `parse_method` reads it."""
        if self.method in ("greedy", "sample"):
            return self.method
        option = f"{self.method}@{self.count}"
        if self.score:
            option += f",by={self.score}"
        if self.sure:
            option += f",sure={self.sure:g}"
        return option

    @property
    def needs_verifier(self) -> bool:
        return self.score == "verifier" or self.method in ("beam", "dvts")


def parse_method(text: str) -> MethodChoice:
    """Return the method that `text` names. Raises UserError if it names none."""
    head, *settings = text.split(",")
    method, _, count_text = head.partition("@")
    if method not in METHODS:
        similar_methods = words_meaning(METHOD_WORDS, method)
        if similar_methods:
            action = f"did you mean {text.replace(method, similar_methods[0], 1)}?"
            raise UserError("--method", text, "no such method", action)
        raise UserError("--method", text, "no such method", suggest(method, METHODS))
    count = 1
    if method in METHODS_WITH_COUNT:
        if not count_text.isdecimal() or int(count_text) < 1:
            raise UserError("--method", text, f"needs a number after {method}@", METHOD_EXAMPLES)
        count = int(count_text)
    elif count_text:
        raise UserError("--method", text, f"{method} has no number", METHOD_EXAMPLES)
    score = None
    sure = DEFAULT_CERTAINTY if method in METHODS_WITH_CERTAINTY else None
    for setting in settings:
        name, _, value = setting.partition("=")
        if name == "by" and value and method in METHODS_WITH_SCORE:
            score = value
        elif name == "sure" and method in METHODS_WITH_CERTAINTY:
            sure = _parse_certainty(text, value)
        else:
            raise UserError("--method", text, f"{method} has no setting {setting}", METHOD_EXAMPLES)
    if method == "best" and score is None:
        requirement = "best needs what the best is chosen by"
        raise UserError("--method", text, requirement, "add ,by=logprob or ,by=shortness or ,by=verifier")
    return MethodChoice(method, count, score, sure)


def _parse_certainty(text: str, value: str) -> float:
    try:
        sure = float(value)
    except ValueError:
        sure = 0.0
    if not 0 < sure <= 1:
        raise UserError("--method", text, "sure must be above 0 and at most 1", METHOD_EXAMPLES)
    return sure


@dataclass(frozen=True)
class MeasuredModel:
    """What an eval run has measured of one model."""

    run_dir: Path
    model: str
    measured_path: str
    """The path under which the run has measured the model."""
    recommended: list[Recommendation]
    points: list[ScalingPoint]

    def recipe_with(self, changes: dict[str, Any]) -> EvalRecipe:
        """Return the recipe by which the model was measured, as if it were the only one, with `changes` of its keys.

        Raises UserError if the recipe cannot be read or a change is not possible.
        """
        recipe = load_recipe("eval", str(self.run_dir / "recipe.yaml"), changes)
        assert isinstance(recipe, EvalRecipe)
        prompt = recipe.prompt
        for evaluated in recipe.models.values():
            if evaluated.path == self.measured_path:
                prompt = evaluated.prompt or prompt
        model_config = recipe.model.model_copy(update={"path": self.model})
        return recipe.model_copy(update={"models": {}, "model": model_config, "prompt": prompt})

    def expectation(self, choice: MethodChoice) -> Recommendation | None:
        """Return the figures of a method, if it is one of the recommended."""
        return next((row for row in self.recommended if row["method"] == choice.option), None)

    def choose(self, budget: float | None) -> MethodChoice:
        """Return the most accurate method that costs at most `budget` tokens a question, any number if that is None.

        Raises UserError if no method that was measured is so cheap.
        """
        affordable = [row for row in self.recommended if budget is None or row["tokens"] <= budget]
        if not affordable:
            cheapest = self.recommended[0]
            requirement = f"the cheapest method, {cheapest['method']}, takes {cheapest['tokens']:.1f} tokens a question"
            raise UserError("--budget", budget, requirement, f"raise it to at least {cheapest['tokens']:.1f}")
        return parse_method(affordable[-1]["method"])

    def measured_options(self) -> list[str]:
        """Return every method that was measured, as `--method` takes it."""
        options = [method_option(point) for point in self.points if point["method"] != "pass"]
        return list(dict.fromkeys(options))


def find_measured_model(model: str, scaling_run: str | None) -> MeasuredModel | None:
    """Return what was measured of `model` by the eval run `scaling_run`, else by the newest that is found.

    Without `scaling_run`, the runs beside the model's run and those below RUNS_DIR are looked at; None if none of them
    has measured the model with its weights of today. Raises UserError if `scaling_run` has not measured it.
    """
    if scaling_run is not None:
        run_dir = Path(scaling_run)
        if not (run_dir / "scaling.json").is_file():
            requirement = "is no eval run with a scaling.json"
            raise UserError("--scaling", scaling_run, requirement, "use the run of `r1kit eval` with scaling={}")
        entries = _read_entries(run_dir)
        entry = next((entry for entry in entries if _is_same_model(entry["path"], model, run_dir)), None)
        if entry is None:
            measured = ", ".join(str(entry["path"]) for entry in entries) or "no model"
            raise UserError("--scaling", scaling_run, f"has measured {measured}", f"measure {model} by `r1kit eval`")
        _check_weights(run_dir, entry["path"], model)
        return _measured_model(run_dir, entry, model)
    candidates: list[tuple[str, Path, dict[str, Any]]] = []
    for run_dir in _eval_run_dirs(model):
        for entry in _read_entries(run_dir):
            if _is_same_model(entry["path"], model, run_dir) and entry["recommended"]:
                if _has_other_weights(run_dir, entry["path"], model):
                    logger.info(f"{run_dir} has measured {model} with other weights, and is not used")
                    continue
                candidates.append((str(Run(run_dir).info.get("finished") or ""), run_dir, entry))
    if not candidates:
        return None
    _, run_dir, entry = max(candidates, key=lambda candidate: (candidate[0], str(candidate[1])))
    return _measured_model(run_dir, entry, model)


def _eval_run_dirs(model: str) -> list[Path]:
    folders = [RUNS_DIR]
    if Path(model).is_dir():
        folders.insert(0, Path(model).resolve().parent)
    files: dict[Path, Path] = {}
    for folder in folders:
        for pattern in ("*/scaling.json", "*/*/scaling.json"):
            for file in folder.glob(pattern):
                files.setdefault(file.resolve(), file)
    return [file.parent for file in files.values()]


def _read_entries(run_dir: Path) -> list[dict[str, Any]]:
    """Return the models of a scaling.json that say which methods to use."""
    models = read_json_object(run_dir / "scaling.json").get("models")
    if not isinstance(models, list):
        return []
    names = {"path", "recommended", "points"}
    return [entry for entry in models if isinstance(entry, dict) and names <= entry.keys() and entry["path"]]


def _is_same_model(measured: str, model: str, run_dir: Path) -> bool:
    """Return whether the path of a measured model names `model`; a run may have moved with the run that measured it."""
    if measured == model:
        return True
    if not Path(model).is_dir():
        return False
    folder = Path(model).resolve()
    return folder in (Path(measured).resolve(), run_dir.resolve().parent / Path(measured).name)


def _has_other_weights(run_dir: Path, measured: str, model: str) -> bool:
    """Return whether a model had other weights when it was measured."""
    if not Path(model).is_dir():
        return False
    for parent in read_parents(Run(run_dir).info):
        if (parent["role"], parent["path"]) == ("model", measured) and parent.get("content"):
            return parent["content"] != content_hash(Path(model), "model")
    return False


def _check_weights(run_dir: Path, measured: str, model: str) -> None:
    if _has_other_weights(run_dir, measured, model):
        logger.warning(f"{run_dir} has measured {model} with other weights; its figures may not hold")


def _measured_model(run_dir: Path, entry: dict[str, Any], model: str) -> MeasuredModel:
    if not entry["recommended"]:
        requirement = "had too few questions to say which method to use"
        raise UserError("--scaling", run_dir, requirement, "measure more questions, or choose one by --method")
    return MeasuredModel(run_dir, model, entry["path"], entry["recommended"], entry["points"])


def explain_missing_scaling(model: str) -> tuple[str, str]:
    """Return that no eval run has measured a model, and the command that does."""
    command = (
        f"r1kit eval --model {json.dumps(model) if ' ' in model else model} --dataset PROBLEMS --output runs/scaling "
        "sampling.temperature=1 sampling.samples=16 'scaling={}'"
    )
    return f"no eval run with scaling has measured {model}", f"measure what to use by `{command}`"


def require_affordable(model: str, budget: float | None) -> None:
    """Raise UserError if a budget is set for a model of which nothing was measured."""
    if budget is not None:
        requirement, action = explain_missing_scaling(model)
        raise UserError("--budget", budget, requirement, f"{action}, or choose one by --method")


def check_choice(choice: MethodChoice, recipe: EvalRecipe, reward_names: Sequence[str]) -> None:
    """Raise UserError if a method needs what the recipe does not have."""
    known_scores = ["shortness", "logprob", "verifier", *reward_names]
    if choice.score and choice.score not in known_scores:
        action = suggest(choice.score, known_scores)
        raise UserError("--method", choice.option, f"nothing scores by {choice.score}", action)
    scaling = recipe.scaling
    if choice.needs_verifier and (scaling is None or not scaling.verifier):
        raise UserError("--method", choice.option, "is guided by a verifier", "name its run by --verifier RUN")
    engine = recipe.sampling.engine
    if choice.method in ("beam", "dvts") and engine != "transformers":
        raise UserError("--method", choice.option, f"cannot run on the engine {engine}", "use the engine transformers")
    if choice.method in ("budget", "wait") and engine == "openai":
        raise UserError("--method", choice.option, "cannot run on a server", "use the engine transformers or vllm")
    if choice.method in ("beam", "dvts") and scaling is not None and choice.count % scaling.width:
        raise UserError("--method", choice.option, f"needs a multiple of {scaling.width} paths", METHOD_EXAMPLES)
