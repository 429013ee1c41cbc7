"""Malformed rows, recipes, folders and files: every command ends with exit code 0, or with 2 and one line of error.

Each test runs some hundred inputs through one command. A training ends where its first step would begin (fuzzing.py).
Inputs are made of odd values in turn, the same ones each time.
"""

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from fuzzing import Ending, run_batch
from helpers import read_data
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import r1kit

BATCH_SIZE = 40
# Which share of the cases is run: all of them take many minutes. R1KIT_FUZZ_EVERY=1 runs them all.
EVERY = int(os.environ.get("R1KIT_FUZZ_EVERY", "15"))
BASE_MODEL, STUDENT_MODEL = "model.path=tiny:base", "model.path=tiny:student"


@dataclass
class Case:
    """A command, with files that are written before it runs."""

    name: str
    arguments: list[str]
    files: dict[str, str | bytes] = field(default_factory=dict)
    prepare: Callable[[Path], None] | None = None


def find_failures(cases: list[Case], folder: Path, stdin: str = "") -> list[str]:
    """Run cases, each in a folder of its own, and return a line on each that ended in another way than it may."""
    failures = []
    cases = cases[len(cases) % EVERY :: EVERY]
    for start in range(0, len(cases), BATCH_SIZE):
        batch = cases[start : start + BATCH_SIZE]
        folders = []
        for number, case in enumerate(batch, start):
            case_folder = folder / f"{number}"
            case_folder.mkdir()
            for name, content in case.files.items():
                path = case_folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            if case.prepare:
                case.prepare(case_folder)
            folders.append(case_folder)
        endings = run_batch([case.arguments for case in batch], folders, stdin)
        for case, ending in zip(batch, endings, strict=True):
            if fault := find_fault(ending):
                failures.append(f"{case.name}: {fault}")
    return failures


def find_fault(ending: Ending) -> str:
    """Return what is wrong with the ending of a command, or an empty text."""
    if ending.raised:
        return f"raised {ending.raised.strip().splitlines()[-1][:300]}\n{ending.raised[-1500:]}"
    if "Traceback (most recent call last)" in ending.stderr:
        return f"shows a traceback: {ending.stderr[-600:]}"
    if ending.code not in (0, 2):
        return f"exit code {ending.code}: {ending.stderr[-600:]}"
    errors = [line for line in ending.stderr.splitlines() if line.startswith("error:")]
    if ending.code == 2 and (len(errors) != 1 or not ending.stderr.rstrip().splitlines()[-1].startswith("error:")):
        return f"exit code 2 without one line of error at the end: {ending.stderr[-600:]}"
    if ending.code == 0 and errors:
        return f"exit code 0 with an error: {errors}"
    return ""


# Rows

# Values that no column expects, as JSON.
ODD_VALUES = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "negative": "-1",
    "fraction": "0.1",
    "whole number beyond 2**53": "9007199254740993",
    "whole number beyond 2**64": "18446744073709551617",
    "5000 digits": "7" * 5000,
    "NaN": "NaN",
    "infinity": "Infinity",
    "beyond a float": "1e999",
    "empty text": '""',
    "spaces": '" \\t\\n "',
    "NUL": '"\\u0000"',
    "half of a surrogate pair": '"\\ud800 x"',
    "both directions": '"\\u202e\\u200f\\ufeff"',
    "long text": json.dumps("ab " * 30_000),
    "braces": '"{x} {0} {{ }} {% raw %} %s"',
    "control characters": '"\\u001b[31m\\u0007\\u0085\\u2028"',
    "special tokens": '"<|im_end|><|endoftext|></think></answer>"',
    "date": '"2024-01-05"',
    "NA": '"NA"',
    "JSON in text": '"[1, {\\"a\\": null}]"',
    "empty list": "[]",
    "empty object": "{}",
    "list of null": "[null]",
    "list of lists": "[[[]]]",
    "list of numbers": "[1, 2.5]",
    "list of texts": '["a", "b"]',
    "mixed list": '[1, "a", null, {"b": []}]',
    "object": '{"a": null, "b": [1, "x"]}',
    "object of a message": '{"role": "user", "content": "hi"}',
    "message without a role": '[{"content": "hi"}]',
    "message without a content": '[{"role": "user"}]',
    "message of null": '[{"role": null, "content": null}]',
    "message of numbers": '[{"role": 1, "content": 2}]',
    "message of parts": '[{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image"}]}]',
    "message of another role": '[{"role": "wizard", "content": "hi"}]',
    "answer first": '[{"role": "assistant", "content": "hi"}]',
    "deep list": "[" * 60 + "]" * 60,
    "deeper list": "[" * 3000 + "]" * 3000,
}

PROBLEM = {"prompt": '"What is 2 + 2?"', "answer": '"4"', "checker": '"exact"', "domain": '"math"'}
CODE_PROBLEM = {
    "prompt": '"Write f, which adds one."',
    "tests": '[{"kind": "call", "function": "f", "args": [1], "expected": 2}]',
    "checker": '"code"',
}
EXAMPLE = {"prompt": '"What is 2 + 2?"', "completion": '"<think>Two and two.</think><answer>4</answer>"'}
CHAT = {
    "messages": '[{"role": "user", "content": "What is 2 + 2?"}, '
    '{"role": "assistant", "content": "<think>Two and two.</think><answer>4</answer>"}]',
    "tools": "null",
}
SAMPLE = {
    **PROBLEM,
    **EXAMPLE,
    "id": '"a1"',
    "language": '"en"',
    "thinking": "true",
    "finish_reason": '"stop"',
    "source": '"s"',
    "metadata": "null",
}
CHOICE = {"question": '"Which?"', "choices": '["a", "b", "c", "d"]', "answer": "2"}


def to_line(columns: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in columns.items()) + "}\n"


def odd_rows(base: dict[str, str], extra: tuple[str, ...] = ()) -> dict[str, str]:
    """Return files of rows, by the name of what is wrong in them: each column of `base` is in turn odd or missing."""
    good = to_line(base)
    files = {}
    for column in (*base, *extra):
        for name, value in ODD_VALUES.items():
            odd = to_line({**base, column: value})
            files[f"{column} is {name}"] = good + odd if len(files) % 2 else odd + good
        if column in base:
            without = to_line({other: value for other, value in base.items() if other != column})
            files[f"no {column}"] = without
            files[f"{column} missing in one row"] = good + without
    return files


def rows_cases(command: str, arguments: list[str], bases: dict[str, dict[str, str]], step: int = 1) -> list[Case]:
    """Return a case for each odd row of each base, or each `step`-th; `arguments` read it as odd.jsonl."""
    cases = []
    for name, base in bases.items():
        for what, text in odd_rows(base).items():
            cases.append(Case(f"{command} {name}: {what}", arguments, {"odd.jsonl": text}))
    return cases[::step]


PROBLEMS = "".join(to_line({**PROBLEM, "prompt": f'"What is {n} + 2?"', "answer": f'"{n + 2}"'}) for n in range(4))
EXAMPLES = to_line(EXAMPLE) * 4
TRAIN = ["prompt.template=tiny", "output=o", "training.steps=1", "training.learning_rate=1e-4"]
SFT = ["sft", BASE_MODEL, *TRAIN, "training.batch_size=2"]
RL = ["rl", STUDENT_MODEL, *TRAIN, "training.batch_size=4", "sampling.group_size=2", "sampling.max_tokens=4"]
ASK = [STUDENT_MODEL, "prompt.template=tiny", "output=o", "sampling.max_tokens=4", "sampling.samples=1"]
KEEP_ALL = ["keep.correct=false", "keep.format=false", "keep.finished=false"]
TO_REWARDS = ["rewards", "odd.jsonl", "--rewards", "accuracy,format,tags,language,repetition", "-o", "out.jsonl"]


def test_rows_of_rewards(tmp_path):
    bases = {"problem": {**PROBLEM, **EXAMPLE}, "code": {**CODE_PROBLEM, **EXAMPLE}, "sample": SAMPLE}
    assert find_failures(rows_cases("rewards", TO_REWARDS, bases, step=2), tmp_path) == []


def test_rows_of_data(tmp_path):
    bases = {"problem": PROBLEM, "code": CODE_PROBLEM, "example": EXAMPLE, "chat": CHAT, "choice": CHOICE}
    cases = rows_cases("data", ["data", "output=o", "data.train=odd.jsonl"], bases, step=4)
    cases += rows_cases("inspect", ["data", "inspect", "odd.jsonl"], {"chat": CHAT, "sample": SAMPLE}, step=4)
    assert find_failures(cases, tmp_path) == []


def test_rows_of_sft(tmp_path):
    cases = rows_cases("sft", [*SFT, "data.train=odd.jsonl"], {"example": EXAMPLE, "chat": CHAT}, step=2)
    chat = [argument for argument in SFT if not argument.startswith("prompt.")]
    cases += rows_cases("sft by chat", [*chat, "data.train=odd.jsonl"], {"chat": CHAT}, step=3)
    assert find_failures(cases, tmp_path) == []


def test_rows_of_rl(tmp_path):
    cases = rows_cases("rl", [*RL, "data.train=odd.jsonl"], {"problem": PROBLEM, "code": CODE_PROBLEM}, step=3)
    for case in cases:  # one rollout needs two problems, and the same one counts once
        case.files["odd.jsonl"] = str(case.files["odd.jsonl"]) + PROBLEMS
    assert find_failures(cases, tmp_path) == []


def test_rows_of_eval_and_generate(tmp_path):
    cases = rows_cases("eval", ["eval", *ASK, "data.eval=odd.jsonl"], {"problem": PROBLEM, "choice": CHOICE}, step=9)
    generate = ["generate", *ASK, *KEEP_ALL, "data.train=odd.jsonl"]
    cases += rows_cases("generate", generate, {"problem": PROBLEM, "code": CODE_PROBLEM}, step=12)
    cases += rows_cases("verifier", ["verifier", *ASK, "data.train=odd.jsonl"], {"sample": SAMPLE}, step=12)
    assert find_failures(cases, tmp_path) == []


# Files of rows


def to_parquet(columns: dict) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


GZIPPED = gzip.compress(PROBLEMS.encode())
PARQUET = to_parquet({"prompt": ["a", "b"], "answer": ["1", "2"]})
ODD_FILES: dict[str, bytes] = {
    "empty.jsonl": b"",
    "blank.jsonl": b"\n\n \n",
    "bom.jsonl": b"\xef\xbb\xbf" + PROBLEMS.encode(),
    "latin.jsonl": '{"prompt": "café", "answer": "1"}\n'.encode("latin-1"),
    "utf16.jsonl": PROBLEMS.encode("utf-16"),
    "nul.jsonl": b"\0" * 100,
    "binary.jsonl": bytes(range(256)) * 4,
    "truncated.jsonl": PROBLEMS.encode()[:-20],
    "crlf.jsonl": PROBLEMS.replace("\n", "\r\n").encode(),
    "single_quotes.jsonl": b"{'prompt': 'a', 'answer': '1'}\n",
    "trailing_comma.jsonl": b'{"prompt": "a", "answer": "1",}\n',
    "numbers.jsonl": b"1\n2\n",
    "nulls.jsonl": b"null\nnull\n",
    "lists.jsonl": b"[1, 2]\n[3]\n",
    "texts.jsonl": b'"a"\n"b"\n',
    "two_on_a_line.jsonl": b'{"prompt": "a"} {"prompt": "b"}\n',
    "duplicate_keys.jsonl": b'{"prompt": "a", "prompt": "b", "answer": "1"}\n',
    "empty_objects.jsonl": b"{}\n{}\n",
    "empty_key.jsonl": b'{"": "a", "prompt": "b", "answer": "1"}\n',
    "odd_keys.jsonl": b'{"a.b": 1, "prompt": "b", "answer": "1", "\\u0000": 2, "\\ud83d\\ude00": 3}\n',
    "object.json": b'{"prompt": "a", "answer": "1"}',
    "object_of_lists.json": b'{"prompt": ["a", "b"], "answer": ["1", "2"]}',
    "uneven_lists.json": b'{"prompt": ["a", "b"], "answer": ["1"]}',
    "scalar.json": b"3",
    "empty_list.json": b"[]",
    "truncated.json": b'[{"prompt": "a"',
    "nested.json": b'{"data": {"train": [{"prompt": "a", "answer": "1"}]}}',
    "bad.gz": b"no gzip at all",
    "truncated.jsonl.gz": GZIPPED[: len(GZIPPED) // 2],
    "trailing.jsonl.gz": GZIPPED + b"rubbish",
    "empty.jsonl.gz": b"",
    "binary.jsonl.gz": gzip.compress(bytes(range(256))),
    "truncated.parquet": PARQUET[: len(PARQUET) // 2],
    "no_footer.parquet": PARQUET[:-8] + b"PAR0PAR0",
    "empty.parquet": b"",
    "no_rows.parquet": to_parquet({"prompt": pa.array([], pa.string()), "answer": pa.array([], pa.string())}),
    "no_columns.parquet": to_parquet({}),
    "dates.parquet": to_parquet(
        {"prompt": pa.array([0, 1], pa.timestamp("us")), "answer": pa.array([1, 2], pa.date32())}
    ),
    "bytes.parquet": to_parquet({"prompt": [b"\xff\xfe", b"a"], "answer": [b"1", b"2"]}),
    "decimals.parquet": to_parquet({"prompt": ["a", "b"], "answer": pa.array([1, 2], pa.decimal128(38, 9))}),
    "structs.parquet": to_parquet({"prompt": [{"a": 1}, {"a": None}], "answer": [[1], []]}),
    "maps.parquet": to_parquet({"prompt": ["a"], "answer": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}),
    "jsonl_as.parquet": PROBLEMS.encode(),
    "parquet_as.jsonl": PARQUET,
    "empty.csv": b"",
    "header.csv": b"prompt,answer\n",
    "ragged.csv": b"prompt,answer\na,1,2,3\nb\n",
    "open_quote.csv": b'prompt,answer\n"a,1\nb,2\n',
    "same_names.csv": b"prompt,prompt,answer\na,b,1\n",
    "no_names.csv": b",,\na,b,1\n",
    "nul.csv": b"prompt,answer\na\0b,1\n",
    "latin.csv": "prompt,answer\ncafé,1\n".encode("latin-1"),
    "tabs.tsv": b"prompt\tanswer\na\t1\n",
    "bad.arrow": b"ARROW1 rubbish",
    "bad.zip": b"PK\x03\x04rubbish",
    "no_suffix": PROBLEMS.encode(),
    "rows.txt": PROBLEMS.encode(),
}


def test_files_of_rows(tmp_path):
    cases = []
    for name, content in ODD_FILES.items():
        for arguments in (
            ["data", "output=o", f"data.train=./{name}"],
            ["data", "inspect", f"./{name}"],
            ["rewards", f"./{name}"],
            [*SFT, f"data.train=./{name}"],
            [*RL, f"data.train=./{name}"],
        ):
            cases.append(Case(f"{arguments[0]} {arguments[1]} {name}", arguments, {name: content}))
    assert find_failures(cases, tmp_path) == []


# Recipes

RECIPES = {
    "sft": {
        "model": {"path": "tiny:base"},
        "data": {"train": "examples.jsonl"},
        "training": {"steps": 1, "batch_size": 2},
    },
    "distill": {"model": {"path": "tiny:base"}, "data": {"train": "examples.jsonl"}, "training": {"steps": 1}},
    "rl": {
        "model": {"path": "tiny:student"},
        "data": {"train": "problems.jsonl"},
        "training": {"steps": 1, "batch_size": 4, "learning_rate": 1e-4},
        "sampling": {"group_size": 2, "max_tokens": 4},
    },
    "eval": {
        "model": {"path": "tiny:student"},
        "data": {"eval": "problems.jsonl"},
        "sampling": {"samples": 1, "max_tokens": 4},
    },
    "generate": {
        "model": {"path": "tiny:student"},
        "data": {"train": "problems.jsonl"},
        "sampling": {"samples": 1, "max_tokens": 4},
        "keep": {"correct": False, "format": False, "finished": False},
    },
    "verifier": {
        "model": {"path": "tiny:student"},
        "data": {"train": "problems.jsonl"},
        "sampling": {"samples": 2, "max_tokens": 4},
    },
    "data": {"data": {"train": "examples.jsonl"}},
}
RECIPES["rl-zero"] = RECIPES["rl"]
FILES = {"problems.jsonl": PROBLEMS, "examples.jsonl": EXAMPLES}


def recipe_text(stage: str) -> str:
    prompt = {} if stage == "data" else {"prompt": {"template": "tiny"}}
    return yaml.safe_dump({"output": "o", **RECIPES[stage], **prompt})


_ALIASES = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9))
ODD_RECIPES: dict[str, str | bytes] = {
    "empty": "",
    "a comment": "# nothing\n",
    "a list": "- a\n- b\n",
    "a text": "hello\n",
    "a number": "3\n",
    "null": "~\n",
    "tabs": "data:\n\ttrain: x\n",
    "open brackets": "data: {train: [\n",
    "NUL": "output: a\0b\n",
    "escaped NUL": 'output: "a\\0b"\n',
    "half of a surrogate pair": 'output: "\\ud800"\n',
    "no UTF-8": b"output: \xff\xfe\n",
    "UTF-16": "output: o\n".encode("utf-16"),
    "byte order mark": "\ufeffoutput: o\n",
    "two documents": "output: o\n---\noutput: p\n",
    "a key twice": "output: o\noutput: p\n",
    "a key twice within": "training: {steps: 1, steps: 2}\noutput: o\n",
    "an alias within itself": "data: &a\n  train: *a\n",
    "a list within itself": "data: &a [*a]\n",
    "an unknown alias": "data: *nope\n",
    "aliases of aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n" + _ALIASES,
    "a Python object": 'output: !!python/object/apply:os.system ["true"]\n',
    "binary": "output: !!binary aGk=\n",
    "a set": "data: !!set {a, b}\n",
    "a date": "output: 2024-01-05\n",
    "no date": "output: 2024-99-99\n",
    "keys of numbers": "1: 2\n3: 4\n",
    "a null key": "? \n: 1\n",
    "a list as a key": "? [a]\n: 1\n",
    "a mapping as a key": "? {a: b}\n: 1\n",
    "nested deeply": "a: " + "[" * 3000 + "]" * 3000 + "\n",
    "mappings nested deeply": "a: " + "{a: " * 500 + "}" * 500 + "\n",
    "a bad merge": "training: {<<: 3}\n",
    "another version of YAML": "%YAML 9.9\n---\noutput: o\n",
    "5000 digits": f"seed: {'9' * 5000}\n",
    "a long text": f"output: {'x' * 100_000}\n",
    "a misspelled key": "outptu: o\n",
    "a misspelled key within": "training: {stepps: 3}\n",
    "data as a list": "data: [a, b]\n",
    "data as a text": "data: rows.jsonl\n",
    "model as a text": "model: tiny:base\n",
    "training as a list": "training: [1]\n",
    "rewards as a text": "rewards: accuracy\n",
    "rewards as a mapping": "rewards: {name: accuracy}\n",
    "rewards of null": "rewards: [null]\n",
    "an unknown reward": "rewards: [{name: acuracy}]\n",
    "a reward of no module": "rewards: [{name: no.such.module}]\n",
    "a reward of no name": "rewards: [{weight: 1}]\n",
    "a reward without a weight": "rewards: [{name: accuracy, weight: null}]\n",
    "a reward of weight NaN": "rewards: [{name: accuracy, weight: .nan}]\n",
    "an unknown setting of a reward": "rewards: [{name: accuracy, no_such: 1}]\n",
    "a reward from a negative step": "rewards: [{name: accuracy, from_step: -1}]\n",
    "all null": "data: ~\nmodel: ~\noutput: ~\n",
    "an output of a list": "output: [o]\n",
    "a seed of yes": "seed: yes\n",
    "a negative seed": "seed: -1\n",
    "a large seed": "seed: 99999999999999999999\n",
    "a learning rate of NaN": "training: {learning_rate: .nan}\n",
    "an infinite learning rate": "training: {learning_rate: .inf}\n",
    "negative steps": "training: {steps: -3}\n",
    "an empty path": 'data: {train: ""}\n',
    "language: no": "data: {train: {path: problems.jsonl, values: {language: no}}}\n",
    "an unknown language": "data: {train: {path: problems.jsonl, values: {language: tlh}}}\n",
    "where of no list": "data: {train: {path: problems.jsonl, where: {a: 1}}}\n",
    "columns of no text": "data: {train: {path: problems.jsonl, columns: {prompt: 3}}}\n",
    "columns that are missing": "data: {train: {path: problems.jsonl, columns: {prompt: no_such}}}\n",
    "shares of two": "data: {train: [{path: problems.jsonl, share: 1}, {path: problems.jsonl, share: 1}]}\n",
    "trl of a list": "trl: [1]\n",
    "an unknown field of TRL": "trl: {no_such: 1}\n",
}


def test_the_recipes_that_are_changed_here_work(tmp_path):
    for stage in RECIPES:
        folder = tmp_path / stage
        folder.mkdir()
        for name, text in {"recipe.yaml": recipe_text(stage), **FILES}.items():
            (folder / name).write_text(text)
    endings = run_batch([[stage, "recipe.yaml"] for stage in RECIPES], [tmp_path / stage for stage in RECIPES])
    codes = {stage: ending.code for stage, ending in zip(RECIPES, endings, strict=True)}
    assert codes.pop("verifier") == 2  # it needs right and wrong answers
    assert set(codes.values()) == {0}, endings


def test_texts_of_recipes(tmp_path):
    cases = []
    for number, (name, text) in enumerate(ODD_RECIPES.items()):
        stages = list(RECIPES) if name.startswith(("a reward", "data", "where")) else list(RECIPES)[number % 8 :: 4]
        for stage in stages:
            files = {**FILES, "recipe.yaml": text}
            cases.append(Case(f"{stage} {name}", [stage, "recipe.yaml"], files))
            if isinstance(text, str):  # the rest of the recipe is right
                whole = {**FILES, "recipe.yaml": recipe_text(stage) + text}
                cases.append(Case(f"{stage} with {name}", [stage, "recipe.yaml"], whole))
    assert find_failures(cases, tmp_path) == []


ODD_SETTINGS = (
    *("null", "true", "-1", "0", "0.5", ".nan", "-.inf", "99999999999999999999", '""', '" "', "foo", '"\\0"'),
    *("[]", "{}", "[null]", "[1, a]", "{a: {b: [1]}}", "2024-01-05", "../..", "[{}]", '"{x}"'),
)


def test_fields_of_recipes(tmp_path):
    from r1kit.recipe.reference import list_fields

    cases = []
    for stage in RECIPES:
        for number, entry in enumerate(list_fields(stage)):  # over all stages and fields, each value many times
            setting = f"{entry.key}={ODD_SETTINGS[(7 * number + len(stage)) % len(ODD_SETTINGS)]}"
            files = {**FILES, "recipe.yaml": recipe_text(stage)}
            cases.append(Case(f"{stage} {setting}", [stage, "recipe.yaml", setting], files))
    assert find_failures(cases, tmp_path) == []


# Folders

TINY_MODEL = Path(r1kit.__file__).parent / "tiny/student"
MODEL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "generation_config.json")
ODD_CONTENTS: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "rubbish": b"\x00\xff rubbish",
    "a list": b"[]",
    "an object": b"{}",
    "null": b"null",
    "a text": b'"x"',
    "truncated": b'{"model_type": ',
    "nested deeply": b"[" * 3000 + b"]" * 3000,
    "another type": b'{"model_type": "no_such_model", "architectures": ["NoSuchModel"]}',
    "odd values": b'{"model_type": "llama", "vocab_size": -1, "hidden_size": "x", "architectures": 3}',
}


def write_odd_file(folder: Path, name: str, content: bytes | None) -> None:
    """Put `content` in place of a file, or remove it."""
    path = folder / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


def copy_model(folder: Path) -> Path:
    shutil.copytree(TINY_MODEL, folder / "model")
    return folder / "model"


def make_empty_model(folder: Path) -> None:
    (folder / "model").mkdir()


def test_folders_of_models(tmp_path):
    cases = []
    model = "model.path=./model"
    commands = [
        ["sft", model, *TRAIN, "training.batch_size=2", "data.train=examples.jsonl"],
        ["eval", model, *ASK[1:], "data.eval=problems.jsonl"],
        ["chat", "./model"],
        ["merge", "./model", "-o", "merged"],
    ]
    for file in (*MODEL_FILES, "adapter_config.json", "chat_template.jinja"):
        for name, content in ODD_CONTENTS.items():
            arguments = commands[len(cases) % 3 if file != "adapter_config.json" else len(cases) % 4]

            def prepare(folder: Path, file: str = file, content: bytes | None = content) -> None:
                write_odd_file(copy_model(folder), file, content)

            cases.append(Case(f"{arguments[0]}: {file} is {name}", arguments, dict(FILES), prepare))
    weights = (TINY_MODEL / "model.safetensors").read_bytes()
    odd_weights = {"truncated": weights[: len(weights) // 2], "header alone": weights[:8], "long": weights + b"x"}
    odd_weights["a huge header"] = b"\xff" * 8 + weights[8:]
    for arguments in commands:
        for name, content in odd_weights.items():

            def prepare_weights(folder: Path, content: bytes = content) -> None:
                write_odd_file(copy_model(folder), "model.safetensors", content)

            cases.append(Case(f"{arguments[0]}: weights are {name}", arguments, dict(FILES), prepare_weights))
        cases.append(Case(f"{arguments[0]}: a file for a model", arguments, {**FILES, "model": "x"}))
        empty = Case(
            f"{arguments[0]}: an empty folder", arguments, dict(FILES), lambda folder: (folder / "model").mkdir()
        )
        cases.append(empty)
    assert find_failures(cases, tmp_path, stdin="hello\n") == []


RUN_FILES = ("run.json", "recipe.yaml", "metrics.jsonl", "eval.json", "drops.json", "verifier.json", "exit-0.json")
ODD_RUN_CONTENTS: dict[str, bytes | None] = {
    **ODD_CONTENTS,
    "no UTF-8": b"\xff\xfe\xfd",
    "of odd types": b'{"status": 3, "stage": [], "seconds": "x", "step": null, "parents": "no", "models": 1}',
    "of null": b'{"status": null, "stage": null, "seconds": null, "versions": null, "format": null, "models": [null]}',
    "of a later version": b'{"format": 99, "status": "finished", "stage": "no_such_stage", "started": "yesterday"}',
    "of numbers": b"1\n2\n3\n",
    "with NaN": b'{"step": NaN, "reward": NaN, "loss": Infinity, "seconds": NaN}\n{"step": -1}\n',
}


def write_run(folder: Path) -> Path:
    """Write a finished run as `rl` and `eval` leave it, as far as the commands read it."""
    run = folder / "runs/first"
    (run / "data").mkdir(parents=True)
    info = {"stage": "rl", "status": "finished", "seconds": 1.5, "started": "2026-01-01T00:00:00+00:00", "parents": []}
    (run / "run.json").write_text(json.dumps(info))
    (run / "recipe.yaml").write_text(recipe_text("rl"))
    (run / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5, "loss": 0.1}\n')
    (run / "eval.json").write_text(json.dumps({"models": [{"model": "m", "statistics": {"pass@1": 0.5}}]}))
    (run / "drops.json").write_text(json.dumps({"train": {"sampled": 2, "kept": 1, "dropped": {"incorrect": 1}}}))
    pq.write_table(pa.table({"prompt": ["a"], "completion": ["b"]}), run / "data/train-00000.parquet")
    return run


def test_folders_of_runs(tmp_path):
    commands = [
        ["report", "runs/first", "-o", "report.html"],
        ["runs"],
        [*RL, "data.train=problems.jsonl", "output=runs/first"],
        [*SFT, "data.train=runs/first"],
        ["eval", "model.path=runs/first", *ASK[1:], "data.eval=problems.jsonl"],
        ["data", "inspect", "runs/first"],
    ]
    cases = []
    for file in (*RUN_FILES, "data/train-00000.parquet"):
        for name, content in ODD_RUN_CONTENTS.items():
            for arguments in commands if file in ("run.json", "recipe.yaml") else commands[:2]:

                def prepare(folder: Path, file: str = file, content: bytes | None = content) -> None:
                    write_odd_file(write_run(folder), file, content)

                cases.append(Case(f"{arguments[0]}: {file} is {name}", arguments, dict(FILES), prepare))
    for arguments in commands:
        for file in RUN_FILES:

            def prepare_folder(folder: Path, file: str = file) -> None:
                run = write_run(folder)
                (run / file).unlink(missing_ok=True)
                (run / file).mkdir()

            cases.append(Case(f"{arguments[0]}: {file} is a folder", arguments, dict(FILES), prepare_folder))
        cases.append(Case(f"{arguments[0]}: a file for a run", arguments, {**FILES, "runs/first": "x"}))
    assert find_failures(cases, tmp_path) == []


# Arguments

ODD_ARGUMENTS = (
    *("", " ", "-", "--", "--no-such", "-x", "=", "=3", "a=", "a.b.c=1", "..=1", "data.train.9.rows=1", "no/such", "/"),
    *(".", "..", "~", "x" * 5000, "é" * 3000, "\u202e", "{}", "[]", "--help=3", "training=1", "tiny:"),
    *("tiny:no", "runs/no", "self-cognition:", "reasoning_gym:", "reasoning_gym:no", "world:no", "https://x.invalid/y"),
)
COMMANDS = (*RECIPES, "rewards", "report", "runs", "chat", "init", "merge", "fields", "schema", "watch")


def test_arguments(tmp_path):
    cases = []
    for number, command in enumerate(COMMANDS):
        for argument in ODD_ARGUMENTS[number % 2 :: 2]:
            if command != "watch" or argument.startswith("-"):  # it would wait for a browser
                cases.append(Case(f"{command} {argument[:20]!r}", [command, argument]))
        cases.append(Case(f"{command} without arguments", [command]))
    cases.append(Case("no such command", ["no-such"]))
    assert find_failures(cases, tmp_path) == []


# Nothing is changed without a word


def to_object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in members.items()) + "}"


NUMBERS = ("0", "-0.0", "1", "9007199254740993", "18446744073709551617", "0.1", "0.30000000000000000001", "1e999")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
NUMBER = st.sampled_from(NUMBERS)
JSON_VALUE = st.recursive(
    st.none().map(json.dumps) | st.booleans().map(json.dumps) | NUMBER | TEXT.map(json.dumps),
    lambda values: (
        st.lists(values, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(TEXT.map(json.dumps), values, max_size=3).map(to_object)
    ),
    max_leaves=6,
)
# The same inputs each time; what shrinking and a database are for, a list of odd values does here.
REPEATED = settings(derandomize=True, max_examples=25, database=None, deadline=None, phases=[Phase.generate])


def read_exactly(text: str) -> object:
    """Parse JSON with numbers as they are written, whether 1 or 1.0."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal, parse_constant=str)


def run_once(arguments: list[str], files: dict[str, str]) -> tuple[Ending, Path]:
    folder = Path(tempfile.mkdtemp())
    for name, text in files.items():
        (folder / name).write_text(text)
    return run_batch([arguments], [folder])[0], folder


@REPEATED
@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), JSON_VALUE), min_size=8, max_size=8))
def test_rewards_returns_the_rows_that_it_was_given(extra_columns):
    base = {name: EXAMPLE[name] for name in ("prompt", "completion")} | {"answer": '"4"', "checker": '"exact"'}
    lines = [to_line({**base, **extra}) for extra in extra_columns]
    arguments = ["rewards", "rows.jsonl", "--rewards", "accuracy", "-o", "o.jsonl"]
    ending, folder = run_once(arguments, {"rows.jsonl": "".join(lines)})
    assert (ending.code, ending.raised) == (0, ""), ending.stderr
    scored = (folder / "o.jsonl").read_text().split("\n")[:-1]
    assert len(scored) == len(lines)
    for line, scored_line in zip(lines, scored, strict=True):
        row = read_exactly(scored_line)
        assert row.pop("accuracy") == 1
        assert row == read_exactly(line)


@REPEATED
@given(st.lists(st.tuples(TEXT, TEXT), min_size=6, max_size=6, unique_by=lambda pair: pair[0]))
def test_data_returns_the_texts_that_it_was_given(pairs):
    rows = [{"prompt": f"{number} {prompt}", "completion": f"a {text}"} for number, (prompt, text) in enumerate(pairs)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    ending, folder = run_once(["data", "output=o", "data.train=rows.jsonl", "shuffle=false"], {"rows.jsonl": text})
    assert (ending.code, ending.raised) == (0, ""), ending.stderr
    stored = [{name: row[name] for name in ("prompt", "completion")} for row in read_data(folder / "o/data")]
    assert stored == rows
