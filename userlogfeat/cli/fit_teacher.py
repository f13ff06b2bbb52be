"""`userlogfeat fit-teacher`: from factors and audio to a saved model."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result, show_warning
from userlogfeat.cli.fitting import AudioFit


@app.command("fit-teacher")
def fit_teacher(
    catalogue: opt.Catalogue,
    factors: Path,
    clip: opt.Clip = "clip",
    item: opt.CatalogueItem = None,
    artist: opt.Artist = None,
    by: opt.By = "item",
    network: Literal["encoder", "se_cnn"] = "encoder",
    encoder: Annotated[str | None, typer.Option(show_default="MSD_musicnn")] = None,
    features: Path | None = None,
    layer: list[str] | None = None,
    refit: Path | None = None,
    cache: Path | None = None,
    controls: Annotated[int, typer.Option(min=0)] = 0,
    *,
    fit: AudioFit,
) -> Result:
    r"""Train a network to predict the factors from audio, and save it.

    A frozen encoder embeds the clips; a small head learns the factors. Its
    regularisation is chosen with every artist on one side of each split, where the
    catalogue has artists. Or the network of Lee et al. (2019), se_cnn, is trained on
    the middle 30 s of each clip. Clips whose item the logs do not know are left out.

    Parameters
    ----------
    factors
        Folder that fit-cf wrote.
    network
        A head on a frozen encoder, or se_cnn, which is trained as a whole: 10,000 clips
        or more.
    encoder
        Such as MTT_musicnn, or hf:owner/model: see `extract`.
    features
        Train a head on features that were computed before.
    layer
        Layer of a table of --features; may be repeated. Default: all
    refit
        A teacher whose head is learned again, for factors that have moved; its settings
        stay as they were chosen.
    cache
        With --refit: keep here what the encoder gives of each clip, so that the next
        time it reads new clips alone.
    controls
        Train this many twins of each kind as well (3 will do), which compare holds the
        teacher against where there are no logs. Reads the clips once more.

    Examples
    --------
      userlogfeat fit-teacher tracks.csv factors -o teacher
      userlogfeat fit-teacher tracks.csv factors -o teacher --features features
      userlogfeat fit-teacher tracks.csv factors -o new --refit teacher --cache kept
      userlogfeat fit-teacher tracks.csv factors -o teacher --by artist \
          --artist artist_id --licence "CC BY 4.0" --description "plays of 2024"

    --set reaches the other parameters of CFRegressor: head=mlp, duration=30,
    channels=128 and precision=bf16 of se_cnn.

    Then:
      userlogfeat extract my_music/ -o features --weights teacher
      UserLogEmbedder("teacher")                            in Python

    --features are a feature table of extract; or a csv, tsv or parquet file with the
    column of --clip and numbers (or lists of numbers); or a .npy, a row for each of
    CATALOGUE. No audio is read, and the teacher then reads such features, not audio:
      rows = FeatureLookup("features", scale=False).transform(clips)
      CFRegressor.load("teacher").predict(rows)             factors, in Python
    """
    from userlogfeat._files import fill_folder
    from userlogfeat.catalogue import read_catalogue
    from userlogfeat.estimators.cf_regressor import CFRegressor
    from userlogfeat.factor_files import (
        ITEMS,
        ITEMS_OF_TEACHER,
        read_factors,
        write_side,
    )
    from userlogfeat.tables import FeatureTable

    if controls:
        from userlogfeat.comparison.twins import save_controls
    if features is not None and (encoder is not None or network != "encoder"):
        raise ValueError("Got --features with --encoder or --network: leave one out.")
    if cache is not None and (refit is None or features is not None):
        raise ValueError("Got --cache, which belongs to --refit without --features.")
    if controls and network != "encoder":
        raise ValueError(
            "Got --controls with --network se_cnn: twins have the teacher's encoder "
            "and another head, and that network has no head apart. Leave one out."
        )
    if layer and (features is None or not features.is_dir()):
        raise ValueError(
            "Got --layer, which names a layer of a feature table (--features)."
        )
    if refit is not None:
        if encoder is not None or network != "encoder" or fit.settings:
            raise ValueError(
                "Got --refit with --encoder, --network or --set: its settings stay "
                "those of the teacher. Leave one out."
            )
        teacher = _loaded(fit, refit, needs_audio=features is None)
    elif features is not None:
        teacher = fit.estimator(CFRegressor, network="mlp", verbose=0)
    elif network == "encoder":
        encoder = encoder or "MSD_musicnn"
        teacher = fit.estimator(CFRegressor, encoder=encoder, verbose=0)
    else:
        teacher = fit.estimator(CFRegressor, network=network)
    known = read_factors(factors)
    items = opt.item_column(item, by, artist)
    table = read_catalogue(
        catalogue, clip=clip, item=items, artist=artist, check_files=features is None
    )
    n_clips = len(table)
    rows, targets = table.align(known.item_factors, known.item_ids, by=by)
    table = table.subset(rows)
    X = list(table.clips)
    if features is not None:
        if features.is_dir() and FeatureTable(features).exists():
            X = _names_in(FeatureTable(features), X, catalogue.parent)
        X = _read_features(features, layer, clip, X, rows, n_clips)
    groups = table.groups("artist") if "artist" in table.frame.columns else None
    if groups is None and refit is None:
        show_warning(
            f"{catalogue} has no column of artists (--artist): regularisation is "
            "chosen on artists that the head was trained on, too, and may be too weak."
        )
    inputs = X
    if refit is None:
        teacher.fit(X, targets, groups=groups)
        if controls and features is None:
            inputs = teacher.head_inputs(X)
    else:
        if features is None:
            inputs = _head_inputs(teacher, X, cache)
        teacher.refit(inputs, targets, groups=groups)
    default = f"{len(rows)} clips of {catalogue.name}, factors of {factors.name}"
    notes = fit.training_data(default, factors=known.made_by)
    with fill_folder(fit.output) as folder:
        teacher.save(folder, training_data=notes)
        write_side(
            folder / ITEMS_OF_TEACHER,
            ITEMS,
            known.item_ids,
            known.item_factors,
            made_by=known.made_by,
        )
        if controls:
            twins = {"items": table.items, "groups": groups, "n_draws": controls}
            save_controls(folder, inputs, targets, **twins)
    values = {"output": fit.output, "clips": len(rows)}
    text = f"{len(rows)} clips trained the teacher in {fit.output}"
    if hasattr(teacher, "alpha_"):
        values["regularization"] = teacher.alpha_
        text += f", regularisation {teacher.alpha_:g}"
        if len(teacher.alphas) > 1 and teacher.alpha_ >= max(teacher.alphas):
            text += " (the strongest tried: estimates are near the mean of all items)"
    if refit is not None:
        values["alignment"] = teacher.alignment_
        text += f"; mean cosine with the estimates before {teacher.alignment_:.2f}"
    return Result(values, text)


def _loaded(fit, folder, *, needs_audio):
    """Load the teacher that is refitted."""
    from userlogfeat.estimators.cf_regressor import CFRegressor

    teacher = CFRegressor.load(folder)
    if needs_audio and teacher.network == "mlp" and teacher.encoder is None:
        raise ValueError(
            f"The teacher in {folder} reads features, not audio: pass --features."
        )
    return teacher.set_params(device=fit.device, n_jobs=fit.n_jobs)


def _head_inputs(teacher, clips, cache):
    """Compute what the head reads of each clip; files in the cache are not read."""
    from userlogfeat.estimators.encoder import EncoderEmbedder

    if cache is None or teacher.encoder is None:  # whole networks: refit says why not
        return teacher.head_inputs(clips)
    embedder = EncoderEmbedder(
        teacher.encoder,
        layer=teacher._load_network().head_layers,
        pooling=teacher.head_pooling,
        cache=cache,
    )
    known = embedder.get_params()
    shared = {k: v for k, v in teacher.get_params().items() if k in known}
    del shared["encoder"], shared["layer"]
    return embedder.set_params(**shared).transform(clips)


def _names_in(table, clips, folder):
    """The table's names of clips: as the catalogue has them, or of the same files."""
    names = set(table.clips())
    of_file = {os.path.abspath(name): name for name in names}
    paths = (os.path.abspath(os.path.join(folder, clip)) for clip in clips)
    return [
        clip if clip in names else of_file.get(path, clip)
        for clip, path in zip(clips, paths, strict=True)
    ]


def _read_features(path, layer, clip, clips, rows, n_clips):
    """Features of clips (n_clips, n), of a table or a file; no audio is read."""
    import numpy as np

    from userlogfeat._ids import positions
    from userlogfeat.catalogue.sources import read_table
    from userlogfeat.estimators.feature_lookup import FeatureLookup

    if path.is_dir():
        return FeatureLookup(path, layer=layer or None, scale=False).transform(clips)
    if path.suffix == ".npy":
        features = np.load(path, allow_pickle=False)
        if features.ndim != 2 or len(features) != n_clips:
            raise ValueError(
                f"{path} has the shape {features.shape}, expected a row of numbers for "
                f"each of the {n_clips} clips of CATALOGUE."
            )
        return features[rows]
    frame = read_table(path)
    if clip not in frame.columns:
        raise ValueError(
            f"{path} has no column {clip!r} of paths, only {', '.join(frame.columns)}."
        )
    if frame[clip].n_unique() < len(frame):
        twice = frame[clip].filter(frame[clip].is_duplicated())[0]
        raise ValueError(
            f"{path} has several rows for {twice!r}: keep one per clip, such as the "
            "mean."
        )
    ids = [name for name in ("item", "artist", "album", "label") if name in frame]
    if ids:
        raise ValueError(
            f"{path} has the columns {', '.join(ids)}, which are not features: leave "
            "them out, or name them otherwise."
        )
    places = positions(clips, frame[clip].to_list())
    if (places < 0).any():
        missing = [clips[i] for i in np.flatnonzero(places < 0)[:3]]
        raise ValueError(
            f"{path} has no row for {(places < 0).sum()} of {len(clips)} clips of "
            f"CATALOGUE, such as {missing}. Its paths begin with {frame[clip][0]!r}."
        )
    columns = [frame[name].to_list() for name in frame.columns if name != clip]
    try:
        columns = [
            np.array(column, np.float32).reshape(len(frame), -1) for column in columns
        ]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path} has columns that are not numbers beside {clip!r}: leave them out."
        ) from error
    return np.concatenate(columns, axis=1)[places]
