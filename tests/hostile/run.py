"""Judge the cases and print one JSON line for each that went wrong, then a summary: `python -m hostile.run`.

With `--as-tool` the hostile programs are calls of the tool `python`, and none may print that its harm was done.

The summary has the verdict on each case, also on those of maybe.py, which cannot go wrong: boxes are compared by them.

A script of its own, so that tests can run it as another user and see what it leaves behind.
"""

import argparse
import json
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import hostile
from r1kit.sandbox.judge import judge_program
from r1kit.sandbox.prompt_code import complete_program
from r1kit.tools import python_box

SLACK = 0.6  # seconds after its limit in which a verdict must be there


def judged(case: hostile.Case, seconds: float, isolation: str) -> dict:
    started = time.monotonic()
    program = complete_program(case.program, case.prompt, case.tests)
    verdict = judge_program(program, case.tests, seconds, isolation=isolation)
    spent = time.monotonic() - started
    return {"name": case.name, "ok": verdict.ok, "fault": verdict.fault, "seconds": round(spent, 2)}


def called(case: hostile.Case, seconds: float, isolation: str) -> dict:
    """Run a program as a call of the tool `python`; it is `ok` if it has printed that its harm was done."""
    started = time.monotonic()
    python_box.CALL_SECONDS = seconds
    result = python_box.python(case.program)
    spent = time.monotonic() - started
    return {"name": case.name, "ok": hostile.ESCAPED in result.split(), "fault": False, "seconds": round(spent, 2)}


def has_packages(case: hostile.Case) -> bool:
    """Whether this Python has numpy, if the case needs it."""
    needs_numpy = any("import numpy" in text for text in (case.program, *[test.get("code", "") for test in case.tests]))
    return not needs_numpy or find_spec("numpy") is not None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--as-tool", action="store_true", help="hostile programs as calls of the tool python")
    parser.add_argument("--every", type=int, default=1, help="run every so many-th case")
    options = parser.parse_args()
    os.environ["R1KIT_CANARY"] = hostile.CANARY_TEXT
    wrong, slowest, verdicts = [], 0.0, {}
    with ExitStack() as stack:
        Path(hostile.CANARY_FILE).write_text(hostile.CANARY_TEXT)
        stack.callback(lambda: Path(hostile.CANARY_FILE).unlink(missing_ok=True))
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", hostile.PORT)),
            (socket.AF_UNIX, hostile.CANARY_SOCKET),
            (socket.AF_UNIX, "\0" + hostile.CANARY_ABSTRACT),
        ):
            server = stack.enter_context(socket.socket(family))
            if isinstance(address, tuple):
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            elif not address.startswith("\0"):
                with suppress(FileNotFoundError):
                    os.unlink(address)
                stack.callback(os.unlink, address)
            server.bind(address)
            server.listen(64)
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        kinds = {"hostile": hostile.HOSTILE, "honest": hostile.HONEST, "wrong": hostile.WRONG}
        kinds["maybe"] = [*hostile.MAYBE_HOSTILE, *hostile.MAYBE_HONEST]
        run_case = judged
        if options.as_tool:
            run_case, kinds = called, {"hostile": hostile.HOSTILE[:: options.every]}
        for kind, cases in kinds.items():
            cases = [c for c in cases if options.only in c.name and has_packages(c)]
            limit = options.seconds if kind == "hostile" else 10.0
            for result, case in zip(
                pool.map(lambda c, s=limit: run_case(c, s, options.isolation), cases), cases, strict=True
            ):
                verdicts[case.name] = "fault" if result["fault"] else result["ok"]
                if kind == "maybe":
                    continue
                late = result["seconds"] > limit * len(case.tests) + SLACK
                slowest = max(slowest, result["seconds"] - limit if kind == "hostile" else 0)
                if result["ok"] != (kind == "honest") or result["fault"] or late:
                    wrong.append(result)
                    print(json.dumps({"kind": kind, **result}), flush=True)
    counts = {"hostile": len(hostile.HOSTILE), "honest": len(hostile.HONEST), "wrong": len(wrong)}
    if not options.only:
        counts["verdicts"] = verdicts
    print(json.dumps({**counts, "latest": round(slowest, 2), "uid": os.getuid(), "python": sys.executable}))


if __name__ == "__main__":
    main()
