"""TODO."""

from pathlib import Path

from r1kit.errors import UserError
from r1kit.recipe import CardConfig


def push_data(run: Path, card: CardConfig) -> str:
    """Send a run's README.md and `data/` to the hub and return the address. Raises UserError where that fails."""
    from huggingface_hub import HfApi

    name = card.push_to_hub or ""
    api = HfApi()
    try:
        made = api.create_repo(name, repo_type="dataset", private=card.private, exist_ok=True)
        name = made.repo_id  # with whose it is
        api.upload_folder(
            folder_path=run,
            repo_id=name,
            repo_type="dataset",
            allow_patterns=["README.md", "data/*.parquet"],
            delete_patterns=["data/*.parquet"],  # of an earlier and larger set
            commit_message="Data made by r1kit",
        )
    except Exception as error:  # no network, no token, no right to write there: each library has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        must = f"could not be sent: {reason}"
        do = f"the data is whole in {run}/data; log in with `hf auth login`, then the same command again"
        raise UserError("card.push_to_hub", name, must, do) from None
    return f"https://huggingface.co/datasets/{name}"
