"""The command line as a user has it: a process, its exit code and its two outputs."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r1kit.cli import app

STAGES = ("rl-zero", "rl", "sft", "distill", "generate", "eval")
RECIPE = """
output: runs/a
model: {path: org/model}
data: {train: rows.jsonl}
"""
TRAIN = RECIPE + "training: {steps: 2}\n"


def r1kit(*arguments, stdin=""):
    command = [sys.executable, "-m", "r1kit.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60)


@pytest.fixture(autouse=True)
def _recipes(here):
    (here / "generate.yaml").write_text(RECIPE)
    (here / "train.yaml").write_text(TRAIN)
    (here / "rows.jsonl").write_text('{"prompt": "2 + 2?", "answer": "4"}\n')


def error_line(*arguments) -> str:
    """Run `r1kit`, which must fail with exit code 2 and one line on stderr, and return that line."""
    result = r1kit(*arguments)
    assert result.returncode == 2, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_without_a_command_the_help_is_printed():
    done = r1kit()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == r1kit("--help").stdout


# A user's mistake


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sfft"], "error: COMMAND = sfft; no such command; did you mean sft?"),
        (["train"], "error: COMMAND = train; no such command; run r1kit sft to train on rows, "),
        (["sft", "train.yaml", "--ouput", "b"], "error: --ouput: no such option; did you mean --output?"),
        (["--verbos"], "error: --verbos: no such option; did you mean --verbose?"),
        (["sft", "train.yaml", "-z"], "error: -z: no such option; see r1kit sft --help"),
        (["-v", "-q", "sft", "train.yaml"], "error: --quiet: contradicts --verbose; use one of the two"),
        (["sft", "train.yaml", "--num-processes", "two"], "--num-processes = two; must be a whole number; see "),
        (["sft", "train.yaml", "--model"], "--model"),
        (["rewards"], "error: FILE: is required; see r1kit rewards --help"),
        (
            ["sft", "none.yaml"],
            "recipe = none.yaml; must be a YAML file that can be read: no such file or directory; check the path; ",
        ),
        (["watch", "a", "--port", "99999"], "error: --port = 99999; must be in the range 0<=x<=65535; see r1kit watch"),
        (["merge", "a"], "error: --output: is required; see r1kit merge --help"),
        (["sft", "rows.jsonl", "output=b"], "recipe = rows.jsonl; must be a YAML file, and this is data; "),
        (["sft", "train.yaml", "traning.steps=5"], "did you mean training?"),
        (["sft", "train.yaml", "training.step=5"], "training.step = 5; no such key; did you mean steps?"),
        (["sft", "train.yaml", "training.steps=many"], "training.steps = many; "),
        (["sft", "train.yaml", "training.steps"], "argument = training.steps; must be key.path=value; "),
        (
            ["sft", "train.yaml", "trl.loss_tipe=x"],
            "trl.loss_tipe = x; TRL's SFTConfig has no such field; did you mean ",
        ),
        (["rl-zero", "train.yaml", "training.batch_size=24"], "training.batch_size = 24; "),
        (
            ["rl", "train.yaml", "training.micro_batch_size=5"],
            "training.micro_batch_size = 5; must divide training.batch_size = 512; ",
        ),
        (
            ["sft", "--dataset", "rows.jsonl", "--output", "b"],
            "model.path: a model is needed; set model.path or",
        ),
        (["rl-zero", "--model", "m", "--dataset", "rows.jsonl"], "output: a run needs a directory"),
        (["rl-zero", "--model", "m", "--output", "b"], "data.train: needs at least one data set; "),
        (["sft", "train.yaml", "--num-processes", "0"], "--num-processes = 0; "),
        (["sft", "train.yaml", "--accelerate-config", "none.yaml"], "--accelerate-config = none.yaml; "),
        (["generate", "generate.yaml", "--dataset", "none.jsonl"], "data.train.0.path = none.jsonl; "),
        (["generate", "generate.yaml", "data.train.0.columns={prompt: no}"], ""),
        (
            ["eval", "generate.yaml", "rewards=[{name: acuracy}]"],
            "rewards.0.name = acuracy; no such reward; did you mean accuracy?",
        ),
        (["eval", "generate.yaml", "model.path=./none"], "model.path = ./none; must be a folder with a model"),
        (
            ["generate", "generate.yaml", "output=rows.jsonl"],
            "output = rows.jsonl; must be a folder that can be written: file exists; set output to another directory",
        ),
        (["generate", "generate.yaml", "output=."], "output = .; must be empty or a run directory; "),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments, message):
    assert message in error_line(*arguments)


def test_a_mistake_is_remembered_with_the_run_and_can_be_mended(here):
    error_line("generate", "generate.yaml", "--dataset", "rows2.jsonl")
    assert json.loads((here / "runs" / "a" / "run.json").read_text())["status"] == "failed"
    (here / "rows2.jsonl").write_text('{"question": "2 + 2?"}\n')
    assert "needs a column prompt; it has question" in error_line(
        "generate", "generate.yaml", "--dataset", "rows2.jsonl"
    )


def test_a_dataset_given_to_eval_is_what_it_asks(here):
    (here / "eval.yaml").write_text("output: runs/e\nmodel: {path: org/model}\ndata: {eval: 'world:facts'}\n")
    result = r1kit("eval", "eval.yaml", "--dataset", "rows.jsonl", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "rows.jsonl" in result.stdout
    assert "world:facts" not in result.stdout
    result = r1kit("eval", "eval.yaml", "--dataset", "rows.jsonl", "data.eval.0.rows=3", "--dry-run")
    assert "rows: 3" in result.stdout


def test_a_faulty_recipe_leaves_no_run_behind(here):
    error_line("rl-zero", "train.yaml", "training.batch_size=24")
    assert not (here / "runs").exists()


# Help


COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([name, "--help"] for name in COMMANDS)])
def test_help_fits_a_terminal_of_80_columns_and_cuts_no_line(arguments):
    result = r1kit(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Usage:" in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.endswith("...") and "Usage:" not in line]
    if len(arguments) == 1:
        positions = [result.stdout.index(f"\n  {name} ") for name in COMMANDS]
        assert positions == sorted(positions)
        assert set(STAGES) < set(COMMANDS)


def test_help_is_quick():
    """The median of five runs; the limit is 0.35 s, and three times that for a busy machine."""
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        r1kit("--help")
        durations.append(time.perf_counter() - started)
    assert sorted(durations)[2] < 1.05


def test_the_command_imports_nothing_heavy():
    source = (
        "import sys, r1kit.cli\n"
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'datasets', 'accelerate', 'pydantic', 'rich', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", source], capture_output=True, text=True).stdout == "[]\n"


def test_help_of_a_stage_imports_nothing_heavy_either():
    code = (
        "import sys, r1kit.cli\n"
        "sys.argv = ['r1kit', 'rl-zero', '--help']\n"
        "try: r1kit.cli.main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'datasets', 'pydantic') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_faulty_recipe_is_found_before_anything_heavy_is_imported():
    source = (
        "import sys\nfrom r1kit.recipe import load_recipe\nfrom r1kit.errors import UserError\n"
        "try: load_recipe('rl', 'train.yaml', {'training.batch_size': 24, 'trl.loss_type': 'grpo'})\n"
        "except UserError: print(sorted({'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", source], capture_output=True, text=True).stdout == "[]\n"


# The reward lab

SAVED = [
    {"completion": "<think>two and two</think><answer>4</answer>", "answer": "4", "prompt": "2 + 2?", "note": "یک"},
    {"completion": "<think>دو و دو</think><answer>5</answer>", "answer": "4", "prompt": "2 + 2?"},
    {"completion": "4", "answer": None, "prompt": "2 + 2?"},
]


@pytest.fixture
def saved(here):
    (here / "saved.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SAVED) + "\n")
    return "saved.jsonl"


def table(stderr):
    """Reward: its cells, of the table on stderr."""
    head, *lines = [line.split() for line in stderr.strip().splitlines() if not line.startswith("note: ")]
    assert head == ["reward", "mean", "min", "max", "none", "fault"]
    return {name: cells for name, *cells in lines}


def test_rewards_print_the_rows_and_a_table(saved):
    result = r1kit("rewards", saved, "--rewards", "accuracy, format,language")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    # in the second row all of the thinking's words are Persian, the prompt has none: English
    wanted = [(1.0, 1.0, 1.0), (0.0, 1.0, 0.0), (None, 0.0, 0.0)]
    assert rows == [
        {**row, "accuracy": a, "format": f, "language": g} for row, (a, f, g) in zip(SAVED, wanted, strict=True)
    ]
    assert "یک" in result.stdout
    assert table(result.stderr) == {
        "accuracy": ["0.500", "0.000", "1.000", "1", "0"],
        "format": ["0.667", "0.000", "1.000", "0", "0"],
        "language": ["0.333", "0.000", "1.000", "0", "0"],
    }


def test_rewards_into_a_file_print_its_path(saved, here):
    result = r1kit("rewards", saved, "-o", "scored.jsonl")
    assert (result.returncode, result.stdout) == (0, "scored.jsonl\n")
    rows = [json.loads(line) for line in (here / "scored.jsonl").read_text().splitlines()]
    assert [(row["accuracy"], row["format"]) for row in rows] == [(1.0, 1.0), (0.0, 1.0), (None, 0.0)]
    assert set(table(result.stderr)) == {"accuracy", "format"}


def test_rewards_run_code(here):
    tests = [{"kind": "call", "function": "f", "args": [2], "expected": 4}]
    programs = ("def f(x): return 2 * x", "def f(x): return x")
    rows = [{"completion": f"<answer>{p}</answer>", "tests": tests, "thinking": False} for p in programs]
    (here / "code.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = r1kit("rewards", "code.jsonl")
    assert [json.loads(line)["accuracy"] for line in result.stdout.splitlines()] == [1.0, 0.0]
    assert [json.loads(line)["format"] for line in result.stdout.splitlines()] == [1.0, 1.0]


def test_rewards_take_a_function_of_ones_own(saved, here):
    (here / "mine.py").write_text(
        "def length(completions, **columns):\n    return [float(len(c)) for c in completions]\n"
    )
    command = [Path(sys.executable).with_name("r1kit"), "rewards", saved, "--rewards", "mine.length"]
    result = subprocess.run(command, capture_output=True, text=True)  # the installed command, called in that folder
    assert json.loads(result.stdout.splitlines()[2])["length"] == 1.0


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (
            None,
            [],
            "FILE = none.jsonl; must be a JSONL file that can be read: no such file or directory; check",
        ),
        ("", [], "FILE = none.jsonl; has no rows; "),
        (
            '{"completion": "a", "answer": "b"}\n{"completion"\n',
            [],
            "FILE = none.jsonl:2; must be JSON: Expecting ':' delimiter ",
        ),
        ('{"answer": "b"}\n', [], "FILE = none.jsonl:1; has no completion; "),
        ("[1]\n", [], "FILE = none.jsonl:1; has no completion; "),
        ('{"completion": "a"}\n', [], "reward accuracy needs a column answer or tests"),
        ('{"completion": "a"}\n', ["--rewards", "formt"], "no such reward; did you mean format?"),
        ('{"completion": "a"}\n', ["--rewards", ""], "names no reward"),
        ('{"completion": "a", "answer": "1", "checker": "maths"}\n', [], "maths"),
        ('{"completion": "a"}\n', ["--rewards", "format", "-o", "no/folder/x"], "--output = no/folder/x; "),
        ('{"completion": null}\n', ["--rewards", "format"], "completion"),
    ],
)
def test_rewards_refuse_what_they_cannot_score(here, content, arguments, message):
    if content is not None:
        (here / "none.jsonl").write_text(content)
    assert message in error_line("rewards", "none.jsonl", *arguments)


def test_a_dry_run_finds_a_typo_in_a_reward(here):
    file = Path(__file__).parent.parent / "recipes/tiny/rl_zero.yaml"
    result = r1kit("rl-zero", str(file), "rewards.0.isolaton=none", "--dry-run")
    assert (result.returncode, result.stdout) == (2, "")
    assert "rewards.0.isolaton = none; accuracy has no such setting; did you mean isolation?" in result.stderr
