"""`axl push`: an exported folder to the Hugging Face Hub, or to what HF_ENDPOINT says is one."""

from __future__ import annotations

from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import MEMORY_FOLDER
from multiscale_transformer.model.folder import TRAINING_FILE

INSTALL = "run: pip install axl[hub]"
_EXPORTED = ("modeling_axl.py", "*.gguf")  # what tells an export from a checkpoint


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload what `axl export` wrote into `folder` as the model `repository` (OWNER/NAME), made if it is not there.

    Returns its address. Raises AxlError when `folder` is no export (a checkpoint would take its memory, and so the text that it
    was trained on, with it), when huggingface_hub is missing, and when the hub cannot be reached or refuses.
    """
    if not folder.is_dir() or not any(any(folder.glob(pattern)) for pattern in _EXPORTED):
        raise AxlError(f"{folder} holds no export; write one: axl export hf --model CHECKPOINT --out {folder}")
    for name in (MEMORY_FOLDER, TRAINING_FILE):
        if (folder / name).exists():
            raise AxlError(f"{folder} is a checkpoint ({name} is in it), not only an export; export into another folder")
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
        from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]  # of the httpx it uses
    except ImportError as error:
        raise AxlError(f"pushing needs huggingface_hub ({error}); {INSTALL}") from error
    hub = HfApi(library_name="axl")
    try:
        address = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(repo_id=address.repo_id, folder_path=folder, commit_message="Upload by axl push")
    except HFValidationError as error:
        raise AxlError(f"{repository!r} is no name of a repository; write OWNER/NAME") from error
    except LocalTokenNotFoundError as error:
        raise AxlError("the hub does not know you; run hf auth login, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        said = str(error.server_message or "")
        raise AxlError(_refusal(hub.endpoint, repository, error.response.status_code, said)) from error
    except (TransportError, OfflineModeIsEnabled) as error:
        raise AxlError(f"{hub.endpoint} cannot be reached ({error}); what has arrived is kept, so run it again") from error
    return str(address)


def _refusal(endpoint: str, repository: str, status: int, message: str) -> str:
    if status in (401, 403):
        return f"{endpoint} does not let you write {repository} ({status}); run hf auth login, or set HF_TOKEN to one that may"
    return f"{endpoint} refuses ({status}) {' '.join(message.split())[:200]}"
