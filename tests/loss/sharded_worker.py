"""One of two processes that share the weights of an encoder by FSDP2: the loss and gradient, written by the first."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from loss_batches import features_of, sharded_cases
from tiny import make_encoder
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from clear_ir import used_vocabulary

torch.distributed.init_process_group("gloo")
rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
mesh = init_device_mesh("cpu", (world,))
outcomes = {}
for name, (texts, loss_class, options, used) in sharded_cases().items():
    encoder = make_encoder()
    loss = loss_class(encoder, gather_across_devices=True, **options)
    columns = {str(number): column for number, column in enumerate(texts)}
    with used_vocabulary(encoder, columns) if used else nullcontext():
        for layer in encoder.transformers_model.encoder.layer:
            fully_shard(layer, mesh=mesh)
        fully_shard(encoder, mesh=mesh)
        value = loss(features_of(encoder, [column[rank * 4 : rank * 4 + 4] for column in texts]))
        value.backward()
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        gradient = [p.grad.full_tensor().flatten() for p in encoder.parameters() if p.grad is not None]
        outcomes[name] = [total.item() / world, torch.cat(gradient).tolist()]
if rank == 0:
    Path(sys.argv[1]).write_text(json.dumps(outcomes))
torch.distributed.barrier()  # none leaves while another still talks to it
torch.distributed.destroy_process_group()
