"""Every field of every recipe is described, and the reference, `describe_field` and the JSON schema show it."""

import re

import pytest
import yaml

from r1kit.errors import UserError
from r1kit.recipe import RLRecipe, SFTRecipe, parse_recipe, recipe_class
from r1kit.recipe.block import OnResume, find_resume_rule
from r1kit.recipe.reference import describe_field, json_schema, list_fields, recipe_reference
from r1kit.runs.resume import describe_difference, flatten_keys
from r1kit.runs.run import Run
from r1kit.stages import STAGES

ALL_STAGES = list(STAGES)
FEWEST_WORDS = 5


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_every_field_has_a_description_of_a_sentence(stage):
    for entry in list_fields(stage):
        assert len(entry.description.split()) >= FEWEST_WORDS, f"{entry.class_name}: {entry.key}"
        assert entry.description.endswith("."), f"{entry.class_name}: {entry.key}"
        assert entry.description[0].isupper() or entry.description[0] in "`0123456789", f"{entry.key}"


def test_every_field_describes_itself_also_where_a_subclass_changes_its_default():
    """pydantic inherits no description to a field that is declared again."""
    learning_rate = {entry.key: entry for entry in list_fields("rl")}["training.learning_rate"]
    assert (learning_rate.default, learning_rate.class_name) == ("3e-06", "RLTrainingConfig")
    assert learning_rate.description.startswith("Learning rate of AdamW")


def test_fields_have_the_defaults_of_their_stage():
    defaults = {stage: {entry.key: entry.default for entry in list_fields(stage)} for stage in ALL_STAGES}
    assert defaults["rl-zero"]["prompt.template"] == "r1-zero"
    assert defaults["rl"]["prompt.template"] == "chat"
    assert defaults["eval"]["sampling.temperature"] == "0.6"
    assert defaults["generate"]["sampling.samples"] == "4"
    assert defaults["generate"]["refine"] == "not set"
    assert defaults["sft"]["data.train.N.path"] == "required"
    assert defaults["sft"]["training.epochs"] == "1.0"
    assert defaults["rl-zero"]["rewards"] == "[{name: accuracy}, {name: format}]"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("training.steps", "integer above 0"),
        ("training.kl", "number at least 0"),
        ("sampling.top_p", "number above 0 and at most 1"),
        ("training.schedule", "one of: constant, linear, cosine"),
        ("model.trust_remote_code", "true or false"),
        ("model.lora", "block"),
        ("model.lora.targets", "text or list of texts"),
        ("data.train", "list of blocks"),
        ("data.train.N.columns", "mapping to texts"),
        ("data.train.N.where", "mapping to lists of any values"),
        ("training.savings", "list of any of: trim, regroup, skip, share, rollouts"),
        ("model.quantize", "one of: 4bit"),
    ],
)
def test_types_are_described_in_words(key, text):
    assert {entry.key: entry.type_text for entry in list_fields("rl")}[key] == text


# The terminal


def test_a_field_is_described_with_its_type_default_and_rule_of_resuming():
    text = describe_field("sft", "training.save_steps")
    assert text.splitlines() == [
        "training.save_steps  (sft)",
        "  Number of optimizer steps between checkpoints.",
        "  type: integer above 0",
        "  default: 100",
        "  resume: may change when the run is resumed",
    ]


def test_stages_with_the_same_field_share_a_description():
    assert describe_field(None, "training.clip").startswith("training.clip  (rl-zero, rl)\n")
    first_lines = [part.splitlines()[0] for part in describe_field(None, "sampling.samples").split("\n\n")]
    assert first_lines == ["sampling.samples  (generate, eval)", "sampling.samples  (verifier)"]


def test_the_last_names_of_a_key_suffice_and_positions_do_not_matter():
    assert describe_field("rl", "group_size") == describe_field("rl", "sampling.group_size")
    assert describe_field("sft", "data.train.0.rows") == describe_field("sft", "data.train.rows")
    assert describe_field("sft", "data.train.0.rows").startswith("data.train.N.rows  (sft)")


def test_a_block_is_described_with_its_fields():
    lines = describe_field("sft", "model.lora").splitlines()
    assert "    r: Rank of the adapter's matrices." in lines
    assert sum(line.startswith("    ") for line in lines) == 6


@pytest.mark.parametrize(
    ("stage", "key", "line"),
    [
        (
            "sft",
            "training.stepz",
            "KEY = training.stepz; must be a key of the recipe of sft; did you mean training.steps?",
        ),
        (None, "samplng.top_p", "KEY = samplng.top_p; must be a key of any recipe; did you mean sampling.top_p?"),
        ("sft", "training.clip", "KEY = training.clip; must be a key of the recipe of sft; "),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(stage, key, line):
    with pytest.raises(UserError) as caught:
        describe_field(stage, key)
    assert str(caught.value).startswith(line)


# The page


def test_the_page_has_every_field_of_every_stage_and_no_broken_link():
    page = recipe_reference()
    for stage in ALL_STAGES:
        assert f"\n### {stage}\n" in page
        for entry in list_fields(stage):
            name = entry.key.rpartition(".")[2]
            assert f"| `{name}` |" in page or f"| [{name}](#" in page
    headings = {heading.lower() for heading in re.findall(r"^### (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(#([\w-]+)\)", page)) <= headings


def test_every_row_of_the_page_has_four_cells():
    rows = [line for line in recipe_reference().splitlines() if line.startswith("|")]
    assert len(rows) > 150
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row
        outside_backquotes = "".join(row.split("`")[::2])
        assert "<" not in outside_backquotes, row


# Editors


def test_the_json_schema_names_the_stage_and_refuses_unknown_keys():
    schema = json_schema("distill")
    assert schema["title"] == "Recipe of r1kit distill"
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {*SFTRecipe.model_fields, "distill", "teacher", "sampling"}
    assert (
        schema["$defs"]["RewardConfig"]["additionalProperties"] is True if "RewardConfig" in schema["$defs"] else True
    )
    assert schema["$defs"]["DistillTrainingConfig"]["properties"]["packing"]["description"].startswith(
        "Join several rows"
    )


def test_shipped_recipes_are_valid_by_the_json_schema_and_mistakes_are_not():
    jsonschema = pytest.importorskip("jsonschema")
    from test_recipes import RECIPE_FILES, STAGE_OF_FILE

    from r1kit.recipe.load import read_yaml

    for file in RECIPE_FILES:
        jsonschema.validate(read_yaml(file.read_text()), json_schema(STAGE_OF_FILE[file.stem]))
    for values in ({"training": {"stepz": 1}}, {"training": {"steps": 0}}, {"data": {"train": 5}}, {"seed": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values, json_schema("sft"))


# Resuming


def allowed_keys(stage: str, *rules: OnResume) -> set[str]:
    """Return the keys of the outermost fields with one of the rules; fields of blocks with a rule of their own too."""
    schema = recipe_class(stage)
    return {entry.key for entry in list_fields(stage) if find_resume_rule(schema, entry.key) in rules}


TRAINING_MAY_CHANGE = {
    "callbacks",
    "training.keep_checkpoints",
    "training.save_steps",
    "training.log_steps",
    "training.micro_batch_size",
    "training.gradient_checkpointing",
}
SERVER_CONNECTION = {"urls", "models", "key", "concurrency", "timeout", "retries", "backoff"}


@pytest.mark.parametrize("stage", ["rl-zero", "rl", "sft", "distill"])
def test_the_fields_of_training_that_may_change_on_resume(stage):
    assert {
        key for key in allowed_keys(stage, OnResume.MAY_CHANGE) if not key.startswith("card")
    } == TRAINING_MAY_CHANGE
    assert allowed_keys(stage, OnResume.MAY_GROW) == {"training.steps", "training.epochs"}
    assert allowed_keys(stage, OnResume.IGNORED) - {"teacher.server"} == {"output", "webhook"}
    assert allowed_keys(stage, OnResume.MAY_GROW_OR_BE_REMOVED) == set()


@pytest.mark.parametrize(
    ("stage", "blocks"),
    [
        ("generate", ("keep", "refine", "journey", "card")),
        ("data", ("keep", "card")),
        ("eval", ("read", "scaling", "models")),
        ("verifier", ("head",)),
    ],
)
def test_the_fields_of_other_stages_that_may_change_on_resume(stage, blocks):
    """Filters, rewriting, other results and the card come after the samples; budgets may grow, and servers may move."""
    outermost = {key.partition(".")[0] for key in allowed_keys(stage, OnResume.MAY_CHANGE)}
    assert outermost == {*blocks, *(["sampling"] if stage != "data" else [])}
    plain = {key for key in allowed_keys(stage, OnResume.MAY_CHANGE) if key.startswith("sampling.")}
    assert plain == (set() if stage == "data" else {"sampling.vllm", "sampling.server.logprobs"})
    for key in allowed_keys(stage, OnResume.IGNORED) - {"output", "webhook"}:
        assert key.rpartition(".server.")[2] in SERVER_CONNECTION
    for key in allowed_keys(stage, OnResume.MAY_GROW_OR_BE_REMOVED):
        assert key.endswith((".budget.tokens", ".budget.cost"))
    assert allowed_keys(stage, OnResume.MAY_GROW) == set()


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("trl.report_to", OnResume.MAY_CHANGE),
        ("trl.report_to.0", OnResume.MAY_CHANGE),
        ("trl.vllm_server_base_url", OnResume.MAY_CHANGE),
        ("trl.loss_type", None),
        ("trl.vllm_mode", None),
        ("rewards.0.weight", None),
        ("data.train.0.rows", None),
        ("card.tags.0", OnResume.MAY_CHANGE),
        ("no.such.key", None),
    ],
)
def test_the_rule_of_a_key_within_free_keys_and_lists(key, rule):
    assert find_resume_rule(RLRecipe, key) is rule


def test_of_nested_rules_the_innermost_counts(tmp_path):
    """A teacher's budget may grow and not shrink, though `refine` itself may change."""
    values = {
        "output": str(tmp_path),
        "model": {"path": "m"},
        "data": {"train": "rows.jsonl"},
        "refine": {"sampling": {"engine": "openai", "budget": {"tokens": 100}, "server": {"urls": "http://a/v1"}}},
    }
    run = Run(tmp_path)
    run.update(stage="generate")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))

    def difference(resuming: bool = True, **changes: object) -> str:
        recipe = parse_recipe("generate", values)
        for name, value in changes.items():
            *parents, last = name.split("__")
            block = recipe
            for parent in parents:
                block = getattr(block, parent)
            setattr(block, last, value)
        return describe_difference(run, recipe, "generate", resuming)

    assert difference() == ""
    assert difference(refine__sampling__budget__tokens=200) == ""
    assert difference(refine__sampling__budget__tokens=None) == ""
    smaller_budget = difference(refine__sampling__budget__tokens=50)
    assert smaller_budget == "refine.sampling.budget.tokens = 100, and this command has 50"
    assert difference(refine__tries=3) == ""
    assert difference(resuming=False, refine__tries=3) == "refine.tries = 1, and this command has 3"
    assert difference(resuming=False, refine__sampling__server__urls=["http://b/v1"], output="elsewhere") == ""
    assert difference(sampling__temperature=0.5) == "sampling.temperature = 1.0, and this command has 0.5"


def test_flatten_keys():
    assert flatten_keys({"a": {"b": [7, {"c": None}]}, "d": {}, "e": []}) == {
        "a.b.0": 7,
        "a.b.1.c": None,
        "d": {},
        "e": [],
    }
