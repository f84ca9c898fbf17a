"""What a ``.pt`` file is, told by what is in it: suffixes say nothing, PyTorch writes all kinds under all of them.

Only what runs without its author's Python code can be served: TorchScript and exported programs. The rest, which is
what ``torch.save`` writes, is told from these without unpickling anything.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from mizzen.serve.errors import LoadError

SCRIPT = "TorchScript"
PROGRAM = "an exported program"

_INSTEAD = (
    "save what runs without that code instead: torch.export.save(torch.export.export(model, example_inputs), "
    "'model.pt2'), or torch.jit.trace(model, example_inputs).save('model.pt')"
)


def kind(path: Path) -> str:
    """:data:`SCRIPT` or :data:`PROGRAM`.

    Raises:
        LoadError: it is neither; says what it is, and what to do.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except zipfile.BadZipFile:
        raise LoadError(f"{path} {_no_archive(path)}") from None
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from None
    if "MANIFEST.json" in names:
        raise LoadError(
            f"{path} is a TorchServe archive: unpack it, and serve the TorchScript or exported program in it"
        )
    if any(name.startswith("data/aotinductor/") for name in names):
        raise LoadError(
            f"{path} is compiled for the machine it was made on (AOTInductor): serve the exported program that it was "
            "compiled from"
        )
    if any(name.startswith("code/") for name in names):
        return SCRIPT
    if any(name.startswith("models/") for name in names) or any(
        "serialized_exported_program" in name for name in names
    ):
        return PROGRAM
    if "data.pkl" in names:
        raise LoadError(f"{path} is a pickle of weights or of a module, and needs its author's Python code: {_INSTEAD}")
    raise LoadError(f"{path} is a zip archive, but none of PyTorch's")


def _no_archive(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(2)
    if head[:1] == b"\x80":
        return f"is a pickle, and needs its author's Python code: {_INSTEAD}"
    if head == b"PK":
        return "is cut short"
    return "is neither TorchScript nor an exported program"
