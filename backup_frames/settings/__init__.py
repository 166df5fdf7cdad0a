"""How to reach the service and the lake: values, a TOML file, and what they resolve to.

In: arguments, environment variables, a file. Out: frozen `Settings`, checked before any I/O.
"""

from .model import PREFIX, Settings, environment_names
from .resolve import (
    RefusedProject,
    describe_settings,
    find_unknown_variables,
    load_each_project,
    load_project_ids,
    load_projects,
    load_settings,
    resolve_settings,
)

__all__ = [
    "PREFIX",
    "RefusedProject",
    "Settings",
    "describe_settings",
    "environment_names",
    "find_unknown_variables",
    "load_each_project",
    "load_project_ids",
    "load_projects",
    "load_settings",
    "resolve_settings",
]
