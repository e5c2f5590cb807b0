"""A published folder to the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from naswot_ray.errors import PublishError


def check_ready(repository: str) -> None:
    """Make sure, before any work, that an upload can begin.

    Raises:
        PublishError: `huggingface_hub` is not installed, nobody is logged in, or the name is not OWNER/NAME.
    """
    try:
        from huggingface_hub import get_token  # noqa: PLC0415  of the extra `publish`; nothing else needs it
    except ImportError as error:
        raise PublishError("--push needs huggingface_hub: pip install 'naswot-ray[publish]'") from error
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise PublishError(f"--push {repository}: expected OWNER/NAME, as in someone/naswot-scores")
    if get_token() is None:
        raise PublishError("--push needs a token of the Hugging Face Hub: set HF_TOKEN, or run `hf auth login`")


def upload(folder: Path, repository: str) -> str:
    """Upload a folder as one commit to a dataset repository, which is made if need be.

    Data files that are there and not in the folder are deleted by the same commit.

    Args:
        folder: as `publish` left it.
        repository: OWNER/NAME.

    Returns:
        the address of the commit.

    Raises:
        PublishError: the Hub cannot be reached or refuses; the folder stays.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    api = HfApi()
    try:
        api.create_repo(repository, repo_type="dataset", exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=folder,
            commit_message=f"Publish {folder.name}",
            delete_patterns=["data/*"],  # or the configs' patterns would match files of an earlier publication too
        )
    except (HfHubHTTPError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise PublishError(
            f"cannot upload {folder} to {repository}: {reason}; it is whole, and can be uploaded by hand"
        ) from error
    return str(commit.commit_url)
