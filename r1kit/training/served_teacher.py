"""On-policy distillation from a teacher that a vLLM server serves, by TRL's ServerDistillationTrainer.

The student's answers, rollouts and checkpoints are those of r1kit.training.distillation. The loss is TRL's: of the
teacher's probabilities it has that of the token that the student sampled, and of the teacher's most likely one (with
`distill.divergence` = 0, of the `trl.loss_top_k` most likely ones); what is left over is one further token.

As in TRL, the loss is the mean over a micro-batch's tokens, and then over micro-batches.
"""

import warnings
from typing import Any

import torch

from r1kit.errors import UserError
from r1kit.training.distillation import OnPolicyTrainer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TRL says on import that its experimental modules may change
    from trl.experimental.server_distillation import ServerDistillationConfig, ServerDistillationTrainer

__all__ = ["ServedTeacherTrainer", "ServerDistillationConfig", "check_server"]

SECONDS_TO_CONNECT = 10
SERVER_COMMAND = "start it with `vllm serve MODEL --logprobs-mode processed_logprobs`"


class ServedTeacherTrainer(OnPolicyTrainer, ServerDistillationTrainer):
    """TRL's ServerDistillationTrainer with rollouts on disk, exact resume and r1kit's decoder."""

    args: ServerDistillationConfig  # TRL declares the class that all trainers' arguments have

    def _find_trimming_obstacle(self) -> str:
        return "the teacher's server reads whole rows"

    def _get_teacher_token_logprobs_from_server(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        try:
            return super()._get_teacher_token_logprobs_from_server(*args, **kwargs)
        except Exception as error:  # whatever TRL's client makes of a server that fails
            requirement = f"gave no log-probabilities ({type(error).__name__}: {error})"
            action = "repair the server, then run the same command again"
            raise UserError("teacher.server", self.args.teacher_model_server_url, requirement, action) from None


def check_server(address: str) -> None:
    """Raise UserError where TRL's client cannot work here, or no server answers at the teacher's address."""
    import requests
    from trl.generation.vllm_client import is_vllm_available

    if not is_vllm_available():
        requirement = "TRL asks a teacher's server by vLLM's client, and vLLM is not installed here"
        raise UserError("teacher.server", address, requirement, "pip install 'r1kit[vllm]', or remove teacher.server")
    try:
        status = requests.get(f"{address.rstrip('/')}/health", timeout=SECONDS_TO_CONNECT).status_code
    except requests.RequestException as error:
        requirement = f"no server answers there ({type(error).__name__})"
        raise UserError("teacher.server", address, requirement, SERVER_COMMAND) from None
    if status != 200:
        requirement = f"/health has the status {status}, where a vLLM server has 200"
        raise UserError("teacher.server", address, requirement, "write the address without /v1")
