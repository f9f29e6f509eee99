"""Training on pages that are drawn: it learns what can be learned and nothing else, and a killed run goes on unharmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from multiscale_transformer.cli.main import main
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vision import CropNet, PageNet, build_vision, load_vision, save_vision
from multiscale_transformer.model.vision_config import VisionConfig
from multiscale_transformer.training.resume import ResumeWriter
from multiscale_transformer.training.trainer import Progress
from multiscale_transformer.vision import training
from multiscale_transformer.vision.dataset import read_pages
from multiscale_transformer.vision.elements import overlap
from multiscale_transformer.vision.inference import CropReader, PageReader, build_reader
from multiscale_transformer.vision.samples import TrainPages, without
from multiscale_transformer.zoo.training_record import read_training
from multiscale_transformer.zoo.vision_recipes import find_vision_recipe
from vision import drawn, small

pytestmark = pytest.mark.slow  # nets are trained


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.write(tmp_path_factory.mktemp("drawn"), 40)


def trained(config: VisionConfig, folder: Path, steps: int) -> CropReader | PageReader:
    model = small.trainer(config, folder, steps).model.eval()
    return build_reader(config, {name: tensor.numpy() for name, tensor in model.state_dict().items()}, "here")


def class_accuracy(reader: CropReader, folder: Path) -> tuple[float, float]:
    """Of held-out elements: those that are named rightly, and those of the most frequent class."""
    right, kinds = 0, []
    for page in read_pages(folder, "pages"):
        seen = reader.elements(page.picture_HWC, [element.box for element in page.elements])
        right += sum(one.element.kind == element.kind for one, element in zip(seen, page.elements, strict=True))
        kinds += [element.kind for element in page.elements]
    return right / len(kinds), max(map(kinds.count, kinds)) / len(kinds)


def test_a_crop_net_learns_what_is_drawn_and_cannot_learn_labels_that_were_shuffled(pages: Path, tmp_path: Path) -> None:
    reader = trained(small.CROP, pages, 40)
    assert isinstance(reader, CropReader)
    accuracy, majority = class_accuracy(reader, pages)
    assert accuracy >= 0.9 > majority
    shuffled = drawn.write(tmp_path, 40, shuffled=True)
    reader = trained(small.CROP, shuffled, 40)
    assert isinstance(reader, CropReader)
    accuracy, majority = class_accuracy(reader, shuffled)
    assert accuracy <= majority + 0.15


def test_a_page_net_finds_what_is_drawn(pages: Path) -> None:
    reader = trained(small.PAGE, pages, 60)
    assert isinstance(reader, PageReader)
    hits = found = there = 0
    for page in read_pages(pages, "pages"):
        seen = reader.elements(page.picture_HWC)
        hits += sum(
            any(one.element.kind == element.kind and overlap(one.element.box, element.box) >= 0.5 for one in seen)
            for element in page.elements
        )
        found, there = found + len(seen), there + len(page.elements)
    assert 2 * hits / (found + there) >= 0.5


@pytest.mark.parametrize("config", [small.PAGE, small.CROP])
def test_a_killed_run_goes_on_to_the_same_weights(config: VisionConfig, pages: Path, tmp_path: Path) -> None:
    straight = small.trainer(config, pages, 4)
    killed = small.trainer(config, pages)
    for step in range(2):
        killed.progress.fraction = step / 4
        killed.step()
    request = small.request(config, pages, tmp_path)
    ResumeWriter(tmp_path, killed, {**request.as_json(), "pages": TrainPages(pages).sha256}, save_vision).save()
    again = training.resumed_request(tmp_path)
    assert again == request
    resumed = training._resumed(again, TrainPages(pages))
    for step in range(2, 4):
        resumed.progress.fraction = step / 4
        resumed.step()
    expected = straight.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.model.state_dict().items())


def test_a_run_leaves_a_checkpoint_with_its_record_and_a_card(pages: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    request = training.VisionRequest("small", small.CROP, pages, out, minutes=0.02)
    training.train_vision(request)
    record = read_training(out)
    assert record.data.train_documents == 30
    assert record.data.held_out_documents == 10
    assert record.steps >= 1
    assert record.pictures is not None
    assert record.pictures["seen libraries"]["pages"] == 10
    assert 0 <= record.pictures["seen libraries"]["class accuracy"] <= 1
    assert load_vision(out).config == small.CROP
    assert "drawn none" in (out / "README.md").read_text()
    assert not (out / "resume").exists()
    with pytest.raises(AxlError, match="already holds"):
        training.train_vision(request)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "named"
    model = build_vision(small.CROP, seed=1)
    assert isinstance(model, CropNet)
    torch.nn.init.normal_(model.heads.weight, std=0.1)
    save_vision(model, folder, name="named")
    return folder


def test_an_interrupted_run_goes_on_from_the_command_line(pages: Path, tmp_path: Path) -> None:
    request = training.VisionRequest("small", small.CROP, pages, tmp_path / "run", minutes=0.02)

    def killed(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train_vision(request, callbacks=[killed])
    assert main(["train", "--resume", "--out", str(request.out), "--device", "cuda"]) == 2
    assert main(["train", "--resume", "--out", str(request.out)]) == 0
    assert load_vision(request.out).config == small.CROP


def test_a_field_of_a_part_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "typo.yaml").write_text("name: x\nmodel: {kind: page, haed: 3}\n", encoding="utf-8")
    with pytest.raises(AxlError, match="unknown field 'haed'"):
        find_vision_recipe(tmp_path / "typo.yaml")


def test_a_run_that_began_with_another_model_says_so_when_it_was_resumed_too(pages: Path, named: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    request = training.VisionRequest("small", small.PAGE, pages, out, minutes=0.02, init=named)

    def killed(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train_vision(request, callbacks=[killed])
    again = training.resumed_request(out)
    assert again == replace(request, init=None)
    training.train_vision(again, resume=True)
    known, model = load_vision(named), load_vision(out)
    assert isinstance(known, CropNet)
    assert isinstance(model, PageNet)
    before, after = small.named(known), small.named(model.namer)
    assert torch.equal(before.classes_BK, after.classes_BK)
    assert torch.equal(before.states_BS, after.states_BS)
    assert not torch.equal(before.there_B, after.there_B)
    assert not torch.equal(before.deltas_B4, after.deltas_B4)
    record = read_training(out)
    assert record.init is not None
    assert record.init.name == "named"
    assert f"began as named (weights {record.init.sha256[:12]}…)" in (out / "README.md").read_text()


def test_what_is_proposed_and_drawn_is_the_same_however_often_the_loss_is_asked_for(pages: Path) -> None:
    trainer = small.trainer(small.PAGE, pages)
    with torch.no_grad():
        trainer.model.convs["heads"].bias[0] = 0.0  # a centre is likely everywhere, so there are proposals
    trainer.model.eval()
    batch = trainer._batch(0)
    first = trainer.loss(batch)
    assert torch.equal(first, trainer.loss(batch))
    trainer.model.namer.box_heads.bias.data[0] = 20.0
    assert trainer.loss(batch) > first + 1  # some of them are nothing


def test_a_resume_point_of_an_earlier_version_is_refused_in_a_line(pages: Path, tmp_path: Path) -> None:
    request = small.request(small.PAGE, pages, tmp_path)
    fields = request.as_json()
    fields["config"]["classes"] = 16
    ResumeWriter(tmp_path, small.trainer(small.PAGE, pages), {**fields, "pages": "x"}, save_vision).save()
    with pytest.raises(AxlError, match="is of another version; delete the folder and train again"):
        training.resumed_request(tmp_path)


def test_changed_pages_and_no_pages_are_refused(pages: Path, tmp_path: Path) -> None:
    with pytest.raises(AxlError):
        training.train_vision(small.request(small.CROP, tmp_path / "nowhere", tmp_path / "out"))
    trainer = small.trainer(small.CROP, pages)
    request = small.request(small.CROP, pages, tmp_path / "out")
    ResumeWriter(tmp_path / "out", trainer, {**request.as_json(), "pages": "others"}, save_vision).save()
    with pytest.raises(AxlError, match="the pages changed"):
        training.train_vision(request, resume=True)


@pytest.mark.parametrize(
    ("line", "gone", "left"),
    [("HT[FB]", 1, "H[FB]"), ("H[FB]", 1, "HB"), ("{[LL]}H", 2, "{[LL]}"), ("[{H}T]", 0, "T"), ("C+[TB-]", 2, "C+T")],
)
def test_an_element_less_leaves_a_layout_in_normal_form(line: str, gone: int, left: str) -> None:
    assert without(line, gone) == left


@pytest.mark.parametrize("config", [small.PAGE, small.CROP])
def test_what_norms_remember_is_what_they_see(config: VisionConfig, pages: Path) -> None:
    """A net that is used says nearly what it said while it learned: its norms have the statistics of its batches."""
    trainer = small.trainer(config, pages, 30)
    batch = trainer._batch(0)
    losses = []
    for learning in (True, False):
        trainer.model.train(learning)
        with torch.no_grad():
            losses.append(float(trainer.loss(batch)))
    assert losses[1] <= 1.25 * losses[0] + 0.1
