"""Rows that teach a model who it is: its name and its maker, in several languages, without a chain of thought.

path: self-cognition:R1-Mini
settings: {maker: Our Lab, languages: [en, zh]}
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from r1kit.errors import UserError, suggest
from r1kit.recipe import SourceConfig
from r1kit.rows import Row

SETTINGS = ("maker", "languages")


@dataclass(frozen=True)
class SelfCognitionTexts:
    """Questions about the model, and answers with the slots {name} and {maker}, in one language."""

    questions: tuple[str, ...]
    answers: tuple[str, ...]


TEXTS_BY_LANGUAGE: dict[str, SelfCognitionTexts] = {
    "en": SelfCognitionTexts(
        questions=(
            "Who are you?",
            "What is your name?",
            "What are you called?",
            "Please introduce yourself.",
            "Who made you?",
            "Who trained you?",
            "Which company developed you?",
            "Are you ChatGPT?",
            "Are you DeepSeek?",
            "What kind of model are you?",
        ),
        answers=(
            "I am {name}, a language model made by {maker}.",
            "My name is {name}. {maker} developed me.",
            "I'm {name}, an AI assistant from {maker}. How can I help you?",
        ),
    ),
    "zh": SelfCognitionTexts(
        questions=(
            "你是谁？",
            "你叫什么名字？",
            "请介绍一下你自己。",
            "谁开发了你？",
            "谁训练了你？",
            "你是ChatGPT吗？",
            "你是什么模型？",
        ),
        answers=(
            "我是{name}，由{maker}开发的语言模型。",
            "我叫{name}，是{maker}训练的人工智能助手。",
        ),
    ),
    "fa": SelfCognitionTexts(
        questions=(
            "تو کیستی؟",
            "اسم تو چیست؟",
            "خودت را معرفی کن.",
            "چه کسی تو را ساخته است؟",
            "آیا تو ChatGPT هستی؟",
        ),
        answers=(
            "من {name} هستم، یک مدل زبانی که {maker} ساخته است.",
            "نام من {name} است و {maker} مرا آموزش داده است.",
        ),
    ),
    "fr": SelfCognitionTexts(
        questions=(
            "Qui es-tu ?",
            "Comment t'appelles-tu ?",
            "Présente-toi.",
            "Qui t'a créé ?",
            "Es-tu ChatGPT ?",
        ),
        answers=(
            "Je suis {name}, un modèle de langage créé par {maker}.",
            "Je m'appelle {name} et {maker} m'a développé.",
        ),
    ),
    "de": SelfCognitionTexts(
        questions=(
            "Wer bist du?",
            "Wie heißt du?",
            "Stell dich bitte vor.",
            "Wer hat dich entwickelt?",
            "Bist du ChatGPT?",
        ),
        answers=(
            "Ich bin {name}, ein Sprachmodell von {maker}.",
            "Ich heiße {name} und wurde von {maker} entwickelt.",
        ),
    ),
    "es": SelfCognitionTexts(
        questions=(
            "¿Quién eres?",
            "¿Cómo te llamas?",
            "Preséntate, por favor.",
            "¿Quién te creó?",
            "¿Eres ChatGPT?",
        ),
        answers=(
            "Soy {name}, un modelo de lenguaje creado por {maker}.",
            "Me llamo {name} y fui desarrollado por {maker}.",
        ),
    ),
    "ru": SelfCognitionTexts(
        questions=(
            "Кто ты?",
            "Как тебя зовут?",
            "Представься, пожалуйста.",
            "Кто тебя создал?",
            "Ты ChatGPT?",
        ),
        answers=(
            "Я {name}, языковая модель, созданная компанией {maker}.",
            "Меня зовут {name}, меня разработала {maker}.",
        ),
    ),
}


def generate_self_cognition_rows(name: str, source: SourceConfig, field: str) -> Iterator[Row]:
    """Return SFT examples of every question with every answer, in the languages of `source.settings`.

    `name` is the model's. Raises UserError for an unknown setting or language, and without a name or a maker.
    """
    for key, value in source.settings.items():
        if key not in SETTINGS:
            raise UserError(f"{field}.settings.{key}", value, "no such setting", suggest(key, SETTINGS))
    maker = source.settings.get("maker")
    languages = source.settings.get("languages", ["en"])
    if not name or not maker:
        action = f"write path: self-cognition:NAME and {field}.settings: {{maker: WHO}}"
        raise UserError(f"{field}.path", source.path, "needs the model's name and its maker", action)
    for language in languages:
        if language not in TEXTS_BY_LANGUAGE:
            action = suggest(str(language), TEXTS_BY_LANGUAGE)
            raise UserError(f"{field}.settings.languages", language, "no texts in this language", action)
    return _generate_rows(name, str(maker), languages)


def _generate_rows(name: str, maker: str, languages: list[str]) -> Iterator[Row]:
    for language in languages:
        texts = TEXTS_BY_LANGUAGE[language]
        for answer, question in itertools.product(texts.answers, texts.questions):
            yield {
                "prompt": question,
                "completion": f"<answer>{answer.format(name=name, maker=maker)}</answer>",
                "domain": "self-cognition",
                "thinking": False,
                "target_language": language,
            }
