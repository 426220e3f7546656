"""The slowest test files, the longest first, as measured in the fast tests by two processes."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
LONGEST = [
    TESTS / name
    for name in (
        "export/c/test_export.py",
        "export/test_pipeline.py",
        "runtime/verify/test_bench.py",
        "trainer/training/test_train.py",
        "trainer/training/test_refit.py",
        "runtime/test_bidirectional.py",
        "trainer/test_language.py",
        "export/c/test_audio.py",
        "trainer/emulate/test_cpu_int8.py",
        "trainer/training/test_resume.py",
        "trainer/compare/test_compare.py",
        "runtime/native/test_suite.py",
        "trainer/training/test_distill.py",
        "trainer/training/test_prune.py",
        "export/insight/test_page.py",
    )
]
