"""The names in an exported folder, all of which carry one prefix.

The templates and the kernel are written with `model_`, `MODEL_`, `el_` and `EL_`. With a prefix of
one's own, all of them are renamed, so that several models link into one firmware.
"""

from __future__ import annotations

import dataclasses
import re
import shlex

from edge_lstm_runtime import ConfigError

DEFAULT = "model"  # keeps the kernel's own names
LONGEST = 32
KERNEL = "edge_lstm tiles layers front_end transforms"  # its headers and files without a layer
# A header of that name would hide the C library's, or a target or library of a build's own.
TAKEN = frozenset(
    shlex.split(
        """
        aio alloca argz assert complex ctype devctl dirent dlfcn elf endian envz err errno error
        execinfo fcntl features fenv float fnmatch fts getopt glob grp iconv inttypes iso646
        langinfo libgen limits link locale malloc math memory mqueue ndbm netdb newlib nl_types
        paths poll pthread pwd regex reent sched search semaphore setjmp shadow signal spawn
        stdalign stdarg stdatomic stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string
        strings stropts syslog tar termios tgmath threads time trace uchar ucontext ulimit unistd
        utime utmpx wait wchar wctype wordexp Arduino
        all clean edit_cache help install package package_source rebuild_cache selftest size test
        c m gcc rt dl util
        golden main
        """
    )
)
KEYWORDS = frozenset(
    shlex.split(
        """
        alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl
        const constexpr continue decltype default delete do double else enum explicit export
        extern false float for friend goto if inline int long mutable namespace new noexcept not
        not_eq nullptr operator or or_eq private protected public register restrict return short
        signed sizeof static struct switch template this throw true try typedef typeid typename
        typeof union unsigned using virtual void volatile while xor xor_eq
        """
    )
)


def check_prefix(prefix: str) -> None:
    """Raises ConfigError for what can't begin all names of a folder."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix):
        raise ConfigError(
            f"prefix {prefix!r} is no identifier of C; expected a letter, then letters, digits "
            "and underscores, such as gesture"
        )
    if len(prefix) > LONGEST:
        raise ConfigError(
            f"prefix {prefix!r} has {len(prefix)} characters; expected up to {LONGEST}"
        )
    if prefix in KEYWORDS or prefix.lower() in {name.lower() for name in TAKEN}:
        raise ConfigError(
            f"prefix {prefix!r} is a word of C, a header of the C library or a name that builds "
            "use; choose another, such as my_" + prefix.lower()
        )


# What is renamed -> to what, with the prefix as {p} and in capitals as {P}.
OF_KERNEL = {
    r"\bel_status": "{p}_status",
    r"\bel_": "{p}_el_",
    r"(?:\b|(?<=-D))EL_": "{P}_",
    r"\bEDGE_LSTM_(?=\w)": "{P}_EDGE_LSTM_",
    rf"\b(?=(?:{KERNEL.replace(' ', '|')})\.[ch]\b)": "{p}_",
}
OF_MODEL = {
    r"\bmodel_(?=[\w{])": "{p}_",
    r"\bMODEL_(?=[\w{])": "{P}_",
    r"\bgolden_(?=\w)": "{p}_golden_",
    r"\bGOLDEN_(?=\w)": "{P}_GOLDEN_",
    r"\bmodel(?=\.[ch]\b)": "{p}",
}


@dataclasses.dataclass(frozen=True)
class Names:
    prefix: str = DEFAULT

    @property
    def kernel(self) -> str:
        """What stands before the names of the kernel's files."""
        return "" if self.prefix == DEFAULT else f"{self.prefix}_"

    def of_kernel(self, text: str) -> str:
        """The text of one of the kernel's files."""
        return self._renamed(text, OF_KERNEL)

    def of_template(self, text: str) -> str:
        """The text of a template before anybody's names are put in."""
        return self._renamed(text, OF_MODEL | OF_KERNEL)

    def _renamed(self, text: str, rules: dict[str, str]) -> str:
        """All at once, so that a prefix such as `el` is not renamed again."""
        if self.prefix == DEFAULT:
            return text
        new = [rule.format(p=self.prefix, P=self.prefix.upper()) for rule in rules.values()]
        found = re.compile("|".join(f"({pattern})" for pattern in rules))
        return found.sub(lambda match: new[(match.lastindex or 1) - 1], text)
