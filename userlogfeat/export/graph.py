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
LEAST_SMALL = 256  # numbers of a weight that is worth storing in fewer bits
MOST_HALF = 65504.0  # largest number of half precision


class Graph:
    """Operations, constants and outputs of one ONNX graph.

    Parameters
    ----------
    parent : Graph, optional
        The graph around the body of a loop: constants are its own, and a body may use
        its values.
    precision : {"fp32", "fp16", "int8"}
        How weights (Tensors of two or more axes) are stored.

    Examples
    --------
    >>> graph = Graph()
    >>> doubled = graph("Mul", "x", np.float32(2))
    >>> [node.op_type for node in graph.nodes]
    ['Mul']
    """

    def __init__(self, parent: Graph | None = None, *, precision: str = "fp32") -> None:
        self.onnx = import_optional("onnx", extra="export", purpose="Export to ONNX")
        self.root = self if parent is None else parent.root
        self.nodes: list[onnx.NodeProto] = []
        if parent is None:
            self.precision = precision
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
            small = value.ndim > 1 and value.size >= LEAST_SMALL
            if small and self.root.precision != "fp32":
                return self.root._small_constant(value)
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
        inner, item = Graph(self), self.root._new_name("item")
        values = body(inner, item)
        ends = [self._info(item)], [self._info(value) for value in values]
        graph = self.onnx.helper.make_graph(inner.nodes, "body", *ends)
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
        helper = self.onnx.helper
        ends = [self._info(name, shape) for name, shape in inputs.items()], []
        for name, (value, shape) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
            ends[1].append(self._info(name, shape))
        graph = helper.make_graph(self.nodes, "userlogfeat", *ends, self.initializers)
        model = helper.make_model(
            graph,
            producer_name="userlogfeat",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, metadata)
        return model

    def _info(self, name, shape=None):
        """Describe an input or an output, of floats."""
        kind = self.onnx.TensorProto.FLOAT
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def _small_constant(self, weight):
        """A weight in fewer bits; one that is used often is unpacked once."""
        key = (self.precision, weight.shape, weight.tobytes())
        if key not in self.constants:
            store = self._bytes if self.precision == "int8" else self._half
            self.constants[key] = store(weight)
        return self.constants[key]

    def _half(self, weight):
        """A weight in half precision, unless it has numbers that this cannot hold."""
        if np.abs(weight).max() > MOST_HALF:
            return self.constant(np.array(weight))
        return self("Cast", weight.astype(np.float16), to=self.onnx.TensorProto.FLOAT)

    def _bytes(self, weight):
        """A weight as integers, with a scale for each output, or for each input.

        Outputs are columns of a matrix, and the first axis of filters. A matrix has
        its scales where its numbers differ more: of one that reads features of very
        different sizes, a scale for each output would round all but the largest
        weights to nothing.
        """
        axis = 0
        if weight.ndim == 2:
            largest = (np.abs(weight).max(axis=1 - axis) for axis in (0, 1))
            spread = [np.log(np.maximum(sizes, 1e-12)).std() for sizes in largest]
            axis = int(spread[1] >= spread[0])
        others = tuple(i for i in range(weight.ndim) if i != axis)
        largest = np.maximum(np.abs(weight).max(axis=others, keepdims=True), 1e-12)
        rounded = np.rint(weight * (127 / largest)).astype(np.int8)
        scales = (largest / 127).astype(np.float32).ravel()
        zeros = np.zeros(len(scales), np.int8)
        return self("DequantizeLinear", rounded, scales, zeros, axis=axis)

    def _new_name(self, op):
        self.n_names += 1
        return f"{op.lower()}_{self.n_names}"
