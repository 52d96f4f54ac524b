"""An exported model as a file that other programs run, and whether it answers as the weights do.

Such a file takes prepared images, ``pixels`` ``(images, channels, size, size)`` as bytes, any
number of them, and gives ``logits`` and ``probabilities`` ``(images, classes)``: the preparation of
bytes, the temperature and the softmax are inside. Before it come decoding and resizing, which
``classify.py`` shows. Class names, size, colour and the card are in the file.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from hdkd.deploy.images import RunImages
from hdkd.deploy.network import Network
from hdkd.errors import RunError
from hdkd.evaluation.metrics import expected_calibration_error, interval
from hdkd.runs.records import Conversion

OPSET = 18  # what torch's exporter writes without translating
TOLERANCE = 1e-4  # of logits in float32, relative where they are larger than 1
BATCH = 64  # images at a time
QUANTISED_ON = 256  # training images whose activations set the ranges of int8
SEED = 0  # of their choice
ONNX, INT8, TORCH = "model.onnx", "model_int8.onnx", "model.pt2"
CONVERTED = (ONNX, INT8, TORCH)
KEPT_META = ("val", "tensor_meta")  # of a program's operations: what shapes they have
Outputs = tuple[np.ndarray, np.ndarray]  # logits and probabilities


@dataclass(frozen=True)
class Converter:
    """Writes a ``network`` into ``folder`` and tests what it has written on a run's ``images``.

    ``about`` is what the files say of themselves, texts by name.
    """

    network: Network
    images: RunImages
    folder: Path
    about: dict[str, str]

    def convert(self, kinds: tuple[str, ...], precision: str) -> list[Conversion]:
        """Files of each kind, ``onnx`` or ``torch``; with precision ``int8`` a quantised one, too.

        Raises ``RunError`` where one in float32 gives other logits than the network.
        """
        source, test = self.images.source, self.images.test
        expected = self.network.answers(source.images[test])[:2]
        program = traced(self.network, source.images.shape[1:])
        done = []
        if "onnx" in kinds:
            write_onnx(program, self.folder / ONNX, self.about)
            done.append(self.compared(ONNX, run_onnx, expected))
        if "onnx" in kinds and precision == "int8":
            chosen = drawn(self.images.training)
            quantise(self.folder / ONNX, self.folder / INT8, source.images[chosen], self.about)
            done.append(self.compared(INT8, run_onnx, expected, len(chosen)))
        if "torch" in kinds:
            write_torch(program, self.folder / TORCH, self.about)
            done.append(self.compared(TORCH, run_torch, expected))
        return done

    def compared(
        self,
        name: str,
        run: Callable[[Path, np.ndarray], Outputs],
        expected: Outputs,
        quantised_on: int | None = None,
    ) -> Conversion:
        """How a file that ``run`` runs answers on the test images, beside what is ``expected``.

        Raises ``RunError`` where a file that is not quantised gives other logits.
        """
        source, test = self.images.source, self.images.test
        path = self.folder / name
        logits, probabilities = run(path, source.images[test])
        difference = np.abs(logits - expected[0])
        alike = difference <= TOLERANCE * np.maximum(1, abs(expected[0]))  # no NaN is
        if quantised_on is None and not alike.all():
            raise RunError(
                f"{name} gives logits that differ by up to {difference.max():.2g} from those of "
                "the weights: leave this format out, and report it with the network's name"
            )
        labels, answers = source.labels[test], probabilities.argmax(axis=1)
        right = int((answers == labels).sum())
        return Conversion(
            file=name,
            bytes=path.stat().st_size,
            difference=float(difference.max()),
            changed=int((answers != expected[1].argmax(axis=1)).sum()),
            accuracy=right / len(labels),
            interval=interval(right, len(labels)),
            calibration_error=expected_calibration_error(probabilities, labels),
            quantised_on=quantised_on,
        )


def require(kinds: tuple[str, ...]) -> None:
    """Raise ``ModuleNotFoundError`` where a package that writing such files takes is missing."""
    if "onnx" in kinds:
        for name in ("onnx", "onnxruntime", "onnxscript"):
            import_module(name)


def drawn(training: np.ndarray) -> np.ndarray:
    """Some of the positions of training images, always the same ones."""
    count = min(QUANTISED_ON, len(training))
    return np.sort(np.random.default_rng(SEED).choice(training, count, replace=False))


def traced(network: Network, shape: tuple[int, ...]) -> ExportedProgram:
    """A network's program for any number of images of ``shape`` ``(channels, size, size)``.

    Where in the code its operations come from is left out: paths of this machine are nobody's.
    """
    example = torch.zeros(2, *shape, dtype=torch.uint8)
    with warnings.catch_warnings():
        # Constants that are kept between passes are computed anew, which is what is wanted.
        warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools", UserWarning)
        # Strict: tracing without bytecode would take the networks' `len(x)` for a constant.
        program = torch.export.export(
            network, (example,), dynamic_shapes=({0: torch.export.Dim("images")},), strict=True
        )
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta = {name: value for name, value in node.meta.items() if name in KEPT_META}
    return program


def write_onnx(program: ExportedProgram, path: Path, about: dict[str, str]) -> None:
    """Write a program as ONNX, checked by its checker."""
    converted = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=["pixels"],
        output_names=["logits", "probabilities"],
        verbose=False,
    )
    assert converted is not None  # as it is without a path to write to
    model = converted.model_proto
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "images"
    del model.graph.value_info[:]  # which has the dimension by another name
    for node in model.graph.node:
        del node.metadata_props[:]
    _write(model, path, about)


def quantise(original: Path, path: Path, images: np.ndarray, about: dict[str, str]) -> None:
    """Write an ONNX file again with weights and activations in 8 bits.

    Weights have a scale for each output channel; those of activations follow from what the
    training ``images``, bytes ``(n, channels, size, size)``, make of them.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quant_pre_process, quantize_static

    quant_pre_process(original, path, skip_symbolic_shape=True)
    quantize_static(
        path,
        path,
        _Reader(images),
        per_channel=True,
        reduce_range=True,  # to 7 bits: products of 8 overflow on CPUs without VNNI
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
    )
    _write(onnx.load(path), path, about)


class _Reader:
    """Images one by one, as onnxruntime's calibration asks for them."""

    def __init__(self, images: np.ndarray) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"pixels": np.array(image)[None]}


def _write(model: Any, path: Path, about: dict[str, str]) -> None:
    """Check a model with what it says of itself, and write it."""
    import onnx

    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def run_onnx(path: Path, images: np.ndarray) -> Outputs:
    """What onnxruntime makes of prepared images, on as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batches = [
        session.run(["logits", "probabilities"], {"pixels": np.array(images[k : k + BATCH])})
        for k in range(0, len(images), BATCH)
    ]
    logits, probabilities = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return logits, probabilities


def write_torch(program: ExportedProgram, path: Path, about: dict[str, str]) -> None:
    """Write a program as ``torch.export`` does; torch runs it without this package."""
    torch.export.save(program, path, extra_files={"about.json": json.dumps(about)})


@torch.inference_mode()
def run_torch(path: Path, images: np.ndarray) -> Outputs:
    """What such a program makes of prepared images, read again from its file."""
    program = torch.export.load(path).module()
    batches = [program(batch) for batch in torch.split(torch.from_numpy(np.array(images)), BATCH)]
    logits, probabilities = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
    return logits, probabilities
