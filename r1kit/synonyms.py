"""What people type in the place of r1kit's words: the one table behind suggestions by meaning.

`errors.suggest` finds a word that is spelt like another one. Here are words that mean the same and are spelt otherwise,
such as `lr` and `training.learning_rate`, or `grpo` and `rl-zero`. Words stand here in small letters and with
underscores: `--LR`, `lr` and `--max-steps` are looked up as `lr` and `max_steps`. Nothing here is an alias: a command
refuses the word, and names what to type.
"""

import shlex
from collections.abc import Collection, Mapping

RENAMED_COMMANDS = {
    "sft": "finetune fine_tune supervised fit instruct pretrain lora qlora",
    "rl-zero": "grpo r1_zero zero rlvr ppo reinforce dapo rlzero",
    "reward-model": "rm reward_model reward_trainer train_rm preference bradley_terry",
    "rl": "rlhf post_train posttrain",
    "distill": "distil kd distillation",
    "generate": "sample infer inference predict rollout rollouts synth gen rejection_sampling",
    "eval": "evaluate test benchmark bench validate measure accuracy lm_eval ladder scaling scale vote",
    "verifier": "head2toe prm verify",
    "data": "dataset datasets preprocess prepare convert mix dedup filter download",
    "data inspect": "inspect show preview view peek head describe cat",
    "rewards": "score reward judge grade check",
    "report": "plot plots html visualize visualise viz summary",
    "watch": "tensorboard dashboard monitor ui web gui tail follow",
    "runs": "ls list status jobs ps log logs history",
    "chat": "ask talk repl interactive play prompt",
    "init": "new create start quickstart template copy recipe recipes demo example examples",
    "merge": "export adapter merge_adapter fuse unload",
    "fields": "config configs options params parameters keys reference docs doc explain describe_fields",
    "schema": "json_schema jsonschema",
}
"""Each command with the words that mean it; the rest of the command line stays as it was typed."""

COMMAND_ACTIONS = {
    "train": "run r1kit sft to train on rows, r1kit rl-zero or r1kit rl to train by rewards",
    "training": "run r1kit sft to train on rows, r1kit rl-zero or r1kit rl to train by rewards",
    "run": "name the stage: r1kit sft RECIPE.yaml; r1kit --help lists the stages",
    "launch": "name the stage: r1kit sft RECIPE.yaml --num-processes 8",
    "compare": "run r1kit eval --model RUN --model RUN --dataset DATA --output DIR",
    "diff": "run r1kit eval --model RUN --model RUN --dataset DATA --output DIR",
    "serve": "run vllm serve RUN/model to serve a model, r1kit chat RUN to ask it, r1kit watch RUN for the report",
    "server": "run vllm serve RUN/model to serve a model, r1kit chat RUN to ask it, r1kit watch RUN for the report",
    "deploy": "run vllm serve RUN/model to serve a model",
    "dpo": "run r1kit reward-model to train a reward model on the pairs, then r1kit rl with the reward preference",
    "resume": "give the command of the run again: it goes on where it stopped",
    "continue": "give the command of the run again: it goes on where it stopped",
    "stop": "press Ctrl-C, or create the file stop in the run directory; the state is saved",
    "kill": "press Ctrl-C, or create the file stop in the run directory; the state is saved",
    "push": "set card.push_to_hub=NAME in the recipe, and give its command again",
    "upload": "set card.push_to_hub=NAME in the recipe, and give its command again",
    "login": "run hf auth login",
    "quantize": "set model.quantize=4bit model.lora=true in the recipe of sft or rl",
    "install": "run pip install 'r1kit[vllm]' for an extra",
    "update": "run pip install --upgrade r1kit",
    "version": "run r1kit --version",
    "help": "run r1kit --help, or r1kit STAGE --help",
    "?": "run r1kit --help, or r1kit STAGE --help",
}
"""Words in the place of a command, each with what to do instead."""

KEYS = {
    "training.learning_rate": "lr rate max_lr",
    "training.min_learning_rate": "min_lr lr_min final_lr",
    "training.epochs": "epoch n_epochs num_epochs max_epochs total_epochs",
    "training.steps": "step iters iterations num_steps total_steps train_steps max_iters",
    "training.batch_size": "bs batch global_batch_size train_batch_size bsz effective_batch_size",
    "training.micro_batch_size": "mbs micro_bs device_batch_size",
    "training.warmup_steps": "warmup num_warmup_steps",
    "training.weight_decay": "wd decay",
    "training.max_grad_norm": "clip_grad grad_clip grad_norm gradient_clipping clip_norm",
    "training.schedule": "scheduler lr_scheduler lr_schedule sched",
    "training.gradient_checkpointing": "grad_checkpointing activation_checkpointing gc checkpointing",
    "training.save_steps": "save_every checkpoint_every save_interval save_freq checkpoint_steps",
    "training.eval_steps": "eval_every eval_interval eval_freq val_steps",
    "training.log_steps": "log_every log_interval log_freq",
    "training.max_length": "max_seq_length max_seq_len seq_len sequence_len sequence_length cutoff_len "
    "context_length context",
    "training.packing": "sample_packing pack pack_sequences",
    "training.loss_on": "train_on_inputs",
    "training.kl": "kl_coef kl_coeff kl_beta kl_penalty kl_weight",
    "training.clip": "clip_eps clip_range cliprange eps clip_epsilon",
    "sampling.group_size": "group g n n_generations rollouts_per_prompt num_rollouts rollout_n generations",
    "sampling.max_tokens": "max_new_tokens max_gen_len max_response_length max_output_tokens response_length tokens "
    "max_completion_tokens max_model_len max_gen_tokens",
    "sampling.samples": "n k num_samples n_samples samples_per_prompt num_return_sequences best_of pass_at_k",
    "sampling.temperature": "temp t",
    "sampling.top_p": "topp nucleus",
    "sampling.top_k": "topk",
    "sampling.engine": "backend inference_engine provider use_vllm",
    "sampling.server.urls": "url base_url api_base server server_urls endpoint_url openai_api_base server_url host",
    "sampling.server.concurrency": "workers num_workers max_concurrency parallel num_concurrent",
    "model.path": "model_name model_name_or_path base_model checkpoint pretrained base model_id init_from hf_model "
    "pretrained_model_name_or_path actor_rollout_ref.model.path",
    "model.lora": "peft use_peft use_lora adapter",
    "model.lora.r": "lora_r rank lora_rank",
    "model.lora.alpha": "lora_alpha",
    "model.lora.dropout": "lora_dropout",
    "model.lora.targets": "lora_target_modules target_modules lora_targets",
    "model.dtype": "bf16 fp16 precision mixed_precision torch_dtype half",
    "model.quantize": "load_in_4bit qlora quantization 4bit bnb_4bit",
    "model.attention": "attn attn_implementation flash_attention flash_attn use_flash_attn",
    "data.train": "dataset datasets train_data train_file train_dataset dataset_name data_path dataset_path "
    "train_files data_files training_data problems prompts input",
    "suite": "benchmark benchmarks task tasks bench",
    "data.eval": "eval_data val_data eval_file validation_file test_file eval_dataset val_dataset test_data",
    "data.train.0.rows": "rows limit max_samples num_rows max_rows subset n_rows max_train_samples",
    "data.train.0.columns": "column_names rename_columns column_mapping",
    "data.train.0.name": "dataset_config dataset_config_name",
    "prompt.template": "chat_template prompt_template",
    "prompt.system": "system_prompt system_message",
    "prompt.prefill": "prefix response_prefix",
    "rewards": "reward reward_funcs reward_functions reward_fn reward_func",
    "teacher.path": "teacher_model teacher_model_name_or_path",
    "keep.prefer": "selection",
    "output": "output_dir out out_dir save_dir outdir output_path default_local_dir logging_dir run_name dest",
    "seed": "random_seed random_state data_seed",
    "card.push_to_hub": "push_to_hub hub_model_id hub upload repo_id",
    "trl.report_to": "wandb tensorboard mlflow logger tracker report trackio wandb_project wandb_project_name",
    "trl.vllm_gpu_memory_utilization": "gpu_memory_utilization gpu_memory",
    "trl.use_vllm": "vllm use_vllm engine backend inference_engine",
}
"""Fields of recipes, each with the words that mean it. A recipe that lacks a word's first field takes its next."""

COLUMNS = {
    "prompt": "column prompt_column input_column question_column input_key prompt_key question_key prompt_field",
    "answer": "answer_column answer_key answer_field label_column label_key solution_column gold_column target_column",
    "completion": "completion_column response_column output_column response_key completion_key",
    "messages": "messages_column messages_key conversation_column",
    "text": "dataset_text_field text_column text_field text_key",
}
"""Columns of rows, each with the words that name the column of a source that it is read from."""

KEY_ACTIONS = {
    "set OPENAI_API_KEY before the command, or name another variable by sampling.server.key": "api_key openai_api_key",
    "pass --num-processes N, for one process on each GPU": "num_processes gpus n_gpus num_gpus nproc_per_node "
    "n_gpus_per_node nproc world_size",
    "pass --accelerate-config FILE, such as recipes/accelerate/fsdp2.yaml": "deepspeed fsdp accelerate "
    "fsdp_config zero",
    "start the command on each node with torchrun --nnodes N; see docs/how-to/cluster.md": "nnodes num_nodes nodes",
    "leave it out: the same command goes on where the run stopped": "resume resume_from_checkpoint resume_mode",
    "leave it out: a prompt has the room that sampling.max_tokens leaves in the model's context": "max_prompt_length "
    "max_prompt_len max_prompt_tokens",
    "leave it out: the advantages are those of GRPO, which trl.scale_rewards and trl.loss_type change": "adv_estimator "
    "advantage_estimator advantage",
    "write it as an entry of rewards: {name: judge, model: NAME, rubric: TEXT, server: {urls: URL}}": "judge",
    "set CUDA_VISIBLE_DEVICES=0 before the command; without a GPU it runs on the CPU": "device gpu cuda device_map",
}
"""What to do about keys that no recipe has, each with the words that ask for it."""

OPTIONS = {
    "--model": "models m pretrained checkpoint base_model",
    "--dataset": "data datasets d train_data input problems file",
    "--output": "o out output_dir out_dir outdir save_dir dest run_name output_path",
    "--num-processes": "gpus n_gpus num_gpus nproc nproc_per_node np devices processes num_processes world_size",
    "--accelerate-config": "deepspeed fsdp accelerate config_file zero ds_config",
    "--overwrite": "force f overwrite_output_dir restart fresh clean",
    "--dry-run": "dryrun plan check preview print_config validate simulate",
    "--verbose": "debug log_level loglevel",
    "--quiet": "silent no_progress",
    "--max-tokens": "tokens max_new_tokens max_length length",
    "--temperature": "temp t",
    "--template": "prompt prompt_template chat_template",
    "--fold": "hide_thinking no_thinking no_think short",
    "--port": "p",
    "--suite": "tasks task benchmarks benchmark bench",
    "--rewards": "reward names reward_funcs r",
    "--answers": "answer forms",
    "--trust-remote-code": "trust",
    "--help": "hlep hepl h usage ? man",
    "--version": "v version_info",
}
"""Options, each with the words that mean it."""

OPTION_ACTIONS = {
    "config": "name the recipe's file before all options: {command} RECIPE.yaml",
    "recipe": "name the recipe's file before all options: {command} RECIPE.yaml",
    "config_name": "name the recipe's file before all options: {command} RECIPE.yaml",
    "c": "name the recipe's file before all options: {command} RECIPE.yaml",
    "yaml": "name the recipe's file before all options: {command} RECIPE.yaml",
    "resume": "leave it out: the same command goes on where the run stopped",
    "resume_from_checkpoint": "leave it out: the same command goes on where the run stopped",
    "continue": "leave it out: the same command goes on where the run stopped",
    "set": "write the value itself: {command} RECIPE.yaml training.steps=50",
    "override": "write the value itself: {command} RECIPE.yaml training.steps=50",
    "multirun": "run one command for each value, in a loop of the shell",
    "inspect": "run r1kit data inspect PATH",
    "stage": "the stage is the command: r1kit sft RECIPE.yaml",
    "device": "set CUDA_VISIBLE_DEVICES=0 before the command; without a GPU it runs on the CPU",
    "gpu": "set CUDA_VISIBLE_DEVICES=0 before the command",
    "cuda": "set CUDA_VISIBLE_DEVICES=0 before the command",
    "cpu": "set CUDA_VISIBLE_DEVICES= (empty) before the command, and it runs on the CPU",
    "nodes": "start the command on each node with torchrun --nnodes N; see docs/how-to/cluster.md",
    "nnodes": "start the command on each node with torchrun --nnodes N; see docs/how-to/cluster.md",
    "token": "run hf auth login, or set HF_TOKEN before the command",
    "hf_token": "run hf auth login, or set HF_TOKEN before the command",
    "yes": "leave it out: r1kit asks nothing",
    "y": "leave it out: r1kit asks nothing",
    "split": "write data.train.0.split=test, or data.eval.0.split=test for eval",
    "no_cuda": "set CUDA_VISIBLE_DEVICES= (empty) before the command, and it runs on the CPU",
}
"""Options that r1kit does not have, each with what to do instead."""

POSITIONS = {
    "MODEL": "model path checkpoint run m",
    "RUN": "run runs model path dir",
    "RUN...": "run runs model path dir",
    "FILE": "file input data dataset path run",
    "NAME": "name recipe",
    "STAGE": "stage",
    "[FOLDER]": "folder dir path root output",
}
"""Arguments that have no option, by their names in the help: each with the words that mean it."""

EXTRA_ARGUMENT_ACTIONS = {
    "chat": "write echo {argument} | r1kit chat MODEL",
    "init": "write --output {argument}",
    "merge": "write --output {argument}",
}
"""Commands, each with what to do about an argument more than it takes."""

VALUES = {
    "dtype": {"bfloat16": "bf16 b16", "float16": "fp16 half 16", "float32": "fp32 full 32 float"},
    "engine": {
        "transformers": "hf huggingface transformer local pytorch torch",
        "vllm": "use_vllm",
        "openai": "sglang api server http tgi ollama llama.cpp llamacpp vllm_server litellm openai_api remote lmstudio",
    },
    "schedule": {"cosine": "cosine_with_min_lr warmup_cosine cos", "constant": "constant_with_warmup none flat"},
    "quantize": {"4bit": "true nf4 4 int4 fp4 bnb yes qlora load_in_4bit"},
    "template": {"chat": "chatml qwen llama llama3 deepseek instruct model", "r1-zero": "r1 zero base r1_zero r1zero"},
    "loss_on": {
        "completions": "completion assistant assistants response answers output",
        "everything": "all full prompt both train_on_inputs",
    },
    "use_vllm": {"true": "vllm"},
    "lora": {"true": "lora peft use_peft use_lora adapter"},
    "rewards": {
        "accuracy": "acc correct correctness math exact_match answer verify em",
        "format": "fmt think_format xml thinking",
        "language": "lang language_consistency",
        "overlong": "soft_overlong overlong_punishment dapo length_penalty",
        "repetition": "repeat repetition_penalty ngram",
        "preference": "rm reward_model",
        "judge": "llm_judge llm_as_judge llm",
    },
    "too_long": {"truncate": "cut trim", "drop": "skip remove filter ignore", "refuse": "error fail raise"},
    "answers": {"boxed": "box \\boxed latex", "tags": "tag answer think r1", "any": "all auto text"},
    "report_to": {
        "wandb": "wandb wb w&b weights_and_biases weights_biases wandb_project wandb_project_name",
        "tensorboard": "tensorboard tb",
        "mlflow": "mlflow",
        "trackio": "trackio",
        "none": "null off false no",
    },
    "attention": {
        "flash_attention_2": "flash fa2 flash_attn flash_attention flash_attn_2 use_flash_attn",
        "sdpa": "torch pytorch",
    },
}
"""Values of fields, by the last name of the field: each with the words that mean it, or that mean field and value."""

METHODS = {
    "vote": "majority maj cons consensus self_consistency majority_vote",
    "best": "best_of bon best_of_n",
}
"""Methods of test-time scaling, each with the words that mean it."""

OFF_VALUES = {"dtype": "float32", "attention": "sdpa", "engine": "transformers", "report_to": "none"}
"""Fields that are not simply true or false, by their last name: each with its value where what it means is off."""

TRACKER_PROJECTS = {
    "wandb": "set WANDB_PROJECT={value} before the command",
    "mlflow": "set MLFLOW_EXPERIMENT_NAME={value} before the command",
    "tensorboard": "set TENSORBOARD_LOGGING_DIR={value} before the command",
    "trackio": "write trl.project={value}",
}
"""Trackers, each with how the project or the folder of its runs is named."""

BLOCK_FIELDS = {
    "model": "path",
    "teacher": "path",
    "data": "train",
    "prompt": "template",
    "lora": "r",
    "training": "steps",
    "sampling": "max_tokens",
    "server": "urls",
    "budget": "tokens",
    "card": "push_to_hub",
}
"""Blocks, each with the field that a value alone most likely means, as in `model: Qwen/Qwen2.5-1.5B`."""


def normalise_word(word: str) -> str:
    """Return a word as it stands in the tables: `--Max-Steps` becomes `max_steps`."""
    return word.strip().lstrip("-+–—").replace("-", "_").lower()


def words_meaning(table: Mapping[str, str], word: str, known_names: Collection[str] = ()) -> list[str]:
    """Return the names of `table` that a word means, in its order; with `known_names`, only those that are known.

    words_meaning(KEYS, "--LR")   ["training.learning_rate"]
    """
    normal_word = normalise_word(word)
    names = [name for name, words in table.items() if normal_word in words.split()]
    return [name for name in names if not known_names or name in known_names]


def suggest_command(word: str, rest: list[str], commands: Collection[str]) -> str:
    """Return what to do about a command that does not exist, followed by the words `rest`; "" if it means none."""
    normalised = normalise_word(word)
    if normalised in COMMAND_ACTIONS:
        return COMMAND_ACTIONS[normalised]
    for name in words_meaning(RENAMED_COMMANDS, word):
        if name.partition(" ")[0] in commands:
            return f"run {shlex.join(['r1kit', *name.split(), *rest])}"
    return ""


def suggest_value(field: str, value: object) -> str:
    """Return the value of a field that a word in its place means, "" if it means none.

    suggest_value("model.dtype", "bf16")   "bfloat16"
    """
    names = words_meaning(VALUES.get(field.rpartition(".")[2], {}), str(value))
    return names[0] if names else ""
