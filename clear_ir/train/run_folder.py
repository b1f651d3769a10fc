"""The folder of an unfinished run of training, `OUT.partial`, with its recipe and its checkpoints.

A run is resumed from there. The folder `OUT` appears when the model is complete.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clear_ir.data.files import InputError
from clear_ir.data.output_files import beside, hold_output, new_folder, write_text
from clear_ir.train.processes import num_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The file that marks a model folder as made by `clear-ir train`.
RECIPE_FILE = "recipe.yaml"


class RunFolder:
    """The folder of an unfinished run.

    Args:
        out: The model folder to make.
        recipe: The recipe of the run, as YAML.
    """

    def __init__(self, out: Path, recipe: str) -> None:
        self.out, self.recipe = out, recipe
        self.path = beside(out, "partial")
        self.checkpoints = self.path / "checkpoints"
        #: The distilled encoder.
        self.distilled = self.path / "distilled"

    @contextmanager
    def open(self, resume: bool, overwrite: bool) -> Iterator[None]:
        """Begin a run, or continue an interrupted one that has the same recipe. No other run may write there meanwhile.

        If the block fails, the folder is removed, unless there is something to resume from.

        Args:
            resume: Continue an interrupted run.
            overwrite: Replace an earlier model and an interrupted run.

        Raises:
            InputError: If the output folder is taken, there is no run to resume, or its recipe is another one.
        """
        finished = (self.out / RECIPE_FILE).exists() and not (self.path / RECIPE_FILE).exists()
        if resume and finished and not overwrite:
            raise InputError(
                f"The run in {self.out} is finished, so there is nothing to resume; use the model, or give another "
                "output folder.",
                "out",
            )
        with hold_output(self.out, RECIPE_FILE, overwrite):
            self._begin(resume, overwrite)
            try:
                yield
            except BaseException:
                if not self.resumable:
                    shutil.rmtree(self.path, ignore_errors=True)
                raise

    def _begin(self, resume: bool, overwrite: bool) -> None:
        saved = self.path / RECIPE_FILE
        if not resume:
            if self.resumable and not overwrite:
                raise InputError(
                    f"An interrupted run is in {self.path}; resume it, or overwrite it to start again.",
                    "resume",
                    "overwrite",
                )
            with new_folder(self.path, RECIPE_FILE, overwrite=True) as folder:
                write_text(folder / RECIPE_FILE, self.recipe)
        elif not saved.exists():
            raise InputError(f"There is no interrupted run in {self.path} to resume; start a new one.")
        elif saved.read_text(encoding="utf-8") != self.recipe:
            raise InputError(
                f"The interrupted run in {self.path} has other settings or rows (see {saved.name} there); use the same "
                "to resume it."
            )

    @property
    def resumable(self) -> bool:
        """Whether an interrupted run left something to resume from."""
        return self.last_checkpoint() is not None or self.distilled.exists()

    def last_checkpoint(self) -> Path | None:
        """The last complete checkpoint, if there is one."""
        # The trainer writes its state last. A checkpoint without it is incomplete: the run was killed while writing. Of
        # several processes, each has written the state of its random numbers at some time before or after that.
        states = self.checkpoints.glob("checkpoint-*/trainer_state.json")
        written = [path.parent for path in states if _is_json(path)]
        complete = [path for path in written if len(list(path.glob("rng_state*.pth"))) >= num_processes()]
        return max(complete, key=lambda path: int(path.name.split("-")[1]), default=None)


def _is_json(path: Path) -> bool:
    """Whether a file holds JSON to its end: one that was being written when its process was killed does not."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True
