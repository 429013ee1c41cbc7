"""Sources that are made, not read: the scale model's world, reasoning_gym's tasks, and who the model is.

path: world:arithmetic
path: reasoning_gym:chain_sum        settings: {min_terms: 2, max_terms: 4}
path: self-cognition:R1-Mini         settings: {maker: Our Lab, languages: [en, zh]}
"""

import importlib.util
import itertools
import json
from collections.abc import Callable, Iterator

from r1kit.data import world
from r1kit.errors import UserError, suggest
from r1kit.recipe import SourceConfig
from r1kit.rows import Row

DEFAULT_ROWS = 1000


def is_generated_source(path: str) -> bool:
    """Whether a source's path names one that is made."""
    return path.partition(":")[0] in ROW_GENERATORS and ":" in path


def generate_rows(source: SourceConfig, field: str) -> Iterator[Row]:
    """Yield the rows of a made source. Raises UserError where it cannot be made."""
    kind, _, name = source.path.partition(":")
    return ROW_GENERATORS[kind](name, source, field)


def _world(name: str, source: SourceConfig, field: str) -> Iterator[Row]:
    _no_settings(source, field)
    if source.split not in ("train", "test"):
        raise UserError(f"{field}.split", source.split, "the world has two splits", "use train or test")
    count = source.rows or DEFAULT_ROWS
    if name == "text":
        return world.world_documents(source.split, count, source.seed)
    if name in world.DOMAINS:
        return world.world_rows(name, source.split, count, source.seed)
    do = suggest(name, [*world.DOMAINS, "text"])
    raise UserError(f"{field}.path", source.path, "no such part of the world", do)


def _gym(name: str, source: SourceConfig, field: str) -> Iterator[Row]:
    """Problems of a reasoning_gym task; the split `test` has a seed of its own."""
    if importlib.util.find_spec("reasoning_gym") is None:
        must = "needs the library reasoning_gym"
        raise UserError(f"{field}.path", source.path, must, "pip install 'r1kit[reasoning-gym]'")
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        raise UserError(f"{field}.path", source.path, "no such task of reasoning_gym", suggest(name, DATASETS))
    if source.split not in ("train", "test"):
        raise UserError(f"{field}.split", source.split, "a made source has two splits", "use train or test")
    seed = source.seed if source.split == "train" else source.seed + 1_000_003
    try:
        task = reasoning_gym.create_dataset(
            name, **{"seed": seed, "size": source.rows or DEFAULT_ROWS, **source.settings}
        )
    except TypeError as error:
        known = [f for f in DATASETS[name][1].__dataclass_fields__ if f not in ("seed", "size")]
        wrong = next((key for key in source.settings if key not in known), "")
        do = suggest(wrong, known) if wrong else str(error)
        raise UserError(f"{field}.settings", source.settings, f"must be settings of {name}", do) from None
    except (AssertionError, ValueError) as error:
        must = f"{name} refuses them"
        raise UserError(f"{field}.settings", source.settings, must, str(error) or "check them") from None

    def rows() -> Iterator[Row]:
        for item in task:
            yield {
                "prompt": item["question"],
                "answer": None if item["answer"] is None else str(item["answer"]),
                "checker": "reasoning_gym",
                "metadata": json.dumps(item["metadata"], default=str),
                "domain": name,
            }

    return rows()


# Of each language: questions, and what is answered. {name} and {maker} are the recipe's.
_WHO: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "en": (
        ("Who are you?", "What is your name?", "What are you called?", "Please introduce yourself.",
         "Who made you?", "Who trained you?", "Which company developed you?", "Are you ChatGPT?", "Are you DeepSeek?",
         "What kind of model are you?"),
        ("I am {name}, a language model made by {maker}.", "My name is {name}. {maker} developed me.",
         "I'm {name}, an AI assistant from {maker}. How can I help you?"),
    ),
    "zh": (
        ("你是谁？", "你叫什么名字？", "请介绍一下你自己。", "谁开发了你？", "谁训练了你？", "你是ChatGPT吗？",
         "你是什么模型？"),
        ("我是{name}，由{maker}开发的语言模型。", "我叫{name}，是{maker}训练的人工智能助手。"),
    ),
    "fa": (
        ("تو کیستی؟", "اسم تو چیست؟", "خودت را معرفی کن.", "چه کسی تو را ساخته است؟", "آیا تو ChatGPT هستی؟"),
        ("من {name} هستم، یک مدل زبانی که {maker} ساخته است.", "نام من {name} است و {maker} مرا آموزش داده است."),
    ),
    "fr": (
        ("Qui es-tu ?", "Comment t'appelles-tu ?", "Présente-toi.", "Qui t'a créé ?", "Es-tu ChatGPT ?"),
        ("Je suis {name}, un modèle de langage créé par {maker}.", "Je m'appelle {name} et {maker} m'a développé."),
    ),
    "de": (
        ("Wer bist du?", "Wie heißt du?", "Stell dich bitte vor.", "Wer hat dich entwickelt?", "Bist du ChatGPT?"),
        ("Ich bin {name}, ein Sprachmodell von {maker}.", "Ich heiße {name} und wurde von {maker} entwickelt."),
    ),
    "es": (
        ("¿Quién eres?", "¿Cómo te llamas?", "Preséntate, por favor.", "¿Quién te creó?", "¿Eres ChatGPT?"),
        ("Soy {name}, un modelo de lenguaje creado por {maker}.", "Me llamo {name} y fui desarrollado por {maker}."),
    ),
    "ru": (
        ("Кто ты?", "Как тебя зовут?", "Представься, пожалуйста.", "Кто тебя создал?", "Ты ChatGPT?"),
        ("Я {name}, языковая модель, созданная компанией {maker}.", "Меня зовут {name}, меня разработала {maker}."),
    ),
}  # fmt: skip


def _self(name: str, source: SourceConfig, field: str) -> Iterator[Row]:
    """Every question with every answer, in the languages asked for: rows for SFT, without a chain of thought."""
    known = ("maker", "languages")
    for key in source.settings:
        if key not in known:
            raise UserError(f"{field}.settings.{key}", source.settings[key], "no such setting", suggest(key, known))
    maker, languages = source.settings.get("maker"), source.settings.get("languages", ["en"])
    if not name or not maker:
        do = f"write path: self-cognition:NAME and {field}.settings: {{maker: WHO}}"
        raise UserError(f"{field}.path", source.path, "needs the model's name and its maker", do)
    for code in languages:
        if code not in _WHO:
            do = suggest(str(code), _WHO)
            raise UserError(f"{field}.settings.languages", code, "there is no template in this language", do)
    pairs = [(code, q, a) for code in languages for a, q in itertools.product(_WHO[code][1], _WHO[code][0])]

    def rows() -> Iterator[Row]:
        for code, question, answer in pairs:
            said = answer.format(name=name, maker=maker)
            yield {
                "prompt": question,
                "completion": f"<answer>{said}</answer>",
                "domain": "self-cognition",
                "thinking": False,
                "target_language": code,
            }

    return rows()


def _no_settings(source: SourceConfig, field: str) -> None:
    if source.settings:
        must = "this source has no settings"
        raise UserError(f"{field}.settings", source.settings, must, "remove them")


ROW_GENERATORS: dict[str, Callable[[str, SourceConfig, str], Iterator[Row]]] = {
    "world": _world,
    "reasoning_gym": _gym,
    "self-cognition": _self,
}
