"""The blocks `refine` and `journey` of `generate`: a model that rewrites sampled completions."""

from typing import Literal

from pydantic import field_validator, model_validator

from r1kit.recipe.block import Block, DrawCount, PositiveInt
from r1kit.recipe.model import ModelConfig
from r1kit.recipe.prompt import PromptConfig
from r1kit.recipe.sampling import SamplingConfig

REWRITE_TEMPLATE = """You edit the reasoning of another model so that people can follow it.

Problem:
{prompt}

Its reasoning:
{thinking}

Its final answer: {answer}

Rewrite the reasoning in {language}: keep every step that the answer rests on, in order and in full sentences, drop \
repetitions and side remarks, and do not add results of your own. Then summarise the solution in one or two sentences. \
Reply in exactly this form:
<think>
the rewritten reasoning
</think>
<summary>
the summary
</summary>
<answer>
the final answer alone
</answer>"""

JOURNEY_TEMPLATE = """A student solved a problem wrongly, then rightly. Write it as one train of thought.

Problem:
{prompt}

The wrong attempt:
{wrong}

The right attempt:
{right}

Write the thoughts in {language} as if they were one person's: begin with the wrong attempt, notice what is wrong with \
it, go back to the step where it went wrong, and go on rightly to the end. Reply in exactly this form:
<think>
the thoughts
</think>
<answer>
the final answer alone
</answer>"""


class TeacherConfig(Block):
    """The model that rewrites completions, and how it is asked."""

    model: ModelConfig | None = None
    """Teacher model; default: the model that sampled the completions."""
    prompt: PromptConfig = PromptConfig(template="chat")
    """How the request is put to the teacher."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.6, max_tokens=4096)
    """How the teacher's replies are sampled."""
    tries: DrawCount = 1
    """Number of replies for each row; the first one that passes the checks is taken."""

    @model_validator(mode="after")
    def _sample_as_many_as_tries(self) -> "TeacherConfig":
        if self.sampling.samples not in (1, self.tries):
            raise ValueError("sampling.samples is set by tries")
        self.sampling = self.sampling.model_copy(update={"samples": self.tries})
        return self


class RefineConfig(TeacherConfig):
    """Cold-start rows: the thinking of each kept completion is rewritten readably, summarised, and checked again."""

    template: str = REWRITE_TEMPLATE
    """Request to the teacher, with {prompt} and {thinking} in it, and {answer} and {language} where wanted."""
    summary: bool = True
    """Whether the answer block holds the summary, with the final answer in a box, or the final answer alone."""
    otherwise: Literal["drop", "keep"] = "drop"
    """What happens to a row when no reply passes the checks: `drop` removes it, `keep` keeps it as it was."""

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if "{thinking}" not in template or "{prompt}" not in template:
            raise ValueError("must have {prompt} and {thinking} in it")
        return template


class JourneyConfig(TeacherConfig):
    """Journey rows (O1-Journey, arXiv 2410.18982): one train of thought from a wrong completion to a right one."""

    method: Literal["stitch", "teacher"] = "stitch"
    """How a wrong and a right completion become one text: `stitch` joins them at the step where they part, `teacher`
    has a model write it."""
    template: str = JOURNEY_TEMPLATE
    """Request to the teacher, with {prompt}, {wrong}, {right} and {language} in it."""
    per_prompt: PositiveInt = 1
    """Largest number of journeys of each prompt that has both wrong and right completions."""
    max_wrong_steps: PositiveInt | None = None
    """Largest number of steps on the wrong path before it turns back; default: to the end of the wrong completion."""
