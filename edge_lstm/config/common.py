"""The sections that are the same for every source and every task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from edge_lstm_runtime.inputs.front_end import FrontEnd, FrontEndError
from edge_lstm_runtime.layers import MAX_UNITS

from .base import Contradiction, Count, Fraction, NotNegative, Positive, Section, Share

Groups = Annotated[tuple[str | int, ...], Field(min_length=1)]


class SplitConfig(Section):
    """[data.split]: how the recordings are divided.

    by     "time": each recording is cut into train, val, test, in this order. "group": whole
           groups. "given": the source's own train and test parts, and val drawn from train
    val    a fraction, or, by group, the names of the groups
    test   the same, but not with "given"
    train  by group only: the names of the groups, all others if left out
    stratify  by group only: each part gets about its share of the rows of every class. If left out,
              it is true for tables whose class is in the names of their files (`pattern`)
    seed   of the draw of groups or of validation sequences
    """

    by: Literal["time", "group", "given"]
    val: Fraction | Groups = 0.15
    test: Fraction | Groups = 0.15
    train: Groups | None = None
    stratify: bool = False
    seed: Annotated[int, Field(ge=0)] = 0

    def rules(self) -> Iterator[Contradiction]:
        if self.by != "group" and self.train is not None:
            other = f"is for split by 'group', and by is {self.by!r}; remove it"
            yield ("data", "split", "train"), other
        if self.by != "group" and self.stratify:
            other = f"is for split by 'group', and by is {self.by!r}; remove it"
            yield ("data", "split", "stratify"), other
        if self.by == "given" and "test" in self.model_fields_set:
            given = "split by 'given' takes the source's test part; remove it"
            yield ("data", "split", "test"), given
        for key in ("val", "test"):
            if self.by != "group" and isinstance(getattr(self, key), tuple):
                named = "expected a fraction; names of groups are for split by 'group', and by is"
                yield ("data", "split", key), f"{named} {self.by!r}"
        if self.by != "given" and isinstance(self.val, float) and isinstance(self.test, float):
            together = self.val + self.test
            if together >= 1:
                nothing = f"expected val + test below 1, not {together:g}: nothing is left"
                yield ("data", "split", "test"), f"{nothing} for training"


class FrontEndConfig(Section):
    """[front_end]: how sound becomes the model's channels.

    The formulas are in edge_lstm_runtime.inputs.front_end.

    n_fft   the least power of two that holds a frame if left out
    n_mfcc  kind "mfcc" only: 13 if left out
    f_max   half the sample rate if left out
    """

    kind: Literal["log-mel", "mfcc"] = "log-mel"
    sample_rate: Count
    frame_length: Count
    hop_length: Count
    n_fft: Count | None = None
    n_mels: Count = 40
    n_mfcc: Count | None = None
    f_min: NotNegative = 20.0
    f_max: Positive | None = None
    floor: Positive = 1e-4

    def front_end(self) -> FrontEnd:
        """Raises BundleError for sizes that contradict each other."""
        return FrontEnd(
            kind=self.kind,
            sample_rate=self.sample_rate,
            frame_length=self.frame_length,
            hop_length=self.hop_length,
            n_fft=self.n_fft or max(4, 1 << (self.frame_length - 1).bit_length()),
            n_mels=self.n_mels,
            n_mfcc=(self.n_mfcc or 13) if self.kind == "mfcc" else self.n_mfcc or 0,
            f_min=self.f_min,
            f_max=self.sample_rate / 2 if self.f_max is None else self.f_max,
            floor=self.floor,
        )

    def rules(self) -> Iterator[Contradiction]:
        try:
            self.front_end()
        except FrontEndError as e:
            yield ("front_end", e.field), e.what


class AugmentConfig(Section):
    """[augment]: random changes of the training sequences or windows, others in every epoch.

    There are none without this section. The first three are in standard deviations of the channel.

    offset         standard deviation of a constant for each sequence and channel: a sensor that is
                   calibrated or mounted otherwise
    level          standard deviation of one constant for all channels of a sequence: a louder or a
                   quieter one
    noise          standard deviation of the noise for each value
    mask_steps     the longest run of steps that is hidden, as a share of the sequence
    mask_channels  the widest run of neighbouring channels that is hidden, as a share of them
    """

    offset: NotNegative = 0.0
    level: NotNegative = 0.0
    noise: NotNegative = 0.0
    mask_steps: Share = 0.0
    mask_channels: Share = 0.0


class QuantizeConfig(Section):
    """[quantize]: fine-tuning for a number format, after the training. None without this section.

    scheme         "int8": of the native kernel on CPUs. "w8a8": of the NPUs that have float16
                   beside int8
    tolerance      share of `monitor` that rounding may cost on the validation split. If it costs
                   no more, and moves the answers by an NRMSE of 1e-2 at most, there is nothing to
                   win back and no fine-tuning. 0 always fine-tunes
    epochs         of the fine-tuning, a fifth of the training's if left out
    learning_rate  at its peak, a tenth of the training's if left out
    """

    scheme: Literal["int8", "w8a8"]
    tolerance: NotNegative = 0.005
    epochs: Count | None = None
    learning_rate: Positive | None = None


class PruneConfig(Section):
    """[prune]: whole hidden units are removed after the training. None without this section.

    hidden_size    units that each layer keeps
    steps          rounds in which they are removed, each followed by fine-tuning
    epochs         of the fine-tuning in each round, a fifth of the training's if left out
    learning_rate  at its peak, in each round, half of the training's if left out
    """

    hidden_size: Count
    steps: Count = 3
    epochs: Count | None = None
    learning_rate: Positive | None = None

    def rules(self, units: int, *, refit: bool) -> Iterator[Contradiction]:
        """units: of [model]. refit: of [train]."""
        if refit:
            seen = "which chooses epochs on a validation split that must not be trained on"
            yield ("train", "refit"), f"expected false with [prune], {seen}"
        if self.hidden_size >= units:
            fewer = f"expected less than the {units} units of [model], some of which are to be"
            yield ("prune", "hidden_size"), f"{fewer} removed"


class DistillConfig(Section):
    """[distill]: the training learns from a larger model's answers too. Not without this section.

    teacher      folder of a finished run of the same data, or
    hidden_size  units of a teacher that is trained first, by the same configuration
    temperature  for classes and characters: both models' logits are divided by it before they are
                 compared
    weight       share of the teacher in the loss. The rest is the usual loss
    """

    FOR_TASKS = ("temperature",)

    teacher: str | None = None
    hidden_size: Count | None = None
    temperature: Positive = 2.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.5

    def rules(self, units: int, *, listed: bool) -> Iterator[Contradiction]:
        """units: of [model]. listed: whether it lists its layers."""
        if (self.teacher is None) == (self.hidden_size is None):
            either = "expected either `teacher`, a run's folder, or `hidden_size`, of a teacher"
            yield ("distill", "teacher"), f"{either} that is trained first"
        if self.hidden_size is not None and listed:
            none = "a network with [[model.layers]] has no larger one by itself"
            yield ("distill", "hidden_size"), f"{none}; train a teacher and name it in `teacher`"
        if self.hidden_size is not None and self.hidden_size <= units:
            more = f"expected more than the {units} units of [model], which learns from it"
            yield ("distill", "hidden_size"), more
        if self.hidden_size is not None and self.hidden_size > MAX_UNITS:
            yield ("distill", "hidden_size"), f"expected at most {MAX_UNITS} units"
