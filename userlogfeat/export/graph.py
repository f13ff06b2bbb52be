"""A graph of ONNX operations that is built call by call.

A value is the name of what an operation gives; numbers and arrays become constants. The
graph is written by hand and not by torch's exporter, because the form that is fast in
torch (threads, blocks, loops over pieces) is another than the one that is fast here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from userlogfeat._optional import import_optional

if TYPE_CHECKING:
    import onnx
    import torch


OPSET = 18  # of ONNX 1.13: the first whose reductions take axes as input
IR_VERSION = 8  # of the same release
LEAST_INT8 = 256  # numbers of a weight that is worth storing in 8 bits


class Graph:
    """Operations, constants and outputs of one ONNX graph.

    Parameters
    ----------
    parent : Graph, optional
        The graph around the body of a loop: constants are its own, and a body may use
        its values.
    int8 : bool
        Whether weights (Tensors of two or more axes) are stored in 8 bits.

    Examples
    --------
    >>> graph = Graph()
    >>> doubled = graph("Mul", "x", np.float32(2))
    >>> [node.op_type for node in graph.nodes]
    ['Mul']
    """

    def __init__(self, parent: Graph | None = None, *, int8: bool = False) -> None:
        self.onnx = import_optional("onnx", extra="export", purpose="Export to ONNX")
        self.root = self if parent is None else parent.root
        self.nodes: list[onnx.NodeProto] = []
        if parent is None:
            self.int8 = int8
            self.constants: dict[tuple[Any, ...], str] = {}
            self.initializers: list[onnx.TensorProto] = []
            self.n_names = 0

    def __call__(
        self, op: str, *inputs: Any, n_outputs: int = 1, **attributes: Any
    ) -> Any:
        """Append an operation; its value, or a list of values if it has several.

        Parameters
        ----------
        op : str
            Name of the operation in ONNX.
        *inputs : str, number, array or Tensor
            Values, or what becomes a constant: Python's integers are int64.
        n_outputs : int
            How many values it gives.
        **attributes
            Attributes of the operation.
        """
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        outputs = [self.root._new_name(op) for _ in range(n_outputs)]
        node = self.onnx.helper.make_node(op, names, outputs, **attributes)
        self.nodes.append(node)
        return outputs[0] if n_outputs == 1 else outputs

    def constant(self, value: np.ndarray | torch.Tensor | float | list[int]) -> str:
        """Add a constant; equal ones are stored once."""
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
            if self.root.int8 and value.ndim > 1 and value.size >= LEAST_INT8:
                return self.root._constant_of_bytes(value)
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        array = np.asarray(array, order="C")
        root, key = self.root, (array.shape, array.dtype.str, array.tobytes())
        if key not in root.constants:
            root.constants[key] = name = root._new_name("constant")
            tensor = self.onnx.numpy_helper.from_array(array, name)
            root.initializers.append(tensor)
        return root.constants[key]

    def size(self, x: str, axis: int) -> str:
        """Length of an axis, as an int64 array (1,)."""
        return self("Shape", x, start=axis, end=axis + 1)

    def steps(self, n: str, step: int = 1) -> str:
        """``step * arange(n)`` for a length (1,), as int64."""
        steps = self("Range", np.int64(0), self("Squeeze", n), np.int64(1))
        return steps if step == 1 else self("Mul", steps, np.int64(step))

    def slice(self, x: str, start: Any, stop: Any, axis: int) -> str:
        """``x[start:stop]`` along an axis."""
        start, stop = (v if isinstance(v, str) else [v] for v in (start, stop))
        return self("Slice", x, start, stop, [axis])

    def reshape(self, x: str, *shape: str | int) -> str:
        """Reshape; 0 keeps the length of that axis, names are lengths (1,)."""
        if all(isinstance(length, int) for length in shape):
            return self("Reshape", x, list(shape))
        lengths = [v if isinstance(v, str) else self.constant([v]) for v in shape]
        return self("Reshape", x, self("Concat", *lengths, axis=0))

    def scan(self, items: str, body: Callable[[Graph, str], list[str]]) -> list[str]:
        """Apply a body to one item after the other, along the first axis.

        Parameters
        ----------
        items : str
            Value (n, ...), float32.
        body : callable
            Given a graph and an item (...), returns float32 values of equal shape for
            all items. It may use values of this graph.

        Returns
        -------
        list of str
            The body's values, side by side along a new first axis.
        """
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        inner, item = Graph(self), self.root._new_name("item")
        values = body(inner, item)
        graph = helper.make_graph(
            inner.nodes,
            "body",
            [helper.make_tensor_value_info(item, kind, None)],
            [helper.make_tensor_value_info(value, kind, None) for value in values],
        )
        n = len(values)
        found = self("Scan", items, n_outputs=n, body=graph, num_scan_inputs=1)
        return [found] if n == 1 else found

    def model(
        self,
        inputs: dict[str, list[int | str]],
        outputs: dict[str, tuple[str, list[int | str]]],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """Finish the graph.

        Parameters
        ----------
        inputs : dict of str to list
            Shapes of the inputs; lengths that vary have names.
        outputs : dict of str to (str, list)
            Value and shape of each output.
        metadata : dict of str to str
            Properties that the file carries.
        """
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        for name, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self.nodes,
            "userlogfeat",
            [helper.make_tensor_value_info(n, kind, s) for n, s in inputs.items()],
            [
                helper.make_tensor_value_info(name, kind, shape)
                for name, (_, shape) in outputs.items()
            ],
            self.initializers,
        )
        model = helper.make_model(
            graph,
            producer_name="userlogfeat",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, metadata)
        return model

    def _constant_of_bytes(self, weight):
        """A weight as integers, with a scale for each output.

        Outputs are columns of a matrix, and the first axis of filters.
        """
        axis = 1 if weight.ndim == 2 else 0
        others = tuple(i for i in range(weight.ndim) if i != axis)
        largest = np.maximum(np.abs(weight).max(axis=others, keepdims=True), 1e-12)
        rounded = np.rint(weight * (127 / largest)).astype(np.int8)
        scales = (largest / 127).astype(np.float32).ravel()
        zeros = np.zeros(len(scales), np.int8)
        return self("DequantizeLinear", rounded, scales, zeros, axis=axis)

    def _new_name(self, op):
        self.n_names += 1
        return f"{op.lower()}_{self.n_names}"
