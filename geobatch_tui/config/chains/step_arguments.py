"""Reads the arguments of one step of a pipeline, as values of its table in a job file.

Which there are, and what they take, is known from the parameters of the step alone.
"""

from __future__ import annotations

import json
import re
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args, get_origin

from geobatch_tui.config.chains.pipeline_words import Argument, argument_of, segments
from geobatch_tui.config.problems import nearest
from geobatch_tui.execution.params import gdal_steps
from geobatch_tui.execution.params.frozen import SIDES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic.fields import FieldInfo

    from geobatch_tui.config.chains.pipeline_words import Complaints, Word
    from geobatch_tui.config.chains.step_kinds import StepKind

#: A step that is a function of the user.
FUNCTION = re.compile(r".+\.py:[A-Za-z_]\w*")
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Shape:
    """How the value of a parameter is written.

    Attributes:
        flag: true by its name alone.
        table: ``KEY=VALUE``, repeated.
        several: values between commas; with ``repeats`` also one by one.
        alone: a list of one value may be that value.
        choices: words that are allowed, if only some are, in their own case by the folded word.
    """

    flag: bool = False
    table: bool = False
    several: bool = False
    repeats: bool = False
    alone: bool = False
    choices: dict[str, str] = field(default_factory=dict)


def shape_of(info: FieldInfo) -> Shape:
    """Return how a field of a model is written."""
    options = list(_alternatives(info.annotation))
    lists = [option for option in options if get_origin(option) is tuple]
    words = [option for option in options if get_origin(option) is Literal]
    if lists and not words:
        inner = [entry for option in lists for entry in get_args(option)]
        words = [entry for entry in map(_bare, inner) if get_origin(entry) is Literal]
    texts = [str(word) for option in words for word in get_args(option)]
    return Shape(
        flag=options == [bool],
        table=any(get_origin(option) is dict for option in options),
        several=bool(lists),
        repeats=any(Ellipsis in get_args(option) for option in lists),
        alone=len(lists) < len(options),
        choices={text.lower(): text for text in texts},
    )


def _alternatives(annotation: object) -> Iterator[object]:
    annotation = _bare(annotation)
    if get_origin(annotation) in {Union, types.UnionType}:
        for part in get_args(annotation):
            if part is not type(None):
                yield from _alternatives(part)
    else:
        yield annotation


def _bare(annotation: object) -> object:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


class StepArguments:
    """The arguments of one step, as they are read; ``values`` is its table. ``foreign``: it is from
    a file of GDAL's, which names no functions."""

    def __init__(
        self,
        kind: StepKind,
        step: str,
        number: int,
        complaints: Complaints,
        *,
        foreign: bool = False,
    ) -> None:
        self.kind, self.step, self.foreign = kind, step, foreign
        self.model = kind.steps[step]
        self.number = number
        self.complaints = complaints
        self.values: dict[str, object] = {"name": step}

    def read(self, words: Sequence[Word]) -> None:
        """Read the words behind the name of the step."""
        waiting = list(gdal_steps.POSITIONAL.get(self.step, ()))
        queue = list(words)
        while queue:
            word = queue.pop(0)
            if word.is_option:
                self._option(argument_of(word), queue)
                continue
            name = next((entry for entry in waiting if entry in self.model.model_fields), None)
            if name is None:
                self._refuse(f"takes nothing without its name, but got {word.text!r}", word)
                continue
            waiting.remove(name)
            self._take_word(name, word, word)

    def _option(self, argument: Argument, queue: list[Word]) -> None:
        name = self._field(argument)
        if name is None:
            if argument.value is None and queue and not queue[0].is_option:
                queue.pop(0)  # what it was to mean is not known
            return
        text = argument.value
        if text is None and not shape_of(self.model.model_fields[name]).flag:
            if not queue:
                self._refuse(f"{argument.shown} has no value", argument.word)
                return
            self._take_word(name, queue.pop(0), argument.word)
            return
        self._take(name, text, argument.word)

    def _take_word(self, name: str, value: Word, word: Word) -> None:
        """Take a word as a value: a pipeline, for what may be one."""
        if value.inner is None:
            self._take(name, value.text, word)
        elif name not in SIDES:
            shown = name.replace("_", "-")
            self._refuse(f"{shown} is no image: a pipeline in a pipeline is not run here", value)
        elif name in self.values:
            self._refuse(f"{name} is given twice", word)
        else:
            self.values[name] = side_chain(
                self.kind, value.inner, self.number, self.complaints, foreign=self.foreign
            )

    def _field(self, argument: Argument) -> str | None:
        """Return the parameter that an argument names; None: it is refused, or has no use."""
        name = argument.name
        found = self.model.field_of(name)
        if found is not None and found != "name":
            return found
        if name in gdal_steps.UNUSED:
            if gdal_steps.UNUSED[name]:
                self.complaints.warn(
                    f"{argument.shown} of {self.step} is not used: chunks run in parallel, by "
                    "engine.max_workers"
                )
            return None
        if name in gdal_steps.READ:
            told = f"{argument.shown} is for read: a step gets what the one before it gives"
            self._refuse(told, argument.word)
        elif name.replace("_", "-") in gdal_steps.arguments_of(self.step, self.kind.gdal):
            self._refuse(f"gdal has {argument.shown}, geobatch has not", argument.word)
        else:
            known = [own.replace("_", "-") for own in self.model.model_fields if own != "name"]
            advice = nearest(name, known)
            self._refuse(f"there is no argument {argument.shown}; {advice}", argument.word)
        return None

    def _take(self, name: str, text: str | None, word: Word) -> None:
        shape = shape_of(self.model.model_fields[name])
        before = self.values.get(name)
        if shape.flag:
            self.values[name] = True if text is None else _truth(text)
        elif text is None:
            self._refuse(f"{word.text} has no value", word)
        elif shape.table:
            key, equals, value = text.partition("=")
            if not equals:
                self._refuse(f"{name.replace('_', '-')} takes KEY=VALUE, not {text!r}", word)
            table = before if isinstance(before, dict) else {}
            self.values[name] = {**table, key: value}
        elif shape.several:
            values: object = self._split(name, text, shape)
            if before is not None and not shape.repeats:
                self._refuse(f"{name.replace('_', '-')} is given twice", word)
            elif before is not None:
                values = [*_listed(before), *_listed(values)]
            self.values[name] = values
        elif before is not None:
            self._refuse(f"{name.replace('_', '-')} is given twice", word)
        else:
            self.values[name] = _folded(name, text, shape)

    def _split(self, name: str, text: str, shape: Shape) -> object:
        if name in gdal_steps.ONE_BY_ONE:
            return [_folded(name, text, shape)]
        parts = [_folded(name, part.strip(), shape) for part in text.split(",")]
        return parts[0] if shape.alone and len(parts) == 1 else parts

    def _refuse(self, text: str, word: Word) -> None:
        place = f"step {self.number}, " if self.number else ""
        self.complaints.refuse(f"{place}{self.step}: {text}", word)


def side_chain(
    kind: StepKind,
    words: Sequence[Word],
    number: int,
    complaints: Complaints,
    *,
    foreign: bool = False,
) -> dict[str, object]:
    """Read a pipeline that makes a second raster of step ``number`` (0: unknown): what it reads,
    and its steps; ``foreign``: those that GDAL has alone."""
    steps: list[dict[str, object]] = []
    source = ""
    for place, part in enumerate(segments(words, complaints)):
        name, rest = part[0], part[1:]
        if place == 0:
            source = _read(part, complaints)
        elif FUNCTION.fullmatch(name.text) and not foreign:
            steps.append(own_step(name, rest, complaints, "a pipeline in a pipeline"))
        elif name.text in kind.steps and not (foreign and name.text not in kind.gdal):
            arguments = StepArguments(kind, name.text, number, complaints)
            arguments.read(rest)
            steps.append(arguments.values)
        else:
            complaints.refuse(
                f"a pipeline in a pipeline has no step {name.text!r}; "
                f"{nearest(name.text, kind.steps)}",
                name,
            )
    if not words:
        complaints.refuse("a pipeline in a pipeline is empty")
    return {"input": source, "steps": steps}


def _read(part: Sequence[Word], complaints: Complaints) -> str:
    """Return the file that the first step of a pipeline in a pipeline reads."""
    files = [word.text for word in part[1:] if not word.is_option]
    named = [argument_of(word) for word in part[1:] if word.is_option]
    files += [each.value for each in named if each.name in gdal_steps.READ and each.value]
    known = all(each.name in gdal_steps.READ for each in named)
    if part[0].text != "read" or not known or len(files) != 1:
        complaints.refuse(
            "a pipeline in a pipeline begins with read and one file, or read {source} for that of "
            "the item",
            part[0],
        )
        return ""
    return files[0]


def own_step(
    name: Word, words: Sequence[Word], complaints: Complaints, place: str
) -> dict[str, object]:
    """Return a step that is a function of the user, with its arguments, ``--name value``, of the
    types that their values look like; which there are is known when its file is read. ``place``:
    what is said of where it stands."""
    values: dict[str, object] = {"use": name.text}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.is_option:
            told = f"takes nothing without its name, but got {word.text!r}"
            complaints.refuse(f"{place}, {name.text}: {told}", word)
            return values
        argument = argument_of(word)
        text = argument.value
        if text is None and queue and not queue[0].is_option:
            text = queue.pop(0).text
        values[argument.name.replace("-", "_")] = True if text is None else _plain(text)
    return values


def _plain(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _folded(name: str, text: str, shape: Shape) -> str:
    """Return a word of a list of choices in its own case."""
    low = text.lower()
    return shape.choices.get(gdal_steps.OTHER_VALUES.get(name, {}).get(low, low), text)


def _truth(text: str) -> object:
    low = text.lower()
    return True if low in _YES else False if low in _NO else text


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
