"""One of two processes: the loss and gradient over both processes' rows, printed by the first."""

import json
import sys
from pathlib import Path

import torch
from loss_batches import features_of, fixed_passages, make_texts
from tiny import make_encoder
from torch.nn.parallel import DistributedDataParallel

from clear_ir import CachedCLEARLoss, CLEARLoss

torch.distributed.init_process_group("gloo")
rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
texts = make_texts(2, rows=8)
texts[2][6] = texts[1][1]  # a duplicate across the processes
texts[2][1] = texts[3][2] = texts[1][0]  # and some within the first, which then has fewer distinct texts
mine = [column[rank * 4 : rank * 4 + 4] for column in texts]
outcomes = {}
for name, gather, options in (
    ("plain", True, None), ("cached", True, {"mini_batch_size": 3}), ("apart", False, None),
):  # fmt: skip
    encoder = make_encoder()
    loss_class, more = (CLEARLoss, {}) if options is None else (CachedCLEARLoss, options)
    loss = loss_class(encoder, gamma=0.1, gather_across_devices=gather, **more)
    # As the trainer does it: the unused pooler of BERT has no gradient to wait for.
    loss.model = DistributedDataParallel(encoder, find_unused_parameters=True)
    value = loss(features_of(encoder, mine))
    value.backward()
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    gradient = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
    outcomes[name] = [total.item() / world, gradient.tolist()]
# Fixed passages: the same draw of candidates in both.
for name, loss_class, more in (
    ("fixed", CLEARLoss, {}),
    ("fixed-cached", CachedCLEARLoss, {"mini_batch_size": 3}),
    ("soft", CLEARLoss, {"soft_labels": 0.4}),
    ("soft-cached", CachedCLEARLoss, {"mini_batch_size": 3, "soft_labels": 0.4}),
):
    encoder = make_encoder()
    loss = loss_class(encoder, gather_across_devices=True, **fixed_passages(encoder, texts), **more)
    loss.model = DistributedDataParallel(encoder, find_unused_parameters=True)
    value = loss(features_of(encoder, mine))
    value.backward()
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    gradient = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
    outcomes[name] = [total.item() / world, gradient.tolist()]
# The first process has so few distinct texts that one mini-batch holds them. It must still exchange gradients where the
# other does: without a search for unused parameters, DDP exchanges its buckets at the beginning of the second step.
encoder = make_encoder()
encoder[0].auto_model.pooler.requires_grad_(False)
loss = CachedCLEARLoss(encoder, gather_across_devices=True, mini_batch_num_tokens=120)
loss.model = DistributedDataParallel(encoder, find_unused_parameters=False)
few = [[column[0]] * len(column) for column in mine] if rank == 0 else mine
features = features_of(encoder, few)
sizes = [None] * world
parts = loss._mini_batches(loss._pack(list(features)).packed)[0]
torch.distributed.all_gather_object(sizes, len(parts))
steps = []
for _ in range(3):
    encoder.zero_grad()
    loss(features).backward()
    steps.append(encoder[0].auto_model.embeddings.word_embeddings.weight.grad.norm().item())
outcomes["few"] = [sizes, steps]
if rank == 0:
    Path(sys.argv[1]).write_text(json.dumps(outcomes))
del loss  # with the threads of DistributedDataParallel
torch.distributed.barrier()  # none leaves while another still talks to it
torch.distributed.destroy_process_group()
