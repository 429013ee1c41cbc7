"""What test code may use of pytest, which is not in the box: `raises`, `warns`, `approx`, `mark`, `fail`, `skip`.

Test code of some data sets (KodCode, for one) consists of functions `test_...` that nobody calls, or of classes of
unittest. `run_tests` runs them. This file runs inside the box, in the tester's process (remote.py).
"""

import sys


class raises:
    """Expect an exception in a `with` block, or in a call: `raises(ValueError, f, -1)`."""

    def __new__(cls, expected, *call, match=None, **options):
        """Return the context, or make the call at once."""
        context = super().__new__(cls)
        context.expected, context.match, context.value = expected, match, None
        if not call:
            return context
        with context:
            call[0](*call[1:], **options)
        return context

    def __enter__(self):
        return self

    def __exit__(self, error_class, error, traceback):
        """Take the expected exception; fail where none came."""
        if error is None:
            raise AssertionError(f"did not raise {self.expected}")
        if not isinstance(error, self.expected):
            return False
        self.value, self.type = error, type(error)
        if self.match is not None:
            import re

            assert re.search(self.match, str(error)), f"{self.match!r} is not in {error}"
        return True


class warns:
    """Expect a warning in a `with` block, or in a call: `warns(DeprecationWarning, f, 1)`."""

    def __new__(cls, expected=Warning, *call, match=None, **options):
        """Return the context, or make the call at once."""
        context = super().__new__(cls)
        context.expected, context.match = expected, match
        if not call:
            return context
        with context:
            return call[0](*call[1:], **options)

    def __enter__(self):
        import warnings

        self._recording = warnings.catch_warnings(record=True)
        self.list = self._recording.__enter__()
        warnings.simplefilter("always")
        return self.list

    def __exit__(self, error_class, error, traceback):
        """Fail where no such warning came."""
        import re

        self._recording.__exit__(error_class, error, traceback)
        if error is None:
            texts = [str(warning.message) for warning in self.list if issubclass(warning.category, self.expected)]
            assert any(self.match is None or re.search(self.match, text) for text in texts), "no such warning"
        return False


def deprecated_call(**options):
    """Expect a warning of a deprecation."""
    return warns((DeprecationWarning, PendingDeprecationWarning, FutureWarning), **options)


class approx:
    """Equal to a number, or to each number of a list or a dict, within 1e-6 of it or 1e-12."""

    def __init__(self, expected, rel=1e-6, abs=1e-12, nan_ok=False):
        self.expected, self.tolerances, self.nan_ok = expected, (rel or 0, abs or 0), nan_ok

    def __eq__(self, answer):
        return self._is_close(answer, self.expected)

    def _is_close(self, answer, expected):
        if isinstance(expected, dict):
            return answer.keys() == expected.keys() and all(
                self._is_close(answer[key], expected[key]) for key in expected
            )
        if isinstance(expected, list | tuple) or hasattr(expected, "tolist"):
            pairs = list(zip(answer, expected, strict=False))
            return len(answer) == len(expected) == len(pairs) and all(self._is_close(*pair) for pair in pairs)
        if answer == expected or (self.nan_ok and answer != answer and expected != expected):
            return True
        if not isinstance(expected, int | float | complex):
            return False
        relative, absolute = self.tolerances
        return abs(answer - expected) <= max(relative * abs(expected), absolute)

    __hash__ = None  # type: ignore[assignment]


def fail(reason=""):
    """Fail the test."""
    raise AssertionError(reason)


class Skipped(BaseException):
    """A test that skips itself."""


def skip(reason=""):
    """End one test function without a failure."""
    raise Skipped(reason)


def main(*args, **options):
    """Do nothing: the tests are run at the end of the test code."""
    return 0


class _Mark:
    """pytest.mark: `parametrize` counts, all other marks change nothing."""

    def parametrize(self, names, values, **options):
        """Run a test function once for each of the values."""
        name_list = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)

        def decorate(function):
            cases = [dict(zip(name_list, case if len(name_list) > 1 else (case,), strict=True)) for case in values]
            earlier_cases = getattr(function, "r1kit_cases", [{}])
            function.r1kit_cases = [{**earlier, **case} for earlier in earlier_cases for case in cases]
            return function

        return decorate

    def __getattr__(self, name):
        return lambda *args, **options: args[0] if args and callable(args[0]) else lambda function: function


mark = _Mark()


def run_tests(names, report_fault):
    """Run the test functions and the unittest classes among the global names of test code. Raises AssertionError."""
    for name, value in list(names.items()):
        is_class = isinstance(value, type) and value.__module__ == "__main__"
        if name.startswith("test") and type(value) is type(run_tests) and value.__module__ == "__main__":
            _run_function(value, report_fault)
        elif is_class and "unittest" in sys.modules and issubclass(value, sys.modules["unittest"].TestCase):
            _run_unittest(value)
        elif is_class and name.startswith("Test"):
            for method_name in [method for method in dir(value) if method.startswith("test")]:
                instance = value()
                if hasattr(instance, "setup_method"):
                    instance.setup_method()
                _run_function(getattr(instance, method_name), report_fault)


def _run_function(function, report_fault):
    for case in getattr(function, "r1kit_cases", [{}]):
        code = getattr(function, "__func__", function).__code__
        argument_count = (
            code.co_argcount - len(getattr(function, "__defaults__", None) or ()) - hasattr(function, "__self__")
        )
        if argument_count > len(case):
            report_fault(f"the test function {function.__name__} needs fixtures of pytest")
        try:
            result = function(**case)
            if hasattr(result, "__await__"):
                import asyncio

                asyncio.run(result)
        except Skipped:
            continue


def _run_unittest(test_class):
    import unittest

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(test_class).run(result)
    if not result.wasSuccessful():
        missing = [text for _, text in result.errors if "ModuleNotFoundError" in text]
        raise AssertionError(missing or "a test of unittest failed")
