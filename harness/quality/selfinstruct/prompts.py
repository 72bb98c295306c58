"""What the model is asked, step by step. The shape is Self-Instruct's, the wording is ours; examples are tasks people wrote.

Classification: 12 tasks that are and 19 that are not. Instances: 16 worked tasks for classifications, 11 for others, some with
several examples each. Changing any text here changes VERSION, so that a run never mixes answers to different prompts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from harness.quality.selfinstruct.seeds import Task, built_in

VERSION = 1
SHOWN, ASKED_FOR = 8, 7  # instructions in a prompt, and new ones asked for

_IS_ONE = (148, 150, 152, 154, 155, 157, 160, 161, 163, 164, 165, 174)
_IS_NONE = (1, 8, 10, 11, 14, 15, 17, 22, 25, 35, 38, 41, 43, 44, 57, 58, 97, 117, 132)
_LABELLED = (150, 152, 154, 155, 157, 158, 160, 161, 164, 165, 171, 174)
_WORKED = (15, 22, 25, 38, 57, 97, 117)

_GENERATE = """\
Here begins a list of varied tasks for an assistant that reads and writes text and nothing else. Go on with numbers
{first} to {last}: new tasks of other kinds and about other things than those above them, each clear by itself, in one line of
at most two sentences. Reply with the numbered lines only.
{more}
{listed}
{first}."""
_ONLY_LABELS = "Each task is a classification, whose answer is one of a few labels; where it can, the task names the labels.\n"

_CLASSIFY = """\
Is a task a classification, that is, is its answer one label out of a small set that is known beforehand? Reply to the last
one with Yes or No.

{shots}

Task: {instruction}
Classification:"""

_LABEL_FIRST = """\
Every task here is a classification. Below each stand its class labels, one after the other, each with an input for which that
label is the right answer. Complete the last task in the same form, with at most five labels, and reply with nothing else.

{shots}

Task: {instruction}"""

_INPUT_FIRST = """\
Below each task stand one or more examples of it: an input, unless the task needs none, and the right output. Complete the last
task in the same form, with at most five examples, and reply with nothing else.

{shots}

Task: {instruction}"""

_LABEL_SHOTS = """\
Task: Say whether the review of a restaurant is about the food, the service or the price.
Class label: food
Input: The soup was cold and the bread tasted of nothing.
Class label: service
Input: We waited forty minutes until somebody noticed us.
Class label: price
Input: Nine euros for a glass of tap water, seriously?

Task: Which season does the diary entry describe: spring, summer, autumn or winter?
Class label: winter
Input: The pond has been frozen for a week and the children skate until dark.
Class label: autumn
Input: I raked leaves all morning, and by noon the lawn was yellow again.

Task: Does the second sentence follow from the first? Answer with follows, contradicts or neither.
Class label: follows
Input: First: All the shops in the street were closed. Second: The bakery in the street was closed.
Class label: contradicts
Input: First: Nobody came to the meeting. Second: Three people spoke at the meeting.
Class label: neither
Input: First: The train was late. Second: The passengers were reading.

Task: Tell the urgency of a support ticket: high, medium or low.
Class label: high
Input: Payments fail for all customers since 9:40.
Class label: low
Input: The footer still shows last year's date.
Class label: medium
Input: The export takes ten minutes instead of one."""

_INPUT_SHOTS = """\
Task: Turn the sentence into a polite request.
Example 1
Input: Send me the figures.
Output: Could you please send me the figures?
Example 2
Input: Stop humming.
Output: Would you mind not humming, please?

Task: Give the plural of the noun and use it in a short sentence.
Example 1
Input: mouse
Output: mice - Two mice live behind the stove.
Example 2
Input: knife
Output: knives - The knives are in the top drawer.
Example 3
Input: sheep
Output: sheep - Forty sheep grazed on the hill.

Task: Name three things one should not forget on a day's hike.
Output: Enough water, a map of the trail, and a rain jacket.

Task: From the ingredients, suggest a dish and say in one sentence how it is made.
Example 1
Input: potatoes, eggs, onions
Output: Spanish omelette: fry sliced potatoes and onions slowly, pour beaten eggs over them and let them set on both sides.
Example 2
Input: tomatoes, old bread, basil
Output: Panzanella: soak pieces of the bread in tomato juice and olive oil and mix them with chopped tomatoes and basil."""

_EVOLVE = """\
Below, between lines that read {mark}, stands a task for an assistant. Write a harder version of it: {how}. It must stay
possible to do with text alone, make sense by itself, and be no more than 20 words longer. Reply with the new task only, in
one line.

{mark}
{instruction}
{mark}"""
HARDER = (
    "add one condition or requirement that the answer must meet",
    "ask for a deeper understanding of what it is about",
    "replace what is general in it by something specific and less common",
    "make it need several steps of reasoning where one was enough",
    "move it to a rarer field, with an aim that is as hard to reach",
)


def generate(instructions: Sequence[str], *, labels_only: bool = False) -> str:
    """Ask for new instructions after those given, numbered from 1."""
    listed = "\n".join(f"{number}. {' '.join(text.split())}" for number, text in enumerate(instructions, 1))
    first = len(instructions) + 1
    more = _ONLY_LABELS if labels_only else ""
    return _GENERATE.format(first=first, last=first + ASKED_FOR - 1, more=more, listed=listed)


def classify(instruction: str) -> str:
    return _CLASSIFY.format(shots=_classify_shots(), instruction=instruction)


def label_first(instruction: str) -> str:
    return _LABEL_FIRST.format(shots=_label_shots(), instruction=instruction)


def input_first(instruction: str) -> str:
    return _INPUT_FIRST.format(shots=_input_shots(), instruction=instruction)


def evolve(instruction: str, how: int, mark: str) -> str:
    """Ask for a harder version, in one of the HARDER ways; mark: a word the instruction cannot contain."""
    return _EVOLVE.format(instruction=instruction, how=HARDER[how], mark=mark)


def _seeds(numbers: Sequence[int]) -> list[Task]:
    known = built_in()
    return [known[f"seed_task_{number}"] for number in numbers]


@cache
def _classify_shots() -> str:
    """Yes and No in a mixed order that is always the same, so that neither stands at the end in a block."""
    pairs = [(task, "Yes") for task in _seeds(_IS_ONE)] + [(task, "No") for task in _seeds(_IS_NONE)]
    random.Random(0).shuffle(pairs)  # noqa: S311
    return "\n\n".join(f"Task: {task.instruction}\nClassification: {answer}" for task, answer in pairs)


@cache
def _label_shots() -> str:
    one = [
        f"Task: {task.instruction}\nClass label: {task.instances[0].output}\nInput: {task.instances[0].input}"
        for task in _seeds(_LABELLED)
    ]
    return "\n\n".join([*one, _LABEL_SHOTS])


@cache
def _input_shots() -> str:
    one = []
    for task in _seeds(_WORKED):
        (instance,) = task.instances
        given = f"Input: {instance.input}\n" if instance.input else ""
        one.append(f"Task: {task.instruction}\n{given}Output: {instance.output}")
    return "\n\n".join([*one, _INPUT_SHOTS])
