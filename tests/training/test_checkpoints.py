"""A checkpoint gives back what it was given, or says plainly why it does not."""

import json
import os
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.models import Autoencoder
from course_utils.training import checkpoints
from course_utils.training.checkpoints import (
    checksum_of,
    load,
    load_model,
    save,
    save_model,
)

DTYPES = [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]


def example(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "file": torch.randn((), generator=generator, dtype=torch.float64),
        "empty": torch.zeros(0, 2),
        "state": generator.get_state(),
    }


def model(seed=0, hidden=(5,)):
    torch.manual_seed(seed)
    return Autoencoder(4, 2, hidden)


def same(first, second):
    return list(first) == list(second) and all(
        torch.equal(first[name], second[name])
        and first[name].dtype == second[name].dtype
        and first[name].shape == second[name].shape
        for name in first
    )


def test_what_is_saved_comes_back(tmp_path):
    config = {"lr": 1e-3, "hidden": (8, 4), "name": "é", "deep": {"a": [None, True]}}
    notes = {"history": [0.1, 1 / 3]}
    path = save(tmp_path / "a.npz", example(), config, notes)
    stored = load(path, config)
    assert same(stored.tensors, example())
    assert stored.config == {**config, "hidden": [8, 4]} and stored.notes == notes
    assert os.listdir(tmp_path) == ["a.npz"], "no temporary file stays"


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    dtype=st.sampled_from(DTYPES),
    name=st.text(min_size=1, max_size=20),
    seed=st.integers(0, 9),
)
@settings(max_examples=30)
def test_every_shape_type_and_name_comes_back(tmp_path_factory, **given):
    path = tmp_path_factory.mktemp("any") / "a.npz"
    generator = torch.Generator().manual_seed(given["seed"])
    tensor = 9 * torch.randn(given["shape"], generator=generator)
    tensors = {given["name"]: tensor.to(given["dtype"])}
    assert same(load(save(path, tensors)).tensors, tensors)


def test_numbers_of_the_notes_keep_every_digit(tmp_path):
    numbers = [0.1 + 0.2, 1e-308, 2.0**60, 1 / 3]
    stored = load(save(tmp_path / "a.npz", {}, notes={"numbers": numbers}))
    assert stored.notes["numbers"] == numbers


def test_a_view_is_saved_as_what_it_shows(tmp_path):
    tensor = torch.arange(12.0).view(3, 4).T[::2]
    assert torch.equal(load(save(tmp_path / "a", {"x": tensor})).tensors["x"], tensor)


def test_the_loaded_tensors_can_be_written_to(tmp_path):
    tensors = load(save(tmp_path / "a", example())).tensors
    tensors["a.weight"].add_(1)


def test_a_model_comes_back(tmp_path):
    first, second = model(0), model(1)
    path = save_model(tmp_path / "model.npz", first)
    assert load_model(path, second) is second
    assert same(first.state_dict(), second.state_dict())


# --- damage -------------------------------------------------------------------------


def test_every_changed_byte_of_the_content_is_seen(tmp_path):
    path = save(tmp_path / "a.npz", example(), {"lr": 0.1})
    whole = path.read_bytes()
    for place in range(0, len(whole), 11):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]
        )
        try:
            stored = load(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:  # dates and the like, which carry nothing
            assert same(stored.tensors, example()) and stored.config == {"lr": 0.1}


@pytest.mark.parametrize("kept", [0, 1, 10, 200, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = save(tmp_path / "a.npz", example())
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if kept >= 1 else int(kept * len(whole))])
    with pytest.raises(ValueError, match="cut short|damaged"):
        load(path)


def rewritten(path, change):
    """Change a file's members and give the zip fresh checksums of its own."""
    with np.load(path) as archive:
        members = dict(archive)
    change(members)
    np.savez(path, **members)


def test_changed_weights_and_headers_are_refused(tmp_path):
    def weights(members):
        members["tensor0"] = members["tensor0"] + 1e-7

    def types(members):
        members["tensor0"] = members["tensor0"].view(np.int32)

    def shapes(members):
        members["tensor0"] = members["tensor0"].reshape(4, 3)

    def config(members):
        text = members["header"].tobytes().replace(b'"lr": 0.1', b'"lr": 0.2')
        members["header"] = np.frombuffer(text, np.uint8)

    for change in (weights, types, shapes, config):
        path = save(tmp_path / "a.npz", example(), {"lr": 0.1})
        rewritten(path, change)
        with pytest.raises(ValueError, match="does not match its checksum"):
            load(path)


def test_a_missing_tensor_is_refused(tmp_path):
    path = save(tmp_path / "a.npz", example())
    rewritten(path, lambda members: members.pop("tensor1"))
    with pytest.raises(ValueError, match="damaged"):
        load(path)


def test_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    path = save(tmp_path / "a.npz", example())
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has format 2; this course reads 1"):
        load(path)


@pytest.mark.parametrize("kind", ["text", "pickle", "zip", "npy", "objects"])
def test_other_files_are_refused_and_run_nothing(tmp_path, kind):
    path = tmp_path / "other.npz"
    if kind == "text":
        path.write_text("hello")
    elif kind == "pickle":
        torch.save(example(), path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "hello")
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        header = np.array([{"names": []}], dtype=object)
        np.savez(path, header=header, allow_pickle=True)
    with pytest.raises(ValueError, match="no checkpoint of this course"):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*none\.npz"):
        load(tmp_path / "none.npz")


# --- another configuration ----------------------------------------------------------


def test_another_configuration_is_named(tmp_path):
    path = save(tmp_path / "a.npz", {}, {"lr": 0.1, "hidden": (4,)})
    load(path, {"hidden": [4]})
    with pytest.raises(ValueError, match=r"lr is 0\.1 there, 0\.2 here"):
        load(path, {"lr": 0.2, "hidden": (4,)})
    with pytest.raises(ValueError, match="it says nothing of beta, which is 1 here"):
        load(path, {"beta": 1})


def test_another_model_is_refused_and_left_alone(tmp_path):
    path = save_model(tmp_path / "a.npz", model())
    other = model(1, hidden=(6,))
    before = {name: t.clone() for name, t in other.state_dict().items()}
    with pytest.raises(ValueError, match=r"encoder\.0\.weight is \(5, 4\) .* \(6, 4\)"):
        load_model(path, other)
    assert same(before, other.state_dict())
    with pytest.raises(ValueError, match="model is 'Autoencoder' there, 'Linear' here"):
        load_model(path, nn.Linear(2, 2))
    with pytest.raises(ValueError, match="float32 there, .* torch.float64 here"):
        load_model(path, model().double())
    with pytest.raises(ValueError, match=r"lacks decoder\.4\.bias, .*coder\.4\.w"):
        checkpoints.put(model(hidden=(5, 5)), load(path).tensors, "the file")
    with pytest.raises(ValueError, match=r"has decoder\.2\.bias, .* too many"):
        checkpoints.put(model(hidden=()), load(path).tensors, "the file")


# --- writing ------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["savez", "fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, moment):
    path = save(tmp_path / "a.npz", example(0))

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(np if moment == "savez" else os, moment, stop)
    with pytest.raises(KeyboardInterrupt):
        save(path, example(1))
    monkeypatch.undo()
    assert same(load(path).tensors, example(0))
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tensors": {"w": 3.0}}, "w is a float; expected a tensor"),
        (
            {"tensors": {"w": torch.zeros(2, dtype=torch.bfloat16)}},
            "w is of type torch.bfloat16, which NumPy lacks",
        ),
        ({"config": {"f": print}}, r"config\['f'\] is <built-in function print>; exp"),
        ({"notes": {"x": torch.zeros(1)}}, r"notes\['x'\] is tensor\(\[0\.\]\); exp"),
    ],
)
def test_save_names_what_it_cannot_write(tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        save(**{"path": tmp_path / "a.npz", "tensors": {}, **change})
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*none to write"):
        save(tmp_path / "none" / "a.npz", {})


def test_the_header_is_readable_by_anyone(tmp_path):
    path = save(tmp_path / "a.npz", {"w": torch.ones(2)}, {"D": 2})
    with np.load(path, allow_pickle=False) as archive:
        header = json.loads(archive["header"].tobytes())
    assert header["names"] == ["w"] and header["config"] == {"D": 2}


def test_checksums_tell_types_shapes_and_values_apart():
    tensors = [
        torch.zeros(4),
        torch.zeros(2, 2),
        torch.zeros(4, dtype=torch.int32),
        torch.tensor([0.0, 0.0, 0.0, 1e-30]),
        torch.zeros(5),
    ]
    assert len({checksum_of(tensor) for tensor in tensors}) == len(tensors)
    assert checksum_of(tensors[0], tensors[1]) != checksum_of(tensors[1], tensors[0])
