"""Inputs for the fuzz (fuzz.py), drawn by hypothesis: recipes, rows, files, run directories, servers, arguments.

A trial is one input. `run` returns "refused", "accepted", or what is wrong: a traceback, or a value that was changed
without a word. It runs in a process that may die, so it keeps nothing but files of its own folder.
"""

import gzip
import json
import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from test_fuzz import (
    EXAMPLE,
    FILES,
    GZIPPED,
    ODD_ARGUMENTS,
    ODD_FILES,
    ODD_RECIPES,
    ODD_SETTINGS,
    ODD_VALUES,
    PARQUET,
    PROBLEMS,
    RECIPES,
    recipe_text,
    to_line,
    write_run,
)

from r1kit.data.exact_json import dump_json, parse_json, parse_strictly
from r1kit.errors import UserError
from r1kit.recipe import dump_recipe, load_recipe
from r1kit.recipe.data import normalise_sources
from r1kit.recipe.reference import list_fields
from r1kit.recipe.yaml_values import read_yaml
from r1kit.runs.reading import warn_of_damage
from r1kit.safe_text import MASK

ACCEPTED, REFUSED = "accepted", "refused"


@dataclass
class Trial:
    """One input, and what is done with it."""

    name: str
    run: Callable[[Path], str]


def draw_trials(kind: str, count: int, number: int) -> list[Trial]:
    """Return `count` trials of a kind; the same ones for the same `number`."""
    trials: list[Trial] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(KINDS[kind])
    def collect(trial: Trial) -> None:
        trials.append(trial)

    collect()
    return trials


# Texts and their mutations

CHARACTERS = st.characters(codec="utf-8") | st.sampled_from("{}[]\"':,#&*!|>%@`\\\n\t\0\u202e\u2028\x1b0123456789.-eE")
TEXTS = st.text(CHARACTERS, max_size=20)


@st.composite
def mutate(draw: Any, content: bytes) -> bytes:
    """Draw a content with some bytes removed, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        end = min(len(content), start + draw(st.sampled_from((0, 1, 2, 8, 64, 10_000))))
        middle = draw(st.sampled_from((b"", content[start:end] * 2)) | st.binary(max_size=8))
        content = content[:start] + middle + content[end:]
    return content


# Recipes

YAML_SCALARS = (
    st.sampled_from(ODD_SETTINGS)
    | st.sampled_from(("yes", "1_000", "010", "12:30", "1e5", "1e-5", "+1", ".5", "0x1F", "no", "2**53", "NULL", "~"))
    | st.sampled_from(("1", "2", "3", "8", "0.25", "1.0", '"4"', "false", "auto", "linear", "short", "first", "any"))
    | st.integers(-(2**70), 2**70).map(str)
    | st.floats().map(repr)
    | st.floats(0, 1).map(repr)
    | TEXTS.map(json.dumps)
    | st.text(string.printable, max_size=12)
)
YAML_VALUES = st.recursive(
    YAML_SCALARS,
    lambda values: (
        st.lists(values, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(("a", "path", "name", "rows", '"b c"')), values, max_size=2).map(
            lambda members: "{" + ", ".join(f"{name}: {value}" for name, value in members.items()) + "}"
        )
    ),
    max_leaves=4,
)
KEYS_OF_STAGES = {
    stage: [entry.key for entry in list_fields(stage) if ".N" not in entry.key or entry.key.startswith("data.train")]
    for stage in RECIPES
}


@st.composite
def recipe_trials(draw: Any) -> Trial:
    """Draw a recipe with odd values for some of its keys, or with a text that is broken anywhere."""
    stage = draw(st.sampled_from(list(RECIPES)))
    form = draw(st.sampled_from(("values", "values", "values", "bytes", "odd")))
    text = recipe_text(stage).encode()
    overrides: list[str] = []
    if form == "values":
        for _ in range(draw(st.integers(1, 2))):
            key = draw(st.sampled_from(KEYS_OF_STAGES[stage])).replace(".N", ".0")
            overrides.append(f"{key}={draw(YAML_VALUES)}")
    elif form == "odd":
        odd = draw(st.sampled_from(list(ODD_RECIPES.values())))
        text += odd.encode(errors="surrogatepass") if isinstance(odd, str) else odd
    else:
        text = draw(mutate(text))
    return Trial(
        f"recipe of {stage}: {overrides or text!r}", lambda folder: read_recipe(stage, text, overrides, folder)
    )


def read_recipe(stage: str, text: bytes, overrides: list[str], folder: Path) -> str:
    """Read a recipe; what it and the overrides say must stand in the resolved recipe."""
    from r1kit.recipe import parse_override

    file = folder / "recipe.yaml"
    file.write_bytes(text)
    try:
        parsed = [parse_override(override) for override in overrides]
        recipe = load_recipe(stage, str(file), dict(parsed))
    except UserError as error:
        return REFUSED if "\n" not in str(error) else f"an error of several lines: {error}"
    resolved = yaml.safe_load(dump_recipe(recipe))
    if resolved != recipe.model_dump(mode="json"):
        return f"its recipe.yaml is another recipe: {resolved}"
    written: dict[str, Any] = read_yaml(text.decode()) or {}
    values: dict[str, Any] = {} if parsed else {"": written}
    for key, value in parsed:  # a block replaces what was set in it before
        values = {name: kept for name, kept in values.items() if not name.startswith(f"{key}.")} | {key: value}
    for key, value in values.items():
        if change := find_change(key, value, resolved):
            return f"changed without a word: {change}"
    return ACCEPTED


def find_change(key: str, value: Any, resolved: Any) -> str:
    """Return a value of a recipe that the resolved recipe does not have; empty without one."""
    if key in ("", "data") and isinstance(value, dict):
        value = normalise_sources(value) if key == "data" else {**value, "data": normalise_sources(value.get("data"))}
    if isinstance(value, dict) and key != "prompt.template":
        for name, member in value.items():
            if change := find_change(f"{key}.{name}" if key else str(name), member, resolved):
                return change
        return ""
    kept = look_up(resolved, key)
    if is_same(value, kept):
        return ""
    return f"{key} = {value!r} is {kept!r}"


def look_up(resolved: Any, key: str) -> Any:
    """Return the value at a dotted key of a resolved recipe; sources of `eval` may be given as those of `train`."""
    node = resolved
    for name in key.split(".") if key else []:
        if isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, list) and node and not name.isdigit():
            node = node[0].get(name)  # a source that is given without a list
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            return None
    return node


def is_same(value: Any, kept: Any) -> bool:
    """Return whether a resolved recipe keeps a value: as it is, or as the number or switch that the text means."""
    if value is None or value == kept or (isinstance(kept, str) and MASK in kept):
        return True  # null stands for the default
    if isinstance(kept, list) and not isinstance(value, list):
        return len(kept) == 1 and is_same(value, kept[0])
    if isinstance(value, list) and isinstance(kept, list):
        return len(value) == len(kept) and all(map(is_same, value, kept))
    if isinstance(value, dict) and isinstance(kept, dict):
        return all(is_same(member, kept.get(name)) for name, member in value.items())
    if isinstance(kept, dict):
        return is_same(value, kept.get("path"))
    if isinstance(kept, bool):
        words = {"true": True, "yes": True, "on": True, "1": True, "t": True, "y": True, "1.0": True}
        return words.get(str(value).lower(), False) == kept
    if isinstance(kept, int | float) and isinstance(value, str):
        try:
            return Decimal(value.strip().replace("_", "")) == Decimal(repr(kept)) or float(value) == kept
        except ArithmeticError:
            return False
    return False


# Rows and their files

JSON_SCALARS = (
    st.sampled_from(list(ODD_VALUES.values()))
    | st.integers(-(10**30), 10**30).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | TEXTS.map(json.dumps)
)
JSON_VALUES = st.recursive(
    JSON_SCALARS,
    lambda values: (
        st.lists(values, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(TEXTS.map(json.dumps), values), max_size=3).map(
            lambda members: "{" + ", ".join(f"{name}: {value}" for name, value in members) + "}"
        )
    ),
    max_leaves=5,
)


@st.composite
def row_trials(draw: Any) -> Trial:
    """Draw three rows whose columns hold any JSON."""
    columns = ("prompt", "answer", "a", "b", "metadata")
    lines = []
    for number in range(3):
        extra = draw(st.dictionaries(st.sampled_from(columns[1:]), JSON_VALUES, max_size=3))
        lines.append(to_line({"prompt": json.dumps(f"What is {number} + 2?"), "answer": '"4"', **extra}))
    text = "".join(lines)
    return Trial(f"rows: {text!r}", lambda folder: read_rows(text, folder))


def read_rows(text: str, folder: Path) -> str:
    """Read rows as a source without an adapter; each value must come back exactly."""
    from r1kit.data.batches import batch_rows
    from r1kit.data.sources import read_source
    from r1kit.recipe import SourceConfig

    file = folder / "rows.jsonl"
    file.write_text(text, errors="surrogatepass")
    try:
        dataset = read_source(SourceConfig(path=str(file), adapter="none"))
    except UserError as error:
        return REFUSED if "\n" not in str(error) else f"an error of several lines: {error}"
    lines = text.split("\n")[:-1]
    rows = batch_rows(dataset[:])
    if len(rows) != len(lines):
        return f"changed without a word: {len(lines)} rows are {len(rows)}"
    for line, row in zip(lines, rows, strict=True):
        for name, value in parse_strictly(line).items():
            kept = row.get(name)
            if kept != value and parse_json(dump_json(kept)) != value and not means_same(value, kept):
                return f"changed without a word: {name} = {value!r} is {kept!r}"
    return ACCEPTED


def means_same(value: Any, kept: Any) -> bool:
    """Return whether a kept value is what a column of r1kit's own writes for it: the text of a number or of JSON."""
    if isinstance(kept, str) and not isinstance(value, str):
        if not value and kept == "":  # an empty list or object as an answer
            return True
        if isinstance(value, list) and len(value) == 1 and (value[0] == kept or means_same(value[0], kept)):
            return True  # a list of one answer is that answer
        try:
            return bool(parse_json(kept) == value) or kept == str(value)
        except ValueError:
            return kept == str(value)
    if isinstance(kept, float) and isinstance(value, float):
        return math.isclose(kept, value, rel_tol=0)
    return False


FILE_CONTENTS = {
    **ODD_FILES,
    "rows.jsonl": PROBLEMS.encode(),
    "rows.json": json.dumps([json.loads(line) for line in PROBLEMS.splitlines()]).encode(),
    "rows.csv": b'prompt,answer,level\n"a, b",1,2\nc,2,\n',
    "rows.jsonl.gz": GZIPPED,
    "rows.parquet": PARQUET,
    "examples.jsonl": to_line(EXAMPLE).encode() * 3,
}


@st.composite
def file_trials(draw: Any) -> Trial:
    """Draw a file of rows that is damaged anywhere."""
    name = draw(st.sampled_from(list(FILE_CONTENTS)))
    content = draw(mutate(FILE_CONTENTS[name]))
    if name.endswith(".gz") and draw(st.booleans()):
        content = gzip.compress(draw(mutate(PROBLEMS.encode())))
    return Trial(f"file {name}: {content[:300]!r}", lambda folder: read_file(name, content, folder))


def read_file(name: str, content: bytes, folder: Path) -> str:
    """Read a damaged file as a source of any form."""
    from r1kit.data.sources import read_source
    from r1kit.recipe import SourceConfig

    (folder / name).write_bytes(content)
    try:
        dataset = read_source(SourceConfig(path=str(folder / name)))
        dataset[:]
    except UserError as error:
        return REFUSED if "\n" not in str(error) else f"an error of several lines: {error}"
    return ACCEPTED


# Run directories

RUN_FILES = (
    *("run.json", "recipe.yaml", "metrics.jsonl", "eval.json", "drops.json", "scaling.json", "warnings.jsonl"),
    *("verifier/verifier.json", "completions/1.parquet"),
)


def write_whole_run(folder: Path) -> Path:
    """Write a run with every file that `report` reads."""
    import pyarrow as pa

    run = write_run(folder)
    points = [{"method": "majority", "score": None, "n": 1, "accuracy": 0.5}]
    (run / "scaling.json").write_text(json.dumps({"models": [{"model": "m", "points": points}]}))
    (run / "warnings.jsonl").write_text('{"step": 1, "name": "flat", "text": "flat"}\n')
    for name in ("verifier", "completions"):
        (run / name).mkdir()
    (run / "verifier/verifier.json").write_text('{"samples": 3, "measures": {"head2toe": {"auroc": 0.5}}}')
    row = {"prompt": ["a"], "completion": ["b"], "reward": [1.0], "step": [1], "group": [0]}
    pq.write_table(pa.table(row), run / "completions/1.parquet")
    return run


@st.composite
def run_trials(draw: Any) -> Trial:
    """Draw a run of which one file is damaged: its bytes, or one value in its JSON."""
    name = draw(st.sampled_from(RUN_FILES))
    change: Callable[[bytes], bytes]
    if name.endswith((".json", ".jsonl")) and draw(st.booleans()):
        value = draw(JSON_VALUES)
        position = draw(st.integers(0, 30))
        change = lambda content: replace_value(content, value, position)  # noqa: E731
    else:
        number = draw(st.integers(0, 2**32))
        change = lambda content: mutate_by_number(content, number)  # noqa: E731
    return Trial(f"run with another {name}: {change(b'{}')!r}", lambda folder: show_run(name, change, folder))


def replace_value(content: bytes, value: str, position: int) -> bytes:
    """Return JSON in which the value after one of the colons is another."""
    pieces = content.split(b": ")
    if len(pieces) < 2:
        return value.encode(errors="surrogatepass")
    index = 1 + position % (len(pieces) - 1)
    old = pieces[index]
    end = next((i for i, byte in enumerate(old) if byte in b",}]\n"), len(old))
    pieces[index] = value.encode(errors="surrogatepass") + old[end:]
    return b": ".join(pieces)


def mutate_by_number(content: bytes, number: int) -> bytes:
    """Return a content that is cut, or has a byte changed, as the number says."""
    position = number % max(1, len(content))
    if number % 3 == 0:
        return content[:position]
    return content[:position] + bytes([number // 7 % 256]) + content[position + number % 2 :]


def show_run(name: str, change: Callable[[bytes], bytes], folder: Path) -> str:
    """Show a damaged run by `report`, `watch` and `runs`."""
    from r1kit.report.page import write_report
    from r1kit.report.serve import RunFollower
    from r1kit.runs.listing import list_runs

    run = write_whole_run(folder)
    (run / name).write_bytes(change((run / name).read_bytes()))
    warn_of_damage.cache_clear()
    try:
        table = list_runs(folder)
        page = write_report([str(run)], folder / "page.html").read_text()
        follower = RunFollower([str(run)])
        for path in ("/", "/head", "/s0", "/s0c0"):
            follower.respond(path)
    except UserError as error:
        return f"the run is not shown: {error}"
    return ACCEPTED if "first" in table and "first" in page else "the run is not shown"


# Servers

REPLIES = st.sampled_from((200, 200, 200, 200, 400, 404, 429, 500, 503))
GOOD_CHOICE = {"text": '"<answer>4</answer>"', "index": "0", "finish_reason": '"stop"'}


@st.composite
def server_trials(draw: Any) -> Trial:
    """Draw what a server replies: a status, a header and a body that may be any JSON or bytes."""
    status = draw(REPLIES)
    choice = {**GOOD_CHOICE, **draw(st.dictionaries(st.sampled_from(list(GOOD_CHOICE)), JSON_VALUES, max_size=1))}
    usage = draw(st.just('{"prompt_tokens": 3, "completion_tokens": 4}') | JSON_VALUES)
    choices = draw(st.just(f"[{to_line(choice)}]") | JSON_VALUES)
    body = to_line({"choices": choices, "usage": usage}).encode(errors="surrogatepass")
    body = draw(st.just(body) | st.just(body) | JSON_VALUES.map(lambda value: value.encode(errors="surrogatepass")))
    if draw(st.booleans()) and draw(st.booleans()):
        body = draw(mutate(body))
    retry_after = draw(st.sampled_from((None, None, "0", "x", "-1", "nan", "Wed, 21 Oct 2015 07:28:00 GMT")))
    return Trial(f"server {status} {body[:300]!r}", lambda folder: ask_server(status, body, retry_after, folder))


def ask_server(status: int, body: bytes, retry_after: str | None, folder: Path) -> str:
    """Ask a server on the loopback, which replies the same to each request; a completion must come back exactly."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(status, body)

        def do_GET(self) -> None:
            self.reply(200, b'{"data": [{"id": "m"}]}')

        def reply(self, code: int, content: bytes) -> None:
            self.send_response(code)
            if retry_after is not None:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            return sample_from(url, status, body)
        finally:
            server.shutdown()


def sample_from(url: str, status: int, body: bytes) -> str:
    """Sample one completion from a server; the text that it gives is the text of its reply."""
    from r1kit.completions import PromptBatch
    from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig, ServerConfig
    from r1kit.sampling.engine import make_sampler

    server = ServerConfig(urls=[url], retries=1, backoff=0.0, timeout=5.0)
    sampling = SamplingConfig(engine="openai", server=server, max_tokens=8)
    try:
        sampler = make_sampler(ModelConfig(path="m"), PromptConfig(template="tiny"), sampling)
        try:
            [(_, [[completion]])] = sampler.stream([PromptBatch(0, ["What is 2 + 2?"], 1)], 1)
        finally:
            sampler.close()
    except UserError as error:
        return REFUSED if "\n" not in str(error) else f"an error of several lines: {error}"
    if completion.finish_reason in ("failed", "refused", "context"):
        return REFUSED
    text = json.loads(body)["choices"][0]["text"]
    halves_replaced = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if status != 200 or completion.text != halves_replaced:
        return f"changed without a word: {completion.text!r}"
    return ACCEPTED


# Commands

OUTPUTS = (".", "", "loop", "loop/x", "x" * 300, "a/" * 3000, "examples.jsonl", "examples.jsonl/x", "/proc/x", "new/a")
COMMANDS: tuple[list[str], ...] = (
    ["data", "data.train=examples.jsonl", "--output"],
    ["data", "output=o", "--dataset"],
    ["data", "inspect"],
    ["rewards", "examples.jsonl", "--rewards", "format", "-o"],
    ["rewards", "--rewards", "format"],
    ["report", "runs/first", "-o"],
    ["report"],
    ["runs"],
    ["init", "tiny", "-o"],
    ["merge", "tiny:base", "-o"],
    ["fields"],
    ["schema"],
    ["sft", "--dry-run"],
    ["eval", "model.path=tiny:student", "output=o", "data.eval=problems.jsonl", "--dry-run"],
)


@st.composite
def command_lines(draw: Any) -> list[str]:
    """Draw a command with one more argument that is odd."""
    command = list(draw(st.sampled_from(COMMANDS)))
    word = draw(st.sampled_from(OUTPUTS) | st.sampled_from(ODD_ARGUMENTS) | TEXTS)
    if command[0] in RECIPES and draw(st.booleans()):
        command.append(draw(st.sampled_from(OUTPUTS)))
        word = f"{draw(st.sampled_from(KEYS_OF_STAGES[command[0]]))}={draw(YAML_VALUES)}"
    # A process cannot be given an argument with NUL, nor one that its file system's encoding cannot hold.
    return [*command, word.replace("\0", "").encode(errors="surrogateescape").decode(errors="surrogateescape")]


def prepare_command_folder(folder: Path) -> None:
    """Write the files that commands read, and a link to itself."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    write_run(folder)
    (folder / "loop").symlink_to("loop")


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "recipes": recipe_trials(),
    "rows": row_trials(),
    "files": file_trials(),
    "runs": run_trials(),
    "servers": server_trials(),
    "commands": command_lines(),
}
