"""What went wrong with a command line, in its own words: options, not parameters; no library's words.

In: a usage error of typer, or a message of ours. Out: a line that names the value and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

RULES: Final[Sequence[tuple[str, Callable[[re.Match[str]], str]]]] = (
    (r"(?:greater than or equal to|x>=) ?(\d+)", lambda found: f"give {found[1]} or more"),
    (r"(?:less than or equal to|x<=) ?(\d+)", lambda found: f"give {found[1]} or less"),
    (r"greater than (\d+)", lambda found: f"give more than {found[1]}"),
    (r"valid integer", lambda _: "give a whole number"),
    (r"valid (?:number|float)", lambda _: "give a number"),
    (r"at least 1 character", lambda _: "it is empty; give a value, or leave it out"),
)
SETTINGS: Final = {"overlap_s": "--overlap"}  # options of another name than their setting


def usage_line(error: Any, arguments: Sequence[str]) -> str:
    """A usage error of typer as a line, with the help that tells more.

    Args:
        error: what typer raised: it has ``format_message()``, ``ctx`` and perhaps ``param``.
        arguments: the command line, for the value at fault.
    """
    context = getattr(error, "ctx", None)
    options = options_of(context)
    text = _explained(error, " ".join(error.format_message().split()), options, arguments)
    text = text or "No command is given"  # typer has shown the help, and says no more
    command = next((word for word in arguments if not word.startswith("-")), "")
    path = context.command_path if context is not None else f"backup-frames {command}".rstrip()
    return f"{text.rstrip('.')}{'' if text.endswith('?') else '.'} Try: {path} --help"


def options_of(context: Any) -> dict[str, str]:
    """The options of a command by parameter, such as ``{"backup_id": "--backup-id"}``."""
    parameters = context.command.params if context is not None else ()
    names = {one.name: next((o for o in one.opts if o.startswith("--")), "") for one in parameters}
    return {name: option for name, option in names.items() if option} | {
        name: option for name, option in SETTINGS.items() if option in names.values()
    }


def speak_options(text: str, options: Mapping[str, str]) -> str:
    """A message of the library, which names parameters, with options in their place.

    Examples:
        >>> speak_options("backup_id is 'a b'; give an id.", {"backup_id": "--backup-id"})
        "--backup-id is 'a b'; give an id."
        >>> speak_options("No lake is set. Give lake=, or export LAKE.", {"lake": "--lake"})
        'No lake is set. Give --lake, or export LAKE.'
        >>> speak_options("Run again with full=True.", {"full": "--full"})
        'Run again with --full.'
    """
    names = "|".join(sorted(options, key=len, reverse=True)) or "$^"
    text = re.sub(r"\b(?:Parser|Binder|Catalog|Value) [Ee]rror[:,] ", "", text)

    def setting(found: re.Match[str]) -> str:
        option, value, message = options[found[1]], found[2], found[3]
        advice = _advice(message)
        return (
            f"{option} {value} {message}" if advice == message else f"{option} is {value}: {advice}"
        )

    text = re.sub(rf"^({names}) = ('.*?') \(argument\): (.*)$", setting, text)
    text = re.sub(rf"^({names})(?= (?!= )|:)", lambda found: options[found[1]], text)
    text = re.sub(rf"\b({names})=(?:True\b|(?![^ ,.;]))", lambda found: options[found[1]], text)
    text = re.sub(
        r"(?<= is after )end\b|(?<= is before )from\b",
        lambda one: options.get(one[0], one[0]),
        text,
    )
    if text.startswith("--since is"):
        text = text.replace("write a date", "give an age such as 24h or 7d, or a date")
    return text


def _advice(text: str) -> str:
    """What to do, for what a library says of a value."""
    for pattern, say in RULES:
        if (found := re.search(pattern, text)) is not None:
            return f"{say(found)}."
    return text


def _explained(error: Any, text: str, options: Mapping[str, str], arguments: Sequence[str]) -> str:
    for pattern, say in (
        (r"Got unexpected extra arguments?.*?\((?!s\))(.*)\)", _misplaced),
        (
            r"No such option:? '?(-[^ ']*)",
            lambda one, known: f"There is no option {one}.{_meant(one, known)}",
        ),
        (r"No such (command '.*)", lambda rest, _: f"There is no {rest.replace('. Did', '; did')}"),
        (r"Option '(.*?)' requires an argument", lambda one, _: f"{one} has no value: give one."),
    ):
        if (found := re.match(pattern, text)) is not None:
            return say(found[1], set(options.values()))
    parameter = getattr(error, "param", None)
    if parameter is None or not text.startswith("Invalid value"):
        return text
    option = options.get(parameter.name, parameter.name)
    value = _value_of(parameter.opts, arguments)
    message = text.partition(": ")[2]
    choices = re.findall("'(.*?)'", message.partition("is not one of")[2])
    if choices:
        advice = f"choose {', '.join(choices[:-1])} or {choices[-1]}."
        return f"{option} is {value!r}: {advice}" + _meant(value, choices)
    return f"{option} is {value!r}: {_advice(message)}"


def _meant(given: str, known: Iterable[str]) -> str:
    by_name = {name.lower(): name for name in sorted(known)}
    close = get_close_matches(given.lower(), by_name, n=1)
    return f" Did you mean {by_name[close[0]]}?" if close else ""


def _misplaced(words: str, options: set[str]) -> str:
    """Words that stand where no argument belongs, with the options that are probably meant."""
    text = f"{words} belongs to no option."
    given = words.split()
    if "--port" in options and given[0].isdecimal():
        return f"{text} Did you mean --port {given[0]}?"
    if "--lake" not in options:
        return text
    meant = f"--lake {given[0]}"
    if len(given) == 2 and "--out" in options:
        meant += f" --out {given[1]}"
    return f"{text} Did you mean {meant}?"


def _value_of(names: Sequence[str], arguments: Sequence[str]) -> str:
    """What was given for an option, the last time that it was."""
    value = ""
    for word, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in names:
            value = after
        for name in names:
            if word.startswith(f"{name}="):
                value = word.removeprefix(f"{name}=")
    return value
