"""Every case of sounds, in every form of the header: heard as stated, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cases.sounds import CASES, FORMS, Sound
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.feeds.sound import read_wav
from helpers.bundles import make_bundle
from helpers.commands import here
from helpers.sounds import LOG_MEL, sound_spec

TAKEN = [(case, form) for case in CASES for form in FORMS]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "sound.edge"
    make_bundle(path, sound_spec(LOG_MEL))
    return path


@pytest.mark.parametrize(("case", "form"), TAKEN, ids=[f"{c.name}-{f}" for c, f in TAKEN])
def test_a_case(
    tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str], case: Sound, form: str
) -> None:
    path = tmp_path / "in.WAV"
    path.write_bytes(case.content(form))
    if isinstance(case.trains, str):
        with pytest.raises(DataError) as refused:
            read_wav(path, 8000)
        assert case.trains in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
    else:
        assert read_wav(path, 8000).tolist() == list(range(case.trains))

    code, out, err = here(capfd, "run", model, "--input", path, "--backend", "numpy")
    if isinstance(case.frames, str):
        assert (code, out) == (2, "")
        assert case.frames in err
        assert len(err.splitlines()) == 1
    else:
        assert (code, err) == (0, "")
        assert len(out.splitlines()) == case.frames
