"""Several models of `eval`: how they are written, named and asked."""

import pytest
from helpers import r1kit, read_info, write_recipe

from r1kit.errors import UserError
from r1kit.recipe import parse_recipe
from r1kit.recipe.evaluated_models import name_models
from r1kit.stage_words import StageOptions, read_stage_recipe
from r1kit.stages import STAGES

DATA = {"data": {"eval": "world:facts"}, "output": "runs/e"}


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["runs/zero", "runs/r1"], ["zero", "r1"]),
        (["runs/zero/model", "runs/r1/model"], ["zero", "r1"]),
        (["Qwen/Qwen2.5-1.5B", "tiny:base"], ["Qwen2.5-1.5B", "tiny:base"]),
        (["a/r1", "b/r1", "c/zero"], ["a/r1", "b/r1", "zero"]),
        (["first=runs/r1", "runs/r1"], ["first", "r1"]),
        (["runs/lr=1"], ["lr=1"]),
    ],
)
def test_models_are_named_by_the_parts_of_their_paths_that_differ(models, names):
    assert list(name_models(models, "--model")) == names


def test_a_folder_with_an_equals_sign_is_a_path(here):
    (here / "lr=1").mkdir()
    assert name_models(["lr=1", "x=lr=1"], "--model") == {"lr=1": "lr=1", "x": "lr=1"}


@pytest.mark.parametrize("models", [["a", "a"], ["x=a", "x=b"], ["zero=a", "runs/zero"]])
def test_two_models_of_one_name_are_refused(models):
    with pytest.raises(UserError, match=r"stands for .* already; write NAME=PATH"):
        name_models(models, "--model")


def test_a_list_of_models_is_the_mapping_of_their_names():
    listed = parse_recipe("eval", {**DATA, "models": ["runs/zero", "Qwen/Qwen2.5-1.5B"]})
    named = parse_recipe("eval", {**DATA, "models": {"zero": "runs/zero", "Qwen2.5-1.5B": "Qwen/Qwen2.5-1.5B"}})
    assert listed == named


def read_eval(words, models):
    options = StageOptions(models, ["world:facts"], output="runs/e")
    return read_stage_recipe(STAGES["eval"], words, options, load_models=False)


def test_options_name_one_model_or_several(here):
    recipe, _ = read_eval([], ["tiny:base"])
    assert (recipe.model.path, recipe.models) == ("tiny:base", {})
    recipe, _ = read_eval([], ["tiny:base", "small=tiny:student"])
    assert recipe.model.path is None
    assert {name: model.path for name, model in recipe.models.items()} == {
        "tiny:base": "tiny:base",
        "small": "tiny:student",
    }


def test_models_may_stand_without_an_option(here):
    recipe, _ = read_eval(["tiny:base", "tiny:student", "seed=3"], [])
    assert list(recipe.models) == ["tiny:base", "tiny:student"]
    assert recipe.seed == 3


def test_a_run_may_be_called_as_a_field_is(here):
    (here / "kl").mkdir()
    (here / "kl/config.json").write_text("{}")
    recipe, _ = read_eval(["kl"], [])
    assert recipe.model.path == "kl"
    recipe, _ = read_eval(["org/learning_rate"], [])
    assert recipe.model.path == "org/learning_rate"


def test_options_replace_the_models_of_the_recipe(here):
    file = write_recipe(here / "ladder.yaml", models={"a": "tiny:base", "b": "tiny:student"})
    recipe, _ = read_eval([str(file)], ["tiny:base"])
    assert (recipe.model.path, recipe.models) == ("tiny:base", {})
    file = write_recipe(here / "one.yaml", model={"path": "tiny:base"})
    recipe, _ = read_eval([str(file)], ["x=tiny:student"])
    assert (recipe.model.path, recipe.models["x"].path) == (None, "tiny:student")


def test_each_run_is_asked_as_it_was_trained(here):
    """Two runs of different templates in one command: each model's prompt is that of its own recipe."""
    for name, template in (("plain", "tiny"), ("own", "Q {prompt} A")):
        run = here / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text('{"stage": "sft", "status": "finished"}')
        write_recipe(run / "recipe.yaml", prompt={"template": template})
        (run / "model").mkdir()
    recipe, notes = read_eval([], ["runs/plain", "runs/own", "tiny:base"])
    assert {name: model.prompt.template for name, model in recipe.models.items()} == {
        "plain": "tiny",
        "own": "Q {prompt} A",
        "tiny:base": "tiny",
    }
    assert len(notes) == 3
    recipe, _ = read_eval(["prompt.template=r1-zero"], ["runs/plain", "runs/own"])
    assert {model.prompt.template for model in recipe.models.values()} == {"r1-zero"}


@pytest.mark.slow
def test_two_models_are_compared_in_one_command(here):
    words = ["--model", "tiny:base", "--model", "small=tiny:student", "--dataset", "world:arithmetic"]
    small = ["data.eval.0.rows=8", "sampling.samples=1", "sampling.max_tokens=16"]
    _, err = r1kit("eval", *words, "--output", "runs/e", *small)
    lines = [line.split() for line in err.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("tiny:base", "small")] == ["tiny:base", "small"]
    assert read_info(here / "runs/e")["status"] == "finished"
