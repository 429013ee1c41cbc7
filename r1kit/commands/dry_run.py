"""`r1kit STAGE --dry-run`: print the resolved recipe, the launch command and the sizes, and do nothing.

    r1kit sft recipes/qwen2.5-0.5b/dev1.yaml --dry-run

After the recipe come lines on what the stage would do and on everything that can be looked at without the network:

    launch: in this process
    stage: rl-zero
    model: tiny:base, 1.1M parameters, context 512
    memory: 0.72 GiB on each device at the peak, while training (loss) = 0.54 activations + 0.16 logits + ...
    work: 60 steps, each step of 128 completions = 1 process x 128 completions at once x 1 accumulated
    rollout: 16 prompts x 8 completions
    output: runs/tiny/r1_zero, a new run
    data.train.0: world:arithmetic, 3,000 rows with prompt, answer, checker, domain
    data.train: 2,957 problems, of which a rollout takes 16
    first prompt: Q: What is 8 minus 3?
    A:
    prompts: the longest has 41 tokens, and sampling.max_tokens = 48 makes 89 of the model's context of 512

A mistake that the stage would report after minutes is an error here. What is not on this machine is named.
"""

import contextlib
import importlib.util
import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.launchers import count_processes, launch_command, needs_missing_deepspeed
from r1kit.messages import logger
from r1kit.plan.estimate import plan_stage
from r1kit.plan.lookup import Lookup
from r1kit.plan.result import PlanOptions
from r1kit.plan.table import describe_memory
from r1kit.preflight.pairs import look_at_pairs
from r1kit.preflight.rows import ProblemRecipe, look_at_examples, look_at_problems
from r1kit.preflight.servers import describe_sampling_servers
from r1kit.preflight.sources import LARGEST_DATA_READ, local_size, look_at_sources, why_missing
from r1kit.recipe import (
    DataRecipe,
    DistillRecipe,
    EvalRecipe,
    GenerateRecipe,
    Recipe,
    RewardModelRecipe,
    RLRecipe,
    SFTRecipe,
    TrainingRecipe,
    VerifierRecipe,
    dump_recipe,
)
from r1kit.recipe.suite import BenchmarkConfig
from r1kit.rewards.judge import judge_settings
from r1kit.rewards.judge_server import FIELD as JUDGE_FIELD
from r1kit.rewards.registry import resolve_reward
from r1kit.runs.ending import describe_progress
from r1kit.runs.resume import already_finished, describe_difference
from r1kit.runs.run import Run
from r1kit.safe_text import mask_text, print_result
from r1kit.suites import BENCHMARKS
from r1kit.tools import resolve_environment, resolve_tools

# Devices that Linux shows where a GPU of NVIDIA, of AMD (two names) or of Intel is installed.
_GPU_DEVICES = ("/dev/nvidia0", "/dev/kfd", "/dev/dri/renderD128")


def print_dry_run(
    stage: str, recipe: Recipe, processes: int | None, accelerate_config: str | None, notes: Sequence[str] = ()
) -> None:
    """Print what the stage would do, on stdout, and on stderr `notes` on the recipe and on this machine.

    Raises UserError where a reward or one of its settings does not exist.
    """
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # before `datasets` is imported
    # A stage finds a mistake in a reward only once it has read the data.
    for index, entry in enumerate(getattr(recipe, "rewards", [])):
        resolve_reward(entry, index)
    if isinstance(recipe, RLRecipe):
        resolve_tools(recipe.tools)
        if recipe.environment:
            resolve_environment(recipe.environment)
    _check_own_classes(recipe)
    launch = _describe_launch(recipe, processes, accelerate_config)
    work_lines = _describe_work(recipe, count_processes(processes, accelerate_config))
    _check_trl_block(recipe)
    with _messages_shown_once():
        data_lines = _look_at_data(recipe)
    print_result(dump_recipe(recipe))
    print_result(f"launch: {launch}")
    print_result(f"stage: {stage}")
    for name, path in _models_of(recipe).items():
        print_result(f"{name}: {describe_model(path, recipe)}")
    if isinstance(recipe, DistillRecipe) and not recipe.trains_on_rows:
        print_result(f"teacher: {describe_teacher(recipe)}")
    adapter_notes = _describe_adapter(recipe)
    memory_line = _describe_memory(stage, recipe, processes, accelerate_config)
    if memory_line:
        print_result(memory_line)
    for line in (*work_lines, _describe_output(stage, recipe), *_look_at_servers(recipe), *data_lines):
        print_result(line)
    for note in (*adapter_notes, *notes):
        logger.info(note)
    if not isinstance(recipe, DataRecipe):
        _note_missing_gpu(recipe)
        if _needs_missing_vllm(recipe):
            logger.info("vLLM is not installed, and this recipe samples with it: pip install 'r1kit[vllm]'")
        if accelerate_config and needs_missing_deepspeed(accelerate_config):
            logger.info("DeepSpeed is not installed, and this launch needs it: pip install 'r1kit[deepspeed]'")


def _check_own_classes(recipe: Recipe) -> None:
    """Import the `trainer` and the `callbacks` of a recipe as its stage does. Raises UserError where that refuses."""
    if not isinstance(recipe, RLRecipe | SFTRecipe) or not (recipe.trainer or recipe.callbacks):
        return
    base: type[Any]
    with heavy_imports():
        from r1kit.training.own_code import resolve_callbacks, resolve_trainer

        if isinstance(recipe, RLRecipe):
            from r1kit.training.grpo import RLTrainer

            base = RLTrainer
        else:
            from r1kit.training.sft import FineTuningTrainer

            base = FineTuningTrainer
    resolve_trainer(recipe.trainer, base)
    resolve_callbacks(recipe.callbacks)


def _describe_launch(recipe: Recipe, processes: int | None, accelerate_config: str | None) -> str:
    # The stage `data` trains nothing, and runs in one process whatever the options say.
    command = None if isinstance(recipe, DataRecipe) else launch_command(processes, accelerate_config)
    if command is None:
        return "in this process"
    return shlex.join([*command, "-m", "r1kit.launch", recipe.output or "RUN"])


def _models_of(recipe: Recipe) -> dict[str, str | None]:
    """Return the path of each model that the stage loads, by the name that its line begins with."""
    if isinstance(recipe, DataRecipe):
        return {}
    if isinstance(recipe, EvalRecipe) and recipe.read and not recipe.suite:
        return {}
    if isinstance(recipe, EvalRecipe) and recipe.models:
        return {name: model.path for name, model in recipe.models.items()}
    return {"model": recipe.model.path}


def describe_model(path: str | None, recipe: Recipe) -> str:
    """Return one line on a model: its parameters and its context.

    Where the parameters cannot be counted, the line says why.
    """
    with heavy_imports():
        from r1kit.models.size import UnknownSizeError, context_length, count_parameters, load_config

    name = path or "a new model"
    if recipe.model.new:
        name = f"a new {recipe.model.new.type} model"
    is_trained = isinstance(recipe, TrainingRecipe)
    try:
        config = load_config(recipe.model, path)
        size = count_parameters(config, recipe.model if is_trained else None)
    except UnknownSizeError as error:
        return f"{name}, the number of parameters is not known: {error}"
    facts = [name, f"{_in_millions(size.total)} parameters"]
    if is_trained and recipe.model.lora:
        facts.append(f"{_in_millions(size.trained)} of them trained")
    context = context_length(config)
    if context is not None:
        facts.append(f"context {context:,}")
    return ", ".join(facts)


def _describe_adapter(recipe: Recipe) -> list[str]:
    """Return notes on how a training will use a model that is an adapter."""
    if not isinstance(recipe, TrainingRecipe) or not recipe.model.path or not Path(recipe.model.path).exists():
        return []
    from r1kit.models.load import describe_adapter

    return describe_adapter(recipe.model)


def _describe_memory(stage: str, recipe: Recipe, processes: int | None, accelerate_config: str | None) -> str:
    """Return a line on the memory of each device, as `r1kit plan` computes it; empty where nothing is known of it."""
    options = PlanOptions(processes=processes, accelerate_config=accelerate_config)
    try:
        plan = plan_stage(stage, recipe, options, Lookup())
    except UserError:  # of a model that is not here, as the line before says, or of a batch that does not divide
        return ""
    if not plan.memory:
        return ""
    return f"memory: {describe_memory(plan)}, planned for {plan.hardware}; r1kit plan says what it will take"


def describe_teacher(recipe: DistillRecipe) -> str:
    """Return one line on the teacher of an on-policy recipe: its parameters, or which server serves it."""
    if recipe.teacher.server is not None:
        return mask_text(f"{recipe.teacher.path}, served at {recipe.teacher.server}")
    with heavy_imports():
        from r1kit.models.size import UnknownSizeError, count_parameters, load_config

    teacher = recipe.teacher.to_model_config()
    try:
        size = count_parameters(load_config(teacher, teacher.path), None)
    except UnknownSizeError as error:
        return f"{teacher.path}, the number of parameters is not known: {error}"
    return f"{teacher.path}, {_in_millions(size.total)} parameters"


def _in_millions(count: int) -> str:
    return f"{count / 1e6:,.1f}M"


def _describe_work(recipe: Recipe, processes: int) -> list[str]:
    """Return one or two lines on how much the stage trains, samples or reads."""
    if isinstance(recipe, TrainingRecipe):
        return _describe_training(recipe, processes)
    if isinstance(recipe, DataRecipe):
        return [f"work: {len(recipe.data.train)} sources are read, cleaned, filtered and written"]
    assert isinstance(recipe, GenerateRecipe | EvalRecipe | VerifierRecipe)
    if isinstance(recipe, EvalRecipe) and (recipe.suite or recipe.read):
        lines = [_describe_benchmark(name, benchmark) for name, benchmark in recipe.suite.items()]
        return lines + [f"work: {file} is read, and its results are shown" for file in recipe.read]
    samples, max_tokens = recipe.sampling.samples, recipe.sampling.max_tokens
    return [f"work: {samples} samples of each prompt, each of at most {max_tokens:,} tokens"]


def _describe_benchmark(name: str, config: BenchmarkConfig) -> str:
    """Return a line on a benchmark: where its problems are, how they are sampled, and by which protocol."""
    rows = f" {config.rows} problems" if config.rows else ""
    samples = "1 sample" if config.samples == 1 else f"{config.samples} samples"
    temperature = f"temperature {config.temperature:g}, top_p {config.top_p:g}"
    benchmark = BENCHMARKS[name]
    departures = f"; departures: {benchmark.departures}" if benchmark.departures else ""
    return (
        f"work: {name}:{rows} from {config.path}, {samples} of each problem at {temperature}, of at most "
        f"{config.max_tokens:,} tokens ({benchmark.protocol}{departures})"
    )


def _describe_training(recipe: TrainingRecipe, processes: int) -> list[str]:
    from r1kit.training.arguments import split_batch

    training = recipe.training
    micro_batch_size, accumulation_steps = split_batch(training, processes)
    duration = f"{training.steps} steps" if training.steps else f"{training.epochs} epochs"
    rows = "rows" if isinstance(recipe, SFTRecipe) and recipe.trains_on_rows else "completions"
    if isinstance(recipe, RewardModelRecipe):
        rows = "pairs"
    factors = [
        "1 process" if processes == 1 else f"{processes} processes",
        f"{micro_batch_size} {rows} at once",
        f"{accumulation_steps} accumulated",
    ]
    lines = [f"work: {duration}, each step of {training.batch_size} {rows} = {' x '.join(factors)}"]
    if isinstance(recipe, RLRecipe):
        lines.append(f"rollout: {recipe.prompts_per_rollout} prompts x {recipe.sampling.group_size} completions")
    return lines


@contextlib.contextmanager
def _messages_shown_once() -> Iterator[None]:
    """Print a message once that several readings of the same data repeat."""
    printed_messages: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_first = text not in printed_messages
        printed_messages.add(text)
        return is_first

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


def _look_at_data(recipe: Recipe) -> list[str]:
    """Return lines on the sources of a recipe and on its first row, as far as they are on this machine."""
    if isinstance(recipe, RewardModelRecipe):
        return look_at_pairs(recipe)
    lines = []
    for role, sources in (("data.train", recipe.data.train), ("data.eval", recipe.data.eval)):
        if not sources:
            continue
        view = look_at_sources(sources, role)
        lines += view.lines
        if isinstance(recipe, SFTRecipe) and recipe.trains_on_rows:
            lines += look_at_examples(recipe, view) if role == "data.train" else []
        elif isinstance(recipe, ProblemRecipe):
            lines += look_at_problems(recipe, role, view)
    return [*lines, *_look_at_held_out(recipe), *_look_at_benchmarks(recipe)]


def _look_at_held_out(recipe: Recipe) -> list[str]:
    """Return lines on the problems that `hygiene.decontaminate` keeps out of the data.

    Raises UserError for a source on this machine that cannot be read.
    """
    from r1kit.data.hygiene.contamination import read_benchmark_questions

    hygiene = getattr(recipe, "hygiene", None)
    lines = []
    for index, source in enumerate(hygiene.decontaminate if hygiene is not None else []):
        field = f"hygiene.decontaminate.{index}"
        size = local_size(source.path)
        if size is None:
            lines.append(f"{field}: {source.path}, not looked at, because {why_missing(source.path)}")
        elif size <= LARGEST_DATA_READ and not source.path.startswith("reasoning_gym:"):
            count = sum(1 for _ in read_benchmark_questions(source, field))
            lines.append(f"{field}: {source.path}, {count:,} problems")
    return lines


def _look_at_benchmarks(recipe: Recipe) -> list[str]:
    """Return lines on the benchmarks of a recipe of `eval`, after the checks of its stage that need no network."""
    if not isinstance(recipe, EvalRecipe):
        return []
    from r1kit.data.benchmarks import load_benchmark
    from r1kit.sampling.benchmarks import with_protocol
    from r1kit.sampling.other_programs import read_results
    from r1kit.sampling.prompt_check import check_completion_room

    for file in recipe.read:
        read_results(file)
    lines = []
    for name, config in recipe.suite.items():
        for model_recipe in recipe.recipes_by_model().values():
            check_completion_room(model_recipe.model, with_protocol(model_recipe, config).sampling)
        if local_size(config.path) is None:
            lines.append(f"suite.{name}: {config.path}, not looked at, because {why_missing(config.path)}")
        else:
            lines.append(f"suite.{name}: {len(load_benchmark(name, config)):,} problems of {config.path}")
    return lines


def _look_at_servers(recipe: Recipe) -> list[str]:
    """Return lines on the servers that a recipe asks, with those of a judge and of a teacher that rewrites its rows."""
    lines: list[str] = []
    if isinstance(recipe, GenerateRecipe | EvalRecipe | VerifierRecipe) and recipe.sampling.engine == "openai":
        for path in filter(None, _models_of(recipe).values()):
            lines += describe_sampling_servers(path, recipe.sampling)
    for name in ("refine", "journey"):
        teacher = getattr(recipe, name, None)
        if teacher is not None and teacher.sampling.engine == "openai":
            model = teacher.model or recipe.model
            lines += describe_sampling_servers(model.path or "", teacher.sampling, f"{name}.sampling")
    for entry in getattr(recipe, "rewards", []):
        if entry.name == "judge":
            judge = judge_settings(entry)
            lines += describe_sampling_servers(judge.model, judge.sampling_config(), "judge", f"{JUDGE_FIELD}.model")
    return lines


def _check_trl_block(recipe: Recipe) -> None:
    """Raise UserError for a value of the block `trl` that TRL or transformers refuse."""
    if not isinstance(recipe, TrainingRecipe) or not recipe.trl:
        return
    with heavy_imports():
        import trl  # noqa: F401
    from r1kit.training import arguments

    run = Run(Path(recipe.output or ""))
    if isinstance(recipe, RLRecipe):
        arguments.build_grpo_config(recipe, run)
    elif isinstance(recipe, DistillRecipe) and not recipe.trains_on_rows:
        arguments.build_distillation_config(recipe, run)
        if recipe.distill.method == "gold":
            arguments.build_uld_config(recipe, run)
    elif isinstance(recipe, RewardModelRecipe):
        arguments.build_reward_model_config(recipe, run)
    else:
        arguments.build_sft_config(recipe, run)


def _describe_output(stage: str, recipe: Recipe) -> str:
    """Return what is in the run directory of a recipe now, and what the stage would make of it."""
    run = Run(Path(recipe.output or ""))
    if not run.info:
        return f"output: {run.path}, a new run"
    if already_finished(stage, recipe):
        return f"output: {run.path} holds this run, finished: the command prints its path and does nothing"
    difference = describe_difference(run, recipe, stage)
    if difference:
        return f"output: {run.path} holds a run that was started with {difference}: the command needs --overwrite"
    return f"output: {run.path} holds this run {describe_progress(run, recipe)}: the command goes on with it"


def _needs_missing_vllm(recipe: Recipe) -> bool:
    """Return whether a recipe samples with vLLM in its own process, and vLLM is not installed."""
    is_engine = getattr(getattr(recipe, "sampling", None), "engine", None) == "vllm"
    samples_with_vllm = is_engine or bool(getattr(recipe, "trl", {}).get("use_vllm"))
    return samples_with_vllm and importlib.util.find_spec("vllm") is None


def _note_missing_gpu(recipe: Recipe) -> None:
    """Print a note on stderr where this machine has no GPU, and whether the recipe needs one."""
    if any(Path(device).exists() for device in _GPU_DEVICES):
        return
    is_half_precision = recipe.model.dtype in ("bfloat16", "float16")
    uses_vllm = "vllm" in str(getattr(recipe, "trl", {}))
    if recipe.model.quantize is not None or is_half_precision or uses_vllm:
        logger.info("this machine has no GPU, and this recipe needs one")
    else:
        logger.info("this machine has no GPU, so the CPU is used")
