"""What a vendor gives to a folder of C source."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class InC:
    """The step of a converted model in C. It runs in the place of the kernel's, by the
    `model_network` of the folder's model.h.

    templates  path -> Jinja template. The files lie in the folder that has the vendor's name. A
               template sees what those of the C export see, and `facts` as `npu`. Its names begin
               with `model_` and `MODEL_`, and get the folder's prefix. A path that ends in ".j2" is
               a template, any other a file as it is
    facts      of the model
    summary    a line for people
    """

    templates: Mapping[str, str]
    facts: Mapping[str, Any]
    summary: str
