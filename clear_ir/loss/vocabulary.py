"""Train only the rows of the embedding table that the texts use: the same training with less memory and time.

The table of a multilingual encoder has 250,000 rows and more, one for each piece of its vocabulary. A row that is
never looked up gets no gradient, and AdamW without weight decay does not move it. So the rows in use become the
parameter, and the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers.sentence_transformer.modules import Router
from torch import Tensor, nn
from torch.func import functional_call

from clear_ir.loss.sharding import gathered

#: Texts that are tokenized at once.
_TEXTS_AT_ONCE = 1024


class UsedRows(nn.Module):
    """An embedding table of which some rows are trained. It takes the place of the table in the encoder.

    Its parameter `weight` has only these rows. Pieces of the other rows are looked up too, but not with gradients. In
    the `state_dict` its weight is the whole table, so a saved encoder is an ordinary one, and can be loaded into this.

    Args:
        table: The table of the encoder. Its weight is changed when this module's `state_dict` is taken.
        used: The rows to train, shape (num_used,), sorted.
    """

    whole: Tensor
    used: Tensor
    row_of: Tensor

    def __init__(self, table: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        self._table = [table]  # in a list, so that its weight is no parameter of this module
        self.num_embeddings, self.embedding_dim = table.num_embeddings, table.embedding_dim
        whole = table.weight.detach()
        self.weight = nn.Parameter(whole[used].clone())
        self.register_buffer("whole", whole, persistent=False)
        self.register_buffer("used", used, persistent=False)
        row_of = torch.full((len(whole),), -1, dtype=torch.int64, device=whole.device)
        row_of[used] = torch.arange(len(used), device=whole.device)
        #: For each piece its row in `weight`, or -1.
        self.register_buffer("row_of", row_of, persistent=False)
        padding = table.padding_idx
        #: The row of the padding, which gets no gradient; None if the table has none, or it is not used.
        self.padding_idx = None if padding is None or row_of[padding] < 0 else int(row_of[padding])
        self._sparse = False

    def forward(self, input_ids: Tensor) -> Tensor:
        """The embeddings of pieces, as the table gives them.

        Args:
            input_ids: Pieces, of any shape.

        Returns:
            The embeddings, shape (*input_ids.shape, embedding_dim).

        Raises:
            RuntimeError: If gradients are asked for and a piece is not among the rows that are trained.
        """
        if self._sparse:
            self.shorten_gradient()
        rows = self.row_of[input_ids]
        others = rows < 0
        if not others.any():
            return self._look_up(self.weight, rows, self.padding_idx)
        if torch.is_grad_enabled() and self.weight.requires_grad:
            piece = int(input_ids[others][0])
            raise RuntimeError(
                f"A text has the piece {piece}, which is not in the vocabulary of the texts that used_vocabulary was "
                "given. Give it all texts to train on, with their prompts."
            )
        embeddings = self._look_up(self.weight, rows.clamp_min(0), self.padding_idx)
        return torch.where(others[..., None], self._look_up(self.whole, input_ids, None), embeddings)

    def _look_up(self, weight: Tensor, rows: Tensor, padding: int | None) -> Tensor:
        """As the table does it, which may also scale."""
        table = self._table[0]
        kept = table.padding_idx, table.sparse
        table.padding_idx, table.sparse = padding, self._sparse
        try:
            embeddings: Tensor = functional_call(table, {"weight": weight}, (rows,))
        finally:
            table.padding_idx, table.sparse = kept
        return embeddings

    @contextmanager
    def sparse_gradients(self) -> Iterator[None]:
        """Within the block, back-propagation adds only the rows that were looked up; after it the gradient is dense.

        The gradient cache back-propagates often: a dense gradient each time would be most of the work.
        """
        self._sparse = True
        try:
            yield
        finally:
            self._sparse = False
            gradient = self.weight.grad
            if gradient is not None and gradient.is_sparse:
                self.weight.grad = gradient.to_dense()

    def shorten_gradient(self) -> None:
        """Add up what a sparse gradient has for one row several times, if that saves memory."""
        gradient = self.weight.grad
        if gradient is not None and gradient.is_sparse and gradient._nnz() > len(self.weight):
            self.weight.grad = gradient.coalesce()

    def restore(self) -> nn.Embedding:
        """Write the trained rows into the table.

        Returns:
            The table, with its whole weight as the parameter again.
        """
        table = self._table[0]
        table.weight.data = self._whole()
        table.weight.grad = None
        return table

    @torch.no_grad()
    def _whole(self) -> Tensor:
        """The whole table, with the rows as they are now."""
        self.whole[self.used] = gathered(self.weight).to(self.whole.dtype)
        return self.whole

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[prefix + "weight"] = self._whole()

    @torch.no_grad()
    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + "weight"
        if key not in state_dict:
            missing_keys.append(key)
        elif state_dict[key].shape != self.whole.shape:
            error_msgs.append(f"{key} has shape {tuple(state_dict[key].shape)}, not {tuple(self.whole.shape)}")
        else:
            self.whole.copy_(state_dict[key])
            self.weight.copy_(self.whole[self.used])


@contextmanager
def used_vocabulary(
    model: nn.Module, dataset: Any, prompts: Mapping[str, str] | None = None, weight_decay: float = 0.0
) -> Iterator[str]:
    """Within the block, train only those rows of an encoder's embedding table that the texts of a data set use.

    Gradients, their norm and the trained weights are those of ordinary training, up to the order of additions. The
    other rows stay bit for bit what they are. Gradient, optimizer state and update of the table shrink to the rows in
    use. Checkpoints, and the encoder after the block, have the ordinary table. Make loss and trainer inside the block.

    Nothing is changed where this would not be exact: with weight decay, with a table that another part of the encoder
    shares (tied weights), with a table within a router, or without a table to train, as with a LoRA adapter.

    Args:
        model: A `SentenceTransformer`.
        dataset: The texts to train on: a `datasets.Dataset`, or columns of texts by name.
        prompts: The prompt of each column that has one, as the trainer's arguments take it.
        weight_decay: Weight decay of the optimizer.

    Yields:
        A sentence that says how many rows are trained, or why all are; empty if there is no table to train.

    Example:
        ::

            with used_vocabulary(model, dataset):
                trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=CLEARLoss(model))
                trainer.train()
    """
    places = _tables(model)
    table = getattr(*places[0]) if places else None
    if table is None or not table.weight.requires_grad:
        yield ""
        return
    if obstacle := _obstacle(model, table, places, weight_decay):
        yield f"All {table.num_embeddings:,} rows of the embedding table are trained: {obstacle}."
        return
    used = _used_pieces(model, dataset, prompts or {}, table.num_embeddings).to(table.weight.device)
    rows = UsedRows(table, used)
    parent, name = places[0]
    setattr(parent, name, rows)
    try:
        yield (
            f"{len(used):,} of {table.num_embeddings:,} rows of the embedding table are trained, those that the texts "
            "use."
        )
    finally:
        setattr(parent, name, rows.restore())


def used_rows_of(model: nn.Module) -> list[UsedRows]:
    """The tables of an encoder of which only some rows are trained."""
    return [module for module in model.modules() if isinstance(module, UsedRows)]


def table_parameters(model: nn.Module) -> list[str]:
    """The names of the parameters that are an encoder's embedding tables of pieces, of those that are trained."""
    encoders = (module for module in model.modules() if hasattr(module, "get_input_embeddings"))
    tables = [encoder.get_input_embeddings() for encoder in encoders]  # type: ignore[operator]
    weights = {id(table.weight) for table in tables if isinstance(table, nn.Embedding | UsedRows)}
    return [name for name, weight in model.named_parameters() if id(weight) in weights and weight.requires_grad]


def _tables(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Where the encoder's embedding table of pieces is: the modules that hold it, and its name in each."""
    encoder = next((module for module in model.modules() if hasattr(module, "get_input_embeddings")), None)
    table = encoder.get_input_embeddings() if encoder is not None else None  # type: ignore[operator]
    if not isinstance(table, nn.Embedding):
        return []
    return [(parent, name) for parent in model.modules() for name, child in parent.named_children() if child is table]


def _obstacle(model: nn.Module, table: nn.Embedding, places: list[Any], weight_decay: float) -> str:
    """Why training only the rows in use would not be exact; empty if it is."""
    routers = (module for module in model.modules() if isinstance(module, Router))
    if any(part is table for router in routers for part in router.modules()):
        return "the encoder has routes, each with a table of its own"
    names = [name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter is table.weight]
    if len(places) > 1 or len(names) > 1:
        return "another part of the encoder shares it"
    if weight_decay:
        return "weight decay moves the rows that no text uses, too"
    if table.max_norm is not None or table.scale_grad_by_freq or table.sparse:
        return "it has options of its own"
    return ""


def _used_pieces(model: Any, dataset: Any, prompts: Mapping[str, str], num_pieces: int) -> Tensor:
    """The pieces of all texts with their prompts, and the special ones, sorted."""
    columns = getattr(dataset, "column_names", None) or list(dataset)
    by_prompt: dict[str, dict[str, None]] = {}
    for column in columns:
        texts = dataset[column]
        if len(texts) and isinstance(texts[0], str):
            by_prompt.setdefault(prompts.get(column, ""), {}).update(dict.fromkeys(texts))
    seen = torch.zeros(num_pieces, dtype=torch.bool)
    seen[torch.tensor(model.tokenizer.all_special_ids, dtype=torch.int64)] = True
    for prompt, distinct in by_prompt.items():
        for features in tokenized(model, sorted(distinct, key=len, reverse=True), prompt):  # with little padding
            seen[features["input_ids"].flatten().cpu()] = True
    return seen.nonzero().flatten()


def tokenized(model: Any, texts: Sequence[str], prompt: str) -> Iterator[dict[str, Any]]:
    """Texts as training tokenizes them, some at a time.

    Args:
        model: A `SentenceTransformer`.
        texts: The texts.
        prompt: The prompt before each; empty for none.

    Yields:
        The features of the next texts, in their order.
    """
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        yield model.preprocess(list(texts[begin : begin + _TEXTS_AT_ONCE]), prompt=prompt or None)
