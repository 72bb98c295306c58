"""A training recipe: one YAML file, with the argument names LLaMA-Factory users know. docs/training.md lists them with what they
become in trl.

Unknown keys are refused with the nearest name, keys that contradict each other or that the stage has no use for as well, and
every fault comes at once as file:line. Paths of models, adapters, data and settings are relative to the recipe's file, so that it
works from any directory; ``output_dir`` is relative to the current one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.errors import Fault, SuiteError
from harness.plugs import nearest
from harness.suite.document import Document, parse_document, read_document
from harness.suite.spec import FileModel

Loss = Literal["sigmoid", "hinge", "ipo", "robust", "exo_pair", "nca_pair", "aot", "apo_zero", "apo_down"]
Scheduler = Literal["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"]
ALIASES = {"template": "chat_template", "resume_from_checkpoint": "resume"}
SMOOTHED = ("robust", "exo_pair", "aot")
SET = "--set"


class Recipe(FileModel):
    """Everything a training run depends on. Defaults are LLaMA-Factory's where it has one."""

    model_config = ConfigDict(protected_namespaces=())  # model_name_or_path is the well-known name

    stage: Literal["sft", "dpo", "rm"]
    model_name_or_path: str = Field(description="Base model: a directory or a hub id.")
    adapter_name_or_path: str | None = Field(None, description="LoRA adapter to continue from.")
    dataset: tuple[str, ...] = Field(description="Files of rows: trl's shapes, LLaMA-Factory's, messages.", min_length=1)
    output_dir: str = Field(description="Where the adapter (or the model: full, and rm) is written.")
    chat_template: str | None = Field(None, description="A Jinja file instead of the base's own template.")

    finetuning_type: Literal["lora", "full"] = "lora"
    lora_rank: int = Field(8, ge=1)
    lora_alpha: int | None = Field(None, ge=1, description="Default: twice the rank.")
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    lora_target: tuple[str, ...] = Field(("all",), min_length=1, description="`all` linear layers, or module names.")
    use_rslora: bool = False
    use_dora: bool = False
    quantization_bit: Literal[4, 8] | None = Field(None, description="QLoRA: the base in 4 or 8 bits (bitsandbytes, a GPU).")
    quantization_type: Literal["nf4", "fp4"] = "nf4"
    double_quantization: bool = True

    cutoff_len: int = Field(2048, ge=8, description="Tokens; longer rows are cut at the end (rm: left out).")
    val_size: float = Field(0.0, ge=0, description="Rows held out for eval_loss: a share below 1, or a count.")
    max_samples: int | None = Field(None, ge=1, description="Take only the first rows of the data.")
    packing: bool = False

    per_device_train_batch_size: int = Field(1, ge=1)
    per_device_eval_batch_size: int | None = Field(None, ge=1, description="Default: as in training.")
    gradient_accumulation_steps: int = Field(8, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    num_train_epochs: float = Field(3.0, gt=0)
    max_steps: int = Field(-1, ge=-1, description="Stop after this many steps, -1: after the epochs.")
    lr_scheduler_type: Scheduler = "linear"
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    optim: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"] = "adamw_torch"
    bf16: bool = False
    gradient_checkpointing: bool = False
    deepspeed: str | None = Field(None, description="A DeepSpeed settings file (JSON).")
    seed: int = Field(42, ge=0)

    pref_beta: float = Field(0.1, gt=0, description="DPO's beta.")
    pref_ftx: float = Field(0.0, ge=0, description="Weight of the chosen answer's SFT loss added to DPO's.")
    pref_loss: Loss = "sigmoid"
    dpo_label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    center_rewards_coefficient: float | None = Field(None, gt=0, description="rm: pull the mean reward of a pair to 0.")

    logging_steps: int = Field(10, ge=1)
    eval_strategy: Literal["no", "steps", "epoch"] | None = Field(None, description="Default: as save_strategy.")
    eval_steps: int | None = Field(None, ge=1, description="Default: as save_steps.")
    save_strategy: Literal["no", "steps", "epoch"] = "no"
    save_steps: int = Field(500, ge=1)
    save_total_limit: int | None = Field(None, ge=1)
    early_stopping_steps: int | None = Field(None, ge=1, description="Stop after so many evaluations without a better eval_loss.")
    plot_loss: bool = Field(True, description="Write the curves: curves.svg, curves.html, curves.png.")
    report_to: Literal["none", "tensorboard", "wandb", "mlflow", "swanlab", "trackio"] = "none"
    resume: bool | str = Field(False, description="Continue from the last checkpoint in output_dir, or from this one.")

    @field_validator("dataset", "lora_target", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Accept one name, a list, or LLaMA-Factory's comma-separated string."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("chat_template", mode="before")
    @classmethod
    def _template(cls, value: Any) -> Any:
        """LLaMA-Factory names templates it carries; here the tokenizer's own is used, or a file."""
        if value == "default":
            return None
        if isinstance(value, str) and not value.endswith((".jinja", ".j2")):
            raise ValueError(f"{value!r} is no file: leave it out (the base's own template is used) or name a .jinja file")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if found := list(_contradictions(self)):
            raise PydanticCustomError("contradiction", "{first}", {"first": found[0][1], "all": found})
        return self

    @property
    def alpha(self) -> int:
        """LoRA alpha as used: the default is twice the rank."""
        return self.lora_alpha if self.lora_alpha is not None else 2 * self.lora_rank

    @property
    def evaluation(self) -> str:
        """When the rows held out are looked at: no, steps or epoch."""
        if not self.val_size:
            return "no"
        if self.eval_strategy is not None:
            return self.eval_strategy
        return self.save_strategy if self.save_strategy != "no" else "epoch"

    def with_(self, **changes: Any) -> Recipe:
        """The same recipe with some values replaced, checked again."""
        return Recipe.model_validate({**self.model_dump(exclude_unset=True), **changes})


def _contradictions(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of every key that another key or the stage forbids. A key with its default value forbids nothing."""
    stages = {
        "packing": ("sft",),
        "pref_beta": ("dpo",),
        "pref_ftx": ("dpo",),
        "pref_loss": ("dpo",),
        "dpo_label_smoothing": ("dpo",),
        "center_rewards_coefficient": ("rm",),
    }
    for key, allowed in stages.items():
        if _changed(recipe, key) and recipe.stage not in allowed:
            yield key, f"{key} works with stage {' or '.join(allowed)} only"
    if recipe.finetuning_type == "full":
        if recipe.adapter_name_or_path:
            yield "adapter_name_or_path", "finetuning_type full cannot continue an adapter_name_or_path"
        for key in ("quantization_bit", "use_dora", "use_rslora", "lora_dropout", "lora_alpha"):
            if _changed(recipe, key):
                yield key, f"{key} works with finetuning_type lora only"
    if recipe.quantization_bit is None:
        for key in ("quantization_type", "double_quantization"):
            if _changed(recipe, key):
                yield key, f"{key} says nothing without quantization_bit"
    elif recipe.stage == "rm":
        yield "quantization_bit", "a reward model is saved merged, and nothing is merged onto a quantised base"
    if recipe.stage == "rm" and recipe.adapter_name_or_path:
        yield "adapter_name_or_path", "stage rm begins from a base: an adapter of a language model has no reward head"
    if recipe.warmup_ratio and recipe.warmup_steps:
        yield "warmup_steps", "give warmup_ratio or warmup_steps, not both"
    if recipe.dpo_label_smoothing and recipe.pref_loss not in SMOOTHED:
        yield "dpo_label_smoothing", f"trl smooths labels with pref_loss {' or '.join(SMOOTHED)} only"
    yield from _checkpoint_contradictions(recipe)


def _checkpoint_contradictions(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Of evaluation and saving: the best by eval_loss can only be kept where what is saved was evaluated."""
    if not recipe.val_size:
        for key in ("eval_strategy", "eval_steps", "early_stopping_steps", "per_device_eval_batch_size"):
            if _changed(recipe, key) and getattr(recipe, key) != "no":
                yield key, f"{key} needs rows to look at: set val_size"
        return
    if recipe.evaluation == "no" and recipe.early_stopping_steps:
        yield "early_stopping_steps", "early_stopping_steps needs an eval_strategy"
    if recipe.save_strategy == "no" or recipe.evaluation == "no":
        return
    if recipe.evaluation != recipe.save_strategy:
        yield "eval_strategy", f"save_strategy {recipe.save_strategy} needs the same eval_strategy, or no"
    elif recipe.evaluation == "steps" and recipe.eval_steps and recipe.save_steps % recipe.eval_steps:
        yield "save_steps", f"save_steps must be a multiple of eval_steps {recipe.eval_steps}"


def _changed(recipe: Recipe, key: str) -> bool:
    return bool(getattr(recipe, key) != Recipe.model_fields[key].default)


def load_recipe(path: str | Path, changes: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe; raises SuiteError with every fault of the file.

    changes: key -> YAML text that replaces or adds a value, as from a command line. Paths in them are relative to the current
    directory.
    """
    path = Path(path)
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise SuiteError([Fault(document.where(), "a recipe is a mapping of names to values", "write `stage: sft` and so on")])
    values, faults = _renamed(document)
    given = {key: parse_document(text, Path(SET)).data for key, text in (changes or {}).items()}
    try:
        recipe = Recipe.model_validate({**values, **{ALIASES.get(key, key): value for key, value in given.items()}})
    except ValidationError as error:
        found = [fault for detail in error.errors(include_url=False) for fault in _faults(document, given, dict(detail))]
        raise SuiteError([*faults, *dict.fromkeys(found)]) from None
    if faults:
        raise SuiteError(faults)
    return _placed(recipe, path, {ALIASES.get(key, key) for key in given})


def _renamed(document: Document) -> tuple[dict[str, Any], list[Fault]]:
    """The values under the names used here. A value under two names at once is a fault."""
    faults = list(document.faults)
    for other, name in ALIASES.items():
        if other in document.data and name in document.data:
            faults.append(Fault(document.where((other,)), f"{other} and {name} mean the same", "keep one of them"))
    return {ALIASES.get(key, key): value for key, value in document.data.items()}, faults


def _placed(recipe: Recipe, path: Path, given: set[str]) -> Recipe:
    """The recipe with its paths made absolute: those in the file beside the file, those given from outside from here."""

    def place(key: str, name: str, *, is_hub_id: bool = False) -> str:
        return _beside(Path(".") / "x" if key in given else path, name, is_hub_id=is_hub_id)

    places: dict[str, Any] = {
        "model_name_or_path": place("model_name_or_path", recipe.model_name_or_path, is_hub_id=True),
        "dataset": tuple(place("dataset", name) for name in recipe.dataset),
    }
    for key in ("adapter_name_or_path", "chat_template", "deepspeed"):
        if value := getattr(recipe, key):
            places[key] = place(key, value, is_hub_id=key == "adapter_name_or_path")
    return recipe.with_(**places)


def _faults(document: Document, given: Mapping[str, Any], error: dict[str, Any]) -> Iterator[Fault]:
    """A pydantic error as faults for people."""
    if error["type"] == "contradiction":
        for key, message in error["ctx"]["all"]:
            yield Fault(_where(document, given, key), message)
        return
    key = str(error["loc"][0]) if error["loc"] else ""
    where = _where(document, given, key)
    if error["type"] == "extra_forbidden":
        yield Fault(where, f"unknown key {key!r}", nearest(key, sorted([*Recipe.model_fields, *ALIASES])))
        return
    if error["type"] == "missing":
        yield Fault(where, f"the key {key!r} is missing", f"add a line `{key}: ...`")
        return
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    yield Fault(where, f"{key}: {message}" if key else message)


def _where(document: Document, given: Mapping[str, Any], key: str) -> str:
    """Where a value came from: the command line, or its line in the file under either of its names."""
    written = next((other for other, name in ALIASES.items() if name == key and other in document.data), key)
    return SET if key in given or written in given else document.where((written,))


def _beside(path: Path, name: str, *, is_hub_id: bool = False) -> str:
    """A path in a recipe is relative to the recipe. A model name that is no directory there may be a hub id: left as it is."""
    found = (path.parent / Path(name).expanduser()).resolve()
    looks_local = name.startswith((".", "/", "~")) or not is_hub_id
    return str(found) if looks_local or found.exists() else name
