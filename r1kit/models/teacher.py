"""Load the teacher of an on-policy distillation, and check that its probabilities are of the student's tokens."""

from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.models.load import load_model, load_tokenizer
from r1kit.ranks import is_main_rank
from r1kit.recipe import ModelConfig, TeacherModelConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS_NAMED = 3
"""Tokens that an error names of those by which two vocabularies differ."""


def load_teacher(block: TeacherModelConfig, student_block: ModelConfig, student: Any, tokenizer: Any) -> Any:
    """Return the teacher, on the CPU, from where the trainer moves it; its vocabulary is as large as the student's.

    The embeddings of two models with one tokenizer may have different numbers of unused rows at their ends (Qwen2.5-7B
    has 152,064, Qwen2.5-0.5B 151,936): those that the teacher has more are cut off. Raises UserError where the teacher
    cannot be loaded, or where its tokens are not the student's.
    """
    teacher, teacher_tokenizer = load_any_teacher(block)
    _check_tokens(block, student_block, teacher_tokenizer, tokenizer)
    _match_embeddings(block, teacher, student, len(tokenizer))
    return teacher


def check_served_teacher(block: TeacherModelConfig, student_block: ModelConfig, tokenizer: Any) -> None:
    """Raise UserError where the tokens of a teacher behind a server are not the student's."""
    try:
        teacher_tokenizer = load_tokenizer(block.to_model_config())
    except UserError as error:
        raise UserError.from_line(str(error).replace("model.", "teacher.", 1)) from None
    _check_tokens(block, student_block, teacher_tokenizer, tokenizer)


def load_any_teacher(block: TeacherModelConfig) -> tuple[Any, Any]:
    """Return a teacher, on the CPU, and its tokenizer. Raises UserError where they cannot be loaded."""
    model_config = block.to_model_config()
    try:
        tokenizer = load_tokenizer(model_config)
        return load_model(model_config, training=False, device="cpu"), tokenizer
    except UserError as error:
        raise UserError.from_line(str(error).replace("model.", "teacher.", 1)) from None


def check_byte_level(tokenizer: Any, field: str, path: str | None) -> None:
    """Raise UserError for a tokenizer whose tokens are not made of bytes, which GOLD's loss aligns."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = f"{getattr(backend, 'pre_tokenizer', '')!r} {getattr(backend, 'decoder', '')!r}"
    if "ByteLevel" not in parts:
        requirement = "has a tokenizer that is not byte-level BPE, and GOLD's loss aligns two tokenizers by bytes"
        raise UserError(field, path, requirement, "use models such as Qwen's, Llama 3's or SmolLM's")


def _check_tokens(block: TeacherModelConfig, student_block: ModelConfig, teacher: Any, student: Any) -> None:
    """Raise UserError where a token of the student's tokenizer has another id in the teacher's, or none."""
    teacher_ids = teacher.get_vocab()
    differing = [token for token, number in student.get_vocab().items() if teacher_ids.get(token) != number]
    if not differing:
        return
    named = ", ".join(repr(token) for token in sorted(differing)[:TOKENS_NAMED])
    requirement = (
        f"must have the tokenizer of the student {student_block.path}: {len(differing):,} of the student's tokens have "
        f"another id in the teacher's or none, such as {named}"
    )
    raise UserError("teacher.path", block.path, requirement, "use distill.method=gold, which is for such teachers")


def _match_embeddings(block: TeacherModelConfig, teacher: "PreTrainedModel", student: Any, token_count: int) -> None:
    """Cut off the unused rows that the teacher's embeddings have and the student's have not."""
    teacher_size = teacher.config.get_text_config().vocab_size
    student_size = student.config.get_text_config().vocab_size
    if teacher_size == student_size:
        return
    if not token_count <= student_size < teacher_size:
        requirement = f"has embeddings of {teacher_size:,} tokens, and the student of {student_size:,}"
        raise UserError("teacher.path", block.path, requirement, "use a larger teacher, or distill.method=gold")
    teacher.resize_token_embeddings(student_size)
    if is_main_rank():
        unused = teacher_size - student_size
        logger.info(f"teacher.path: {unused:,} rows at the end of its embeddings, which no token uses, are cut off")
