"""`userlogfeat export`: a saved model as an ONNX file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result
from userlogfeat.cli.errors import check_file


@app.command()
def export(
    model: str,
    output: Annotated[Path, typer.Option("--output", "-o")],
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    overwrite: opt.Overwrite = False,
) -> Result:
    """Write a saved model as an ONNX file, from waveforms to all layers.

    onnxruntime runs the file beside torch before it is in its place.

    Parameters
    ----------
    model
        Bundled name, folder, hub owner/model, or a plain musicnn.
    output
        The .onnx file to write.
    precision
        Of the weights; fp16: half the size; int8: less exact.

    Examples
    --------
      userlogfeat export lastfm-mpd-musicnn -o model.onnx
      userlogfeat export teacher -o teacher.onnx --precision int8

    Then, where torch is not installed:
      userlogfeat extract my_music/ -o features --weights model.onnx
    """
    from userlogfeat.export import export_onnx

    check_file(output, overwrite)
    export_onnx(model, output, precision=precision)
    size = output.stat().st_size / 1e6
    return Result(
        {"output": output, "megabytes": size},
        f"{output}: {size:.1f} MB, checked by onnxruntime",
    )
