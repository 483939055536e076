"""An exported folder as a repository on the Hugging Face hub, private unless it is to be public."""

from __future__ import annotations

import re
from pathlib import Path

from engine.errors import KidError, UsageError

_TOKEN_MEND = "hf auth login, or set HF_TOKEN to a token that may write"


def require_pushable(repository: str) -> None:
    """Raises UsageError where the name is none, or no token is set. Asks no network."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repository):
        raise UsageError(f"'{repository}' is no name of a repository", "give OWNER/NAME")
    import huggingface_hub

    if not huggingface_hub.get_token():
        raise UsageError("no token of the Hugging Face hub is set", _TOKEN_MEND)


def push(folder: Path, repository: str, *, public: bool) -> str:
    """Uploads the folder's files; where they are. A repository that is there gets a new commit.

    Raises:
        UsageError: the repository is there and public, which was not asked for.
        KidError: no network, no right to write; the folder stays as it is.
    """
    import huggingface_hub

    try:
        hub = huggingface_hub.HfApi()
        url = hub.create_repo(repository, private=not public, exist_ok=True)
        if not public and not hub.repo_info(repository).private:
            raise UsageError(
                f"repository {repository} is there and public", "--public says that this is meant"
            )
        hub.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="A student distilled with kid"
        )
    except UsageError:
        raise
    except Exception as error:  # the hub's client has errors of several libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise KidError(
            f"cannot push to {repository}: {reason}",
            f"check network and token; {folder} is written, and can be pushed as it is:"
            f" hf upload {repository} {folder}",
        ) from error
    return str(url)
