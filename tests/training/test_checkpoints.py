"""Weights on the disk come back to the bit; a damaged file is refused, and not run."""

import json
import pickle
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from course_utils.training import checkpoints

TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64,
         torch.uint8, torch.bool)  # fmt: skip
CONFIG = {"D": 4, "hidden": [3, 2], "loss": "β-VAE", "lr": 0.1 + 0.2}


@pytest.fixture
def file(tmp_path):
    """A checkpoint of two tensors."""
    tensors = {
        "w": torch.arange(6.0).reshape(2, 3),
        "b": torch.tensor(2, dtype=torch.int8),
    }
    return checkpoints.save(tmp_path / "two.safetensors", tensors, CONFIG)


def test_tensors_and_configuration_come_back(file):
    tensors, config = checkpoints.load(file)
    assert config == CONFIG
    assert torch.equal(tensors["w"], torch.arange(6.0).reshape(2, 3))
    assert tensors["b"].dtype == torch.int8 and tensors["b"].shape == ()


@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    kind=st.sampled_from(TYPES),
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)
@settings(max_examples=30)
def test_every_shape_type_and_name_comes_back(tmp_path_factory, shape, kind, name):
    if name == "__metadata__":  # the format keeps this one for itself
        return
    path = tmp_path_factory.mktemp("c") / "x"
    want = (torch.rand(shape) * 9).to(kind)
    got = checkpoints.load(checkpoints.save(path, {name: want})).tensors[name]
    assert got.dtype == want.dtype and torch.equal(got, want)


def test_a_view_and_shared_memory_are_saved_as_what_they_show(tmp_path):
    x = torch.arange(12.0).reshape(3, 4)
    given_ = {"turned": x.T, "row": x[1], "whole": x}
    got = checkpoints.load(checkpoints.save(tmp_path / "v", given_)).tensors
    assert all(torch.equal(got[name], given_[name]) for name in given_)


def test_what_is_loaded_can_be_written_to_and_leaves_the_file(file):
    checkpoints.load(file).tensors["w"].zero_()
    assert checkpoints.load(file).tensors["w"].sum() == 15


def test_anyone_can_read_it(file):
    with safe_open(file, framework="np") as opened:
        assert json.loads(opened.metadata()["config"]) == CONFIG
        assert opened.get_tensor("w").shape == (2, 3)


@pytest.mark.parametrize("kept", [0, 1, 7, 60, 0.5, 0.99])
def test_a_file_cut_short_is_refused(file, kept):
    whole = file.read_bytes()
    file.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(ValueError, match="two.safetensors is damaged"):
        checkpoints.load(file)


def test_every_changed_byte_of_the_numbers_is_seen(file):
    whole = file.read_bytes()
    for place in range(len(whole) - 25, len(whole)):  # 24 bytes of w, 1 of b
        changed = bytearray(whole)
        changed[place] ^= 1
        file.write_bytes(changed)
        with pytest.raises(ValueError, match="does not match its checksum"):
            checkpoints.load(file)


def test_a_changed_configuration_is_seen(file):
    file.write_bytes(file.read_bytes().replace(b'\\"D\\": 4', b'\\"D\\": 5'))
    with pytest.raises(ValueError, match="does not match its checksum"):
        checkpoints.load(file)


@pytest.mark.parametrize("kind", ["text", "pickle", "zip", "plain safetensors"])
def test_other_files_are_refused_and_run_nothing(tmp_path, kind):
    path = tmp_path / "other"

    class Ran:
        def __reduce__(self):
            return (path.with_suffix(".ran").touch, ())

    if kind == "text":
        path.write_text("weights")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Ran()))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", "b")
    else:
        save_file({"w": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="is damaged, or no checkpoint of this course"):
        checkpoints.load(path)
    assert not path.with_suffix(".ran").exists()


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint .*absent"):
        checkpoints.load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        checkpoints.save(tmp_path / "nowhere" / "x", {"w": torch.ones(1)})


@pytest.mark.parametrize(
    ("tensors", "config", "said"),
    [
        ({"w": [1.0]}, {}, "w is a list; expected a tensor"),
        ({"w": torch.ones(1)}, {"f": torch.ones(1)}, "expected numbers, texts"),
        ({"w": torch.ones(1)}, {"f": object()}, "expected numbers, texts"),
    ],
)
def test_save_names_what_it_cannot_write(tmp_path, tensors, config, said):
    with pytest.raises(ValueError, match=said):
        checkpoints.save(tmp_path / "x", tensors, config)
    assert list(tmp_path.iterdir()) == []
