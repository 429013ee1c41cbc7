"""Put on PYTHONPATH, shards weights on the CPU where Accelerate is asked for FSDP, which it leaves out there, unsaid.

What is not of the CPU stays as it is: FSDP 2 is PyTorch's own, over gloo.
"""

import os

if os.environ.get("ACCELERATE_USE_FSDP") == "true" and "RANK" in os.environ:
    from accelerate import state
    from accelerate.utils import DistributedType

    made = state.PartialState.__init__

    def init(self, *args, **kwargs):
        made(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU  # of which Accelerate then makes FSDP

    state.PartialState.__init__ = init
