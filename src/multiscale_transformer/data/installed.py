"""Installed packages whose licences allow learning from them and handing on what was learned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import Distribution, PackageMetadata, distributions
from pathlib import Path

PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|Unlicense|0BSD|CC0|HPND|MIT-CMU)\b")
COPYLEFT = re.compile(r"GPL|MPL|Mozilla|EPL|CDDL|EUPL|Proprietary", re.IGNORECASE)
PYTHON = (".py",)
MAX_BYTES = 3_000_000  # of one package: larger ones would outweigh all others
UNSEEN = {"pathspec": "pathspec", "pyyaml": "yaml"}  # by distribution and import name: benchmarks measure on them
UNSEEN_PROJECTS = {"hypothesis": "hypothesis", "graphql-core": "graphql", "networkx": "networkx"}  # and on these, as projects


@dataclass(frozen=True)
class Package:
    """An installed package: where its Python files are and what its metadata say of its licence."""

    name: str
    version: str
    licence: str
    folders: tuple[Path, ...]

    def files(self, suffixes: tuple[str, ...] = PYTHON) -> Iterator[tuple[str, Path]]:
        """Name (from the top of the package on) and path of each file with one of the suffixes, in a fixed order."""
        for folder in self.folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix in suffixes and path.is_file() and not path.is_symlink():
                    yield path.relative_to(folder.parent).as_posix(), path


def permissive_packages(
    *, max_bytes: int = MAX_BYTES, without: Iterable[str] = (*UNSEEN, *UNSEEN_PROJECTS, "axl")
) -> list[Package]:
    """The permissively licensed ones up to `max_bytes` of Python source, by name."""
    unwanted = {name.lower() for name in without}
    packages = {}
    for distribution in distributions():
        metadata = distribution.metadata
        name, licence = metadata["Name"], licence_in(metadata)
        if name.lower() in unwanted or not is_permissive(licence):
            continue
        folders, size = _python_folders(distribution)
        if folders and size <= max_bytes:
            packages[name.lower()] = Package(name, metadata["Version"], licence, folders)
    return [packages[name] for name in sorted(packages)]


def licences(packages: Iterable[Package]) -> dict[str, str]:
    """Version and licence by name: what is to be named where something was learned from them."""
    return {package.name: f"{package.version}, {package.licence}" for package in packages}


def is_permissive(licence: str) -> bool:
    """Whether a licence, as metadata state it, allows learning from the code and handing on what was learned."""
    return bool(PERMISSIVE.search(licence)) and not COPYLEFT.search(licence)


def licence_in(metadata: PackageMetadata | Message) -> str:
    """The licence in the metadata of a package, in a few words, the most reliable field first."""
    fields: dict[str, list[str]] = {key: metadata.get_all(key) or [] for key in ("License-Expression", "Classifier", "License")}
    classified = [line.rsplit("::", 1)[-1].strip() for line in fields["Classifier"] if line.startswith("License ::")]
    for words in (fields["License-Expression"], classified, [line.strip().split("\n")[0] for line in fields["License"]]):
        if any(words):
            return ", ".join(words)
    return ""


def _python_folders(distribution: Distribution) -> tuple[tuple[Path, ...], int]:
    """The folders at its top that hold Python files, and the bytes of those files."""
    size, roots = 0, set[Path]()
    for file in distribution.files or ():
        if file.suffix == ".py" and len(file.parts) > 1 and not file.parts[0].endswith(".dist-info"):
            size += file.size or 0
            roots.add(Path(str(distribution.locate_file(file.parts[0]))))
    return tuple(root for root in sorted(roots) if root.is_dir()), size
