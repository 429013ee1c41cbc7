"""The scale model's world: questions whose answers are known, and documents to pre-train on."""

from r1kit.data.world.calculator import calculator_conversations, calculator_problems
from r1kit.data.world.countdown import COUNTDOWN_SPLITS, TERM_COUNTS, check_countdown, countdown_rows, countdown_split
from r1kit.data.world.countdown_text import countdown_documents
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
    "COUNTDOWN_SPLITS",
    "DOMAINS",
    "TERM_COUNTS",
    "WorldQuestion",
    "calculator_conversations",
    "calculator_problems",
    "check_countdown",
    "countdown_documents",
    "countdown_rows",
    "countdown_split",
    "draw_arithmetic_question",
    "draw_code_question",
    "draw_fact_question",
    "draw_question",
    "split_of",
    "world_documents",
    "world_rows",
]
