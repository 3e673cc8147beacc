"""OpenVINO on the CPU, with weights in the form of its own compressor (nncf): int4 in groups of 128, int8 per row.

Each product takes its weights through convert, subtract and multiply, which OpenVINO fuses into one kernel. Keys and
values are a state of the model, in the form that OpenVINO fuses into one attention kernel. Attention sees the context
in both directions.
"""

from collections.abc import Iterator
from functools import partial
from math import gcd, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.peer import OwnProcess, lacking, versions
from benchmarks.peers.sizes import EPSILON, Sizes

_GROUP = 128


class OpenVino(OwnProcess):
    """OpenVINO with weights in `int4` or `int8`."""

    def __init__(self, format: str, bits: float) -> None:
        self.name, self.bits = f"openvino-{format}", bits
        self._format = format

    def missing(self) -> str | None:
        """See `Peer`."""
        return lacking("openvino")

    def write(self, sizes: Sizes, folder: Path) -> None:
        """Write an .xml file and its .bin file. Raises `UsageError` for a model with gated layers."""
        sizes.check_plain()
        import openvino

        model = Graph(sizes, self._format).model()
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)

    def load(self, folder: Path, sizes: Sizes, threads: int) -> "Compiled":
        """See `OwnProcess`."""
        return Compiled(folder / "model.xml", threads)


class Compiled:
    """A compiled model and its one request."""

    def __init__(self, file: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        self._request = core.compile_model(file, "CPU", settings).create_infer_request()
        self.notes = [*versions("openvino"), " ".join(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))]

    def generate(self, prompt: list[int], tokens: int) -> Iterator[int]:
        """See `Engine`."""
        self._request.reset_state()
        new, past = prompt, 0
        for _ in range(tokens):
            inputs = {"ids": np.array([new]), "positions": np.arange(past, past + len(new))[None], "beam": _BEAM}
            token = int(self._request.infer(inputs)["logits"].argmax())
            yield token
            new, past = [token], past + len(new)


_BEAM = np.zeros(1, np.int32)


class Graph:
    """A decoder out of OpenVINO's operators."""

    def __init__(self, sizes: Sizes, format: str) -> None:
        from openvino import opset13

        self.ops: Any = opset13
        self.sizes, self.format = sizes, format
        self.sinks: list[Any] = []  # operators that write keys and values
        self._random = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)

    def model(self) -> Any:
        """The model from ids, positions (both [1, sequence]) and beam [1] to the logits of the last token, [1, 1,
        vocabulary].
        """
        import openvino

        ops, sizes = self.ops, self.sizes
        ids, positions = (self._input(name, [1, -1], np.int64) for name in ("ids", "positions"))
        beam = self._input("beam", [1], np.int32)
        x, rotation = self._embed(ids), self._rotation(positions)
        for layer in range(sizes.layers):
            x = ops.add(x, self._attention(self._norm(x), rotation, beam, layer))
            inner = self._linear(self._norm(x), sizes.inner, sizes.hidden)
            x = ops.add(x, self._linear(ops.gelu(inner, "tanh"), sizes.hidden, sizes.inner))
        last = ops.gather(x, ops.constant(np.array([-1])), ops.constant(1))
        logits = ops.result(self._linear(self._norm(last), sizes.vocabulary, sizes.hidden, bias=False))
        logits.output(0).set_names({"logits"})
        return openvino.Model([logits], self.sinks, [ids, positions, beam], "decoder")

    def _attention(self, x: Any, rotation: tuple[Any, Any], beam: Any, layer: int) -> Any:
        ops, sizes = self.ops, self.sizes
        qkv = self._linear(x, 3 * sizes.hidden, sizes.hidden)
        parts = ops.split(qkv, ops.constant(-1), 3).outputs()
        q, k, v = (self._by_head(part) for part in parts)
        q, k = self._rotated(q, rotation), self._rotated(k, rotation)
        k, v = self._extended(k, beam, f"key {layer}"), self._extended(v, beam, f"value {layer}")
        seen = ops.scaled_dot_product_attention(q, k, v)
        merged = ops.reshape(ops.transpose(seen, self._order()), ops.constant([0, 0, sizes.hidden]), special_zero=True)
        return self._linear(merged, sizes.hidden, sizes.hidden)

    def _by_head(self, x: Any) -> Any:
        """Reshape [1, sequence, hidden] to [1, heads, sequence, width]."""
        ops, sizes = self.ops, self.sizes
        split = ops.reshape(x, ops.constant([0, 0, sizes.heads, sizes.width]), special_zero=True)
        return ops.transpose(split, self._order())

    def _order(self) -> Any:
        return self.ops.constant([0, 2, 1, 3])

    def _extended(self, new: Any, beam: Any, name: str) -> Any:
        """The keys or values so far, extended by new ones."""
        ops, shape = self.ops, [1, self.sizes.heads, -1, self.sizes.width]
        begin = ops.constant(np.zeros([max(size, 0) for size in shape], np.float32))
        past = ops.gather(ops.read_value(begin, name, np.float32, shape), beam, ops.constant(0))
        whole = ops.concat([past, new], -2)
        self.sinks.append(ops.assign(whole, name))
        return whole

    def _rotation(self, positions: Any) -> tuple[Any, Any]:
        """cos and sin of the positions, [1, 1, sequence, width] each (Su et al. 2021, arXiv 2104.09864)."""
        width = self.sizes.width
        frequencies = 10000.0 ** (-np.arange(0, width, 2) / width)
        angles = np.tile(np.arange(self.sizes.context)[:, None] * frequencies, 2).astype(np.float32)
        rows = partial(self.ops.gather, indices=positions, axis=self.ops.constant(0))
        cos, sin = (rows(self.ops.constant(table)) for table in (np.cos(angles), np.sin(angles)))
        return tuple(self.ops.unsqueeze(part, self.ops.constant(1)) for part in (cos, sin))

    def _rotated(self, x: Any, rotation: tuple[Any, Any]) -> Any:
        ops, (cos, sin) = self.ops, rotation
        left, right = ops.split(x, ops.constant(-1), 2).outputs()
        turned = ops.concat([ops.negative(right), left], -1)
        return ops.add(ops.multiply(x, cos), ops.multiply(turned, sin))

    def _norm(self, x: Any) -> Any:
        ops, hidden = self.ops, self.sizes.hidden
        even = ops.mvn(x, ops.constant([-1]), True, EPSILON, "inside_sqrt")
        scaled = ops.multiply(even, ops.constant(np.ones(hidden, np.float32)))
        return ops.add(scaled, ops.constant(np.zeros(hidden, np.float32)))

    def _linear(self, x: Any, rows: int, columns: int, bias: bool = True) -> Any:
        product = self.ops.matmul(x, self._weight(rows, columns), False, True)
        return self.ops.add(product, self.ops.constant(np.zeros(rows, np.float32))) if bias else product

    def _weight(self, rows: int, columns: int) -> Any:
        """A [rows, columns] matrix in float32, from packed weights, their zero points and scales."""
        ops = self.ops
        if self.format == "int8":
            return self._unpacked(self._bytes((rows, columns)), ops.constant(np.full((rows, 1), 128, np.uint8)), 8)
        group = gcd(_GROUP, columns)
        shape = (rows, columns // group, group)
        weights, middle = self._nibbles(shape), self._nibbles((*shape[:2], 1), 0x88)
        return ops.reshape(self._unpacked(weights, middle, 4), ops.constant([rows, columns]), special_zero=False)

    def _unpacked(self, packed: Any, middle: Any, bits: int) -> Any:
        ops = self.ops
        shape = [*packed.output(0).get_shape()]
        scale = np.full(
            (*shape[:-1], 1), 0.02 * sqrt(12) / 2**bits, np.float16
        )  # the spread of this project's random weights
        centred = ops.subtract(ops.convert(packed, np.float16), ops.convert(middle, np.float16))
        return ops.convert(ops.multiply(centred, ops.constant(scale)), np.float32)

    def _embed(self, ids: Any) -> Any:
        """Look up rows of an int8 table and unpack them."""
        ops, sizes = self.ops, self.sizes
        rows = ops.gather(self._bytes((sizes.vocabulary, sizes.hidden)), ids, ops.constant(0))
        centred = ops.subtract(ops.convert(rows, np.float32), ops.constant(np.float32(128)))
        return ops.multiply(centred, ops.constant(np.float32(0.02 * sqrt(12) / 2**8)))

    def _bytes(self, shape: tuple[int, ...]) -> Any:
        return self.ops.constant(np.resize(self._random, shape))

    def _nibbles(self, shape: tuple[int, ...], value: int | None = None) -> Any:
        """A constant of unsigned 4-bit numbers, two per byte; random if no byte is given."""
        import openvino

        count = -(-int(np.prod(shape)) // 2)
        packed: NDArray[np.uint8] = np.resize(self._random, count) if value is None else np.full(count, value, np.uint8)
        return openvino.op.Constant(openvino.Tensor(packed, openvino.Shape(shape), openvino.Type.u4), False)

    def _input(self, name: str, shape: list[int], dtype: Any) -> Any:
        parameter = self.ops.parameter(shape, dtype, name)
        parameter.output(0).set_names({name})
        return parameter
