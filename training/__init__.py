"""Training of the next checkpoint: LoRA SFT and DPO on trl + peft, from a recipe. torch is imported when training starts."""

from training.recipe import Recipe, load_recipe
from training.result import TrainingResult
from training.run import train

__all__ = ["Recipe", "TrainingResult", "load_recipe", "train"]
