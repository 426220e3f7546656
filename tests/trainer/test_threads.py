"""How many threads train: as asked, or as measured. Measuring leaves no trace."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import threadpoolctl
import torch

from edge_lstm import Run, load_data, train
from edge_lstm.config.schema import Config
from edge_lstm.data.statistics import make_spec
from edge_lstm.results import answers
from edge_lstm.threads import Threads, default, longest_meeting, one, using
from edge_lstm.training import loop, prune, qat
from edge_lstm.training import train as training
from edge_lstm.training.batches import Batch
from edge_lstm.training.progress import Reporter
from edge_lstm.training.train import make_fabric
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY

Configure = Callable[..., Config]
# More threads than cores don't spin: these tests must not wait for themselves.
MANY = (os.cpu_count() or 1) + 1
# Dropout and noise draw random numbers, and the state is carried from batch to batch.
SETTINGS = {
    "model__num_layers": 2, "model__dropout": 0.3, "augment__noise": 0.1,
    "train__epochs": 6, "train__learning_rate": 0.02,
}  # fmt: skip


LONG = 10**9  # batches of a training


def at_once(number: int, watched: float) -> float:  # noqa: ARG001
    """The seconds of the longest meeting on an idle machine."""
    return 5e-5


class Rig:
    """A training that seems to take as long as it is told, with MANY threads as PyTorch's default.

    batch: seconds by number of threads. epoch: the seconds of each, 1 unless it stands here.
    after: what happens after an epoch.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, one: float, many: float) -> None:
        self.batch = {1: one, MANY: many}
        self.epoch: dict[int, float] = {}
        self.after: dict[int, Callable[[], object]] = {}
        self._now = 0.0
        torch.set_num_threads(MANY)
        quiet = functools.partial(Threads, clock=self._clock, meet=at_once)
        monkeypatch.setattr(loop, "Threads", quiet)
        whole = loop.Training._epoch

        def epoch(training: loop.Training) -> dict[str, float]:
            row = whole(training)
            number = training.progress.epoch
            self.after.get(number, lambda: None)()
            return row | {"seconds": self.epoch.get(number, 1.0)}

        monkeypatch.setattr(loop.Training, "_epoch", epoch)

    def _clock(self) -> float:
        self._now += self.batch[torch.get_num_threads()]
        return self._now


def chosen(one: list[float], many: list[float], batches: int = LONG) -> tuple[int, str, int]:
    """The choice between 1 and 3 threads whose batches take so many seconds in turn.

    batches: of the training. Also the choice's reason, and how many batches three threads made.
    """
    torch.set_num_threads(3)
    now = 0.0
    made = 0
    seconds = {1: itertools.cycle(one), 3: itertools.cycle(many)}

    def step() -> None:
        nonlocal now, made
        now += next(seconds[torch.get_num_threads()])
        made += torch.get_num_threads() == 3

    threads = Threads(None, measures=True, clock=lambda: now, meet=at_once)
    found = threads.choose(lambda: nullcontext(step), batches)
    return (*found, made)


def numbers(run: Run) -> list[float]:
    return [row["threads"] for row in run.history]


def test_the_faster_number_is_chosen() -> None:
    told = "a batch takes 2 ms (mean 2) with 1 and 1.5 ms (mean 1.5) with 3"
    assert chosen([0.002], [0.0015]) == (3, told, 8)
    told = "a batch takes 2 ms (mean 2) with 1 and 2.1 ms (mean 2.1) with 3"
    assert chosen([0.002], [0.0021])[:2] == (1, told)


def test_more_threads_win_by_more_than_a_twentieth() -> None:
    assert chosen([0.002], [0.00191])[0] == 1
    assert chosen([0.002], [0.00189])[0] == 3


def test_the_choice_costs_a_small_part_of_a_short_training() -> None:
    """Batches of 2 ms and 1.5 ms: a turn takes 3.5 ms. The first one starts the threads."""
    assert chosen([0.002], [0.0015], batches=10)[::2] == (3, 4)  # three turns, at least
    assert chosen([0.002], [0.0015], batches=250)[::2] == (3, 5)  # 15 ms may pass
    assert chosen([0.002], [0.0015], batches=10_000)[::2] == (3, 8)


def test_rare_long_waits_count() -> None:
    """With three threads most batches are faster, and one of them takes 50 times as long."""
    assert chosen([0.002], [0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.1])[0] == 1


def test_what_has_lost_is_not_measured_further() -> None:
    assert chosen([0.002], [5.0])[::2] == (1, 1)
    # 14 ms is what one thread takes in 7 turns. The first turn, in which threads start, is none.
    assert chosen([0.002], [0.006])[::2] == (1, 4)


def test_a_first_batch_that_is_far_slower_decides() -> None:
    """Later ones may be faster by chance."""
    assert chosen([0.002], [0.015, 0.001])[::2] == (1, 1)
    assert chosen([0.002], [0.013, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001])[0] == 3


def test_threads_that_wait_for_each_other_train_nothing() -> None:
    """A busy machine shows in a few meetings, before a batch is made that could take seconds."""

    def choose(*longest: float, batches: int = LONG) -> tuple[int, str]:
        torch.set_num_threads(2)
        found = iter(longest)
        now = 0.0

        def step() -> None:
            nonlocal now
            now += 0.001

        def meet(number: int, watched: float) -> float:
            assert number == 2
            assert watched == pytest.approx(0.05 if batches == LONG else 0.015)
            return next(found)

        threads = Threads(None, measures=True, clock=lambda: now, meet=meet)
        return threads.choose(lambda: nullcontext(step), batches)

    why = "2 wait up to 52 ms for each other: the machine has other work"
    assert choose(0.052) == (1, why), "a long wait is enough"
    assert choose(0.019, 0.052) == (1, why)
    assert choose(0.0052, 0.0051)[0] == 1
    assert "batch" in choose(0.019, 0.0049)[1], "once may be by chance"
    assert "batch" in choose(0.00005)[1], "one is enough if none waits"
    # A training of 1 s may give 0.03 s to the choice.
    assert choose(0.0049, batches=1000)[1].startswith("a batch takes")
    assert choose(0.034, batches=1000)[1].startswith("2 wait up to 34 ms")


def test_the_longest_meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sixth step takes longer than the others."""
    torch.set_num_threads(1)
    now = 0.0
    steps = 0
    longest = 0.004

    def multiply(work: torch.Tensor, factor: float) -> torch.Tensor:
        nonlocal now, steps
        assert torch.get_num_threads() == 3
        assert work.numel() >= 3 * 32_768, "or PyTorch gives it to fewer threads"
        steps += 1
        now += {1: 9.0, 7: longest}.get(steps, 0.0015)
        return work * factor

    monkeypatch.setattr(torch.Tensor, "mul_", multiply)
    monkeypatch.setattr("edge_lstm.threads.time.perf_counter", lambda: now)
    assert longest_meeting(3) == pytest.approx(0.004)
    assert steps == 33, "the first one starts the threads, and 32 take 0.05 s"
    steps = 0
    assert longest_meeting(3, 0.012) == pytest.approx(0.004)
    assert steps == 8
    steps = 0
    longest = 0.03
    assert longest_meeting(3) == pytest.approx(0.03)
    assert steps == 7, "one long wait is enough"
    assert torch.get_num_threads() == 1


def pools() -> set[int]:
    """The numbers of threads of PyTorch, and of each BLAS and OpenMP that is loaded."""
    loaded = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
    return loaded | {torch.get_num_threads()}


def test_one_thread_for_all_libraries() -> None:
    torch.set_num_threads(3)
    before = pools()
    assert 3 in before
    with one():
        assert pools() == {1}
        with one():
            assert default() == 3
        with using(2):
            assert torch.get_num_threads() == 2
        assert pools() == {1}
        assert Threads(None, measures=True).default == 3
    assert pools() == before
    assert default() == 3


@pytest.mark.usefixtures("classify_csv")
def test_everything_but_epochs_has_one_thread(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers and figures of the training, the pruning, the refit and the fine-tuning."""
    found: dict[str, set[int]] = {}

    def watched(place: Any, name: str) -> None:
        call = getattr(place, name)

        def watch(*given: Any, **named: Any) -> Any:
            found.setdefault(name, set()).add(torch.get_num_threads())
            return call(*given, **named)

        monkeypatch.setattr(place, name, watch)

    for place, name in (
        (answers, "outputs"), (training, "evaluate"), (qat, "evaluate"), (qat, "_cost"),
        (prune, "importance"), (loop.Training, "_update"),
    ):  # fmt: skip
        watched(place, name)
    stages = (
        "\n[prune]\nhidden_size = 4\nepochs = 1\n"
        "\n[quantize]\nscheme = 'int8'\ntolerance = 0\nepochs = 1\n"
    )
    torch.set_num_threads(MANY)
    settings = {"train__threads": 2, "model__hidden_size": 8}
    run = train(configure(CLASSIFY + stages, **settings), tmp_path / "run", quiet=True)
    assert found.pop("_update") == {2}
    assert len(found) == 4
    assert all(numbers == {1} for numbers in found.values()), found
    assert (run.path / "int8" / "best.pt").exists()
    assert torch.get_num_threads() == MANY


def test_nothing_is_measured_without_a_choice() -> None:
    def never() -> nullcontext[Callable[[], object]]:
        raise AssertionError

    torch.set_num_threads(1)
    assert Threads(None, measures=True).choose(never, LONG) == (1, "PyTorch's default")
    torch.set_num_threads(2)
    assert Threads(None, measures=False).choose(never, LONG) == (2, "PyTorch's default")
    assert Threads(4, measures=True).choose(never, LONG) == (4, "[train] threads")
    assert not Threads(4, measures=True).slow([1.0, 100.0], 10)
    assert not Threads(None, measures=False).slow([1.0, 100.0], 10)


def test_an_epoch_is_slow_beside_the_fastest_and_beside_the_measured_batches() -> None:
    torch.set_num_threads(2)
    threads = Threads(None, measures=True)
    assert not threads.slow([9.0], 10)
    assert not threads.slow([2.0, 1.0, 1.4], 10)
    assert threads.slow([2.0, 1.0, 1.6], 10)
    now = 0.0

    def step() -> None:
        nonlocal now
        now += 0.1

    threads = Threads(None, measures=True, clock=lambda: now, meet=at_once)
    threads.choose(lambda: nullcontext(step), LONG)  # which takes 18 batches of 0.1 s
    assert not threads.slow([1.4], 10)
    assert not threads.slow([1.6, 1.6], 10)  # 1.8 s of measuring is more than a twentieth
    assert threads.slow([40.0], 10)


@pytest.mark.usefixtures("classify_csv")
def test_a_configured_number(
    configure: Configure,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = train(configure(CLASSIFY, train__threads=MANY), tmp_path / "run")
    assert numbers(run) == [MANY, MANY]
    assert run.metrics["threads"] == [{"epoch": 1, "threads": MANY, "why": "[train] threads"}]
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("data: training ")
    assert said[1].startswith("classes: ")
    assert said[2] == f"{MANY} threads from epoch 1 on: [train] threads"
    header, *rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert header.split(",")[-1] == "threads"
    assert [row.split(",")[-1] for row in rows] == [str(MANY)] * 2
    assert torch.get_num_threads() == 1, "it is the caller's again"
    with pytest.raises(ConfigError, match=r"threads.* = 0: .*greater than or equal to 1"):
        configure(CLASSIFY, train__threads=0)


@pytest.mark.usefixtures("classify_csv")
def test_rehearsed_steps_are_undone(configure: Configure, tmp_path: Path) -> None:
    config = configure(CLASSIFY, **SETTINGS)
    splits = load_data(config)
    out = tmp_path / "run"
    fabric = make_fabric(config.train)
    quiet = Reporter(quiet=True)
    out.mkdir()
    training = loop.Training(config, make_spec(config, splits), splits, out, fabric, quiet)

    def state() -> list[torch.Tensor]:
        moments = training._optimizer.state_dict()["state"].values()
        found = [*training.net.state_dict().values(), *(v for m in moments for v in m.values())]
        return [tensor.clone() for tensor in (*found, torch.get_rng_state())]

    for _ in range(2):  # without a state of the optimizer, and with one
        before = state()
        at = (training.progress.step, training.progress.epoch)
        with training._rehearse() as step:
            for _ in range(5):
                torch.set_num_threads(MANY)
                step()
            assert len(state()) > len(before) or not torch.equal(state()[0], before[0])
        for tensor, expected in zip(state(), before, strict=True):
            torch.testing.assert_close(tensor, expected, rtol=0, atol=0)
        assert (training.progress.step, training.progress.epoch) == at
        assert torch.get_num_threads() == 1
        training._epoch()


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize("threads", [1, MANY])
def test_measuring_changes_no_weight(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    """Measured before the first epoch and after two slow ones, against a configured number."""
    fixed = configure(CLASSIFY, **SETTINGS, train__threads=threads)
    expected = train(fixed, tmp_path / "fixed", quiet=True)
    rig = Rig(monkeypatch, one=0.4, many=0.5 if threads == 1 else 0.35)
    rig.epoch = {3: 1000.0, 4: 2000.0}
    made = 0
    update = loop.Training._update

    def counted(training: loop.Training, batch: Batch) -> Any:
        nonlocal made
        made += 1
        return update(training, batch)

    monkeypatch.setattr(loop.Training, "_update", counted)
    run = train(configure(CLASSIFY, **SETTINGS), tmp_path / "measured", quiet=True)
    # Two batches in an epoch. In a measurement two for the time of one, and of each number one
    # to start it and three that count, because the training is short.
    assert made == 6 * 2 + 3 * (2 + 2 * 4)
    assert numbers(run) == numbers(expected) == [threads] * 6
    last: list[dict[str, Any]] = []
    for folder in ("fixed", "measured"):
        last.append(torch.load(tmp_path / folder / "last.pt", weights_only=True))
    for name, tensor in last[0]["model"].items():
        torch.testing.assert_close(last[1]["model"][name], tensor, rtol=0, atol=0)
    for key, moments in last[0]["optimizer"]["state"].items():
        for name, tensor in moments.items():
            found = last[1]["optimizer"]["state"][key][name]
            torch.testing.assert_close(found, tensor, rtol=0, atol=0)
    learned = ("train_loss", "val_loss", "val_accuracy", "grad_norm", "learning_rate")
    for row, other in zip(expected.history, run.history, strict=True):
        assert [row[key] for key in learned] == [other[key] for key in learned]
    assert run.metrics["test"] == expected.metrics["test"]


@pytest.mark.usefixtures("classify_csv")
def test_a_slow_epoch_is_followed_by_another_choice(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rig = Rig(monkeypatch, one=0.5, many=0.4)
    rig.epoch = {3: 1000.0}
    rig.after = {3: lambda: rig.batch.update({MANY: 0.6})}
    run = train(configure(CLASSIFY, **SETTINGS), tmp_path / "run")
    assert numbers(run) == [MANY, MANY, MANY, 1, 1, 1]
    first = f"a batch takes 500 ms (mean 500) with 1 and 400 ms (mean 400) with {MANY}"
    second = f"a batch takes 500 ms (mean 500) with 1 and 600 ms (mean 600) with {MANY}"
    assert run.metrics["threads"] == [
        {"epoch": 1, "threads": MANY, "why": first},
        {"epoch": 4, "threads": 1, "why": second},
    ]
    said = [line for line in capsys.readouterr().err.splitlines() if "from epoch" in line]
    lines = [f"{MANY} threads from epoch 1 on: {first}", f"1 thread from epoch 4 on: {second}"]
    assert said == lines
    assert torch.get_num_threads() == MANY


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("classify_csv")
def test_a_resumed_run_keeps_its_number(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever PyTorch's default has become."""
    config = configure(CLASSIFY, **SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY", 0.0)
        Rig(patch, one=0.5, many=0.4).after = {3: interrupted}
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", quiet=True)
    torch.set_num_threads(1)
    resumed = train(config, tmp_path / "run", resume=True, quiet=True)
    assert numbers(resumed) == [MANY] * 6
    with using(2):
        (tmp_path / "run" / "metrics.json").unlink()
        again = train(config, tmp_path / "run", resume=True, quiet=True)
    assert again.metrics == resumed.metrics


@pytest.mark.usefixtures("classify_csv")
def test_epochs_that_are_done_again_have_the_same_numbers(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """last.pt is of epoch 2, best.pt is later, and there was another choice between them."""
    config = configure(CLASSIFY, **SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY", 0.0)
        rig = Rig(patch, one=0.5, many=0.4)
        rig.epoch = {4: 1000.0}

        def load_grows() -> None:
            rig.batch[MANY] = 0.6

        rig.after = {
            3: lambda: patch.setattr(loop, "SAVE_EVERY", float("inf")),
            4: load_grows,
            6: interrupted,
        }
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", quiet=True)
    kept = [torch.load(tmp_path / "run" / f"{n}.pt", weights_only=True) for n in ("last", "best")]
    assert [contents["progress"]["epoch"] for contents in kept] == [2, 6]
    # After epoch 3, which is slow this time, many threads would be chosen.
    Rig(monkeypatch, one=0.5, many=0.4).epoch = {3: 1000.0}
    resumed = train(config, tmp_path / "run", resume=True, quiet=True)
    assert numbers(resumed) == [MANY, MANY, MANY, MANY, 1, 1]


@pytest.mark.usefixtures("classify_csv")
def test_a_stage_chooses_for_itself(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its net is another one. The training that came before has left PyTorch with one thread."""
    rig = Rig(monkeypatch, one=0.5, many=0.6)
    rig.after = {2: lambda: rig.batch.update({MANY: 0.4})}
    quantize = "\n[quantize]\nscheme = 'int8'\ntolerance = 0\nepochs = 1\n"
    run = train(configure(CLASSIFY + quantize), tmp_path / "run", quiet=True)
    assert numbers(run) == [1, 1]
    tuned = (run.path / "int8" / "history.csv").read_text().splitlines()
    assert [row.split(",")[-1] for row in tuned] == ["threads", str(MANY)]


@pytest.mark.usefixtures("classify_csv")
def test_a_run_from_before_threads_were_recorded_goes_on(
    configure: Configure,
    tmp_path: Path,
) -> None:
    config = configure(CLASSIFY, train__epochs=4)
    run = train(config, tmp_path / "run", quiet=True)
    (run.path / "metrics.json").unlink()
    for name in ("last.pt", "best.pt"):
        contents = torch.load(run.path / name, weights_only=True)
        progress = contents["progress"]
        del progress["threads"]
        progress |= {"epoch": 2, "step": 4, "finished": "", "history": progress["history"][:2]}
        for row in progress["history"]:
            del row["threads"]
        contents["format"] = 2  # of a file without a sha256
        torch.save(contents, run.path / name)
    resumed = train(config, tmp_path / "run", resume=True, quiet=True)
    assert numbers(resumed) == [1, 1, 1, 1]
    assert resumed.metrics["threads"][0]["epoch"] == 3
    lines = (run.path / "history.csv").read_text().splitlines()
    assert len({line.count(",") for line in lines}) == 1
