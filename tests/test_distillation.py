"""On-policy distillation: its gradient against stock TRL's, its loss against the divergence by hand, and the stage."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import ON_POLICY, r1kit, read_data, read_info, read_metrics, write_recipe

from r1kit.errors import UserError
from r1kit.recipe import check_recipe, load_recipe, parse_recipe
from r1kit.recipe.reference import json_schema
from r1kit.runs.paths import SHIPPED_MODELS

TEXTS = ("Q: What is 3 + 4?\nA:", "Q: 1 - 2?\nA:", "Q: a?\nA:", "Q: Compute 5.\nA:")
ROW_COUNT = 16
SERVED = {"path": "tiny:base", "server": "http://a"}
BY_SAVINGS = [("trim",), ()]


def draw_completions() -> list[list[int]]:
    """Return completions of 1 to 24 ids; some end with the end token, which is id 0."""
    generator = torch.Generator().manual_seed(3)
    completions = []
    for row in range(ROW_COUNT):
        length = min(24, max(1, int(math.exp(1.5 + torch.randn((), generator=generator).item()))))
        ids = torch.randint(3, 900, (length,), generator=generator).tolist()
        completions.append(ids if row % 5 == 0 else [*ids[:-1], 0])
    return completions


def make_trainer(
    path: Any,
    savings: tuple[str, ...] | None,
    lora: bool = False,
    own_class: Any = None,
    own_arguments: dict[str, Any] | None = None,
    config_class: Any = None,
    **settings: Any,
) -> Any:
    """Return a distillation trainer whose completions are fixed, stock TRL's where `savings` is None.

    `own_class` is r1kit's trainer, by default OnPolicyTrainer; `own_arguments` are those in place of its teacher.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DistillationConfig, DistillationTrainer

    from r1kit.training.distillation import OnPolicyTrainer

    class FixedCompletions:
        def _generate_single_turn(self, prompt_ids, *others):
            torch.manual_seed(2)  # TRL shuffles the rows next: alike, however many numbers were drawn
            return draw_completions()[: len(prompt_ids)]

    class OwnTrainer(FixedCompletions, own_class or OnPolicyTrainer):
        _get_train_sampler = DistillationTrainer._get_train_sampler  # the order of rows is stock's

    class StockTrainer(FixedCompletions, DistillationTrainer):
        pass

    arguments = {
        "output_dir": str(path),
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "learning_rate": 1e-3,
        "max_steps": 1,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "max_grad_norm": 1e9,
        "gradient_checkpointing": False,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        **settings,
    }
    torch.manual_seed(0)
    trainer_class, more = (StockTrainer, {}) if savings is None else (OwnTrainer, {"savings": savings})
    teacher = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"])
    more |= {"teacher_model": teacher} if own_arguments is None else own_arguments
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        args=(config_class or DistillationConfig)(**arguments),
        train_dataset=Dataset.from_list([{"prompt": TEXTS[row % 4]} for row in range(ROW_COUNT)]),
        processing_class=AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"], padding_side="left"),
        peft_config=LoraConfig(r=4, lora_alpha=8, init_lora_weights=False) if lora else None,
        **more,
    )
    if savings:
        trainer._pass_cost = 4  # so that rows this short are cut into several chunks
    return trainer


def train_and_keep_gradients(trainer: Any) -> dict[str, torch.Tensor]:
    """Train and return the whole gradient of each step, by step and parameter."""
    from transformers import TrainerCallback

    gradients = {}

    class KeepGradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    gradients[f"{state.global_step} {name}"] = parameter.grad.clone()

    trainer.add_callback(KeepGradients())
    trainer.train()
    return gradients


def relative_error(expected: dict[str, torch.Tensor], actual: dict[str, torch.Tensor]) -> float:
    """Return the relative L2 error of the whole gradient, over all steps."""
    assert expected.keys() == actual.keys()
    squares = [value.double().pow(2).sum().item() for value in expected.values()]
    differences = [(expected[name] - actual[name]).double().pow(2).sum().item() for name in expected]
    return math.sqrt(sum(differences) / sum(squares))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"beta": 1.0}, {"beta": 0.0}, {"beta": 0.3, "temperature": 0.7}, {"lora": True}])
def test_the_gradient_is_stock_trl_s(tmp_path, settings):
    stock = train_and_keep_gradients(make_trainer(tmp_path, None, **settings))
    for savings in BY_SAVINGS:
        trainer = make_trainer(tmp_path, savings, **settings)
        assert relative_error(stock, train_and_keep_gradients(trainer)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_loss_is_the_divergence_by_hand(tmp_path, beta):
    """The mean over all tokens of all completions of the generalized Jensen-Shannon divergence, from whole logits."""
    trainer = make_trainer(tmp_path, ("trim",), beta=beta)
    student, teacher, tokenizer = trainer.model, trainer.teacher_model, trainer.processing_class
    divergences = []
    for row, completion in enumerate(draw_completions()):
        prompt = tokenizer(TEXTS[row % 4])["input_ids"]
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            log_p = student(ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
            log_q = teacher(ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
        if beta == 0.0:
            per_token = (log_q.exp() * (log_q - log_p)).sum(-1)
        elif beta == 1.0:
            per_token = (log_p.exp() * (log_p - log_q)).sum(-1)
        else:
            log_m = torch.log((1 - beta) * log_p.exp() + beta * log_q.exp())
            forward = (log_q.exp() * (log_q - log_m)).sum(-1)
            reverse = (log_p.exp() * (log_p - log_m)).sum(-1)
            per_token = beta * forward + (1 - beta) * reverse
        divergences += per_token.tolist()
    # One prompt a row: the order of the data set, so that completion and prompt belong together.
    trainer._get_train_sampler = lambda dataset=None: [row for _ in range(4) for row in range(ROW_COUNT)]
    trainer.train()
    assert trainer.state.log_history[-1]["train_loss"] == pytest.approx(sum(divergences) / len(divergences), rel=1e-4)


@pytest.mark.slow
def test_the_stage_trains_and_writes_rollouts(tmp_path):
    run = tmp_path / "run"
    r1kit("distill", write_recipe(tmp_path / "recipe.yaml", **ON_POLICY), f"output={run}")
    rollouts = read_data(run / "completions")
    assert [row["step"] for row in rollouts] == [step for step in range(1, 7) for _ in range(16)]
    assert {row["finish_reason"] for row in rollouts} <= {"stop", "length"}
    assert all(row["answer"] and row["question"] and 1 <= row["tokens"] <= 24 for row in rollouts)
    losses = [line["loss"] for line in read_metrics(run) if "loss" in line]
    assert len(losses) == 6
    assert min(losses) > 0
    info = read_info(run)
    assert info["steps"] == 6
    assert info["tokens"] > sum(row["tokens"] for row in rollouts)
    assert [parent["role"] for parent in info["parents"]] == ["model", "data", "teacher"]


@pytest.mark.slow
def test_a_teacher_has_the_tokens_of_the_student(tmp_path):
    """A teacher's unused embeddings are cut off; one that lacks a token, or has too few embeddings, is refused."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1kit.models.teacher import load_teacher
    from r1kit.recipe import ModelConfig, TeacherModelConfig

    student_block = ModelConfig(path="tiny:student")
    student = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"])
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    teacher = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"])
    size = teacher.config.vocab_size
    ids = torch.tensor([tokenizer("1 + 2 = 3")["input_ids"]])
    with torch.no_grad():
        expected = teacher(ids).logits
    teacher.resize_token_embeddings(size + 8)
    teacher.save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    block = TeacherModelConfig(path=str(tmp_path / "teacher"))

    loaded = load_teacher(block, student_block, student, tokenizer)
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, expected)

    student.resize_token_embeddings(size + 16)
    with pytest.raises(UserError, match=f"has embeddings of {size + 8:,} tokens, and the student of {size + 16:,}; "):
        load_teacher(block, student_block, student, tokenizer)
    tokenizer.add_tokens(["<unknown to the teacher>"])
    with pytest.raises(UserError, match=r"1 of the student's tokens have .* such as '<unknown to the teacher>'; "):
        load_teacher(block, student_block, student, tokenizer)
    with pytest.raises(UserError, match=r"^teacher\.path = nowhere/at-all; "):
        load_teacher(TeacherModelConfig(path="nowhere/at-all"), student_block, student, tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"uld_use_hybrid_loss": True, "uld_token_merge_strategy": "bayesian"}])
def test_the_gradient_of_gold_is_stock_trl_s(tmp_path, settings):
    """Of TRL's GOLDTrainer, which gets the rows that the student has sampled, in micro-batches of 4."""
    from trl.experimental.gold import GOLDConfig
    from trl.experimental.gold.gold_trainer import GOLDTrainer, ULDLoss

    from r1kit.recipe import PromptConfig
    from r1kit.training.gold import GoldTrainer

    teacher, teacher_tokenizer = make_teacher_with_own_tokens()
    uld_config = GOLDConfig(str(tmp_path), use_uld_loss=True, use_cpu=True, bf16=False, **settings)
    gold = {
        "gold_teacher": teacher,
        "teacher_tokenizer": teacher_tokenizer,
        "prompt": PromptConfig(template="{prompt}"),
        "uld_config": uld_config,
    }
    trainer = make_trainer(tmp_path, ("trim",), own_class=GoldTrainer, own_arguments=gold)
    batches = []
    compute_loss = trainer.compute_loss
    trainer.compute_loss = lambda model, inputs, *rest, **more: (
        batches.append(inputs),
        compute_loss(model, inputs, *rest, **more),
    )[1]
    gradients = train_and_keep_gradients(trainer)

    # The student as it was before the step, and what stock TRL makes of the same rows.
    stock = make_trainer(tmp_path, None)
    student, tokenizer = stock.model, stock.processing_class
    stock_gold = SimpleNamespace(
        use_uld_loss=True,
        teacher_tokenizer=teacher_tokenizer,
        teacher_model=teacher,
        uld_loss_fn=ULDLoss(uld_config, tokenizer, teacher_tokenizer, torch.device("cpu")),
        _teacher_processor=None,
        _tokenizer=tokenizer,
        accelerator=stock.accelerator,
        args=stock.args,
        _get_model_forward_kwargs=lambda inputs: {},
        _matched_sum=0.0,
        _unmatched_sum=0.0,
        _matched_step_eq=0.0,
        _unmatched_step_eq=0.0,
    )
    for batch in batches:
        completion_mask = batch["completion_mask"].bool()
        rows = zip(batch["completion_ids"], completion_mask, strict=True)
        texts = [tokenizer.decode(ids[mask]) for ids, mask in rows]
        is_text = torch.tensor(["\ufffd" not in text for text in texts])  # stock TRL scores others at wrong places
        labels = torch.where(completion_mask & is_text.unsqueeze(1), batch["completion_ids"], -100)
        inputs = {
            "input_ids": torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            "attention_mask": torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            "labels": torch.cat([torch.full_like(batch["prompt_ids"], -100), labels], dim=1),
            "original_prompt_text": [
                tokenizer.decode(ids[mask.bool()])
                for ids, mask in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)
            ],
            "original_completion_text": texts,
        }
        GOLDTrainer._maybe_add_completion_byte_offsets(stock_gold, inputs)
        (GOLDTrainer.compute_loss(stock_gold, student, inputs) / len(batches)).backward()
    expected = {f"0 {name}": parameter.grad for name, parameter in student.named_parameters()}
    assert len(batches) == 4
    assert relative_error(expected, gradients) < 1e-5


@pytest.mark.parametrize(
    ("text", "is_scored"),
    [
        ("3 + 4 = é", True),
        ("e\u0301", False),  # the teacher composes it, and TRL's offsets overlap
        ("\u1100\u1161", False),  # composed to as many tokens as the first letter has bytes
        ("", True),
    ],
)
def test_gold_does_not_score_a_text_that_the_teacher_rewrites(text, is_scored):
    answer = read_as_gold_teacher(lambda tokenizer: tokenizer(text)["input_ids"])
    assert (answer is not None) == is_scored
    if answer is not None:
        byte_count = len(text.encode())
        assert answer.offsets == [*((byte, byte + 1) for byte in range(byte_count)), (byte_count, byte_count)]


def test_gold_does_not_score_bytes_that_are_no_text():
    assert read_as_gold_teacher(lambda tokenizer: tokenizer("é")["input_ids"][:1]) is None


def read_as_gold_teacher(ids_of) -> Any:
    """Return how GOLD's teacher, which has bytes as tokens and NFC, reads an answer of the student `tiny:student`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from r1kit.training.gold import GoldTrainer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    teacher = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(["<end>", *alphabet])}, merges=[]))
    teacher.normalizer = normalizers.NFC()
    teacher.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    teacher.decoder = decoders.ByteLevel()
    student_tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    trainer = SimpleNamespace(
        processing_class=student_tokenizer,
        teacher_tokenizer=PreTrainedTokenizerFast(tokenizer_object=teacher, eos_token="<end>"),
        eos_token_ids={student_tokenizer.eos_token_id},
    )
    return GoldTrainer._read_answer(trainer, ids_of(student_tokenizer))


class TeacherServer(BaseHTTPRequestHandler):
    """What TRL's client asks of a vLLM server, answered by `tiny:base`."""

    def do_GET(self):
        self.send_json({"data": [{"id": "teacher"}]})

    def do_POST(self):
        from transformers import AutoModelForCausalLM

        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        teacher = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"])
        choices = []
        for ids in request["prompt"]:
            with torch.no_grad():
                log_q = (teacher(torch.tensor([ids])).logits[0] / request["temperature"]).log_softmax(-1)
            entries = [None]
            for position, token in enumerate(ids[1:]):
                best = int(log_q[position].argmax())
                entry = {str(token): {"logprob": log_q[position, token].item(), "rank": 2}}
                entries.append({**entry, str(best): {"logprob": log_q[position, best].item(), "rank": 1}})
            choices.append({"prompt_logprobs": entries})
        self.send_json({"choices": choices})

    def send_json(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Print nothing."""


@pytest.mark.slow
def test_the_loss_of_a_teacher_behind_a_server_is_that_by_hand(tmp_path, monkeypatch):
    """Of each token the reverse KL divergence of two cases: that the token comes, and that another one does."""
    from trl.generation import vllm_client

    from r1kit.training.served_teacher import ServedTeacherTrainer, ServerDistillationConfig, check_server

    monkeypatch.setattr(vllm_client, "is_vllm_available", lambda *arguments: True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), TeacherServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    check_server(address)
    settings = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 1}
    trainer = make_trainer(
        tmp_path,
        ("trim", "rollouts"),
        own_class=ServedTeacherTrainer,
        own_arguments={},
        config_class=ServerDistillationConfig,
        teacher_model_server_url=address,
        **settings,
    )
    by_hand = make_trainer(tmp_path, None)
    divergences = []
    for row, completion in enumerate(draw_completions()):
        prompt = trainer.processing_class(TEXTS[row % 4])["input_ids"]
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            columns = torch.tensor(completion).unsqueeze(1)
            p = by_hand.model(ids).logits[0, len(prompt) - 1 : -1].double().softmax(-1).gather(1, columns)
            q = by_hand.teacher_model(ids).logits[0, len(prompt) - 1 : -1].double().softmax(-1).gather(1, columns)
        divergences += (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).flatten().tolist()
    trainer._get_train_sampler = lambda dataset=None: list(range(ROW_COUNT))
    trainer.train()
    server.shutdown()
    assert trainer.savings == {"rollouts"}
    assert trainer.state.log_history[-1]["train_loss"] == pytest.approx(sum(divergences) / len(divergences), rel=1e-4)
    with pytest.raises(UserError, match=r"^teacher\.server = http://127\.0\.0\.1:\d+; no server answers there"):
        check_server(address.replace(str(server.server_port), "9"))
    monkeypatch.setattr(vllm_client, "is_vllm_available", lambda *arguments: False)
    with pytest.raises(UserError, match=r"vLLM is not installed here; pip install 'r1kit\[vllm\]'"):
        check_server(address)


def test_a_teacher_server_that_fails_in_a_step_is_one_line(monkeypatch):
    from r1kit.training.served_teacher import ServedTeacherTrainer, ServerDistillationTrainer

    def fail(trainer, inputs, aligned_prompt_length):
        raise ConnectionError("refused")

    monkeypatch.setattr(ServerDistillationTrainer, "_get_teacher_token_logprobs_from_server", fail)
    trainer = ServedTeacherTrainer.__new__(ServedTeacherTrainer)
    trainer.args = SimpleNamespace(teacher_model_server_url="http://a")
    line = r"^teacher\.server = http://a; gave no log-probabilities \(ConnectionError: refused\); repair the server"
    with pytest.raises(UserError, match=line):
        trainer._get_teacher_token_logprobs_from_server({}, 3)


@pytest.mark.slow
def test_gold_trains_a_student_with_other_tokens_than_its_teacher(tmp_path):
    teacher, tokenizer = make_teacher_with_own_tokens()
    teacher.save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    changes = {"teacher": {"path": str(tmp_path / "teacher")}, "training": {**ON_POLICY["training"], "steps": 2}}
    file = write_recipe(tmp_path / "recipe.yaml", **{**ON_POLICY, **changes})
    _, err = r1kit("distill", file, f"output={tmp_path / 'refused'}", code=2)
    assert err.splitlines()[-1].startswith(f"error: teacher.path = {tmp_path / 'teacher'}; must have the tokenizer of")
    assert err.splitlines()[-1].endswith("use distill.method=gold, which is for such teachers")
    run = tmp_path / "run"
    r1kit("distill", file, f"output={run}", "distill.method=gold", "trl.uld_use_hybrid_loss=true")
    losses = [line["loss"] for line in read_metrics(run) if "loss" in line]
    assert len(losses) == 2
    assert min(losses) > 0
    assert len(read_data(run / "completions")) == 32


def make_teacher_with_own_tokens() -> tuple[Any, Any]:
    """Return a new model and a byte-level tokenizer with fewer tokens than that of the student."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    student_tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    texts = ["What is 3 + 4?", "Q: Compute 5.\nA:", "<think> 3 plus 4 equals 7.</think><answer> 7</answer>"] * 10
    tokenizer = student_tokenizer.train_new_from_iterator(texts, 300)
    config = AutoConfig.from_pretrained(SHIPPED_MODELS["tiny:student"])
    config.update({"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id})
    torch.manual_seed(4)
    return AutoModelForCausalLM.from_config(config), tokenizer


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"teacher": {}}, "teacher.path: the method on-policy learns from the probabilities of a teacher; set"),
        ({"distill": {}}, "teacher.path = tiny:base; the method rows learns from finished rows and asks no teacher; "),
        ({"distill": {}, "teacher": {}}, "sampling: the method rows samples nothing; set distill.method=on-policy"),
        ({"model": {"new": {}}}, "model.new: the method on-policy trains a model that can answer, and a new one"),
        ({"training": {"packing": True}}, "training.packing = true; the method on-policy trains no finished rows; "),
        ({"training": {"max_length": 9}}, "training.max_length = 9; the method on-policy trains no finished rows; set"),
        (
            {"distill": {"method": "gold"}, "teacher": SERVED},
            "teacher.server = http://a; the method gold needs all of the",
        ),
        (
            {"teacher": SERVED, "sampling": {"temperature": 0.7}},
            "sampling.temperature = 0.7; a teacher's server gives its log-probabilities at the temperature 1; set it",
        ),
        ({"teacher": {"server": "a:80"}}, "teacher.server = a:80; must be an address like http://localhost:8000"),
        ({"teacher": {"server": "http://a"}}, "teacher.path: the method on-policy learns from the probabilities of a"),
        ({"trl": {"beta": 1}}, "trl.beta = 1; r1kit sets it from distill.divergence; set distill.divergence instead"),
        ({"trl": {"packing": True}}, "trl.packing = true; it is a field of r1kit's; set training.packing instead"),
        ({"trl": {"lmbda": 1}}, "trl.lmbda = 1; TRL's DistillationConfig has no such field; "),
        (
            {"distill": {"method": "onpolicy"}},
            "distill.method = onpolicy; must be rows, on-policy or gold; did you mean on-policy?",
        ),
    ],
)
def test_what_contradicts_the_method_is_refused(changes, line):
    with pytest.raises(UserError) as caught:
        check_recipe(parse_recipe("distill", {**ON_POLICY, "output": "run", **changes}))
    assert str(caught.value).startswith(line)


def test_a_text_stands_for_the_method_and_for_the_path_of_the_teacher():
    jsonschema = pytest.importorskip("jsonschema")
    values = {**ON_POLICY, "distill": "on-policy", "teacher": "tiny:base"}
    jsonschema.validate(values, json_schema("distill"))
    assert parse_recipe("distill", values) == parse_recipe("distill", ON_POLICY)
    overrides = {"output": "run", "distill": "on-policy", "distill.divergence": 0.5, "teacher": "tiny:base"}
    recipe = load_recipe("distill", None, {**{k: ON_POLICY[k] for k in ("model", "data")}, **overrides})
    assert (recipe.distill.method, recipe.distill.divergence) == ("on-policy", 0.5)


def test_the_student_is_asked_as_its_teacher_was_trained(tmp_path):
    """With the template auto it is; with another one, a note says so."""
    from r1kit.models.prompt_choice import choose_prompts

    (tmp_path / "r1kit_prompt.yaml").write_text("template: 'Q: {prompt} A:'\n")
    values = {**ON_POLICY, "output": "run", "teacher": {"path": str(tmp_path)}}
    recipe, _ = choose_prompts(parse_recipe("distill", {**values, "prompt": {"template": "auto"}}), load_models=False)
    assert recipe.prompt.template == "Q: {prompt} A:"
    recipe, notes = choose_prompts(parse_recipe("distill", values), load_models=False)
    assert recipe.prompt.template == "tiny"
    assert len(notes) == 1
    assert "was trained with template = Q: {prompt} A:" in notes[0]
