"""Duplicates and contamination: precision and recall on planted rows, beside what others do.

    python benchmarks/hygiene.py [--seeds 3]

The rows: 2,000 programming problems in natural language (reasoning_gym's CodeI/O) and 2,000 made from templates (20 of
its tasks, 100 each), where many rows differ in a number alone. The benchmark: 600 further CodeI/O problems and 100
gsm_symbolic ones. Planted: 300 exact copies (other case, spaces, dollar signs), 300 copies of which a tenth of the
words are replaced, dropped, doubled or swapped (never numbers), and 300 problems of the benchmark with a sentence
before or after, half of them edited in the same way. Siblings are the rows that the benchmark's own templates made,
with other names and numbers: whether they are contamination is a matter of taste, so precision leaves them out.

Beside r1kit: for duplicates, equal strings, and MinHash alone (datasketch, threshold 0.7, as text-dedup has it); for
contamination, open-r1's method (scripts/decontaminate.py: a shared 8-gram of lower-case words).
"""

import argparse
import gzip
import json
import random
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import reasoning_gym
from datasets import Dataset, disable_progress_bars
from datasketch import MinHash, MinHashLSH

from r1kit.data.hygiene import find_clean_rows
from r1kit.data.hygiene.duplicates import letter_shingles
from r1kit.data.hygiene.normalise import normalise_text
from r1kit.recipe import HygieneConfig

TASKS = [
    *("gsm_symbolic", "chain_sum", "leg_counting", "family_relationships", "caesar_cipher", "products", "gcd", "lcm"),
    *("prime_factorization", "power_function", "simple_equations", "calendar_arithmetic", "time_intervals"),
    *("number_sorting", "spell_backward", "letter_counting", "word_sorting", "base_conversion", "count_bits"),
    "fraction_simplification",
]
Row = dict


def natural() -> list[str]:
    """The problems of reasoning_gym's CodeI/O, each once."""
    file = Path(reasoning_gym.__file__).parent / "data/codeio.jsonl.gz"
    found = []
    with gzip.open(file, "rt") as lines:
        for line in lines:
            if line.strip():
                found.append(" ".join(json.loads(line)["task_description"].split()))
    return list(dict.fromkeys(t for t in found if len(t.split()) >= 20))


def templated(task: str, count: int, seed: int) -> list[Row]:
    made = reasoning_gym.create_dataset(task, size=count, seed=seed)
    return [{"question": item["question"], "answer": str(item["answer"])} for item in made]


def edited(text: str, rng: random.Random, vocabulary: list[str]) -> str:
    """Change a tenth of the words, at least one; never one with a digit."""
    words = text.split()
    free = [i for i, word in enumerate(words[:-1]) if not re.search(r"\d", word + words[i + 1])]
    for i in sorted(rng.sample(free, max(1, round(len(words) / 10))), reverse=True):
        way = rng.choice(("replace", "drop", "double", "swap"))
        if way == "replace":
            words[i] = rng.choice(vocabulary)
        elif way == "drop":
            del words[i]
        elif way == "double":
            words.insert(i, words[i])
        else:
            words[i : i + 2] = words[i + 1 : i + 2] + words[i : i + 1]
    return " ".join(words)


def copied(text: str, rng: random.Random) -> str:
    return rng.choice((text.upper(), text.replace(" ", "  "), f"${text}$", text.rstrip(".?") + " ?"))


def planted(seed: int) -> tuple[list[Row], list[str], list[str]]:
    """Return rows, what each of them is, and the benchmark."""
    rng = random.Random(seed)
    texts = natural()
    rng.shuffle(texts)
    base = [{"question": t, "answer": None} for t in texts[:2000]]
    held = texts[2000:2600]
    vocabulary = sorted({w for t in texts for w in t.split() if w.isalpha()})
    symbolic = templated(TASKS[0], 100, seed)
    base += symbolic
    for task in TASKS[1:]:
        base += templated(task, 100, seed)
    once = {}
    for row in base:  # templates repeat themselves, which is no fault of ours
        once.setdefault(normalise_text(row["question"]), row)
    rows = list(once.values())
    kinds = ["sibling" if row in symbolic else "own" for row in rows]
    sums = [row["question"] for row in templated("gsm_symbolic", 100, seed + 1000)]
    for row in rng.sample(rows, 300):
        rows.append({**row, "question": copied(row["question"], rng)})
        kinds.append("exact")
    for row in rng.sample(base[:2000], 300):
        rows.append({**row, "question": edited(row["question"], rng, vocabulary)})
        kinds.append("near")
    for number, text in enumerate(rng.sample(held + sums, 300)):
        if number % 2:
            text = edited(text, rng, vocabulary)
        said = rng.choice(("Solve this problem. {}", "{} Give the answer alone.", "Hello! {}"))
        rows.append({"question": said.format(text), "answer": None})
        kinds.append("held, edited" if number % 2 else "held")
    return rows, kinds, held + sums


def r1kit_drops(wanted: HygieneConfig) -> Callable[[list[Row], list[str]], set[int]]:
    def find(rows: list[Row], benchmark: list[str]) -> set[int]:
        kept, _ = find_clean_rows(Dataset.from_list(rows), wanted)
        return set(range(len(rows))) - set(kept)

    return find


def equal(rows: list[Row], benchmark: list[str]) -> set[int]:
    seen: set[str] = set()
    return {i for i, row in enumerate(rows) if row["question"] in seen or seen.add(row["question"])}


def minhash(rows: list[Row], benchmark: list[str]) -> set[int]:
    index, gone = MinHashLSH(threshold=0.7, num_perm=128), set()
    for i, row in enumerate(rows):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([gram.encode() for gram in letter_shingles(normalise_text(row["question"]))])
        if index.query(sketch):
            gone.add(i)
        else:
            index.insert(i, sketch)
    return gone


def open_r1(rows: list[Row], benchmark: list[str]) -> set[int]:
    def grams(text: str) -> list[str]:
        words = " ".join(text.lower().strip().split()).split()
        return [" ".join(words[i : i + 8]) for i in range(len(words) - 7)]

    known = defaultdict(set)
    for number, text in enumerate(benchmark):
        for gram in grams(text):
            known[gram].add(number)
    return {i for i, row in enumerate(rows) if any(gram in known for gram in grams(row["question"]))}


def measure(gone: set[int], kinds: list[str], wanted: tuple[str, ...]) -> dict[str, float]:
    """Return precision, and the recall of each kind."""
    true = sum(kinds[i] in wanted for i in gone)
    ours = [i for i in gone if kinds[i] != "sibling"]
    recall = {
        k: sum(i in gone for i, kind in enumerate(kinds) if kind == k) / kinds.count(k) for k in (*wanted, "sibling")
    }
    return {"precision": true / len(ours) if ours else 1.0, **recall}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    disable_progress_bars()
    file = Path("runs/hygiene-benchmark.jsonl")
    file.parent.mkdir(exist_ok=True)
    near = {"exact": True, "near": 0.7}
    methods = {
        "duplicates": {"equal strings": equal, "MinHash alone": minhash, "r1kit": r1kit_drops(HygieneConfig(**near))},
        "contamination": {
            "open-r1, 8-grams": open_r1,
            "r1kit, 10-grams": r1kit_drops(HygieneConfig(decontaminate=[str(file)])),
            "r1kit, 8-grams": r1kit_drops(HygieneConfig(decontaminate=[str(file)], ngram=8)),
        },
    }
    kinds_of = {"duplicates": ("exact", "near"), "contamination": ("held", "held, edited")}
    found: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for seed in range(options.seeds):
        rows, kinds, benchmark = planted(seed)
        file.write_text("".join(json.dumps({"problem": text}) + "\n" for text in benchmark))
        for part, tried in methods.items():
            keep = [i for i, kind in enumerate(kinds) if kind in ("own", "sibling", *kinds_of[part])]
            some, of = [rows[i] for i in keep], [kinds[i] for i in keep]
            for name, method in tried.items():
                started = time.perf_counter()
                gone = method(some, benchmark)
                seconds = time.perf_counter() - started
                found[part, name].append({**measure(gone, of, kinds_of[part]), "rows/s": len(some) / seconds})
    for part in methods:
        columns = ["precision", *kinds_of[part], "sibling", "rows/s"]
        print(
            f"\n| {part} | precision | "
            + " | ".join(f"recall: {k}" for k in kinds_of[part])
            + " | siblings dropped | rows a second |"
        )
        print("| --- |" + " --- |" * len(columns))
        for (of, name), runs in found.items():
            if of == part:
                cells = [_cell([run[c] for run in runs], c) for c in columns]
                print(f"| {name} | " + " | ".join(cells) + " |")


def _cell(values: list[float], column: str) -> str:
    if column == "rows/s":
        return f"{statistics.median(values):.0f}"
    spread = f" ({100 * min(values):.1f}-{100 * max(values):.1f})" if max(values) > min(values) else ""
    return f"{100 * statistics.mean(values):.1f}%{spread}"


if __name__ == "__main__":
    main()
