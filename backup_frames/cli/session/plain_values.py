"""Values of a command line that need no check by a library: texts, words of a list, paths.

In: commands of typer, which gives every value, the absent ones too, to pydantic: a tenth of a second
for its import and a check made per option. Out: the same commands; what is plainly right is taken as
it is, and all else goes typer's way, with its messages.
"""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

_REFUSED = object()


class PlainCommand(TyperCommand):
    """A command of typer whose options take plain values as they are."""

    def get_params(self, ctx: Any) -> Any:
        """All options, the one for help among them."""
        return _take_plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """Likewise with the options before the command."""

    def get_params(self, ctx: Any) -> Any:
        """All options, the one for help among them."""
        return _take_plain(super().get_params(ctx))


def _take_plain(options: list[Any]) -> list[Any]:
    for one in options:
        # where typer has not made the check yet, which it does at the first use
        if getattr(one, "_runtime_param", _REFUSED) is None:
            one._runtime_param = _Plain
    return options


class _Plain:
    """Stands where an option of typer keeps its check, until there is something to check."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        if value is None and not param.multiple and param.nargs == 1:
            return None
        descriptor = param.type_descriptor
        plain = _plain(value, descriptor.annotation, descriptor.parameter_info.parser)
        if plain is not _REFUSED:
            return plain
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _plain(value: Any, kind: Any, parser: Any) -> Any:
    if parser is not None:
        try:
            return parser(value)
        except Exception:  # typer calls it again, and words the error
            return _REFUSED
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else _REFUSED
    return value if type(value) is kind else _REFUSED  # a text, or a default
