"""The same `generate` through four engines, with a real LLM: 300 problems, 4 samples each, verified, filtered, written.

    .venv-vllm/bin/python recipes/smollm2-135m/fetch.py runs/smollm2
    .venv-vllm/bin/python benchmarks/engines.py runs/smollm2 [--rows 300]

In process: transformers and vLLM. Servers: vLLM's and `transformers serve`. Needs the environment of `make env-vllm`.
SmolLM2-135M is asked sums in a plain template; what it gets right is not the point, that every row arrives is.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from helpers import r1kit, read_data, read_info, write_recipe  # noqa: E402
from servers import free_port, model_server  # noqa: E402

GYM = {
    "path": "reasoning_gym:chain_sum",
    "settings": {"min_terms": 2, "max_terms": 3, "min_digits": 2, "max_digits": 2},
}
QUESTION = "State the final answer to the following arithmetic problem:"
TEMPLATE = f"{QUESTION} 12 + 7 =\n<answer>19</answer>\n{QUESTION} 9 - 4 =\n<answer>5</answer>\n{{prompt}}\n"


def recipe_values(model: str, rows: int, **sampling) -> dict:
    """Return the recipe."""
    return {
        "model": {"path": model},
        "data": {"train": [{**GYM, "rows": rows}]},
        "prompt": {"template": TEMPLATE, "prefill": "<answer>"},
        "sampling": {"samples": 4, "temperature": 0.7, "max_tokens": 8, "batch_size": 100, **sampling},
        "rewards": [{"name": "accuracy"}, {"name": "format"}],
        "keep": {"format": False, "finished": False, "per_prompt": 1},
    }


def vllm_server(model: str, port: int) -> list[str]:
    """Return the command of vLLM's server on the CPU, where seeds and chunked prefill do not work together."""
    module = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port)]
    return [*module, "--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--no-enable-chunked-prefill"]


def transformers_server(model: str, port: int) -> list[str]:
    """Return the command of `transformers serve`."""
    return [str(Path(sys.executable).parent / "transformers"), "serve", "--port", str(port), "--device", "cpu", model]


def measure_engine(folder: Path, name: str, model: str, rows: int, **sampling) -> dict:
    """Run `generate` with one engine, check that no row is missing, and return what came of it."""
    recipe_file = write_recipe(folder / f"{name}.yaml", **recipe_values(model, rows, **sampling))
    run_dir = folder / name
    started = time.perf_counter()
    r1kit("generate", recipe_file, f"output={run_dir}")
    seconds = time.perf_counter() - started
    sampled = [r for file in sorted((run_dir / "samples").glob("*.parquet")) for r in read_rows(file)]
    drops = json.loads((run_dir / "drops.json").read_text())
    problems = json.loads((run_dir / "samples/manifest.json").read_text())["problems"]
    assert len(sampled) == len({(r["id"], r["sample"]) for r in sampled}) == 4 * problems
    assert drops["kept"] == len(read_data(run_dir / "data")) == read_info(run_dir)["rows"]
    return {
        "engine": name,
        "problems": problems,
        "samples": len(sampled),
        "right": sum(bool(r["correct"]) for r in sampled),
        "faults": sum(r["fault"] for r in sampled),
        "kept": drops["kept"],
        "seconds": seconds,
        "tokens": sum(r["tokens"] for r in sampled),
    }


def read_rows(file: Path) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(file).to_pylist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--only", nargs="*", default=["transformers", "vllm", "vllm-server", "transformers-serve"])
    options = parser.parse_args()
    model = str(Path(options.model).resolve())
    print("| engine | problems | samples | right | faults | kept | seconds | tokens a second |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for engine in options.only:
            if engine in ("transformers", "vllm"):
                changes = {"vllm": {"max_model_len": 512}} if engine == "vllm" else {}
                result = measure_engine(folder, engine, model, options.rows, engine=engine, **changes)
            else:
                port = free_port()
                command = (vllm_server if engine == "vllm-server" else transformers_server)(model, port)
                with model_server(command, port, folder / f"{engine}.log", VLLM_CPU_KVCACHE_SPACE="2") as url:
                    server = {"urls": url, "concurrency": 32 if engine == "vllm-server" else 4}
                    result = measure_engine(folder, engine, model, options.rows, engine="openai", server=server)
            cells = [result[key] for key in ("engine", "problems", "samples", "right", "faults", "kept")]
            rate = result["tokens"] / result["seconds"]
            print("| " + " | ".join(map(str, [*cells, f"{result['seconds']:.0f}", f"{rate:.0f}"])) + " |", flush=True)


if __name__ == "__main__":
    main()
