"""The bar over the steps of training."""

from __future__ import annotations

import math
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from clear_ir.data.files import InputError


class StepBar(TrainerCallback):
    """A bar over the training steps, with loss, rate and remaining time. It stops a run whose loss is no number.

    Args:
        label: The text before the bar.
    """

    def __init__(self, label: str = "Training") -> None:
        self.label = label
        self.bar: tqdm | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar at the first step; in a resumed run at the step of its checkpoint."""
        if state.is_world_process_zero:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.label, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar to the step."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Show the last loss and the last dev score.

        Raises:
            InputError: If the loss is no number, since nothing can be learned after that.
        """
        if logs and not math.isfinite(float(logs.get("loss", 0))):
            raise InputError(
                f"The loss is no number (NaN or infinite) at step {state.global_step}; lower the learning rate, use "
                "precision fp32, or check that the model's own vectors are numbers.",
                "learning_rate",
                "precision",
            )
        if self.bar is not None and logs:
            names = {"loss": "loss", "eval_cross_lingual_nDCG@10": "dev nDCG@10"}
            shown = {label: f"{float(logs[name]):.3g}" for name, label in names.items() if name in logs}
            if shown:
                self.bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
