"""Two folders of C with the code of the kernel once.

With -DWAKE_LIBRARY=gesture_el, the model `wake` calls the kernel of the folder `gesture`, and the
files of its own are empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

GUARD = "#define EDGE_LSTM_H\n"
MAPPED = """
/* With -DEL_LIBRARY=OTHER_el this model calls the kernel of the folder with the prefix OTHER, whose
 * code is then there once. It must be of the same edge-lstm, and have this model's layers. */
#if defined(EL_LIBRARY) && defined(EL_BUILDS)
#define EL_SHARED2(library, name) library##_##name
#define EL_SHARED(library, name) EL_SHARED2(library, name)
{lines}
#endif
"""


def with_library(header: str, texts: Mapping[str, str]) -> str:
    """edge_lstm.h, in which all functions of the kernel can be another folder's.

    texts: of all the kernel's files, by their paths.
    """
    names = {
        name
        for path, text in texts.items()
        if path.startswith("include/")
        for name in re.findall(r"^(?:EL_API )?\w[\w *]*\b(el_\w+)\(", text, re.MULTILINE)
    }
    assert "el_model_check" in names
    assert GUARD in header
    lines = [f"#define {name} EL_SHARED(EL_LIBRARY, {name[3:]})" for name in sorted(names)]
    return header.replace(GUARD, GUARD + MAPPED.format(lines="\n".join(lines)))


def left_out(text: str) -> str:
    """A C file of the kernel that is empty if another folder's kernel is used.

    Its header stays, because C has no file without a declaration.
    """
    head, include, rest = re.split(r'^(#include "\w+\.h"\n)', text, maxsplit=1, flags=re.MULTILINE)
    return f"{head}{include}#ifndef EL_LIBRARY\n{rest}#endif /* EL_LIBRARY */\n"
