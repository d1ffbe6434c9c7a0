"""The commands there are, and the flags that each takes."""

from __future__ import annotations

import importlib
import keyword
import pkgutil
from types import ModuleType

from dce_tf.commands import flags as command_flags


def command_names() -> list[str]:
    """Returns the commands there are: one module of flags each."""
    modules = pkgutil.iter_modules(command_flags.__path__)
    return sorted(module.name.rstrip("_") for module in modules)


def flags_of(name: str) -> ModuleType:
    """Returns the module that has a command's help and defines its flags.

    It is read before the command itself, which loads TensorFlow.
    """
    return importlib.import_module(f"{command_flags.__name__}.{module_name(name)}")


def module_name(name: str) -> str:
    """Returns the name of a command's file; Python's own words have a line behind."""
    return f"{name}_" if keyword.iskeyword(name) else name
