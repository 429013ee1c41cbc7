"""The block `card`: the README of the data or model that a stage makes, and whether it is pushed to the hub."""

from r1kit.recipe.block import Block


class CardConfig(Block):
    """What the card of a data set or model says that r1kit cannot know, and where the result is pushed."""

    license: str | None = None
    """License of the result, as an identifier of the hub, such as apache-2.0; default: the card names none."""
    language: list[str] = []
    """Codes of the languages in the result, such as [en, zh]; default: the languages of the rows."""
    tags: list[str] = []
    """Tags under which the result is found on the hub, besides r1kit's own."""
    about: str = ""
    """Paragraph on what the result is and what it is for."""
    push_to_hub: str | None = None
    """Id on the hub, such as org/name, to which the finished data or model is pushed; default: it is not pushed."""
    private: bool = True
    """Whether a repository that is created on the hub is private."""
