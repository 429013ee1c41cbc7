"""The examples in the docstrings of the rewards and of what they are made of are true."""

import doctest
import importlib
import inspect

import pytest

from r1kit.answers import workers
from r1kit.rewards.registry import REWARDS, setting_names

MODULES_WITH_EXAMPLES = (
    "r1kit.answers.vote_clusters",
    "r1kit.answers.extract",
    "r1kit.answers.formulas",
    "r1kit.answers.normalise",
    "r1kit.answers.quantities",
    "r1kit.answers.quick_verdict",
    "r1kit.answers.symbolic",
    "r1kit.answers.text_match",
    "r1kit.languages.detect",
    "r1kit.languages.words",
    "r1kit.prompts",
)


@pytest.fixture(scope="module", autouse=True)
def no_worker_is_left():
    """Ends the workers that examples started."""
    yield
    workers.close_workers()


def run_examples(name, docstring, module):
    """Run the examples of a docstring in the namespace of its module. Returns how many there are."""
    example = doctest.DocTestParser().get_doctest(docstring, vars(module).copy(), name, module.__file__, 0)
    runner = doctest.DocTestRunner()
    report = []
    runner.run(example, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)
    return len(example.examples)


@pytest.mark.parametrize("name", REWARDS)
def test_the_example_of_a_reward_is_true(name):
    reward = REWARDS[name]
    assert run_examples(name, inspect.getdoc(reward), inspect.getmodule(reward)) > 0


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_names_its_source_and_describes_each_setting(name):
    docstring = inspect.getdoc(REWARDS[name])
    assert "None" in docstring
    assert "Source: " in docstring
    for setting in setting_names(REWARDS[name]):
        assert f"{setting}:" in docstring or f"{setting}," in docstring


@pytest.mark.parametrize("name", MODULES_WITH_EXAMPLES)
def test_the_examples_of_a_module_are_true(name):
    module = importlib.import_module(name)
    count = run_examples(name, module.__doc__, module)
    for function_name, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == name and function.__doc__:
            count += run_examples(function_name, inspect.getdoc(function), module)
    assert count > 0
