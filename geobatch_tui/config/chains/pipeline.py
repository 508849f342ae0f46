"""Reads pipelines of GDAL, and its commands of one step, as values of a job.

``read scenes/*.tif ! reproject --output-crs EPSG:6933 ! hillshade -z 2 ! write out --of COG``, with
or without ``gdal raster pipeline`` before it; or ``gdal raster hillshade in.tif out -z 2``.
Nothing in it chooses a program or a driver, and no shell sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.chains.pipeline_words import (
    Complaints,
    Word,
    argument_of,
    segments,
    with_nested,
    words_of,
)
from geobatch_tui.config.chains.step_arguments import FUNCTION, StepArguments, own_step, shape_of
from geobatch_tui.config.chains.step_kinds import KINDS, RASTER, VECTOR, StepKind, kind_of
from geobatch_tui.config.problems import nearest, show_value
from geobatch_tui.execution.params import gdal_steps
from geobatch_tui.execution.params.frozen import COMBINING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Suffixes of files that GDAL writes: a path with one is no directory.
_FILES: Final = frozenset({
    ".asc", ".bil", ".csv", ".dat", ".fgb", ".gdalg", ".geojson", ".gpkg", ".gti", ".hdr", ".img",
    ".jp2", ".jpeg", ".jpg", ".json", ".nc", ".parquet", ".png", ".shp", ".tif", ".tiff", ".vrt",
    ".webp", ".zarr",
})  # fmt: skip
_ENDS: Final = frozenset({"read", "write"})
#: The step whose inputs have names, and such an input.
_NAMING: Final = "calc"
_NAMED: Final = re.compile(r"([A-Za-z]\w*)=(.+)")
#: Arguments of *write* that take no value.
_FLAGS: Final = frozenset({"overwrite", "append"})


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline as values of a job.

    Attributes:
        values: by dotted key.
        refused: why the value of a key is not one, unless a higher layer gives another.
    """

    values: dict[str, object]
    complaints: Complaints
    refused: dict[str, str] = field(default_factory=dict)


def is_pipeline(text: str) -> bool:
    """Whether an argument of the command line is a pipeline, and no path."""
    first, _, rest = text.strip().partition(" ")
    if not rest:  # the names of steps take a moment to import
        return False
    steps = {name for kind in KINDS for name in (*kind.steps, *kind.gdal)}
    return first in {"read", "gdal", "!", "|"} | steps and not Path(text).exists()


def read_pipeline(text: str, where: str, *, foreign: bool = False) -> Pipeline:
    """Read a pipeline; what is wrong with it is in its complaints, with ``where`` it is from.

    ``foreign``: it is from a file of GDAL's. Such a file says what to read and what to do, not
    where to write, nor any step that GDAL has not.
    """
    complaints = Complaints(where, [], [])
    words = with_nested(_refused_words(words_of(text, complaints), complaints), complaints)
    if complaints.problems:
        return Pipeline({}, complaints)
    kind, parts = _without_gdal(words, complaints)
    if complaints.problems and not parts:
        return Pipeline({}, complaints)
    reader = _Reader(kind, complaints, foreign)
    for number, part in enumerate(parts):
        reader.take(part, is_first=number == 0, is_last=number == len(parts) - 1)
    if not parts:
        complaints.refuse("there is no step")
    return reader.finished()


def _refused_words(words: list[Word], complaints: Complaints) -> list[Word]:
    """Refuse what stands for more than a step: older spellings, the input."""
    for word in words:
        if word.bare and len(word.text) > 1 and not word.text.strip("!|"):
            complaints.refuse(f"{word.text!r} ends no step; write !", word)
            break
        if word.bare and word.text.startswith("+"):
            complaints.refuse(
                f"{word.text!r} is PROJ's way to write a step, which is not read; write `read a ! "
                "hillshade -z 2`",
                word,
            )
            break
        if word.text == "_PIPE_":
            complaints.refuse("_PIPE_ as an argument is not run: a step has one input", word)
            break
    return words


def _without_gdal(words: list[Word], complaints: Complaints) -> tuple[StepKind, list[list[Word]]]:
    """Return the kind and the steps of a pipeline without ``gdal raster pipeline``, or those that a
    command of one step stands for."""
    said = None
    if words and words[0].text == "gdal":
        words = _without_general(words[1:], complaints)
        named = {kind.name: kind for kind in KINDS}
        if words and words[0].text in named:
            said = named[words[0].text]
            words = _without_general(words[1:], complaints)
        if not words:
            if not complaints.problems:
                complaints.refuse("there is no step behind gdal")
            return RASTER, []
        if words[0].text != "pipeline":
            kind = said or kind_of([words[0].text], [word.text for word in words])
            return kind, _of_command(kind, words, complaints)
        words = _without_general(words[1:], complaints)
    parts = segments(words, complaints)
    names = [gdal_steps.NEWER_NAMES.get(part[0].text, part[0].text) for part in parts]
    ends = [word.text for part in parts if part[0].text in _ENDS for word in part]
    kind = said or kind_of(names, ends)
    return kind, _with_read(kind, parts, complaints)


def _without_general(words: list[Word], complaints: Complaints) -> list[Word]:
    """Leave out the arguments of all commands, as --quiet."""
    while words and words[0].is_option:
        argument = argument_of(words[0])
        if argument.name not in gdal_steps.UNUSED:
            told = f"{argument.shown} is not taken: a job has its own settings"
            complaints.refuse(told, words[0])
            return []
        words = words[1:]
    return words


def _of_command(kind: StepKind, words: Sequence[Word], complaints: Complaints) -> list[list[Word]]:
    """Return the steps that a command of one step stands for: read, the step, and write."""
    step, rest = words[0], words[1:]
    name = step.text
    if any(word.is_bar for word in rest):
        complaints.refuse("a command of one step has no other; write `gdal raster pipeline`", step)
        return []
    if name == "edit":
        complaints.refuse("gdal changes the file itself; write `read IN ! edit ... ! write`", step)
    parts = _parted(kind, step, rest)
    if name in COMBINING and len(parts["output"]) == 1 < len(
        parts["input"]
    ):  # all are inputs, but for the last
        parts["output"].append(parts["input"].pop())
    if name == _NAMING:
        parts["input"], beside = _named_inputs(parts["input"], complaints)
        parts[""] += beside
    return [parts["input"], *([] if name == "convert" else [parts[""]]), parts["output"]]


def _with_read(kind: StepKind, parts: list[list[Word]], complaints: Complaints) -> list[list[Word]]:
    """Put *read* before a step that reads files itself, as mosaic does."""
    if not parts or parts[0][0].text not in COMBINING | {_NAMING}:
        return parts
    first = _parted(kind, parts[0][0], parts[0][1:])
    if parts[0][0].text == _NAMING:
        if len(first["input"]) == 1:
            return parts
        named, beside = _named_inputs(first["input"], complaints)
        return [named, [*first[""], *beside], *parts[1:]]
    read = [first["input"]] if len(first["input"]) > 1 else []
    return [*read, first[""], *parts[1:]]


def _named_inputs(words: Sequence[Word], complaints: Complaints) -> tuple[list[Word], list[Word]]:
    """Return the words of read, and those for the rasters beside it, of the inputs of *calc*: the
    first is what is read, by the name A or X or none; the others have names."""
    from geobatch_tui.execution.params.calc.expression import RASTERS

    read, beside = list(words[:1]), list[Word]()
    for word in words[1:]:
        text = word.text
        if word.is_option:
            text = argument_of(word).value or ""
            if not text:  # it comes with the next word
                continue
        found = _NAMED.fullmatch(text)
        name, path = (found[1], found[2]) if found else ("", text)
        if len(read) == 1 and name in {"", *RASTERS}:
            read.append(Word(path, word.at))
        elif name and name not in RASTERS:
            beside += [Word("--inputs", word.at), Word(text, word.at)]
        else:
            told = f"a raster beside the first has a name of its own, as B=b.tif, not {text!r}"
            complaints.refuse(f"calc: {told}", word)
    if len(read) == 1:
        complaints.refuse("calc: one of its inputs is called A", words[0])
    return read, beside


def _parted(kind: StepKind, step: Word, words: Sequence[Word]) -> dict[str, list[Word]]:
    """Sort the words behind the name of a step into those of read, of write, and its own."""
    name, queue = step.text, list(words)
    own = gdal_steps.POSITIONAL.get(name, ())
    order = list(gdal_steps.COMMAND_ORDER.get(name, ("input", "output", *own)))
    parts = {"input": [Word("read", step.at)], "output": [Word("write", step.at)], "": [step]}
    while queue:
        word = queue.pop(0)
        if not word.is_option:
            place = "input" if name in COMBINING else order.pop(0) if order else ""
            parts[place if place in parts else ""].append(word)
            continue
        place, takes_value = _place_of(kind, argument_of(word).name, name)
        if place in order:
            order.remove(place)
        part = parts[place if place in parts else ""]
        part.append(word)
        if takes_value and "=" not in word.text and queue:
            part.append(queue.pop(0))
    return parts


def _place_of(kind: StepKind, name: str, step: str) -> tuple[str, bool]:
    """Return the part of a command that an argument belongs to, and whether it takes a value."""
    layer = gdal_steps.READ_LAYER if kind is VECTOR else frozenset()
    if name in {*gdal_steps.READ, *gdal_steps.READ_REFUSED, *layer}:
        return "input", True
    if name in gdal_steps.WRITE or name == "append":
        return "output", name not in _FLAGS
    return "", gdal_steps.UNUSED.get(name, not _is_flag(kind, step, name))


def _is_flag(kind: StepKind, step: str, name: str) -> bool:
    model = kind.steps.get(step)
    found = model.field_of(name) if model else None
    return bool(model and found and shape_of(model.model_fields[found]).flag)


class _Reader:
    """Reads steps one after another."""

    def __init__(self, kind: StepKind, complaints: Complaints, foreign: bool) -> None:  # noqa: FBT001
        self.kind, self.complaints = kind, complaints
        self.foreign = foreign
        self.inputs: list[str] = []
        self.layer = ""
        self.steps: list[dict[str, object]] = []
        self.output: dict[str, object] = {}
        self.creation: dict[str, str] = {}
        self.number = 0

    def take(self, words: Sequence[Word], *, is_first: bool, is_last: bool) -> None:
        """Read one step: its name and its arguments."""
        name, rest = words[0], words[1:]
        if name.text == "read" and is_first:
            self._options(rest, "read", self._read)
        elif name.text == "write" and is_last:
            self._options(rest, "write", self._write)
        elif name.text in _ENDS:
            place = "first" if name.text == "read" else "last"
            self.complaints.refuse(f"{name.text} stands {place}, and once", name)
        else:
            self.number += 1
            self._step(name, rest)

    def _step(self, name: Word, words: Sequence[Word]) -> None:
        step = gdal_steps.NEWER_NAMES.get(name.text, name.text)
        if step in self.kind.steps and not (self.foreign and step not in self.kind.gdal):
            arguments = StepArguments(
                self.kind, step, self.number, self.complaints, foreign=self.foreign
            )
            arguments.read(words)
            self.steps.append(arguments.values)
            return
        if _refuse_nested(words, self.complaints):
            return
        if FUNCTION.fullmatch(name.text) and not self.foreign:
            self.steps.append(own_step(name, words, self.complaints, f"step {self.number}"))
            return
        place = f"step {self.number}"
        others = [kind.name for kind in KINDS if step in kind.steps or step in kind.gdal]
        if step in self.kind.gdal:
            text = f"{place}: gdal has the step {step!r}, geobatch has not"
        elif others:
            text = f"{place}: {step!r} is a step of {others[0]} data, not of {self.kind.name} data"
        else:
            text = f"{place}: there is no step {step!r}; {nearest(step, self.kind.steps)}"
        self.complaints.refuse(text, name)

    def _options(
        self, words: Sequence[Word], step: str, take: Callable[[str, str | None, Word], None]
    ) -> None:
        """Read the arguments of read or write; ``take`` gets name, value and word of each."""
        if _refuse_nested(words, self.complaints):
            return
        queue = list(words)
        while queue:
            word = queue.pop(0)
            if not word.is_option:
                take("", word.text, word)
                continue
            argument = argument_of(word)
            flag = argument.name in _FLAGS or gdal_steps.UNUSED.get(argument.name) is False
            text = argument.value
            if not flag and text is None:
                if not queue:
                    self.complaints.refuse(f"{step}: {argument.shown} has no value", word)
                    return
                text = queue.pop(0).text
            if argument.name not in gdal_steps.UNUSED:
                take(argument.name, text, word)

    def _read(self, name: str, text: str | None, word: Word) -> None:
        if name in gdal_steps.READ_LAYER and self.kind is VECTOR:
            self.layer = text or ""
        elif name in gdal_steps.READ_REFUSED:
            self.complaints.refuse(
                f"read: {word.text} is not taken: how a file is opened follows from its content",
                word,
            )
        elif name and name not in gdal_steps.READ:
            self.complaints.refuse(f"read: there is no argument {word.text}; known: --input", word)
        else:
            self.inputs.append(text or "")

    def _write(self, name: str, text: str | None, word: Word) -> None:
        key = gdal_steps.WRITE.get(name) if name else "dir"
        if key is None:
            if name == "append":
                advice = "gdal has --append, geobatch has not"
            else:
                advice = f"there is no argument {word.text}; {nearest(name, gdal_steps.WRITE)}"
            self.complaints.refuse(f"write: {advice}", word)
        elif key == "overwrite":
            self.output["output.if_exists"] = "overwrite"
        elif key == "creation":
            option, equals, value = (text or "").partition("=")
            if not equals:
                self.complaints.refuse(f"write: --co takes NAME=VALUE, not {text!r}", word)
            self.creation[option] = value
        elif f"output.{key}" in self.output:
            self.complaints.refuse(f"write: {key} is given twice: {text!r}", word)
        else:
            value = text or ""
            known = gdal_steps.FORMATS if key == "format" else {}
            self.output[f"output.{key}"] = known.get(value.lower(), value)

    def finished(self) -> Pipeline:
        """Return what was read as values of a job."""
        values: dict[str, object] = {"op.name": self.kind.chain if self.steps else self.kind.copy}
        if self.steps:
            values["op.steps"] = self.steps
        if self.inputs:
            values["source.inputs"] = self.inputs
        if self.layer:
            values["source.layer"] = self.layer
        values |= self.output
        if self.creation:
            values["output.creation"] = self.creation
        refused = {}
        place = values.get("output.dir")
        if isinstance(place, str) and not self.foreign and _names_file(place):
            refused["output.dir"] = (
                f"write {show_value('output.dir', place)} names a file: outputs go to a directory, "
                "each under the name of its source; write a directory's name, or give --output DIR"
            )
        return Pipeline(values, self.complaints, refused)


def _refuse_nested(words: Sequence[Word], complaints: Complaints) -> bool:
    """Refuse a pipeline in place of what is no image; return whether there was one."""
    for word in words:
        if word.inner is not None:
            complaints.refuse("a pipeline in a pipeline, [ ... ], is not run here", word)
            return True
    return False


def _names_file(path: str) -> bool:
    return Path(path).suffix.lower() in _FILES and not Path(path).is_dir()
