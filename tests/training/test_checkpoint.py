"""One checkpoint: what is in it, and what is never taken for one."""

import json
from dataclasses import asdict, replace

import pytest
import safetensors.torch
import torch

from toolkit.errors import BundleError
from toolkit.training.checkpoint import (
    Checkpoints,
    EpochRecord,
    Standing,
    _digest,
    load_optimizer,
    optimizer_tensors,
    read_standing,
)

RECORDS = tuple(EpochRecord(n, 1.0, loss, 0.01, 2.0, best) for n, loss, best in ((1, 0.5, True), (2, 0.75, False)))
STANDING = Standing(
    RECORDS,
    weights={"a.b": torch.tensor([1.0, 2.0]), "c": torch.tensor(3.0)},
    best_weights={"a.b": torch.tensor([4.0, 5.0]), "c": torch.tensor(6.0)},
    optimizer={"0.step": torch.tensor(7.0)},
    shuffle=torch.arange(5, dtype=torch.uint8),
)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path, "ours")


def content_of(checkpoints, standing=STANDING):
    checkpoints.keep(standing)
    return checkpoints.latest()


def texts_of(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def with_texts(content, changes, *, signed=False):
    """The same tensors under other texts, of which None takes one away; `signed` by a sum that fits them."""
    tensors = safetensors.torch.load(content)
    texts = {name: text for name, text in (texts_of(content) | changes).items() if text is not None}
    if signed:
        texts["sha256"] = _digest(tensors, {name: text for name, text in texts.items() if name != "sha256"})
    return safetensors.torch.save(tensors, texts)


def test_what_was_kept_is_read(checkpoints):
    read = read_standing(content_of(checkpoints), "ours")
    assert (read.records, read.epoch, read.best_epoch, read.best_loss) == (RECORDS, 2, 1, 0.5)
    for group in ("weights", "best_weights", "optimizer"):
        ours, theirs = getattr(read, group), getattr(STANDING, group)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(read.shuffle, STANDING.shuffle)


def test_before_the_first_epoch_nothing_is_the_best():
    none = replace(STANDING, records=())
    assert (none.epoch, none.best_epoch, none.best_loss) == (0, 0, float("inf"))


def test_of_several_that_were_the_best_so_far_the_last_is():
    better = replace(RECORDS[0], epoch=3, validation_loss=0.25)
    standing = replace(STANDING, records=(*RECORDS, better))
    assert (standing.best_epoch, standing.best_loss) == (3, 0.25)


def test_the_identity_is_asked_for_where_there_is_one(checkpoints):
    content = content_of(checkpoints)
    assert read_standing(content) is not None
    assert read_standing(content, "another") is None
    with pytest.raises(BundleError, match=r"no checkpoint in .* is whole; .*--overwrite"):
        Checkpoints(checkpoints.folder, "another").latest()


OTHER_RECORDS = json.dumps([asdict(replace(RECORDS[0], validation_loss=0.25)), asdict(RECORDS[1])])


@pytest.mark.parametrize(
    "changes",
    [{"records": OTHER_RECORDS}, {"identity": "another"}, {"identity": None}, {"sha256": None}, {"sha256": ""}],
)
def test_a_text_that_changed_on_the_disk_makes_it_no_checkpoint(checkpoints, changes):
    content = content_of(checkpoints)
    assert read_standing(with_texts(content, {})) is not None
    assert read_standing(with_texts(content, changes)) is None


@pytest.mark.parametrize("records", [None, "[3]", "3", "[", "[" * 100_000, '[{"epoch": 1}]'])
def test_records_that_are_none_make_it_no_checkpoint(checkpoints, records):
    content = content_of(checkpoints)
    assert read_standing(with_texts(content, {"records": OTHER_RECORDS}, signed=True)).best_loss == 0.25
    assert read_standing(with_texts(content, {"records": records}, signed=True)) is None


def test_a_file_of_safetensors_without_a_text_is_no_checkpoint():
    assert read_standing(safetensors.torch.save({"shuffle": torch.zeros(1)})) is None


@pytest.mark.parametrize("cut", [0, 7, 100, -1])
def test_what_is_cut_short_is_no_checkpoint(checkpoints, cut):
    assert read_standing(content_of(checkpoints)[:cut]) is None


def test_tensors_that_changed_their_names_or_types_are_no_checkpoint(checkpoints):
    content = content_of(checkpoints)
    tensors = safetensors.torch.load(content)
    renamed = {name.replace("weights.c", "weights.d"): tensor for name, tensor in tensors.items()}
    retyped = tensors | {"weights.c": tensors["weights.c"].view(torch.int32)}
    for changed in (renamed, retyped):
        assert read_standing(safetensors.torch.save(changed, texts_of(content))) is None


def test_a_checkpoint_under_the_name_of_another_epoch_is_skipped(checkpoints):
    content = content_of(checkpoints)
    (checkpoints.folder / "checkpoint-000009.safetensors").write_bytes(content)
    assert checkpoints.epochs() == [2, 9]
    assert checkpoints.latest() == content
    (checkpoints.folder / "checkpoint-000002.safetensors").unlink()
    with pytest.raises(BundleError, match="is whole"):
        checkpoints.latest()


def test_what_cannot_be_read_is_skipped(checkpoints):
    content = content_of(checkpoints)
    (checkpoints.folder / "checkpoint-000003.safetensors").mkdir()
    assert checkpoints.latest() == content


def test_names_that_are_no_checkpoints_are_passed_over(checkpoints):
    for name in (
        "checkpoint-000001.safetensors.partial-1",
        "xcheckpoint-000001.safetensors",
        "checkpoint-1.safetensors",
    ):
        (checkpoints.folder / name).write_bytes(b"")
    assert checkpoints.epochs() == []


def test_a_kept_checkpoint_is_of_its_moment_and_the_metrics_are_its_records(checkpoints):
    for count in (1, 2, 3):
        records = tuple(replace(RECORDS[0], epoch=n) for n in range(1, count + 1))
        checkpoints.keep(replace(STANDING, records=records))
    assert checkpoints.epochs() == [2, 3]
    metrics = checkpoints.folder / "metrics.jsonl"
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == [1, 2, 3]
    (checkpoints.folder / "checkpoint-000003.safetensors").write_bytes(b"")
    assert read_standing(checkpoints.latest()).epoch == 2
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == [1, 2]


def test_views_and_transposed_tensors_are_kept_as_they_are(checkpoints):
    whole = torch.arange(6.0).reshape(2, 3)
    weights = {"t": whole.T, "row": whole[1], "same": whole[1]}
    read = read_standing(content_of(checkpoints, replace(STANDING, weights=weights)))
    assert all(torch.equal(read.weights[name], tensor) for name, tensor in weights.items())


def test_an_optimiser_goes_on_where_it_stood():
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    ours, theirs = torch.optim.Adam([first], lr=0.1), torch.optim.Adam([second], lr=0.2)
    first.grad = torch.tensor([1.0, -2.0])
    ours.step()
    load_optimizer(theirs, optimizer_tensors(ours))
    kept = optimizer_tensors(theirs)
    assert kept.keys() == {"0.step", "0.exp_avg", "0.exp_avg_sq"}
    assert all(torch.equal(kept[name], tensor) for name, tensor in optimizer_tensors(ours).items())
    assert theirs.param_groups[0]["lr"] == 0.2
