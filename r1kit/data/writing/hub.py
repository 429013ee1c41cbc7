"""Send the data of a run to the Hugging Face hub."""

from pathlib import Path

from r1kit.errors import UserError
from r1kit.recipe import CardConfig


def push_data(run_dir: Path, card: CardConfig) -> str:
    """Send the README.md and the `data/` of a run to the hub, and return their address.

    Raises UserError if that fails: without a network, without a token, or without the right to write there.
    """
    from huggingface_hub import HfApi

    name = card.push_to_hub or ""
    api = HfApi()
    try:
        repository = api.create_repo(name, repo_type="dataset", private=card.private, exist_ok=True)
        name = repository.repo_id  # with the namespace of the user, if the recipe names none
        api.upload_folder(
            folder_path=run_dir,
            repo_id=name,
            repo_type="dataset",
            allow_patterns=["README.md", "data/*.parquet"],
            delete_patterns=["data/*.parquet"],  # those of an earlier and larger data set
            commit_message="Data made by r1kit",
        )
    except Exception as error:  # each library below has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        action = f"the data is complete in {run_dir}/data; log in with `hf auth login`, then run the same command again"
        raise UserError("card.push_to_hub", name, f"could not be sent: {reason}", action) from None
    return f"https://huggingface.co/datasets/{name}"
