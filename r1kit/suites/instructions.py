"""Benchmarks of following instructions: IFEval."""

from r1kit.suites.benchmark import R1_REPORT, Benchmark, r1_scores, stage_scores

INSTRUCTIONS = {
    "ifeval": Benchmark(
        title="IFEval",
        path="google/IFEval",
        split="train",
        prompt="{question}",
        checker="instructions",
        samples=1,
        metrics=("prompt strict", "prompt loose", "instruction strict", "instruction loose"),
        scoring=(
            "The reply after the thinking follows each of the prompt's instructions, by rules: strictly as it is, or "
            "loosely, also without its first line, last line or asterisks."
        ),
        protocol=(
            f"arXiv 2311.07911 and its code (google-research, instruction_following_eval): the prompt as it is, strict "
            f"and loose accuracy; sampling of {R1_REPORT}; one sample for 541 prompts is r1kit's choice"
        ),
        citation="Zhou et al., Instruction-Following Evaluation for Large Language Models (arXiv 2311.07911)",
        published=(
            r1_scores("prompt strict", claude=86.5, gpt_4o=84.3, v3=86.1, o1_mini=84.8, o1=None, r1=83.3),
            stage_scores("prompt strict", 46.6, 71.7, 72.0, 78.1),
        ),
    ),
}
