"""The script of `make demo`: with a stand-in for r1kit, since the whole chain takes minutes."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "recipes/tiny/run.sh"
# Prints the run directory as a stage does, and makes what the script copies; the report prints its file.
STAND_IN = """#!/usr/bin/env bash
echo $@ >> calls
if [ "$1" = report ]; then echo "$4"; exit; fi
output=${3#output=}
mkdir -p "$output"
[ "$1" = eval ] && echo '{}' > "$output/eval.json"
echo "$output"
"""


def test_the_demo_tells_each_stage_and_hands_on_what_it_made(here):
    (here / "bin").mkdir()
    (here / "bin/r1kit").write_text(STAND_IN)
    (here / "bin/r1kit").chmod(0o755)
    environment = {**os.environ, "PATH": f"{here}/bin:{os.environ['PATH']}"}
    result = subprocess.run(["bash", SCRIPT, "out", "7"], capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout) == (0, "out/ladder.json\n")

    calls = [line.split() for line in (here / "calls").read_text().splitlines()]
    headings = [line for line in result.stderr.splitlines() if line.startswith("[")]
    assert len(headings) == len(calls)
    for number, (heading, call) in enumerate(zip(headings, calls, strict=True), start=1):
        command = call[0]
        assert heading.startswith(f"[{number}/{len(calls)}] {command}")
        if command != "report":
            name = Path(call[2]).name
            assert heading.startswith(f"[{number}/{len(calls)}] {command} {name}: ")
            assert "seed=7" in call

    # Each model of the ladder has one sentence that says what to look at.
    models = " ".join(calls[-2]).partition("models={")[2].rstrip("}")
    names = [entry.partition(":")[0].strip() for entry in models.split(",")]
    guide = result.stderr.partition("How to read the ladder")[2]
    for name in names:
        if name != "Dev2 without language reward":  # told with Dev2
            assert f"\n  {name} " in guide
