"""Whether sentences are true by the figures that they are about.

A number in a sentence must be that of a fact with the right name, as far as it is printed: an
error that of an error, a count of steps that of steps. So a wrong figure isn't excused by another
one that happens to be near.
"""

from __future__ import annotations

import dataclasses
import html
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Names with digits in them, and texts in quotes, are no figures.
NAMES = re.compile(
    r"(?<!\w)'[^']*'|\bclass \S+:|`[^`]*`|\b[A-Za-z_][\w.+/@-]*\d[\w.+@-]*|\S*/\S*/\S*"
)
NUMBER = re.compile(r"(?<![\w.,])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)")
COMPARED = re.compile(
    r"(?P<ours>\S+) against (?P<theirs>\S+) \((?P<by>the same|(?:[\d.]+ % )?(?:lower|higher))\)"
)
JUDGED = re.compile(r"The model (?P<verb>.+?): MAE (?P<mae>.+?\)), RMSE (?P<rmse>.+?\))\.")
SUBJECT = re.compile(r"^(?:Use )?(?P<backend>[\w.-]+)(?: takes|:) ")  # of a backend's costs
# The words after a number, or else the last words before it, tell the names of its facts.
AFTER = {
    r" of [\d,]+ sequences": r"right",
    r" of [\d,]+ above": r"above",
    r" of [\d,]+ windows": r"detected",
    r" of [\d,]+(?::|$)": r"best_epoch$",
    r" above": r"recordings$",
    r" windows detected": r"windows$",
    r" false alarm": r"false_alarms$",
    r" a day": r"per_day",
    r" h after": r"delay_hours",
    r" steps before or after": r"tolerance$",
    r" steps? before": r"season$",
    r" steps? ahead": r"ahead$",
    r" % interval": r"nominal$",
    r" % of the values": r"coverage/",
    r" of macro F1": r"change/macro_f1$",
    r" points of accuracy": r"change/accuracy$",
    r" events?\b": r"events$",
    r" steps? \(autocorrelation": r"every$",
    r" (?:golden samples|steps of real)": r"golden$",
    r" (?:steps|characters)": r"steps$|change$|support$",
    r" (?:sequences?|recordings?)": r"sequences$|recordings$|training_windows$",
    r" windows?": r"training_windows$",
    r" parameters": r"parameters$",
    r" multiply": r"macs$",
    r" µs a step": r"p50_us/SUBJECT$",
    r" backends that": r"right_backends$",
    r" whole sequences": r"golden_sequences$",
    r" kB": r"kilobytes$|kilobytes/SUBJECT$",
    r" bits each": r"bits_per_character$",
    r" bits": r"bits_per_character$",
    r" over all (?:[\d,]+ )?steps": r"accuracy_all_steps$|accuracy, every step$",
    r" alike": r"classes$",
    r" targets": r"targets$",
    r" outputs": r"outputs$",
}
BEFORE = {
    r"worst recording": r"worst recording$",
    r"worst output": r"worst output$",
    r"\b(?:NRMSE|nrmse)": r"(?<![a-z])(?<!worst_output/)(?<!worst_recording/)nrmse$",
    r"\b(?:RMSE|rmse)": r"(?<![a-z])rmse",
    r"\b(?:MAE|mae)": r"(?<![a-z])mae",
    r"macro[ _][Ff]1(?: +\S+ never reset)?": r"macro_f1$",
    r"event[ _][Ff]1(?: +\S+ never reset)?": r"event_f1$",
    r"steps? ahead:": r"coverage/",
    r" alone \(": r"limit$",
    r" alone \(\S+\) ": r"(?<!change/)accuracy$",
    r"\binterval": r"accuracy_(?:low|high)$|accuracy, 95 % (?:from|to)$",
    r"steps in|accuracy_all_steps": r"accuracy_all_steps$|accuracy, every step$",
    r"right in|accuracy |never reset": r"(?<!change/)accuracy$|accuracy, last step$",
    r"points of accuracy": r"change/accuracy$",
    r"\b(?:lstm|gru|rnn|dense)\b": r"network",
    r"MACs per step": r"macs$",
    r"^parameters": r"parameters$",
    r"max abs": r"max[ _]abs",
    r"\bperplexity": r"perplexity$",
    r"it would be": r"classes",
    r"autocorrelation": r"autocorrelation$",
    r"standard deviation is": r"spread$",
    r"season =": r"every$",
    r"best epoch": r"best_epoch$|epochs$",
    r"\d of$": r"epochs$|steps$|sequences$",
}


@dataclasses.dataclass(frozen=True)
class Fact:
    path: str
    value: float


@dataclasses.dataclass(frozen=True)
class Number:
    """A figure in a sentence. value: of a percentage, the share. about: a pattern of the paths.

    carried: whether it is of a state that is never reset, None if the sentence doesn't tell.
    """

    text: str
    start: int
    value: float
    tolerance: float
    about: str
    carried: bool | None


def flat(values: Any, path: str = "") -> Iterator[Fact]:
    """The numbers in nested lists and dictionaries."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from flat(value, f"{path}/{key}")
    elif isinstance(values, list | tuple):
        for value in values:
            yield from flat(value, path)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield Fact(path, float(values))


def numbers(sentence: str, literals: Iterable[str] = ()) -> list[Number]:
    """The figures in a sentence. literals: texts with constants, which are none."""
    text = sentence
    for literal in literals:
        text = text.replace(literal, " " * len(literal))
    text = NAMES.sub(lambda m: " " * len(m[0]), text)
    return [_number(found, sentence) for found in NUMBER.finditer(text)]


def _number(found: re.Match[str], sentence: str) -> Number:
    before = sentence[: found.start()]
    after = sentence[found.end() :]
    printed = found[0].replace(",", "")
    mantissa, _, exponent = printed.lstrip("+-").partition("e")
    value = float(printed)
    # Figures without a point have lost up to four digits' zeros.
    digits = len(mantissa.partition(".")[2])
    tolerance = 0.5 * 10 ** (int(exponent or 0) - digits) if digits else 5e-4 * abs(value)
    if re.match(r" %| to [\d.]+ %", after) and found[0][0] not in "+-":
        value /= 100
        tolerance /= 100
    tolerance = tolerance * 1.001 + 1e-12
    about = _about(before, after)
    carried = None if found[0][0] in "+-" else _carried(before, after, about)
    return Number(found[0], found.start(), value, tolerance, about, carried)


def _carried(before: str, after: str, about: str) -> bool | None:
    if about == BEFORE["worst output"]:
        return None
    if told := re.match(r" when (never reset|reset at each)", after):
        return told[1] == "never reset"
    before = re.sub(r"\(reset at each[^()]*\)", "", before)
    told_before = re.findall(r"never reset|reset at each", before)
    return bool(told_before) and told_before[-1] == "never reset"


def _about(before: str, after: str) -> str:
    for words, path in AFTER.items():
        if re.match(words, after):
            subject = SUBJECT.match(before)
            return path.replace("SUBJECT", re.escape(subject["backend"]) if subject else "")
    last = {path: [m.end() for m in re.finditer(words, before)] for words, path in BEFORE.items()}
    ends = {path: max(found) for path, found in last.items() if found}
    return max(ends, key=lambda path: ends[path]) if ends else ""


def unsupported(sentence: str, facts: Iterable[Fact], literals: Iterable[str] = ()) -> list[str]:
    """The figures in a sentence that no fact has, and percentages that are none of its figures."""
    facts = list(facts)
    wrong = []
    differences = {}
    for found in COMPARED.finditer(sentence):
        differences[found.start("by")] = found["by"]
        if not _is_difference(*found.groups()):
            wrong.append(found["by"])
    for number in numbers(sentence, literals):
        if number.start in differences:
            continue
        if not any(_fits(number, fact) for fact in facts):
            wrong.append(number.text)
    return wrong


def _fits(number: Number, fact: Fact) -> bool:
    path = fact.path.lower()
    return (
        abs(fact.value - number.value) <= number.tolerance
        and re.search(number.about, path) is not None
        and number.carried in (None, "never reset" in path)
    )


def _is_difference(ours: str, theirs: str, by: str) -> bool:
    a = float(ours)
    b = float(theirs)
    if by == "the same":
        return a == b
    percent, _, word = by.rpartition(" % ")
    right = word == ("lower" if a < b else "higher") and a != b
    if b == 0:
        return right and not percent
    digits = len(percent.partition(".")[2])
    return right and abs(float(percent) - 100 * abs(a - b) / b) <= 0.5001 * 10**-digits


def false_verdicts(metrics: Mapping[str, Any]) -> list[str]:
    """The sentences of a verdict that are not true for their target by the metrics."""
    wrong = []
    beaten = dict.fromkeys(metrics["baselines"], True)
    for line in metrics["verdict"].splitlines():
        place = line.partition("The model ")[0].removesuffix(": ")
        for found in JUDGED.finditer(line):
            (name,) = [n for n in beaten if _title(n) in found["verb"]]
            ours = _figures(metrics, place)
            if found["verb"] != _verb(ours, _figures(metrics["baselines"][name], place), found):
                wrong.append(found[0])
            beaten[name] &= found["verb"].startswith("beats ")
        if JUDGED.search(line):
            wrong += _reservations(line, _figures(metrics, place))
    wrong += [
        f"beats_{n} is not {told}" for n, told in beaten.items() if metrics[f"beats_{n}"] != told
    ]
    return wrong


def _title(baseline: str) -> str:
    return {
        "naive": "the naive forecast (last value)",
        "seasonal": "the seasonal naive forecast",
        "mean": "the mean of the training split over all steps",
    }[baseline]


def _figures(metrics: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Of a target, or of a target some steps ahead."""
    steps = re.fullmatch(r"(?:(.*), )?(\d+) steps? ahead", place)
    if steps:
        (metrics,) = [m for m in metrics["per_step"] if m["ahead"] == int(steps[2])]
        place = steps[1] or ""
    targets = metrics["per_target"]
    found: Mapping[str, Any] = targets[place] if place else next(iter(targets.values()))
    return found


def _verb(ours: Mapping[str, Any], theirs: Mapping[str, Any], found: re.Match[str]) -> str:
    """What the sentence should say."""
    printed = {key: [f"{m[key]:.4g}" for m in (ours, theirs)] for key in ("mae", "rmse")}
    for key, (a, b) in printed.items():
        if not found[key].startswith(f"{a} against {b} ("):
            return f"other figures: {a} against {b}"
    lower = sum(float(a) < float(b) for a, b in printed.values())
    higher = sum(float(a) > float(b) for a, b in printed.values())
    title = re.search(r"the (?:seasonal naive|naive|mean of).*", found["verb"])
    assert title
    useless = ours["nrmse"] is not None and float(f"{ours['nrmse']:.4g}") >= 1
    if lower == 2:
        return f"{'has lower errors than' if useless else 'beats'} {title[0]}"
    if lower and higher:
        return f"is better in one measure and worse in the other than {title[0]}"
    return found["verb"] if lower else f"does not beat {title[0]}"


def _reservations(line: str, figures: Mapping[str, Any]) -> list[str]:
    nrmse = figures["nrmse"]
    useless = nrmse is not None and float(f"{nrmse:.4g}") >= 1
    line_is_flat = figures["spread"] is not None and figures["spread"] < 0.1
    wrong = []
    how = "better" if useless and float(f"{nrmse:.4g}") > 1 else "as well"
    if (f"A constant, the test split's mean, would do {how}:" in line) != useless:
        wrong.append(f"constant, with an NRMSE of {nrmse}")
    if ("nearly a flat line" in line) != line_is_flat:
        wrong.append(f"flat line, with a spread of {figures['spread']}")
    return wrong


def prose(page: str) -> list[str]:
    """The sentences of a report: its list, its paragraphs and captions."""
    found = re.findall(r"<(li|p|figcaption)\b[^>]*>(.*?)</\1>", page, re.DOTALL)
    return [" ".join(_text(inner).split()) for _, inner in found]


def table_facts(page: str) -> list[Fact]:
    """The numbers in a report's tables, by table, row and column."""
    facts = []
    for name, inner in re.findall(
        r"<table (?:id|class)=\"(\w[\w-]*)\">(.*?)</table>", page, re.DOTALL
    ):
        heads: list[str] = []
        for line in re.findall(r"<tr>(.*?)</tr>", inner, re.DOTALL):
            cells = re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", line, re.DOTALL)
            texts = [_text(cell) for cell in cells]
            if "<th" in line:
                heads = texts
                continue
            row = ", ".join(texts[:2])  # the second one may be the manner
            for head, text in zip(heads[1:], texts[1:], strict=False):
                number = re.search(r"(?:^|: )([\d,]+(?:\.\d+)?(?:e[+-]?\d+)?)$", text)
                if number:
                    value = float(number[1].replace(",", ""))
                    facts.append(Fact(f"{name}/{row}/{head}", value))
    return facts


def _text(inner: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", inner)).strip()


def mutations(sentence: str, literals: Iterable[str] = (), by: float = 1.03) -> Iterator[str]:
    """The sentence with each of its figures changed a little, but enough to be seen.

    Of figures with one or two digits, a change of the last one would often make another figure's.
    """
    for number in numbers(sentence, literals):
        old = number.text
        value = float(old.replace(",", ""))
        digits = len(re.sub(r"e.*|\D", "", old).lstrip("0"))
        new = _like(old, (by if digits > 2 or "." not in old else 1.3) * value)
        if new == old and value:
            new = _like(old, value + math.copysign(_last_place(old), value))
        if digits == 1 and "." in old and "e" not in old:  # such as 0.4
            new = f"{1.07 * value:.3g}"
        if new != old:
            yield sentence[: number.start] + new + sentence[number.start + len(old) :]


def _like(text: str, value: float) -> str:
    sign = "+" if text[0] in "+-" else ""
    if "e" in text:
        digits = len(text.partition("e")[0].partition(".")[2])
        return f"{value:{sign}.{digits}e}"
    return f"{value:{sign},.{len(text.partition('.')[2])}f}"


def _last_place(text: str) -> float:
    mantissa, _, exponent = text.partition("e")
    return float(10 ** (int(exponent or 0) - len(mantissa.partition(".")[2])))
