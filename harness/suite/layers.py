"""Prompts and generation settings in layers: the suite's, a capability's over it, a candidate's over both, key by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import Fault, HarnessError
from harness.model import Case, Prompt, Sampling
from harness.prompts import compile_template, render, render_text
from harness.suite.document import Location
from harness.suite.spec import AskFile, GenerationFile, PromptFile, ThinkingFile

DEFAULT_SEED = 1234

Where = Callable[[Location], str]
Layer = tuple[Location, PromptFile]


@dataclass(frozen=True)
class LayeredPrompt:
    """A complete prompt, and where in the suite each part of it was written (None: a default)."""

    prompt: Prompt
    template_at: Location | None
    system_at: Location | None
    faults: tuple[Fault, ...]


def stack_prompts(layers: Sequence[Layer], where: Where) -> LayeredPrompt:
    """layers: lowest first. Examples are rendered with the template that wins. Faults: templates that cannot work."""
    chosen = PromptFile()
    at: dict[str, Location | None] = {"template": None, "system": None, "few_shot": None}
    for location, layer in layers:
        for key in layer.model_fields_set:
            if getattr(layer, key) is not None:
                chosen = chosen.model_copy(update={key: getattr(layer, key)})
                at[key] = (*location, key)
    faults: list[Fault] = []
    template = chosen.template if chosen.template is not None else Prompt().template
    for key, text in (("template", template), ("system", chosen.system)):
        try:
            if text is not None:
                compile_template(text)
        except HarnessError as error:
            faults.append(Fault(where(at[key] or ()), error.what, error.todo))
    shown: list[tuple[str, str]] = []
    for number, example in enumerate(chosen.few_shot or () if not faults else ()):
        try:
            shown.append((render_text(template, example.model_extra or {}), example.output))
        except HarnessError as error:
            faults.append(Fault(where((*(at["few_shot"] or ()), number)), f"example {number + 1}: {error.what}", error.todo))
    return LayeredPrompt(Prompt(template, chosen.system, tuple(shown)), at["template"], at["system"], tuple(faults))


def unfit(layered: LayeredPrompt, cases: Iterable[Case], where: Where, told: set[tuple[str, str]]) -> list[Fault]:
    """Templates that fail on the cases they are for. One case of each shape (set of variables) is tried. told: (where, what) of
    earlier calls, extended here: a template that many candidates and capabilities share is faulty once."""
    faults: list[Fault] = []
    shapes: set[tuple[str, ...]] = set()
    for case in cases:
        shape = tuple(case.vars)
        if shape in shapes:
            continue
        shapes.add(shape)
        try:
            render(layered.prompt, case)
        except HarnessError as error:
            location = layered.template_at or layered.system_at
            if "messages" in case.vars:
                location = layered.system_at
            place = case.source if location is None else where(location)
            if (place, error.what) in told:
                continue
            told.add((place, error.what))
            if location is None:  # the default template: the case is what has to change
                faults.append(Fault(place, error.what, f"set prompt.template, or give the case an input. {error.todo}"))
            else:
                faults.append(Fault(place, f"{error.what}, tried on {case.source}", error.todo))
    return faults


@dataclass(frozen=True)
class Asked:
    """Complete generation settings of a capability."""

    sampling: Sampling
    samples: int
    thinking: tuple[str, str] | None
    on_truncated: str
    on_empty: str


def stack_generation(suite: GenerationFile, capability: AskFile | None = None) -> Asked:
    """The suite's settings with a capability's over them, and defaults below both."""
    given = {
        key: getattr(layer, key)
        for layer in (suite, capability or AskFile())
        for key in AskFile.model_fields
        if getattr(layer, key) is not None
    }
    default = Sampling(seed=DEFAULT_SEED)
    thinking = given.get("thinking", ThinkingFile())
    return Asked(
        sampling=Sampling(
            temperature=given.get("temperature", default.temperature),
            top_p=given.get("top_p", default.top_p),
            max_tokens=given.get("max_tokens", default.max_tokens),
            seed=given.get("seed", default.seed),
            stop=tuple(given.get("stop", ())),
            extra=given.get("extra", {}),
        ),
        samples=given.get("samples", 1),
        thinking=(thinking.start, thinking.end) if thinking else None,
        on_truncated=given.get("on_truncated", "unscored"),
        on_empty=given.get("on_empty", "unscored"),
    )
