"""What [augment] adds, and that each draw is new if it should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edge_lstm import load_data, train
from edge_lstm.config.common import AugmentConfig
from edge_lstm.config.schema import Config
from edge_lstm.data.load import make_spec
from edge_lstm.training.augment import Augment, Layout
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY, FORECAST

X = torch.full((300, 40, 6), 7.0)
X[..., 3:] = 0  # no value is missing
LENGTHS = torch.full((300,), 40)


def added(seed: int = 0, channels: int = 3, **settings: float) -> torch.Tensor:
    return (
        Augment(
            AugmentConfig(**settings), Layout(channels, tuple(range(channels))), seed, X.device
        )(X, LENGTHS)
        - X
    )


def test_an_offset_is_one_of_a_sequence_and_channel() -> None:
    offset = added(offset=0.5)
    assert torch.equal(offset, offset[:, :1].expand_as(offset))
    assert offset[:, 0, :3].std(dim=0).tolist() == pytest.approx([0.5] * 3, rel=0.15)
    assert offset[:, 0, :3].mean(dim=0).abs().max() < 0.15
    assert torch.corrcoef(offset[:, 0, :3].T).fill_diagonal_(0).abs().max() < 0.25


def test_a_level_is_one_of_a_sequence() -> None:
    level = added(level=0.5)[..., :3]
    assert torch.equal(level, level[:, :1, :1].expand_as(level))
    assert float(level[:, 0, 0].std()) == pytest.approx(0.5, rel=0.15)


def test_masks_hide_one_run_within_the_length() -> None:
    lengths = torch.arange(300) % 30 + 10
    settings = AugmentConfig(mask_steps=0.5, mask_channels=0.7)
    changed = Augment(settings, Layout(3, (0, 1, 2)), 0, X.device)(X, lengths)
    assert torch.equal(changed[..., 3:], X[..., 3:])
    change = changed == 0
    steps = change[..., :3].all(dim=2)
    channels = change[..., :3].all(dim=1)
    for n, length in enumerate(lengths.tolist()):
        assert not steps[n, length:].any() or channels[n].all()
        for runs, share, width in ((steps[n], 0.5, length), (channels[n], 0.7, 3)):
            places = torch.nonzero(runs)[:, 0]
            assert len(places) <= share * width + 1e-6
            assert not len(places) or int(places[-1] - places[0]) == len(places) - 1, "one run"
    counts = steps.sum(dim=1)[lengths == 39]
    assert len(set(counts.tolist())) > 4, "a run has a length that is drawn"


def test_noise_is_one_of_every_value() -> None:
    noise = added(noise=0.2)[..., :3]
    assert noise.std(dim=(0, 1)).tolist() == pytest.approx([0.2] * 3, rel=0.03)
    assert len(noise.unique()) > 0.95 * noise.numel() / 2  # float32 has few digits beside 7
    assert float((noise[:, 1:] * noise[:, :-1]).mean()) == pytest.approx(0, abs=0.002)


def test_masks_are_left_alone_and_the_batch_too() -> None:
    before = X.clone()
    assert added(offset=1.0, noise=1.0)[..., 3:].count_nonzero() == 0
    assert torch.equal(X, before)


def test_a_missing_value_stays_the_mean() -> None:
    """As on the board: where the flag is 1, the value is 0."""
    x = torch.tensor([[[0.0, 3.0, 1.0, 0.0], [2.0, 0.0, 0.0, 1.0]]])
    settings = AugmentConfig(offset=0.5, level=0.5, noise=0.5)
    changed = Augment(settings, Layout(2, (0, 1)), 0, x.device)(x, torch.tensor([2]))
    assert torch.equal(changed[..., 2:], x[..., 2:])
    assert (changed[0, 0, 0], changed[0, 1, 1]) == (0, 0)
    assert (changed[0, 0, 1], changed[0, 1, 0]) != (3, 2)


@pytest.mark.usefixtures("classify_csv")
def test_a_share_of_channels_that_hides_none_is_refused(configure: Callable[..., Config]) -> None:
    """Of two channels."""
    config = configure(CLASSIFY, augment__mask_channels=0.4)
    with pytest.raises(ConfigError) as caught:
        make_spec(config, load_data(config))
    assert str(caught.value) == (
        "[augment] mask_channels = 0.4: hides none of 2 channels; expected 0, or the share of at "
        "least one channel"
    )
    for share in (0.5, 0.0):
        config = configure(CLASSIFY, augment__mask_channels=share)
        assert make_spec(config, load_data(config)).inputs.size == 2


# Channels a, b and a time. The level of b alone is an input, then differences of a and b, then a
# calendar's two, then the three that say what is missing.
DERIVED = Layout(3, (1,), (0, 1, None, None))


def test_what_is_derived_has_noise_and_is_hidden_with_its_channel_but_has_no_offset() -> None:
    x = torch.full((200, 20, 8), 7.0)
    x[..., 5:] = 0
    x[:, 3, 6] = 1  # b is missing at this step, so its level is 0
    x[:, 3, 0] = 0
    lengths = torch.full((200,), 20)

    def changed(**settings: float) -> torch.Tensor:
        return Augment(AugmentConfig(**settings), DERIVED, 0, x.device)(x, lengths)

    for constant in (changed(offset=0.5) - x, changed(level=0.5) - x):
        assert not constant[..., 1:].any()
        assert not constant[:, 3].any()
        assert float(constant[:, 0, 0].std()) == pytest.approx(0.5, rel=0.15)
    noise = changed(noise=0.5) - x
    assert not noise[..., 3:].any()
    assert noise[:, 5, :3].std(dim=0).tolist() == pytest.approx([0.5] * 3, rel=0.15)
    hidden = changed(mask_channels=0.7) == 0
    assert not hidden[..., 3:5].any()
    assert torch.equal(hidden[:, 0, 0], hidden[:, 0, 2]), "b and its difference together"
    assert 0 < hidden[:, 0, 1].float().mean() < 1
    assert not torch.equal(hidden[:, 0, 0], hidden[:, 0, 1])
    steps = changed(mask_steps=0.5)
    assert torch.equal(steps[..., 3:], x[..., 3:])
    assert ((steps[..., 1] == 0) == (steps[..., 2] == 0)).all()
    assert (steps[..., 1] == 0).any()


def test_both_add_up_and_the_seed_decides() -> None:
    assert added(offset=0.3, noise=0.4)[..., :3].std() == pytest.approx(0.5, rel=0.05)
    assert torch.equal(added(noise=0.1), added(noise=0.1))
    assert not torch.equal(added(noise=0.1), added(1, noise=0.1))
    draw = Augment(AugmentConfig(noise=0.1), Layout(3, (0, 1, 2)), 0, X.device)
    assert not torch.equal(draw(X, LENGTHS), draw(X, LENGTHS)), (
        "the next batch has the noise of the first"
    )


@pytest.mark.usefixtures("classify_csv")
def test_it_changes_the_training_alone(configure: Callable[..., Config], tmp_path: Path) -> None:
    """The first validation loss is the same: nothing is added to that split."""
    rows = []
    for name, settings in (("plain", {}), ("noisy", {"augment__noise": 3.0})):
        config = configure(
            CLASSIFY, **settings, train__learning_rate=1e-12, train__epochs=1, train__carry=0.0
        )
        rows.append(train(config, tmp_path / name, quiet=True).history[0])
    assert rows[0]["val_loss"] == pytest.approx(rows[1]["val_loss"], rel=1e-6)
    assert abs(rows[0]["train_loss"] - rows[1]["train_loss"]) > 1e-3


@pytest.mark.usefixtures("classify_csv")
def test_a_negative_deviation_is_refused(configure: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"augment\] noise = -1.*expected greater"):
        configure(CLASSIFY, augment__noise=-1.0)


@pytest.mark.usefixtures("forecast_csv")
def test_an_offset_would_move_what_a_forecast_should_say(configure: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"augment\] level = 0.1: expected 0 for task 'forecast'"):
        configure(FORECAST, augment__level=0.1)
    assert configure(FORECAST, augment__noise=0.1).augment is not None
