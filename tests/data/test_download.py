"""Downloading code: what is kept and under which licence, what is refused, and that nothing leads out of its folder."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from multiscale_transformer.cli.main import main
from multiscale_transformer.data.download import MANIFEST, Download, package_names, read_manifest
from multiscale_transformer.data.hub_texts import hub_texts
from multiscale_transformer.data.installed import UNSEEN_PROJECTS
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.package_texts import package_texts

CODE = "def area(radius):\n    return radius * radius * 3\n"


def wheel(folder: Path, name: str, licence: str, files: dict[str, str], author: str = "Jane") -> None:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nAuthor: {author}\nLicense: {licence}\n\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path) -> list[str]:
    folder = tmp_path / "wheels"
    folder.mkdir()
    hostile = {"../../out.py": CODE, "/root.py": CODE, "b\\c.py": CODE}
    wheel(folder, "good", "MIT", {"good/a.py": CODE, "good/data.txt": "no", **hostile})
    wheel(folder, "copyleft", "GPL-3.0-only", {"copyleft/a.py": CODE})
    wheel(folder, "nothing", "MIT", {"nothing/a.txt": "x"})
    (folder / "broken-1.0-py3-none-any.whl").write_bytes(b"PK\x03\x04 not a zip")
    return ["--no-index", "--find-links", str(folder)]


def test_permissive_source_is_kept_and_all_else_is_refused_with_a_reason(tmp_path: Path, index: list[str]) -> None:
    download = Download(tmp_path / "out", 1e6)
    download.packages(["good", "copyleft", "nothing", "broken", "absent"], index)
    assert set(download.kept) == {"good"}
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.py")) == [
        "good/good/a.py"
    ]
    assert not list(tmp_path.rglob("out.py"))
    assert download.refused["copyleft"].startswith("licence: GPL")
    assert download.refused["nothing"] == "no Python source"
    row = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert (row["licence"], row["files"], row["bytes"], len(row["sha256"])) == ("MIT", 1, len(CODE), 64)


def test_what_is_there_is_not_fetched_again_and_a_torn_line_is_none(tmp_path: Path, index: list[str]) -> None:
    Download(tmp_path / "out", 1e6).packages(["good"], index)
    manifest = tmp_path / "out" / MANIFEST
    whole = manifest.read_text()
    manifest.write_text(whole + whole[:20])
    again = Download(tmp_path / "out", 1e6)
    assert set(again.kept) == {"good"}
    again.packages(["good"], ["--no-index", "--find-links", str(tmp_path)])  # where there is nothing
    manifest.write_text("{}\n")
    with pytest.raises(AxlError, match="is damaged"):
        read_manifest(tmp_path / "out")


def test_a_licence_may_be_written_in_any_letters(tmp_path: Path) -> None:
    wheel(tmp_path, "accents", "MIT, © Zoë", {"accents/a.py": CODE}, author="José")
    download = Download(tmp_path / "out", 1e6)
    download.packages(["accents"], ["--no-index", "--find-links", str(tmp_path)])
    assert download.kept["accents"].licence == "MIT, © Zoë"


def test_the_size_is_a_limit_and_no_network_is_said(tmp_path: Path, index: list[str]) -> None:
    full = Download(tmp_path / "full", 10)
    full.packages(["good"], index)
    full.packages(["copyleft"], index)
    assert full.full
    assert not full.refused
    with pytest.raises(AxlError, match="pip fetches none"):
        Download(tmp_path / "none", 10).packages(["good"], ["--no-index", "--find-links", str(tmp_path / "nowhere")])


def test_a_repository_is_read_at_its_newest_commit(tmp_path: Path) -> None:
    repository = tmp_path / "Project"
    repository.mkdir()
    (repository / "a.py").write_text(CODE)
    (repository / "LICENSE").write_text("\nMIT License\n\nCopyright\n")
    (repository / "link.py").symlink_to("/etc/passwd")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(repository), *words], check=True)
    download = Download(tmp_path / "out", 1e6)
    download.repository(f"file://{repository}")
    kept = download.kept["project"]
    assert (kept.licence, kept.files, len(kept.version)) == ("MIT License", 1, 40)
    for url in (str(tmp_path / "none"), "--upload-pack=touch /tmp/x", "ext::sh -c date"):
        with pytest.raises(AxlError, match="git cannot clone"):
            download.repository(url)


def load_dataset(path: str, data_files: str, **_: object) -> list[dict[str, object]]:
    """What the package `datasets` gives of a local file."""
    assert path == "json"
    return [json.loads(line) for line in Path(data_files).read_text().splitlines()]


@pytest.mark.parametrize("stand_in", [True, False])
def test_rows_of_a_data_set_are_read_by_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: bool) -> None:
    if stand_in:
        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    else:
        pytest.importorskip("datasets")
    rows = [
        {"content": CODE, "license": "mit"},
        {"content": CODE + "#", "license": "gpl-3.0"},
        {"content": "x = 1\n", "license": ""},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [text.decode() for _, text in hub_texts(str(path))] == [CODE, "x = 1\n"]
    path.write_text(json.dumps({"a": 1}) + "\n")
    with pytest.raises(AxlError, match="none of the columns"):
        list(hub_texts(str(path)))


def test_without_datasets_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(AxlError, match="pip install"):
        list(hub_texts("a/b"))


def test_the_default_packages_are_none_of_those_that_measure() -> None:
    names = package_names()
    assert len(names) > 250
    assert len(set(names)) == len(names)
    assert not {*UNSEEN_PROJECTS} & {*names}


def test_the_command_fetches_and_skills_read_it(tmp_path: Path, index: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "download", "good", "copyleft", "--out", str(tmp_path / "out"), "--find-links", index[-1]]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 file" in said
    assert "copyleft: licence: GPL" in said
    *_, last = package_texts(most_bytes=1, downloaded=tmp_path / "out")
    assert (last.package, last.licence, last.name, last.text) == ("good", "MIT", "good/a.py", CODE)
