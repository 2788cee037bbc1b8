import doctest
import importlib
import pkgutil

import pytest

import search_spaces

SUBMODULES = pkgutil.walk_packages(search_spaces.__path__, "search_spaces.")
MODULES = ["search_spaces", *(module.name for module in SUBMODULES)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_some_docstrings_have_examples():
    finder = doctest.DocTestFinder()
    assert sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name))) >= 3
