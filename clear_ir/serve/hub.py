"""Upload a model folder to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clear_ir.data.files import InputError, is_path, parse_yaml, reason_of
from clear_ir.encode.model_card import CARD_FILE, PLACEHOLDER

if TYPE_CHECKING:
    from huggingface_hub import HfApi

#: The names of TensorBoard's files hold the name of the computer. `train_log.jsonl` has the same figures.
LEFT_OUT = ("tensorboard",)
#: Files that name the encoders that a model was made from, and under which keys.
NAMING_FILES = ("recipe.yaml", "align.json", "merge.json", "exported.json", "adapter_config.json")
NAMES = ("model", "base", "base_model_name_or_path")


@dataclass(frozen=True)
class Upload:
    """What is going to be uploaded.

    Args:
        repo: The name on the Hub.
        private: Whether only its owner sees it.
        exists: Whether there is such a model already. Its files of the same names are replaced.
        files: The files, by their names in the repository.
    """

    repo: str
    private: bool
    exists: bool
    files: dict[str, Path]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())

    @property
    def local_paths(self) -> list[str]:
        """A sentence on each path of this computer that a file names."""
        sentences = []
        for name in (name for name in NAMING_FILES if name in self.files):
            document = parse_yaml(self.files[name].read_text(encoding="utf-8"), name)  # JSON is YAML
            named = [document.get(key) for key in NAMES] if isinstance(document, dict) else []
            paths = [value for value in named if isinstance(value, str) and is_path(value)]
            sentences += [f"{name} names a path of this computer: {path}" for path in paths]
        return sentences


def plan_upload(folder: Path, repo: str, private: bool) -> Upload:
    """Find out what would be uploaded. Nothing is sent but the name of the model.

    Args:
        folder: The model folder.
        repo: The name on the Hub, `user/name`.
        private: Whether only its owner is to see it.

    Returns:
        The files and the model on the Hub.

    Raises:
        InputError: If the folder is no model with a card, the name is none, the Hub cannot be reached, or the model on
            the Hub is public and was to be private.
    """
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    for name in ("modules.json", CARD_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}; give a model folder that clear-ir train, align or merge made.")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"{repo!r} is no name of a model on the Hub: {reason_of(error)}") from None
    if "/" not in repo:
        raise InputError(f"{repo!r} does not say whose model it is; write user/name.")
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: path for name, path in files.items() if name.split("/")[0] not in LEFT_OUT}
    exists = True
    with _reaching_the_hub() as api:
        try:
            known_private = bool(api.repo_info(repo).private)
        except RepositoryNotFoundError:
            exists, known_private = False, private
    if private and not known_private:
        raise InputError(f"{repo} exists and is public; make it private on its page, or give another name.", "private")
    return Upload(repo, known_private, exists, files)


def upload_model(upload: Upload) -> str:
    """Upload a model in one commit, so that nobody sees half of it. Its card names the model on the Hub.

    Args:
        upload: What to upload.

    Returns:
        The address of the model.

    Raises:
        InputError: If the Hub refuses it or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd

    def content(name: str, path: Path) -> bytes | str:
        if name != CARD_FILE:
            return str(path)
        return path.read_text(encoding="utf-8").replace(f'"{PLACEHOLDER}"', f'"{upload.repo}"').encode()

    with _reaching_the_hub() as api:
        address = api.create_repo(upload.repo, private=upload.private, exist_ok=True)
        operations = [CommitOperationAdd(name, content(name, path)) for name, path in upload.files.items()]
        api.create_commit(upload.repo, operations, commit_message="Upload the model")
    return str(address)


@contextmanager
def _reaching_the_hub() -> Iterator[HfApi]:
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if not get_token():
        raise InputError("You are not logged in to the Hub; call hf auth login, or set HF_TOKEN.")
    try:
        yield HfApi()
    except InputError:
        raise
    except RepositoryNotFoundError as error:
        raise InputError(f"The Hub has no such model, or your token may not write to it: {reason_of(error)}") from None
    except HfHubHTTPError as error:
        raise InputError(f"The Hub refused the call: {reason_of(error)}") from None
    except Exception as error:  # no connection: its type depends on the version of the HTTP library
        raise InputError(
            f"The Hub could not be reached: {reason_of(error)}; try again. A model on the Hub is as it was."
        ) from None
