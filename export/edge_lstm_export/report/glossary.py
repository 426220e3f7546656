"""Words of the report that a reader may not know. A page explains those that are on it."""

from __future__ import annotations

import html
import re

# Term -> pattern of the words that it explains, and what it means.
TERMS: dict[str, tuple[str, str]] = {
    "step": (r"\bsteps?\b", "One sample in, one answer out."),
    "state": (
        r"\bstate\b",
        "What the net remembers from one step to the next. A reset sets it to its start.",
    ),
    "never reset": (
        r"never reset",
        "All recordings in one stream, as on a board that nobody resets.",
    ),
    "test split": (
        r"test split",
        "The recordings that were not trained on, and were not used to choose the best epoch.",
    ),
    "golden samples": (
        r"golden",
        "Samples in the bundle with their right answers. `check` runs them on any machine.",
    ),
    "float64 reference": (
        r"float64",
        "The same net, computed by its equations with 53 bits of precision.",
    ),
    "MAE": (r"\bMAE\b", "The mean of the absolute errors, in the unit of the target."),
    "RMSE": (
        r"\bRMSE\b",
        "The square root of the mean squared error, in the unit of the target. Large errors count "
        "more than in the MAE.",
    ),
    "NRMSE": (
        r"\bNRMSE\b",
        "The RMSE over the standard deviation of what is right. 0 is exact. An answer that is "
        "always the mean has 1.",
    ),
    "max abs": (r"max.abs", "The largest absolute error of a single value."),
    "accuracy": (r"\baccuracy\b", "The share of the answers that are right."),
    "precision": (r"\bprecision\b", "Of the answers of a class, the share that is right."),
    "recall": (r"\brecall\b", "Of what is truly of a class, the share that is answered so."),
    "macro F1": (
        r"\bF1\b",
        "F1 is the harmonic mean of precision and recall of a class, and macro F1 the mean over "
        "the classes, so that a rare class counts as much as a frequent one.",
    ),
    "event F1": (
        r"event F1",
        "The same with events, which are runs of steps of one class, in the place of steps.",
    ),
    "95 % interval": (
        r"95 %",
        "Where the share of many more such sequences would lie, in 19 of 20 cases (Wilson's).",
    ),
    "pinball loss": (
        r"pinball",
        "The mean error of the quantiles, in which too low and too high count by the quantile.",
    ),
    "naive forecast": (r"\bnaive\b", "The last value, repeated."),
    "seasonal forecast": (r"\bseasonal\b", "The value of one season before."),
    "bits per character": (
        r"bits per character|bits each",
        "How many yes or no questions the next character takes on average. Fewer is better.",
    ),
    "perplexity": (
        r"\bperplexity\b",
        "2 to the power of the bits: among how many equally likely characters the model is unsure.",
    ),
    "multiply-accumulates": (
        r"multiply-accumulates",
        "Products that are added up, which are nearly all of the work of a step.",
    ),
    "p50, p99": (
        r"\bp99\b",
        "Half of the steps took at most p50, and 99 of 100 at most p99.",
    ),
    "numpy": (r"\bnumpy\b", "A backend that needs NumPy alone, in float32."),
    "native": (r"\bnative\b", "A backend in C, in float32."),
    "native-int8": (
        r"\bnative-int8\b",
        "The same with weights and vectors rounded to 8 bits.",
    ),
    "native-fp16": (
        r"\bnative-fp16\b",
        "The same with weights rounded to 16 bits, 11 of them significant.",
    ),
    "onnx": (r"\bonnx\b", "ONNX Runtime, in float32."),
    "fp16": (r"\bfp16\b", "16-bit floating-point numbers, with 11 bits of precision."),
    "w8a8": (r"\bw8a8\b", "Weights and values between the operators in 8 bits."),
    "simulator": (
        r"\bsimulator\b",
        "The vendor's program that computes what a chip would answer, not how fast.",
    ),
    "cycles": (
        r"\bcycles\b",
        "Clock ticks of the NPU as the vendor's converter estimates them. They are no measurement.",
    ),
    "cosine": (r"\bcosine\b", "Of the angle between what is found and what is right. 1 is exact."),
    "SNR": (
        r"\bSNR\b",
        "Signal-to-noise ratio: how much larger what is right is than the error, in decibels.",
    ),
    "bundle": (r"\bbundle\b", "The one file that a board needs: NAME.edge."),
}


def words_on(page: str) -> list[tuple[str, str]]:
    """The terms that are on a page of HTML, with their meanings, in the order of TERMS."""
    body = re.sub(
        r"<style>.*?</style>|<pre>.*?</pre>|<(?:img|source)\b[^>]*>", " ", page, flags=re.DOTALL
    )
    text = html.unescape(re.sub(r"<[^>]+>", " ", body))
    return [(term, means) for term, (words, means) in TERMS.items() if re.search(words, text)]
