"""`r1kit runs`, `init` and `merge`: what stands in a folder, a recipe to start from, a plain model of an adapter."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from r1kit.errors import UserError
from r1kit.run import PACKAGE, Run, duration, replace_folder

RECIPES = (PACKAGE / "recipes", PACKAGE.parent / "recipes")  # in a wheel; in a clone


def found(folder: Path) -> Iterator[Run]:
    """Yield the runs below a folder, also behind links, the earliest first."""
    runs, seen = [], set()
    for path, folders, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(path)
        folders[:] = [] if here in seen else [name for name in folders if name != "checkpoints"]
        if "run.json" in files and here not in seen and Run(Path(path)).info.get("stage"):
            runs.append(Run(Path(path)))
        seen.add(here)
    yield from sorted(runs, key=lambda run: str(run.info.get("started")))


def state(run: Run) -> str:
    """Return a run's status; `killed` where it says that it is running and no process holds it."""
    status = str(run.info.get("status"))
    if status != "running" or not (run.path / ".lock").exists():
        return status
    try:
        descriptor = os.open(run.path / ".lock", os.O_RDONLY)
    except OSError:  # a run of somebody else
        return status
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return "running"
    finally:
        os.close(descriptor)
    return "killed"


def listing(folder: Path) -> str:
    """Return the runs below a folder as a table. Raises UserError where there is none."""
    lines = [["run", "stage", "state", "begun", "time", "steps", "rows", "from"]]
    for run in found(folder):
        info = run.info
        parents = dict.fromkeys(Path(p["path"]).name if p.get("stage") else p["path"] for p in info.get("parents", []))
        seconds = info.get("seconds")
        time = duration(seconds) if seconds else "-"
        lines.append(
            [
                *(
                    str(run.path),
                    str(info.get("stage")),
                    state(run),
                    str(info.get("started", ""))[:16].replace("T", " "),
                ),
                *(time, str(info.get("steps") or "-"), str(info.get("rows") or "-"), ", ".join(parents)),
            ]
        )
    if len(lines) == 1:
        raise UserError("FOLDER", folder, "must have runs below it", "give the folder of your runs")
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[-1]]) for line in lines)


def recipes() -> dict[str, Path]:
    """Return the recipe folders that r1kit carries."""
    place = next((p for p in RECIPES if p.is_dir()), None)
    folders = (
        sorted(p for p in place.iterdir() if p.is_dir() and (any(p.glob("*.yaml")) or (p / "README.md").exists()))
        if place
        else []
    )
    return {folder.name: folder for folder in folders}


def init(name: str, target: Path) -> Path:
    """Copy a recipe folder to start from. Raises UserError for a name that is none, or a target that is there."""
    known = recipes()
    if name not in known:
        raise UserError("NAME", name, "must be a recipe that r1kit carries", f"use one of: {', '.join(known)}")
    if target.exists():
        raise UserError("--output", target, "is there already", "give another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(known[name], new, ignore=shutil.ignore_patterns("__pycache__"))
    os.replace(new, target)
    return target


def merge(run: str, output: Path, trust_remote_code: bool = False) -> Path:
    """Make a plain model of a run's adapter. Raises UserError where there is no adapter."""
    from r1kit.imports import heavy
    from r1kit.recipe import Model
    from r1kit.run import model_path

    path = model_path(run, "RUN")
    if not Path(path).is_dir():
        raise UserError("RUN", run, "must be a run or a folder with an adapter", "check the path")
    if not (Path(path) / "adapter_config.json").exists():
        raise UserError("RUN", run, "must have an adapter (model.lora)", "a full model needs no merging")
    if output.exists():
        raise UserError("--output", output, "is there already", "give another folder")
    with heavy():
        from r1kit.training.policy import load_model, load_tokenizer
    output.parent.mkdir(parents=True, exist_ok=True)
    new = output.with_name(f".{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    block = Model(path=run, trust_remote_code=trust_remote_code)
    load_model(block, training=False, device="cpu").save_pretrained(new)
    load_tokenizer(block).save_pretrained(new)
    replace_folder(new, output)
    return output
