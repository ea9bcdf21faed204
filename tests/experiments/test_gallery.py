"""The gallery's training goes on where it stopped, and its weights are published."""

import dataclasses

import pytest
import torch

from course_utils.experiments import gallery
from course_utils.training import checkpoints

TINY = gallery.Gallery(
    size=16,
    scales=2,
    orientations=4,
    pos_x=(4, 0.2, 0.8),
    pos_y=(3, 0.3, 0.7),
    K=3,
    channels=(2, 3, 2),
    hidden=5,
    width=6,
    batch_size=4,
    beta_first=8.0,
    steps_down=6,
)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def bits(place):
    """What a state holds but for the time it took."""
    tensors, config = checkpoints.load(place)
    return tensors, {key: config[key] for key in ("settings", "steps", "log")}


@pytest.mark.usefixtures("one_thread")
def test_a_stopped_training_ends_with_the_bits_of_an_unbroken_one(tmp_path):
    unbroken, stopped = tmp_path / "unbroken", tmp_path / "stopped"
    gallery.train(9, TINY, unbroken, every=3)
    gallery.train(3, TINY, stopped, every=3)

    class Killed(Exception):
        pass

    def kill(found):
        if found["step"] == 6:
            raise Killed

    with pytest.raises(Killed):
        gallery.train(9, TINY, stopped, every=3, after_each=kill)
    progress = gallery.train(9, TINY, stopped, every=3)
    assert progress.steps == 9 and [row["step"] for row in progress.log] == [3, 6, 9]
    (ours, our_words), (theirs, their_words) = bits(stopped), bits(unbroken)
    assert our_words == their_words and ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_training_leaves_torchs_own_generator_alone(tmp_path):
    before = torch.get_rng_state()
    gallery.train(2, TINY, tmp_path / "state")
    assert torch.equal(torch.get_rng_state(), before)


def test_one_step_is_one_of_adam_on_distortion_and_weighed_rate(tmp_path):
    """By hand: the first step of Adam moves each weight by lr against its slope."""
    gallery.train(1, TINY, tmp_path / "state")
    after = checkpoints.load(tmp_path / "state").tensors
    model = gallery.build(TINY)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(len(TINY.grid()), (4,), generator=generator)
    x = TINY.grid()[rows].x
    mu, logvar = model.encoder(x).chunk(2, 1)
    eps = torch.randn(4, 3, generator=generator)
    logits = model.decoder(mu + (logvar / 2).exp() * eps)
    distortion = torch.nn.functional.softplus(logits) - x * logits
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
    (distortion.sum() / 4 + 8 * rate.sum() / 4).backward()
    for name, weights in model.named_parameters():
        slope = weights.grad
        expected = weights - TINY.lr * slope / (slope.abs() + 1e-8)
        big = slope.abs() > 1e-4  # below, Adam's 1e-8 and rounding decide
        assert torch.allclose(after[name][big], expected[big], atol=2e-6), name


def test_other_settings_are_refused_and_no_step_is_made_twice(tmp_path):
    place = tmp_path / "state"
    gallery.train(2, TINY, place)
    content = place.read_bytes()
    assert gallery.train(2, TINY, place).steps == 2
    assert place.read_bytes() == content
    with pytest.raises(ValueError, match="other settings"):
        gallery.train(3, dataclasses.replace(TINY, beta=5.0), place)


def test_the_average_is_what_is_published(tmp_path):
    gallery.train(5, TINY, tmp_path / "state", every=2)
    gallery.publish(tmp_path / "state", tmp_path / "weights")
    model, settings, progress = gallery.load(tmp_path / "weights")
    assert settings == TINY and progress.steps == 5
    state = checkpoints.load(tmp_path / "state").tensors
    for name, weights in model.named_parameters():
        assert torch.equal(weights, state["average." + name].half().float()), name
        assert not weights.requires_grad


def test_the_average_follows_the_weights(tmp_path):
    """Each average from the weights of all steps before, by the sum it stands for."""
    name, weights = "decoder.of_code.bias", []
    for step in range(1, 6):
        gallery.train(step, TINY, tmp_path / "state")
        weights.append(checkpoints.load(tmp_path / "state").tensors[name])
    expected, kept = torch.zeros_like(weights[0]), 1.0
    for step in reversed(range(5)):
        d = min(TINY.decay, step / (step + 10))
        expected += kept * (1 - d) * weights[step]
        kept *= d
    average = checkpoints.load(tmp_path / "state").tensors["average." + name]
    assert torch.allclose(average, expected, atol=1e-6)


def test_the_decoder_answers_for_each_place_with_its_own_pixels():
    """By hand: the pixels of one place are those of the network asked there."""
    torch.manual_seed(0)
    decoder = gallery.BroadcastDecoder(side=16, K=3, width=6)
    z = torch.randn(2, 3)
    images = decoder(z).reshape(2, 16, 16)
    for row, column in ((0, 0), (1, 3), (3, 2)):
        place = torch.tensor([column, row]) / 3 * 2 - 1  # x, then y
        asked = decoder.of_code(z) + decoder.of_place(place)
        block = decoder.rest(asked).reshape(2, 4, 4)
        there = images[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        assert torch.allclose(there, block, atol=1e-6)


def test_the_published_model_is_small_and_draws_sprites():
    assert gallery.PLACE.stat().st_size <= 2_000_000
    model, settings, progress = gallery.load()
    assert settings == gallery.GALLERY and progress.steps > 0
    found = gallery.measure(model, settings.grid())
    assert found["distortion"] == pytest.approx(progress.log[-1]["distortion"], rel=0.2)
    assert found["rate"] == pytest.approx(progress.log[-1]["rate"], rel=0.1)


def test_a_traversal_moves_one_thing_to_the_eye():
    """From end to end of the busiest latents the ink's centre or its sum changes."""
    model, settings, progress = gallery.load()
    last = progress.log[-1]
    order = sorted(range(settings.K), key=lambda k: -last[f"KL {k}"])
    z = torch.zeros(2, settings.K).repeat(3, 1, 1)  # three latents, two ends each
    for number, latent in enumerate(order[:3]):
        z[number, :, latent] = torch.tensor([-1.5, 1.5])
    side = settings.size
    ink = model.decode(z.flatten(0, 1)).mean.reshape(3, 2, side, side)
    place = torch.arange(side, dtype=torch.float32)
    total = ink.sum((2, 3))
    along_x = (ink.sum(2) * place).sum(2) / total
    along_y = (ink.sum(3) * place).sum(2) / total
    moved = torch.stack([along_x, along_y]).diff(dim=2).abs().squeeze(2)  # pixels
    grown = (total[:, 0] / total[:, 1]).log().abs()
    by_position = [number for number in range(3) if moved[:, number].max() > 8]
    by_size = [number for number in range(3) if grown[number] > 0.5]
    assert len(by_position) == 2 and len(by_size) == 1
    assert not set(by_position) & set(by_size)


def test_a_picture_tells_the_orientation_up_to_the_symmetry_of_its_shape():
    alike, orientation = gallery.turned_alike()
    for place, repeats in enumerate((4, 2, 1)):  # square, ellipse, heart
        mine = alike[40 * place : 40 * (place + 1)]
        assert torch.equal(
            mine.unique(return_counts=True)[1], torch.full((40 // repeats,), repeats)
        )
        for quarter in range(1, repeats):
            assert torch.equal(mine, mine.roll(40 // repeats * quarter))
    assert torch.equal(orientation, torch.arange(40).repeat(3))
