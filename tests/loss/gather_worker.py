"""One of two processes: the loss and gradient over both processes' rows, printed by the first."""

import json
import sys
from pathlib import Path

import torch
from loss_batches import features_of, make_texts
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
if rank == 0:
    Path(sys.argv[1]).write_text(json.dumps(outcomes))
torch.distributed.destroy_process_group()
