"""Write the plans in the READMEs of recipes/: what stands below a mark is what `r1kit plan` prints.

python tools/build_plans.py                writes all of them, in a few minutes
python tools/build_plans.py qwen2.5-7b     writes that of one folder

    <!-- plan: bash recipes/qwen2.5-7b/run.sh --gpus 8xH100-80GB -->
    ```text
    stage     run        peak GiB  fits ...
    ```
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MARK = re.compile(r"(<!-- plan: (.+?) -->\n```text\n).*?(^```)", re.MULTILINE | re.DOTALL)


def write_plans(page: Path) -> None:
    """Replace the text below each mark of a page."""

    def run_plan(match: re.Match[str]) -> str:
        command = [sys.executable, "-m", "r1kit.cli", "-q", "plan", *shlex.split(match[2])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return f"{match[1]}{done.stdout}{match[3]}"

    page.write_text(MARK.sub(run_plan, page.read_text()))


def main() -> None:
    for page in sorted((ROOT / "recipes").glob("*/README.md")):
        if not sys.argv[1:] or page.parent.name in sys.argv[1:]:
            write_plans(page)


if __name__ == "__main__":
    main()
