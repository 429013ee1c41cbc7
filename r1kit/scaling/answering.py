"""Answer new questions by one method of inference-time scaling, as `r1kit answer` does.

    answers = Answerer(recipe, choice, run).answer(problems)
    answers[question_id]["parsed_answer"]

Nothing needs a gold answer. Each method samples as `r1kit eval` did when it was measured; all samples lie in shards
below the run, so that an interrupted command goes on.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.answers.vote_clusters import NO_CLUSTER, voted_answer
from r1kit.errors import UserError
from r1kit.recipe import EvalRecipe, PromptConfig
from r1kit.recipe.rewards import answers_of_accuracy
from r1kit.rows import Row, group_like
from r1kit.runs.run import Run
from r1kit.sampling.engine import Sampler
from r1kit.sampling.loop import SamplingJob, sample_problems, without_thinking
from r1kit.sampling.shards import Shards
from r1kit.sampling.statistics import cluster_groups
from r1kit.scaling.budget import force_budget
from r1kit.scaling.choice import MethodChoice
from r1kit.scaling.search import search_problems

if TYPE_CHECKING:
    from datasets import Dataset

    from r1kit.head2toe.verifier import VerifierScorer

STOP_PRIOR = 1.0
"""The weight that counts against the leading answer, as in `estimators.early_stopping`."""


@dataclass(frozen=True)
class Vote:
    """How a vote ended: the row whose answer won, and how sure the vote was."""

    row: Row
    answer: str | None
    agreement: float
    """The fraction of all samples that gave the answer; 0 if no sample has one."""
    weight_share: float
    """The fraction of all weights that the answer has."""
    greatest_weight: float
    total_weight: float


def count_votes(groups: Sequence[Sequence[Row]], weights: Sequence[Sequence[float]], answers: Any) -> list[Vote]:
    """Return the vote of each question's samples; of answers with equal weights, the one that was sampled first wins.

    The row of a vote is the one with the greatest weight of those that gave its answer, or the first if no sample has
    an answer.
    """
    votes = []
    for group, group_weights, clusters in zip(groups, weights, cluster_groups(groups, answers), strict=True):
        weight_sums: dict[int, float] = {}
        for cluster, weight in zip(clusters, group_weights, strict=True):
            if cluster != NO_CLUSTER:
                weight_sums[cluster] = weight_sums.get(cluster, 0.0) + weight
        if not weight_sums:
            votes.append(Vote(group[0], None, 0.0, 0.0, 0.0, 0.0))
            continue
        winner = max(weight_sums, key=lambda cluster: weight_sums[cluster])  # the first of equal ones
        members = [i for i, cluster in enumerate(clusters) if cluster == winner]
        best = max(members, key=lambda i: group_weights[i])
        total = sum(weight_sums.values())
        share = weight_sums[winner] / total if total else 1 / len(weight_sums)
        answer = voted_answer(group[best], answers)
        votes.append(Vote(group[best], answer, len(members) / len(group), share, weight_sums[winner], total))
    return votes


@dataclass(frozen=True)
class SharedSamplerJob(SamplingJob):
    """A job whose sampler is made once, and used by all jobs that are made of this one by `replace`."""

    samplers: list[Sampler] = field(default_factory=list)

    def make_sampler(self) -> Sampler:
        if not self.samplers:
            self.samplers.append(super().make_sampler())
        shared = copy.copy(self.samplers[0])
        shared.close = _keep_open  # type: ignore[method-assign]
        return shared

    def close(self) -> None:
        """Close the sampler, if one was made."""
        for sampler in self.samplers:
            sampler.close()


def _keep_open() -> None:
    """Do nothing: the next round uses the sampler again."""


class Answerer:
    """Answers questions by one method; the samples are kept in the folder of `run`."""

    def __init__(self, recipe: EvalRecipe, choice: MethodChoice, run: Run):
        """`recipe` says how is sampled and, in `scaling`, by which verifier; its rewards may score samples."""
        self.choice = choice
        self.run = run
        self.answers = answers_of_accuracy(recipe.rewards, recipe.answers)
        # Only a reward that chooses among samples is computed: the others may need a gold answer.
        rewards = [reward for reward in recipe.rewards if reward.short_name == choice.score]
        self.recipe = recipe.model_copy(update={"rewards": rewards, "answers": self.answers})
        self._scorer: VerifierScorer | None = None

    def answer(self, problems: "Dataset") -> dict[str, Row]:
        """Return, by the id of each problem, the columns `completion`, `parsed_answer`, `tokens` and the like.

        Problems are missing if a budget of the recipe (`sampling.budget`) was spent.
        """
        method, count = self.choice.method, self.choice.count
        if method == "stop":
            return self._stop_when_sure(problems)
        if method == "direct":
            return self._think_when_unsure(problems)
        if method in ("budget", "wait"):
            return self._take_first(self._force_budget(problems))
        if method in ("beam", "dvts"):
            model = self.recipe.model
            folder = self.run.path / "samples"
            shards = search_problems(self.recipe, model, problems, self.run, folder, method, count)
            return self._vote(_group_rows(shards), "verifier")
        if method == "greedy":
            return self._take_first(self._sample(problems, "samples", 1, temperature=0.0))
        shards = self._sample(problems, "samples", count)
        if method == "sample":
            return self._take_first(shards)
        if method == "vote":
            return self._vote(_group_rows(shards), self.choice.score)
        return self._take_best(_group_rows(shards))

    def _sample(
        self, problems: "Dataset", folder: str, count: int, prompt: PromptConfig | None = None, **changes: Any
    ) -> Shards:
        sampling = self.recipe.sampling.model_copy(update={"samples": count, **changes})
        recipe = self.recipe.model_copy(update={"sampling": sampling, "prompt": prompt or self.recipe.prompt})
        return sample_problems(recipe, recipe.model, problems, self.run, self.run.path / folder, "answer")

    def _force_budget(self, problems: "Dataset") -> Shards:
        shards = self._sample(problems, "samples", 1)
        seed, count = self.recipe.seed, self.choice.count
        model = self.recipe.model
        if self.choice.method == "budget":
            name = f"budget-{count}"
            return force_budget(self.recipe, model, problems, shards, self.run, name, count, seed + count)
        for wait in range(1, count + 1):
            name = f"wait-{wait}"
            shards = force_budget(self.recipe, model, problems, shards, self.run, name, None, seed - wait)
        return shards

    def _take_first(self, shards: Shards) -> dict[str, Row]:
        """Return the only sample of each question."""
        answered = {}
        for question_id, group in _group_rows(shards).items():
            answered[question_id] = self._answer_row(group[0], voted_answer(group[0], self.answers), group)
        return answered

    def _take_best(self, groups: dict[str, list[Row]]) -> dict[str, Row]:
        """Return the sample of each question with the greatest score."""
        scores = self._score_groups(list(groups.values()), self.choice.score)
        answered = {}
        for (question_id, group), group_scores in zip(groups.items(), scores, strict=True):
            best = max(range(len(group)), key=lambda i: group_scores[i])
            answer = voted_answer(group[best], self.answers)
            [clusters] = cluster_groups([group], self.answers)
            agreement = None
            if clusters[best] != NO_CLUSTER:
                agreement = clusters.count(clusters[best]) / len(group)
            answered[question_id] = self._answer_row(group[best], answer, group, agreement, group_scores[best])
        return answered

    def _vote(self, groups: dict[str, list[Row]], score: str | None) -> dict[str, Row]:
        """Return the answer of each question that has the most votes, weighted by `score`."""
        members = list(groups.values())
        votes = count_votes(members, self._score_groups(members, score), self.answers)
        answered = {}
        for (question_id, group), vote in zip(groups.items(), votes, strict=True):
            confidence = vote.weight_share if score else None
            answered[question_id] = self._answer_row(vote.row, vote.answer, group, vote.agreement, confidence)
        return answered

    def _stop_when_sure(self, problems: "Dataset") -> dict[str, Row]:
        """Sample the questions one completion at a time, and each only until its leading answer is sure enough."""
        sampling = self.recipe.sampling.model_copy(update={"samples": 1})
        recipe = self.recipe.model_copy(update={"sampling": sampling})
        shared_job = SharedSamplerJob(recipe.model, recipe.prompt, sampling, recipe.seed, "answer")
        groups: dict[str, list[Row]] = {question_id: [] for question_id in problems["id"]}
        weights: dict[str, list[float]] = {question_id: [] for question_id in groups}
        open_problems = problems
        try:
            for number in range(self.choice.count):
                job = replace(shared_job, seed=recipe.seed + number, label=f"answer, sample {number + 1}")
                round_recipe = recipe.model_copy(update={"seed": recipe.seed + number})
                folder = self.run.path / f"samples-{number + 1:03d}"
                shards = sample_problems(round_recipe, recipe.model, open_problems, self.run, folder, job.label, job)
                new_rows = [row for rows in shards for row in rows]
                new_weights = self._score_groups([[row] for row in new_rows], self.choice.score)
                for row, [weight] in zip(new_rows, new_weights, strict=True):
                    groups[row["id"]].append(row)
                    weights[row["id"]].append(weight)
                ids = [row["id"] for row in new_rows]
                votes = count_votes([groups[i] for i in ids], [weights[i] for i in ids], self.answers)
                open_ids = set()
                for question_id, vote in zip(ids, votes, strict=True):
                    if vote.greatest_weight / (vote.total_weight + STOP_PRIOR) < (self.choice.sure or 1.0):
                        open_ids.add(question_id)
                open_indices = [i for i, question_id in enumerate(open_problems["id"]) if question_id in open_ids]
                if not open_indices:
                    break
                open_problems = open_problems.select(open_indices)
        finally:
            shared_job.close()
        answered = {}
        sampled = {question_id: group for question_id, group in groups.items() if group}
        votes = count_votes(list(sampled.values()), [weights[i] for i in sampled], self.answers)
        for (question_id, group), vote in zip(sampled.items(), votes, strict=True):
            confidence = vote.greatest_weight / (vote.total_weight + STOP_PRIOR)
            answered[question_id] = self._answer_row(vote.row, vote.answer, group, vote.agreement, confidence)
        return answered

    def _think_when_unsure(self, problems: "Dataset") -> dict[str, Row]:
        """Answer without thinking first, and think only about the questions whose direct answers disagree."""
        prompt = without_thinking(self.recipe.prompt, self.recipe.sampling.engine)
        direct = _group_rows(self._sample(problems, "direct", self.choice.count, prompt))
        members = list(direct.values())
        has_logprobs = all(row["logprob"] is not None for group in members for row in group)
        score = "logprob" if has_logprobs else None
        votes = count_votes(members, self._score_groups(members, score), self.answers)
        answered = {}
        unsure_ids = set()
        for (question_id, group), vote in zip(direct.items(), votes, strict=True):
            if vote.greatest_weight >= (self.choice.sure or 1.0) * len(group):
                confidence = vote.weight_share if score else None
                answered[question_id] = self._answer_row(vote.row, vote.answer, group, vote.agreement, confidence)
            else:
                unsure_ids.add(question_id)
        unsure = [i for i, question_id in enumerate(problems["id"]) if question_id in unsure_ids]
        if unsure:
            thought = _group_rows(self._sample(problems.select(unsure), "samples", 1))
            for question_id, [row] in thought.items():
                answer = voted_answer(row, self.answers)
                answered[question_id] = self._answer_row(row, answer, [*direct[question_id], row])
        return answered

    def _score_groups(self, groups: Sequence[Sequence[Row]], score: str | None) -> list[list[float]]:
        """Return the score of each row of each group; 1 for each row without a score."""
        rows = list(chain.from_iterable(groups))
        return group_like(groups, self._score_rows(rows, score))

    def _score_rows(self, rows: Sequence[Row], score: str | None) -> list[float]:
        if score is None:
            return [1.0] * len(rows)
        if score == "shortness":
            return [1 / max(row["tokens"], 1) for row in rows]
        if score == "logprob":
            if rows and all(row["logprob"] is None for row in rows):
                requirement = "needs log-probabilities, and the engine gives none"
                raise UserError("--method", self.choice.option, requirement, "choose by=shortness, or a plain vote")
            return [0.0 if row["logprob"] is None else math.exp(row["logprob"]) for row in rows]
        if score == "verifier":
            return self._verifier_scorer().score(rows)
        return [row[score] or 0.0 for row in rows]

    def _verifier_scorer(self) -> "VerifierScorer":
        from r1kit.head2toe.verifier import VerifierScorer

        if self._scorer is None:
            assert self.recipe.scaling
            verifier_run = Path(self.recipe.scaling.verifier or "")
            self._scorer = VerifierScorer(verifier_run, self.recipe.model, self.recipe.prompt, "--verifier")
        return self._scorer

    def _answer_row(
        self,
        row: Row,
        answer: str | None,
        group: Sequence[Row],
        agreement: float | None = None,
        confidence: float | None = None,
    ) -> Row:
        """Return the columns that answer a question: `row` is the sample whose answer is taken, `group` are all."""
        return {
            "completion": row["completion"],
            "parsed_answer": answer,
            "method": self.choice.option,
            "samples": len(group),
            "tokens": sum(sample["tokens"] for sample in group),
            "agreement": agreement,
            "confidence": confidence,
        }


def _group_rows(shards: Shards) -> dict[str, list[Row]]:
    """Return the sampled rows by the id of their question."""
    groups: dict[str, list[Row]] = {}
    for rows in shards:
        for row in rows:
            groups.setdefault(row["id"], []).append(row)
    return groups
