"""The scale model's world: questions whose answers are known, and documents to pre-train on."""

from r1kit.data.world.calculator import calculator_conversations, calculator_problems
from r1kit.data.world.documents import world_documents
from r1kit.data.world.questions import (
    DOMAINS,
    WorldQuestion,
    draw_arithmetic_question,
    draw_code_question,
    draw_fact_question,
    draw_question,
    split_of,
    world_rows,
)

__all__ = [
    "DOMAINS",
    "WorldQuestion",
    "calculator_conversations",
    "calculator_problems",
    "draw_arithmetic_question",
    "draw_code_question",
    "draw_fact_question",
    "draw_question",
    "split_of",
    "world_documents",
    "world_rows",
]
