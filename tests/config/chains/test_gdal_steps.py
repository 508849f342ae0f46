"""Our steps against GDAL's own word on its: names, types, defaults, choices and what is required."""

from __future__ import annotations

import pytest
from gdal_pipeline import meanings, usage

from geobatch_tui.config.chains.step_arguments import _alternatives, shape_of
from geobatch_tui.config.chains.step_kinds import KINDS, VECTOR
from geobatch_tui.execution.params import gdal_steps
from geobatch_tui.execution.params.step_params import SHARED_NAMES

#: Arguments that a pipeline has at its ends, or that no step needs in one.
ENDS = {
    "append", "config-options-in-stdin", "creation-option", "help", "input", "input-format",
    "open-option", "output", "output-format", "output-string", "overwrite", "progress", "quiet",
    "update",
}  # fmt: skip
#: Commands that are no steps, and steps that are no commands.
NO_STEPS, NO_COMMANDS = {"convert", "index", "pipeline"}, {"limit", "materialize", "tee"}
#: Parameters that are required in one alone.
REQUIRED = {
    ("reproject", "output_crs"): "who changes the size of pixels alone has resize",
    ("resize", "size"): "one of it and resolution",
    ("set-field-type", "field_name"): "one of it and input_field_type",
    ("set-field-type", "input_field_type"): "one of it and field_name",
}
#: Defaults that differ in what is written, not in what is done.
DEFAULTS = {
    ("proximity", "fixed_value"): "none, where GDAL has 0 for none",
    ("proximity", "max_distance"): "none, where GDAL has 0 for none",
}
#: Types that differ on purpose.
TYPES = {
    ("reproject", "input_nodata"): "one value for all bands, as raster.reproject has it",
    ("reproject", "output_nodata"): "one value for all bands",
    ("edit", "nodata"): "a number, or the word none",
    ("neighbors", "nodata"): "a number, or the word none",
}
#: Words of GDAL's that an argument does not take here.
CHOICES = {
    "dim": {"xym", "xyzm"},
    "output_data_type": {"cint16", "cint32", "float16", "cfloat32", "cfloat64"},
}
_PLAIN = {"boolean": {bool}, "integer": {int}, "real": {float}, "string": {str}, "dataset": {str}}


@pytest.fixture(scope="module")
def gdal():
    """Arguments of GDAL's steps in pipelines: by kind of data, step and name."""
    return {kind.name: _arguments(kind.name) for kind in KINDS}


def _arguments(kind):
    found = {}
    for step, said in usage(kind).items():
        parts = ("input_arguments", "output_arguments", "input_output_arguments")
        arguments = [entry for part in parts for entry in said[part]]
        found[step] = {
            entry["name"]: entry
            for entry in arguments
            if entry.get("available_in_pipeline_step") is not False and entry["name"] not in ENDS
        }
    return found


OURS = [(kind, step) for kind in KINDS for step in sorted(kind.steps) if step in kind.gdal]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_table_of_steps_is_gdals(gdal, kind):
    """So that what we have not is refused by its name, and nothing else is."""
    steps = {step: set(names) for step, names in gdal[kind.name].items() if step not in NO_STEPS}
    table = {step: set(gdal_steps.arguments_of(step, kind.gdal)) for step in kind.gdal}
    at_ends = {"input-layer", "layer-creation-option", "output-layer", "output-open-option"}
    if kind is VECTOR:
        steps = {step: names - at_ends for step, names in steps.items()}
    assert {step: table[step] for step in table.keys() - NO_COMMANDS} == steps


@pytest.mark.parametrize(("kind", "step"), OURS)
def test_parameters_are_gdals(gdal, kind, step):
    """Each that GDAL has bears its name, is of its type, and has its default."""
    fields = kind.steps[step].model_fields
    differing = []
    for name, argument in gdal[kind.name].get(step, {}).items():
        own = name.replace("-", "_")
        if own not in fields:
            if argument["required"]:
                differing.append((own, "is required"))
            continue
        if not _same_type(argument, fields[own]) and (step, own) not in TYPES:
            differing.append((own, argument["type"], fields[own].annotation))
        default = argument.get("default", False if argument["type"] == "boolean" else None)
        ours = fields[own].get_default(call_default_factory=True)
        taken = gdal_steps.DEFAULTS.get(step, {}).get(own, ours)
        needed = fields[own].is_required() != argument["required"]
        if needed and (step, own) not in REQUIRED:
            differing.append((own, "is required in one alone"))
        elif (
            default is not None
            and _folded(taken) != _folded(default)
            and (step, own) not in DEFAULTS
        ):
            differing.append((own, default, ours))
    assert differing == []


def _folded(value):
    return value.lower() if isinstance(value, str) else value


def _same_type(argument, field):
    """Whether a field takes what an argument takes."""
    kind, _, several = argument["type"].partition("_")
    shape = shape_of(field)
    if several:
        return shape.several or shape.table
    plain = {option for option in _alternatives(field.annotation) if isinstance(option, type)}
    return bool(plain & _PLAIN[kind]) or (kind == "string" and bool(shape.choices))


@pytest.mark.parametrize(("kind", "step"), OURS)
def test_words_are_gdals(gdal, kind, step):
    """Where one of some words is asked for, it is one of GDAL's."""
    for own, field in kind.steps[step].model_fields.items():
        argument = gdal[kind.name].get(step, {}).get(own.replace("_", "-"), {})
        choices = {word.lower() for word in argument.get("choices", ())}
        ours = set(shape_of(field).choices)
        ours -= {"byte"} - choices  # which GDAL takes without listing it
        if choices and ours:
            assert choices - ours == CHOICES.get(own, set()), (step, own)
            assert ours <= choices


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_short_and_older_names_mean_the_same(gdal, kind):
    """-z, --t_srs, --ot: each leads to the parameter that it leads to in GDAL."""
    models = {step: model for step, model in kind.steps.items() if step in gdal[kind.name]}
    others = {old for model in models.values() for old in model.other_names} | {*SHARED_NAMES}
    words = sorted({word for old in others for word in (old, old.replace("_", "-"))})
    said = meanings(kind.name, words)
    lost = []
    for step, model in models.items():
        for word, name in said[step].items():
            own, field = name.replace("-", "_"), model.field_of(word)
            if own in model.model_fields and field != own:
                lost.append((step, word, name, field))
        for old, new in model.other_names.items():
            if new.replace("_", "-") in gdal[kind.name][step]:
                names = {said[step].get(old), said[step].get(old.replace("_", "-"))}
                assert new.replace("_", "-") in names, (step, old)
    assert lost == []
