"""What a message may be, and what its answer looks like.

JSON: a sample as a list in the channels' order or as an object with their names, a list of
samples, or an object whose "samples" are such a list. An object may have "id" and "ts", which the
answer has too. {"reset": true} sets the stream's state to zero.

float32: samples one after the other, little-endian. The answer is the model's outputs, (n, O) as
float32, little-endian, with NaN for a sample that was refused.
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SampleError
from ..feeds.reader import RESET, Sample, sample_of
from ..inputs import Inputs
from ..inputs.characters import Characters
from ..tasks import json_of

FORMS = ("json", "float32")
ECHOED = ("id", "ts")
SAMPLES = "samples"
ANSWERS = "answers"
LONGEST = 256  # characters of an "id" or "ts"
MOST = 4096  # samples in a message


@dataclasses.dataclass
class Request:
    """A message that was read.

    rows: (n, C) float64 raw units if all of them are plain numbers, else a list of the samples as
    they stand in the JSON. echo: the JSON members to repeat, such as '"id": 7, ', for the whole
    message. many: whether the answer is a list. reset: the message is {"reset": true}.
    """

    rows: NDArray[np.float64] | list[Any]
    echo: str = ""
    many: bool = False
    reset: bool = False


def read(payload: bytes, form: str, inputs: Inputs) -> Request:
    """Raises SampleError for a message that is no samples at all."""
    return _read_float32(payload, inputs) if form == "float32" else _read_json(payload, inputs)


def _read_float32(payload: bytes, inputs: Inputs) -> Request:
    size = 4 * inputs.size
    if not payload or len(payload) % size:
        raise SampleError(
            f"the message has {len(payload)} bytes; expected a multiple of {size}, float32 for "
            f"{inputs.size} channels"
        )
    _check_count(len(payload) // size)
    with np.errstate(invalid="ignore"):  # of a signaling NaN, which is one like any other
        numbers = np.frombuffer(payload, "<f4").astype(np.float64)
    return Request(inputs.text.without_gaps(numbers).reshape(-1, inputs.size))


def _check_count(count: int) -> None:
    if count > MOST:
        raise SampleError(f"the message has {count} samples; expected at most {MOST}")


def _read_json(payload: bytes, inputs: Inputs) -> Request:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as e:
        raise SampleError(f"not valid JSON ({e})") from None
    echo = ""
    if isinstance(value, dict):
        echo = echoed(value)
        if value.get(RESET) is True:
            return Request([], echo, reset=True)
        if SAMPLES not in value or SAMPLES in inputs.names:
            return Request([value], echo)
        value = value[SAMPLES]
        if not isinstance(value, list):
            raise SampleError(f"{SAMPLES!r} is {reprlib.repr(value)}; expected a list of samples")
        many = True
    elif isinstance(value, list):
        many = bool(value) and isinstance(value[0], (list, dict))
    else:
        raise SampleError(f"the message is {reprlib.repr(value)}; expected a list or an object")
    samples = value if many else [value]
    _check_count(len(samples))
    return Request(_plain(samples, payload, inputs), echo, many)


def _plain(samples: list[Any], payload: bytes, inputs: Inputs) -> NDArray[np.float64] | list[Any]:
    """As an array if each sample is a list of plain numbers, which saves a look at each."""
    special = inputs.clock or isinstance(inputs, Characters)
    if special or not samples or b"true" in payload or b"false" in payload:  # which are numbers
        return samples
    try:
        rows = np.array(samples)
    except (ValueError, OverflowError):  # of unequal length
        return samples
    if rows.dtype.kind not in "iuf" or rows.shape != (len(samples), inputs.size):
        return samples
    return inputs.text.without_gaps(rows.astype(np.float64))


def echoed(value: Mapping[str, Any]) -> str:
    """The members "id" and "ts" of an object as JSON, each with ", " behind it.

    Raises SampleError for one that is neither a text nor a number.
    """
    found = ""
    for name in ECHOED:
        if name not in value:
            continue
        part = value[name]
        if not isinstance(part, (str, int, float)) and part is not None:
            raise SampleError(f"{name!r} is {reprlib.repr(part)}; expected a text or a number")
        try:
            text = json_of(part)
        except ValueError:
            raise SampleError(f"{name!r} is {part}; expected a finite number") from None
        if len(text) > LONGEST:
            raise SampleError(
                f"{name!r} has {len(text)} characters; expected at most {LONGEST} in JSON"
            )
        found += f'"{name}": {text}, '
    return found


def one(value: Any, inputs: Inputs) -> Sample:
    """A sample of a message. Raises SampleError."""
    if not isinstance(value, (list, dict)):
        raise SampleError(f"a sample is {reprlib.repr(value)}; expected a list or an object")
    found = sample_of(value, inputs)
    if isinstance(found, str):
        raise SampleError('{"reset": true} stands alone in a message')
    return found


def told(request: Request, answers: list[str]) -> bytes:
    """The message of the answers, each the members of a JSON object without the braces."""
    if not request.many:
        return f"{{{request.echo}{answers[0]}}}".encode()
    listed = ", ".join(f"{{{answer}}}" for answer in answers)
    return f'{{{request.echo}"{ANSWERS}": [{listed}]}}'.encode()


def error(echo: str, text: str) -> bytes:
    return f'{{{echo}"error": {json_of(text)}}}'.encode()
