"""Copies of models in which one input of the graph has another rank: ranks.py FROM TO PATTERN. Nothing of these need work, but each has to be
refused by a message."""
import glob
import os
import sys

import onnx

source, target, pattern = sys.argv[1:4]
for folder in sorted(glob.glob(os.path.join(source, pattern))):
    model = onnx.load(os.path.join(folder, "model.onnx"))
    for i, value in enumerate(model.graph.input):
        if not value.type.HasField("tensor_type"):
            continue
        shape = value.type.tensor_type.shape
        dims = [d.dim_value or d.dim_param for d in shape.dim]
        for rank in (0, 1, 2, 5):
            if rank == len(dims):
                continue
            del shape.dim[:]
            for d in (dims + [1] * 5)[:rank]:
                one = shape.dim.add()
                setattr(one, "dim_param" if isinstance(d, str) and d else "dim_value", d or 1)
            to = os.path.join(target, f"{os.path.basename(folder)}_{i}_{rank}")
            os.makedirs(to)
            onnx.save(model, os.path.join(to, "model.onnx"))
            os.symlink(os.path.join(folder, "test_data_set_0"), os.path.join(to, "test_data_set_0"))
        del shape.dim[:]
        for d in dims:
            one = shape.dim.add()
            setattr(one, "dim_param" if isinstance(d, str) else "dim_value", d)
