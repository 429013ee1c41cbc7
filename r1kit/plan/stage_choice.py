"""Which stage a recipe's file is for: its run says so, a script beside it, or its keys.

choose_stage("recipes/tiny/dev1.yaml")      "sft", since recipes/tiny/run.sh says `stage sft dev1 dev1`
"""

import json
import re
from pathlib import Path

from r1kit.errors import UserError
from r1kit.recipe import load_recipe
from r1kit.stages import STAGES

# Stages that read the keys of another one, and are planned as it is: a recipe that several can read is one of these.
_STANDS_FOR = {"sft": {"sft", "distill", "reward-model"}, "rl": {"rl", "rl-zero"}}


def choose_stage(file: str) -> str:
    """Return the stage of a recipe's file. Raises UserError where several stages can read it, or none."""
    path = Path(file)
    stage = _stage_of_run(path) or stage_in_scripts(path)
    if stage is not None:
        return stage
    errors: dict[str, UserError] = {}
    readable = []
    for name in STAGES:
        try:
            load_recipe(name, file, {})
            readable.append(name)
        except UserError as error:
            errors[name] = error
    named = path.stem.replace("_", "-")
    if named in readable:
        return named
    for name, stages in _STANDS_FOR.items():
        if name in readable and set(readable) <= stages:
            return name
    if len(readable) == 1:
        return readable[0]
    if not readable:
        # All stages refuse a file that is missing or no YAML with the same words.
        if len({str(error) for error in errors.values()}) == 1:
            raise next(iter(errors.values()))
        raise UserError("recipe", file, "is no stage's recipe", f"write r1kit plan STAGE {file}, which says why")
    action = f"write r1kit plan STAGE {file}"
    raise UserError("recipe", file, f"can be a recipe of {', '.join(readable)}", action)


def _stage_of_run(path: Path) -> str | None:
    """Return the stage of the run that a recipe is the record of."""
    try:
        stage = json.loads((path.parent / "run.json").read_text()).get("stage")
    except (OSError, ValueError, AttributeError):
        return None
    return stage if stage in STAGES else None


def stage_in_scripts(path: Path) -> str | None:
    """Return the stage with which a script in the same folder calls the recipe, if all calls have the same."""
    names = "|".join(STAGES)
    stem = re.escape(path.stem)
    calls = re.compile(rf"(?:r1kit|stage)\s+({names})\s+\S*?\b{stem}(?:\.yaml)?\b")
    stages = set()
    for script in sorted(path.parent.glob("*.sh")):
        stages |= set(calls.findall(script.read_text(errors="replace")))
    return stages.pop() if len(stages) == 1 else None
