"""Encode on workers of Ray: on every GPU or core of a machine, or of all machines of a cluster.

A batch is a task of Ray, which runs it where a worker is free, and once more elsewhere if that worker or its machine
dies. Not actors: one that died with its machine waits for a free place, and the batches that it was given with it. A
worker keeps the encoder from one task to the next, as an actor would.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clear_ir.data.files import InputError, reason_of
from clear_ir.encode.backends import Precision, cut_batches, cut_lengths, encode_batch
from clear_ir.encode.model_loading import Side, weights_hash

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: A batch whose worker died so often is given up: it may be the batch that ends its worker.
MAX_RETRIES = 10
#: Texts whose tokens are counted by one task.
COUNTED_TEXTS = 4096
#: Tasks that wait or run at the same time, for each worker and at least. The rest of the texts stays with the driver.
TASKS_PER_WORKER, MIN_TASKS = 4, 64

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayWorkers:
    """Encodes on workers of Ray, see `clear_ir.encode.backends.Backend`.

    The batches are those of one process, so vectors are equal bit for bit where device and number of threads are. A
    worker on a CPU has one thread. Ray is connected to, or started, with the first texts, and ends with the process.

    Args:
        batch_size: Texts per batch, see `clear_ir.encode.backends.InProcess`.
        address: Of a running cluster, whose machines have this version of clear-ir. None: `$RAY_ADDRESS` if it is set,
            else Ray is started here.

    Raises:
        InputError: If Ray is not installed.
    """

    batch_size: int | None = None
    address: str | None = None
    #: The encoder that was sent last, by a key that no other has.
    _sent: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("Ray is not installed; run: pip install 'clear-ir[ray]'", "ray")

    def encode(
        self, model: SentenceTransformer, texts: Sequence[str], side: Side, precision: Precision
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """See `clear_ir.encode.backends.Backend`.

        Raises:
            InputError: If Ray cannot be used, the encoder cannot be sent, or a batch fails.
        """
        connect(self.address)
        device, num_workers = _workers()
        key = self._send(model)

        def run(function: Callable[..., Any], calls: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
            resources = {"num_cpus": 1, "num_gpus": int(device == "cuda")}
            return _results(function, (key, [self._sent[key]]), calls, resources, num_workers)

        lengths = np.zeros(len(texts), np.int64)
        blocks = ((begin, list(texts[begin : begin + COUNTED_TEXTS])) for begin in range(0, len(texts), COUNTED_TEXTS))
        for (begin, block), counted in run(_count, blocks):
            lengths[begin : begin + len(block)] = counted
        batches = cut_batches(texts, lengths.tolist(), device, self.batch_size)
        for (batch, *_), vectors in run(_encode, ((batch, side, precision) for batch in batches)):
            yield batch, vectors

    def _send(self, model: SentenceTransformer) -> str:
        """Put an encoder where workers find it; gives its key."""
        import ray
        from ray import cloudpickle

        key = f"{ray.get_runtime_context().get_job_id()} {weights_hash(model)}"
        if key not in self._sent:
            self._sent.clear()
            device = model.device
            if remote_code := sys.modules.get("transformers_modules"):
                # Workers cannot import what came with a model from the hub, so they get it with the encoder.
                cloudpickle.register_pickle_by_value(remote_code)
            try:
                # A worker may have no GPU, or another one.
                self._sent[key] = ray.put(model.to("cpu"))
            except Exception as error:  # whatever the modules of an encoder raise when they are pickled
                raise InputError(
                    f"The encoder cannot be sent to workers of Ray ({reason_of(error)}); encode without Ray.", "ray"
                ) from error
            finally:
                model.to(device)
        return key


def connect(address: str | None) -> None:
    """Connect to a Ray cluster, or start Ray on this machine. If this process uses Ray already, nothing happens.

    What is started here has no dashboard and sends no statistics of use. It listens on all addresses of the machine,
    but takes no commands without a token that only this process and its workers know.

    Args:
        address: See `RayWorkers`.

    Raises:
        InputError: If there is no such cluster, or it has another version of Ray or Python.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    # Ray reads these when it is imported.
    if not address and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would hide GPUs from tasks that ask for none, and warn that it will not do so in future.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        host, _, port = (address or "").rpartition(":")
        if port.isdigit() and "/" not in host:  # not auto, nor the address of a Ray client
            # Ray itself would go on trying for a quarter of an hour.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as error:  # of many types
        where = f"reached at {address}" if address else "started on this machine"
        reason = reason_of(error).rstrip(".")
        if isinstance(error, ConnectionError) and not error.errno:  # something answers at the address
            reason += "; if the cluster asks for a token, set RAY_AUTH_MODE=token"
        raise InputError(f"Ray cannot be {where}: {reason}.", "ray_address" if address else "ray") from error
    device, num_workers = _workers()
    kind = "GPU" if device == "cuda" else "core"
    logger.warning(
        "ray: workers: %d, one for each %s; machines: %d", num_workers, kind, sum(node["Alive"] for node in ray.nodes())
    )


def _workers() -> tuple[str, int]:
    """The type of device of the workers, and how many there can be.

    Raises:
        InputError: If there can be none.
    """
    import ray

    resources = ray.cluster_resources()
    device = "cuda" if resources.get("GPU") else "cpu"
    num_workers = int(resources.get("GPU") or resources.get("CPU") or 0)
    if not num_workers:
        raise InputError("The Ray cluster has no GPU and no core yet; wait until its machines have joined.", "ray")
    return device, num_workers


def _results(
    function: Callable[..., Any],
    encoder: tuple[str, list[Any]],
    calls: Iterator[tuple[Any, ...]],
    resources: dict[str, int],
    num_workers: int,
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Call a function on workers; gives the arguments and the result of each call, in any order."""
    import ray

    # Without max_calls a worker with a GPU would end, and forget the encoder, after each task.
    options: dict[str, Any] = {"max_retries": MAX_RETRIES, "max_calls": 0, **resources}
    remote: Any = ray.remote(**options)(function)
    running: dict[Any, tuple[Any, ...]] = {}
    most = max(MIN_TASKS, TASKS_PER_WORKER * num_workers)
    try:
        for call in calls:
            running[remote.remote(*encoder, *call)] = call
            if len(running) == most:
                yield _next_result(running)
        while running:
            yield _next_result(running)
    finally:
        for task in running:  # if the caller stops early
            ray.cancel(task)


def _next_result(running: dict[Any, tuple[Any, ...]]) -> tuple[tuple[Any, ...], Any]:
    import ray

    [done], _ = ray.wait(list(running))
    try:
        result = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from error
        raise InputError(f"A worker of Ray failed: {reason_of(error.cause)}", "ray") from error
    except ray.exceptions.RayError as error:
        raise InputError(
            f"A batch was given up after {MAX_RETRIES} retries; if memory ran out, use a smaller batch size. Ray says: "
            f"{reason_of(error)}",
            "batch_size",
        ) from error
    return running.pop(done), result


#: The encoder of this worker, by its key. Only one: a second may not fit into memory.
_encoders: dict[str, SentenceTransformer] = {}


def _encoder(key: str, sent: list[Any]) -> SentenceTransformer:
    import ray

    if key not in _encoders:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each core has a worker
        _encoders.clear()
        model: SentenceTransformer = ray.get(sent[0])
        _encoders[key] = model.to("cuda") if ray.get_gpu_ids() else model
    return _encoders[key]


def _count(key: str, sent: list[Any], begin: int, block: list[str]) -> list[int]:
    """A task: the lengths of texts in tokens."""
    return cut_lengths(_encoder(key, sent), block)


def _encode(key: str, sent: list[Any], batch: list[str], side: Side, precision: Precision) -> np.ndarray:
    """A task: the vectors of a batch."""
    return encode_batch(_encoder(key, sent), batch, side, precision)
