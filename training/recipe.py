"""A training recipe: one YAML file, with the argument names LLaMA-Factory users know.

Unknown keys are refused with the nearest name, and every fault comes at once as file:line. Paths of models, adapters and data are
relative to the recipe's file, so a recipe works from any directory; ``output_dir`` is relative to the current one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.errors import Fault, SuiteError
from harness.plugs import nearest
from harness.suite.document import Document, read_document
from harness.suite.spec import FileModel

Loss = Literal["sigmoid", "hinge", "ipo"]


class Recipe(FileModel):
    """Everything a training run depends on. Defaults are LLaMA-Factory's where it has one."""

    model_config = ConfigDict(protected_namespaces=())  # model_name_or_path is the well-known name

    stage: Literal["sft", "dpo"]
    model_name_or_path: str = Field(description="Base model: a directory or a hub id.")
    adapter_name_or_path: str | None = Field(None, description="LoRA adapter to continue from.")
    dataset: tuple[str, ...] = Field(description="JSONL file or files in trl's conversational shapes.", min_length=1)
    output_dir: str = Field(description="Where the adapter (or the model, with finetuning_type full) is written.")

    finetuning_type: Literal["lora", "full"] = "lora"
    lora_rank: int = Field(8, ge=1)
    lora_alpha: int | None = Field(None, ge=1, description="Default: twice the rank.")
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    lora_target: tuple[str, ...] = Field(("all",), min_length=1, description="`all` linear layers, or module names.")
    use_rslora: bool = False

    cutoff_len: int = Field(2048, ge=8, description="Tokens; longer rows are cut at the end.")
    val_size: float = Field(0.0, ge=0, description="Rows held out for eval_loss: a share below 1, or a count.")
    max_samples: int | None = Field(None, ge=1, description="Take only the first rows of the data.")
    packing: bool = False

    per_device_train_batch_size: int = Field(1, ge=1)
    gradient_accumulation_steps: int = Field(8, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    num_train_epochs: float = Field(3.0, gt=0)
    max_steps: int = Field(-1, ge=-1, description="Stop after this many steps, -1: after the epochs.")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    bf16: bool = False
    gradient_checkpointing: bool = False
    seed: int = Field(42, ge=0)

    pref_beta: float = Field(0.1, gt=0, description="DPO's beta.")
    pref_ftx: float = Field(0.0, ge=0, description="Weight of the chosen answer's SFT loss added to DPO's.")
    pref_loss: Loss = "sigmoid"
    dpo_label_smoothing: float = Field(0.0, ge=0, lt=0.5)

    logging_steps: int = Field(10, ge=1)
    save_strategy: Literal["no", "steps", "epoch"] = "no"
    save_steps: int = Field(500, ge=1)
    save_total_limit: int | None = Field(None, ge=1)
    resume: bool = Field(False, description="Continue from the last checkpoint in output_dir, if there is one.")

    @field_validator("dataset", "lora_target", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Accept one name, a list, or LLaMA-Factory's comma-separated string."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if self.finetuning_type == "full" and self.adapter_name_or_path:
            raise ValueError("finetuning_type full cannot continue an adapter_name_or_path")
        if self.stage == "dpo" and self.packing:
            raise ValueError("packing works with stage sft only")
        if self.stage == "sft" and self.pref_ftx:
            raise ValueError("pref_ftx works with stage dpo only")
        return self

    @property
    def alpha(self) -> int:
        """LoRA alpha as used: the default is twice the rank."""
        return self.lora_alpha if self.lora_alpha is not None else 2 * self.lora_rank

    def with_(self, **changes: Any) -> Recipe:
        """The same recipe with some values replaced, checked again."""
        return Recipe.model_validate({**self.model_dump(), **changes})


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe; raises SuiteError with every fault of the file."""
    path = Path(path)
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise SuiteError([Fault(document.where(), "a recipe is a mapping of names to values", "write `stage: sft` and so on")])
    faults = list(document.faults)
    try:
        recipe = Recipe.model_validate(document.data)
    except ValidationError as error:
        found = [_fault(document, dict(detail)) for detail in error.errors(include_url=False)]
        raise SuiteError([*faults, *dict.fromkeys(found)]) from None
    if faults:
        raise SuiteError(faults)
    return recipe.with_(
        model_name_or_path=_beside(path, recipe.model_name_or_path, is_hub_id=True),
        adapter_name_or_path=recipe.adapter_name_or_path and _beside(path, recipe.adapter_name_or_path, is_hub_id=True),
        dataset=tuple(_beside(path, name) for name in recipe.dataset),
    )


def _fault(document: Document, error: dict[str, Any]) -> Fault:
    """A pydantic error as a fault for people."""
    key = str(error["loc"][0]) if error["loc"] else ""
    where = document.where((key,))
    if error["type"] == "extra_forbidden":
        return Fault(where, f"unknown key {key!r}", nearest(key, sorted(Recipe.model_fields)))
    if error["type"] == "missing":
        return Fault(where, f"the key {key!r} is missing", f"add a line `{key}: ...`")
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return Fault(where, f"{key}: {message}" if key else message)


def _beside(path: Path, name: str, *, is_hub_id: bool = False) -> str:
    """A path in a recipe is relative to the recipe. A model name that is no directory there may be a hub id: left as it is."""
    found = (path.parent / Path(name).expanduser()).resolve()
    looks_local = name.startswith((".", "/", "~")) or not is_hub_id
    return str(found) if looks_local or found.exists() else name
