"""What a CUDA graph does, on the CPU: operations are recorded and repeated on the same memory.

Numbers that Python had in its hands at the time stay what they were, memory isn't moved, and
nothing may be waited for. Our kernels for the CPU, which PyTorch doesn't see, aren't recorded.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal")


def place(tensor):
    """Where a tensor's memory is."""
    return tensor.untyped_storage().data_ptr()


def tensors(values):
    """All tensors in what an operation takes or gives."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


class Recording(TorchDispatchMode):
    """The operations of a block, and the memory as it was before it."""

    def __init__(self):
        super().__init__()
        self.operations, self.before, self.made = [], {}, set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = operation.overloadpacket.__name__
        assert name not in WAITS, f"{name}: a graph can't be recorded where it is waited for"
        read = tensors((args, kwargs))
        for tensor in read:
            if place(tensor) not in self.made | self.before.keys():
                storage = tensor.untyped_storage()
                self.before[place(tensor)] = storage, storage.clone()
        results = operation(*args, **kwargs)
        own = set(map(place, read))
        fresh = [tensor for tensor in tensors(results) if place(tensor) not in own]
        self.made |= set(map(place, fresh))
        self.operations.append((operation, args, kwargs, [r.detach() for r in fresh]))
        return results

    @torch.no_grad()
    def replay(self):
        """The same operations once more, their results where they were."""
        for operation, args, kwargs, fresh in self.operations:
            known = set(map(place, tensors((args, kwargs))))
            results = operation(*args, **kwargs)
            again = [tensor for tensor in tensors(results) if place(tensor) not in known]
            for old, new in zip(fresh, again, strict=True):
                old.copy_(new)


def record(function):
    """`capture_on_gpu`, on the CPU: memory is as it was, once all is recorded."""
    with Recording() as recording:
        function()
    for storage, before in recording.before.values():
        storage.copy_(before)
    return recording.replay
