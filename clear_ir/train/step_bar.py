"""One progress bar over the training steps, with the loss, the rate and the remaining time."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback


class StepBar(TrainerCallback):
    """Replaces the trainer's own output, which prints a dictionary a step.

    Args:
        label: What the bar says is done.
    """

    def __init__(self, label: str = "Training") -> None:
        self.label = label
        self.bar: tqdm | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar, at the step that a resumed run starts from."""
        if state.is_world_process_zero:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.label, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move on to the step."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Show the last loss and the last dev score."""
        if self.bar is not None and logs:
            names = {"loss": "loss", "eval_cross_lingual_nDCG@10": "dev nDCG@10"}
            shown = {label: f"{float(logs[name]):.3g}" for name, label in names.items() if name in logs}
            if shown:
                self.bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
