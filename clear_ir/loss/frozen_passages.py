"""Passages that are embedded once and never trained: all of them are candidates, in bounded memory.

The softmax of a query over a million passages is computed in blocks: its normalisation and its gradient need each block
of scores once, and no matrix of all scores is ever held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clear_ir.loss.same_passages import SamePassages

#: Scores in memory at once. A row of the batch has one for each passage or query.
SCORES_AT_ONCE = 2**20
#: On a GPU, passages of up to so many bytes are kept there; of more, each block is brought there when it is needed.
BYTES_ON_DEVICE = 2**31


class FrozenPassages:
    """The embeddings of passages, by the key of the passage.

    Args:
        keys: Keys of the passages, shape (num_passages,), int64; each once.
        vectors: Their embeddings, shape (num_passages, dim). They may lie in a file that is mapped into memory.
        known_pairs: Keys of queries and keys of passages, each of shape (num_pairs,): the pairs in which the passage is
            known to answer the query. None: those of the batch.
        cosine: Compare by cosine; else by dot product.
        num_candidates: Candidates of a step beside the passages of its batch, drawn anew for each batch. None: all.
        seed: Seed of the draw.
        same: Which passages are translations of each other: all of them answer what one of them is known to answer.
            None: none.

    Raises:
        ValueError: If keys and vectors do not fit together, or a key is there twice.
    """

    def __init__(
        self,
        keys: Tensor,
        vectors: Tensor,
        known_pairs: tuple[Tensor, Tensor] | None = None,
        *,
        cosine: bool = True,
        num_candidates: int | None = None,
        seed: int = 0,
        same: SamePassages | None = None,
    ) -> None:
        self._keys, self._order = keys.cpu().sort()
        if len(keys) != len(vectors) or not len(keys):
            raise ValueError(
                f"There are {len(keys)} keys of passages and {len(vectors)} embeddings; give one for each."
            )
        if (self._keys[1:] == self._keys[:-1]).any():
            raise ValueError("A passage is given twice; give each key once, with its embedding.")
        self._vectors, self._cosine = vectors, cosine
        self._lengths: dict[int, Tensor] = {}
        self._shared = None if same is None else same.shared_keys(keys.cpu())
        self._versions = None if self._shared is None else _Pairs(self._shared, torch.arange(len(keys)))
        self._originals: tuple[Tensor, Tensor] | None = None
        self._pairs = None if known_pairs is None else self._known(known_pairs[0], self.numbers_of(known_pairs[1]))
        self._num_candidates, self._seed = num_candidates, seed

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._vectors)

    def numbers_of(self, keys: Tensor) -> Tensor:
        """The numbers of passages, on the CPU.

        Args:
            keys: Their keys, of any shape.

        Raises:
            ValueError: If there is no such passage.
        """
        keys = keys.cpu()
        places = torch.searchsorted(self._keys, keys).clamp_max(len(self._keys) - 1)
        if not torch.equal(self._keys[places], keys):
            raise ValueError(
                "A passage of a row has no embedding in passage_embeddings; give those of all passages of the rows, "
                "positives and negatives."
            )
        return self._order[places]

    def vectors_of(self, numbers: Tensor | slice, like: Tensor) -> Tensor:
        """Embeddings of passages, with device, type and dimension of other embeddings.

        Args:
            numbers: Their numbers; a slice makes no copy where device and type are the same.
            like: Embeddings of queries, shape (any, dim). `MatryoshkaLoss` cuts them, so passages are cut too.
        """
        chosen = numbers if isinstance(numbers, slice) else numbers.to(self._vectors.device)
        return self._vectors[chosen, : like.shape[1]].to(like)

    def directions_of(self, queries: Tensor) -> Tensor:
        """Queries as they are compared: of length 1 for the cosine."""
        return torch.nn.functional.normalize(queries, dim=1) if self._cosine else queries

    def factors_of(self, numbers: Tensor | slice, like: Tensor, scale: float) -> Tensor | float:
        """What the dot products with passages are multiplied with: for the cosine, `scale` / the passage's length."""
        if not self._cosine:
            return scale
        dim = like.shape[1]
        if dim not in self._lengths:  # once, and not in each step
            parts = [part[:, :dim].norm(dim=1) for part in self._vectors.split(SCORES_AT_ONCE // dim or 1)]
            self._lengths[dim] = torch.cat(parts).clamp_min(1e-12)
        return scale / self._lengths[dim][numbers].to(like)

    def candidates(self, passage_keys: Tensor, query_keys: Sequence[Tensor], num_rows: int) -> Candidates:
        """The candidates of one batch. They depend on its passages alone, so all processes have the same.

        Args:
            passage_keys: Keys of its passages, the positives first, shape (num_texts,).
            query_keys: Keys of the rows' English queries, and of those in the target language. They count where the
                known pairs were not given.
            num_rows: Number of rows.
        """
        numbers = self.numbers_of(passage_keys)
        positives = numbers[:num_rows]
        pairs = self._pairs
        if pairs is None and query_keys:
            keys = torch.cat([side[:num_rows] for side in query_keys])
            pairs = self._known(keys, positives.repeat(len(query_keys)))
        chosen = None
        if self._num_candidates is not None and self._num_candidates < len(self):
            # A batch has its own draw, whenever it comes: a resumed run draws the same.
            generator = torch.Generator().manual_seed((int(numbers.sum()) * 0x9E3779B1 + self._seed) % 2**63)
            drawn = torch.randperm(len(self), generator=generator)[: self._num_candidates]
            chosen = torch.cat([numbers, drawn]).unique()
        return Candidates(self, chosen, positives, pairs)

    def versions_of(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Passages and all their translations, on the CPU.

        Args:
            numbers: The numbers of the passages, shape (count,).

        Returns:
            Places in `numbers`, and for each the number of one version; both of shape (num_versions,).
        """
        if self._shared is None or self._versions is None:
            return torch.arange(len(numbers)), numbers
        return self._versions.of(self._shared[numbers])

    def originals_of(self, numbers: Tensor | slice) -> tuple[Tensor | slice, Tensor | None]:
        """The passages of which passages are translations, on the CPU.

        Args:
            numbers: The numbers of passages.

        Returns:
            For each the number of the passage whose key it shares, itself where it shares none; and how many passages
            share it, None where no passage is a translation.

        Raises:
            ValueError: If a shared key is that of no passage.
        """
        if self._shared is None:
            return numbers, None
        if self._originals is None:  # once, and not in each step
            originals = self.numbers_of(self._shared)
            self._originals = originals, originals.bincount(minlength=len(self))[originals]
        return self._originals[0][numbers], self._originals[1][numbers]

    def _known(self, query_keys: Tensor, passages: Tensor) -> _Pairs:
        """Pairs of a query and a passage, also with the translations of the passage."""
        rows, versions = self.versions_of(passages)
        return _Pairs(query_keys.cpu()[rows], versions)

    def on_device(self, device: torch.device) -> None:
        """Keep the embeddings where the queries are, if there is room."""
        small = self._vectors.numel() * self._vectors.element_size() <= BYTES_ON_DEVICE
        if device.type != "cpu" and self._vectors.device != device and small:
            self._vectors = self._vectors.to(device)
            self._lengths.clear()


class _Pairs:
    """Pairs of a query and a passage that answers it, looked up by the query. Or of any other key and a passage."""

    def __init__(self, query_keys: Tensor, passages: Tensor) -> None:
        self._queries, order = query_keys.cpu().sort(stable=True)
        self._passages = passages.cpu()[order]

    def of(self, query_keys: Tensor) -> tuple[Tensor, Tensor]:
        """For queries, the rows and the passages of all their pairs: two tensors of shape (num_pairs,)."""
        keys = query_keys.cpu().contiguous()
        begins = torch.searchsorted(self._queries, keys)
        counts = torch.searchsorted(self._queries, keys, right=True) - begins
        rows = torch.arange(len(keys)).repeat_interleave(counts)
        # The number of each pair among those of its row, added to where the row's pairs begin.
        among = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        return rows, self._passages[begins[rows] + among]


@dataclass(frozen=True)
class Candidates:
    """The fixed passages that the queries of one batch choose from.

    Args:
        passages: All fixed passages.
        numbers: The numbers of the candidates among them, sorted; None if all are candidates.
        positives: For each row of the batch the number of its positive, shape (num_rows,).
        pairs: The known pairs.
    """

    passages: FrozenPassages
    numbers: Tensor | None
    positives: Tensor
    pairs: _Pairs | None

    def info_nce(
        self, queries: Tensor, keys: Tensor | None, rows: Tensor, scale: float, margin: float | None = None
    ) -> Tensor:
        """InfoNCE of queries over the candidates.

        Where the positive is there in several languages, the query is to find each of them: the mean of an InfoNCE for
        each version. Other versions, and passages that are known to answer a query, are left out, and with a margin
        likely ones as well.

        Args:
            queries: Embeddings of the queries of some rows, shape (chunk, dim).
            keys: Their keys, shape (chunk,). None leaves out none but the versions and the likely ones.
            rows: The numbers of these rows, shape (chunk,).
            scale: 1 / temperature.
            margin: See `clear_ir.loss.terms.margin_mask`.

        Returns:
            Shape (chunk,).
        """
        directions = self.passages.directions_of(queries)
        owners, versions = self.passages.versions_of(self.positives[rows.cpu()])
        of = owners.to(queries.device)
        products = (directions[of] * self.passages.vectors_of(versions, queries)).sum(dim=1)
        scores = products * self.passages.factors_of(versions, queries, scale)
        limits = None
        if margin is not None:
            best = scores.detach().new_full((len(queries),), -torch.inf)
            limits = best.scatter_reduce(0, of, scores.detach(), "amax") + scale * margin
        blocks = _Blocks(self, scale, self._left_out(keys, owners, versions), limits)
        others: Tensor = _LogSumExp.apply(directions, blocks)  # type: ignore[no-untyped-call]
        each = torch.logaddexp(others[of], scores) - scores
        count = owners.bincount(minlength=len(queries)).to(each)
        return each.new_zeros(len(queries)).index_add(0, of, each) / count

    def ranked(self, queries: Tensor, scale: float) -> Tensor:
        """The mean of the candidates as the frozen base ranks them: by the softmax of its scores.

        It reads of each passage the original, and all versions of a passage have equal parts of its share.

        Args:
            queries: What the base makes of some queries, shape (chunk, dim).
            scale: 1 / temperature.

        Returns:
            The mean of `scale` times the passages, each with the length 1 for the cosine; shape (chunk, dim).
        """
        blocks = _Blocks(self, scale, of_originals=True)
        with torch.no_grad():
            directions = self.passages.directions_of(queries)
            return blocks.expected(directions, blocks.log_sum(directions))

    def soft_info_nce(self, queries: Tensor, ranked: Tensor, scale: float) -> Tensor:
        """The cross-entropy of the softmax over the candidates with another one, the labels.

        So the candidates that the labels take for answers are no negatives, and nothing is left out.

        Args:
            queries: Embeddings of queries, shape (chunk, dim).
            ranked: What `ranked` gives, with the same scale: the mean score under the labels is that with the mean
                passage.
            scale: 1 / temperature.

        Returns:
            Shape (chunk,).
        """
        directions = self.passages.directions_of(queries)
        total: Tensor = _LogSumExp.apply(directions, _Blocks(self, scale))  # type: ignore[no-untyped-call]
        return total - (directions * ranked).sum(dim=1)

    def _left_out(self, keys: Tensor | None, owners: Tensor, versions: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and candidates of the known pairs and of the positives' versions, sorted by candidate."""
        rows, places = owners, versions
        if keys is not None and self.pairs is not None:
            known_rows, known = self.pairs.of(keys)
            rows, places = torch.cat([rows, known_rows]), torch.cat([places, known])
        if self.numbers is not None:
            wanted = places
            places = torch.searchsorted(self.numbers, wanted).clamp_max(len(self.numbers) - 1)
            drawn = self.numbers[places] == wanted
            rows, places = rows[drawn], places[drawn]
        order = places.argsort()
        return rows[order], places[order]


@dataclass(frozen=True)
class _Blocks:
    """The scores of queries with all candidates, some candidates at a time.

    Args:
        candidates: The candidates.
        scale: 1 / temperature.
        left_out: Rows and candidates of the pairs that are left out, sorted by candidate; None: none is.
        limits: By row, the score above which a candidate is left out; None: none is.
        of_originals: Each candidate has the score of its original, less the logarithm of the number of its versions.
    """

    candidates: Candidates
    scale: float
    left_out: tuple[Tensor, Tensor] | None = None
    limits: Tensor | None = None
    of_originals: bool = False

    def scores(self, queries: Tensor) -> Iterator[tuple[Tensor, Tensor | float, Tensor]]:
        """For each block the scores, the factors in them (see `FrozenPassages.factors_of`), and the embeddings."""
        passages, numbers = self.candidates.passages, self.candidates.numbers
        passages.on_device(queries.device)
        count = len(passages) if numbers is None else len(numbers)
        size = max(1, SCORES_AT_ONCE // len(queries))
        for begin in range(0, count, size):
            end = min(begin + size, count)
            chosen = slice(begin, end) if numbers is None else numbers[begin:end]
            vectors, factors = passages.vectors_of(chosen, queries), passages.factors_of(chosen, queries, self.scale)
            scores = self._of_originals(queries, chosen) if self.of_originals else queries @ vectors.T * factors
            if self.limits is not None:
                scores = scores.masked_fill(scores > self.limits[:, None], -torch.inf)
            if self.left_out is not None:
                rows, places = self.left_out
                first, last = torch.searchsorted(places, torch.tensor([begin, end])).tolist()
                scores[rows[first:last].to(scores.device), (places[first:last] - begin).to(scores.device)] = -torch.inf
            yield scores, factors, vectors

    def _of_originals(self, queries: Tensor, chosen: Tensor | slice) -> Tensor:
        passages = self.candidates.passages
        originals, versions = passages.originals_of(chosen)
        vectors = passages.vectors_of(originals, queries)
        scores = queries @ vectors.T * passages.factors_of(originals, queries, self.scale)
        return scores if versions is None else scores - versions.to(scores).log()

    def log_sum(self, queries: Tensor) -> Tensor:
        """The logarithm of the sum of the exponentials of each query's scores, shape (num_queries,)."""
        total = queries.new_full((len(queries),), -torch.inf)
        for scores, _, _ in self.scores(queries):
            total = torch.logaddexp(total, scores.logsumexp(dim=1))
        return total

    def expected(self, queries: Tensor, total: Tensor) -> Tensor:
        """The mean of the passages under the softmax of each query's scores, each times its factor.

        Args:
            queries: The queries, shape (num_queries, dim).
            total: Their `log_sum`.

        Returns:
            Shape (num_queries, dim).
        """
        summed = torch.zeros_like(queries)
        for scores, factors, vectors in self.scores(queries):
            shares = (scores - total[:, None]).exp_()
            summed.addmm_(shares * factors, vectors)
        return summed


class _LogSumExp(torch.autograd.Function):
    """`_Blocks.log_sum` with a gradient. The backward pass computes the scores again."""

    @staticmethod
    def forward(context: Any, queries: Tensor, blocks: _Blocks) -> Tensor:
        total = blocks.log_sum(queries)
        # Where no candidate is left the shares are to be 0, and not the difference of two infinities.
        context.save_for_backward(queries, total.masked_fill(total == -torch.inf, 0.0))
        context.blocks = blocks
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        queries, total = context.saved_tensors
        with torch.autocast(queries.device.type, enabled=False):
            return gradient[:, None] * context.blocks.expected(queries, total), None
