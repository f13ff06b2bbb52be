"""The pages of the reference: one for each step, one for each public name.

They are made from ``userlogfeat.__all__`` and from the names below, so that a public
name is never missing: one that no step lists goes to the step of its module.
"""

import inspect
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path

import userlogfeat

# Packages whose functions and classes are public, beside those of ``userlogfeat``.
PACKAGES = (
    "audio",
    "comparison",
    "datasets",
    "encoders",
    "evaluation.folds",
    "evaluation.significance",
    "extraction",
    "factorization",
    "feedback",
    "mirex",
    "recommendation",
    "report",
)
FROM_OUTSIDE = ("sklearn", "userlogfeat")  # whose methods a page lists
HIDDEN = {"__version__"}


@dataclass(frozen=True)
class Step:
    """A page: its file, title, first sentence, guide, names, and modules of others."""

    slug: str
    title: str
    text: str
    guide: str
    names: tuple[str, ...]
    modules: tuple[str, ...] = ()
    found: list[str] = field(default_factory=list)


STEPS = (
    Step(
        "logs",
        "Logs and catalogue",
        "Listening logs become a matrix of users and items; a catalogue says which "
        "clip is which item.",
        "logs",
        ("read_logs", "Interactions", "read_catalogue", "Catalogue"),
        ("logs", "catalogue"),
    ),
    Step(
        "factors",
        "Factors and users",
        "Embeddings that are learned from logs alone.",
        "factors",
        (
            "CFEmbedding",
            "UserEmbedding",
            "factorization.fit_als",
            "factorization.fold_in",
            "factorization.confidences",
            "factorization.align_factors",
            "evaluation.play_search.Plays",
            "evaluation.play_search.PlaySplit",
            "evaluation.play_search.HeldOutPlays",
            "users.histories_for",
            "forgetting.forget_users",
        ),
        ("estimators.cf", "estimators.user_tower", "factorization", "users"),
    ),
    Step(
        "audio",
        "Audio and encoders",
        "Reading files, spectrograms, and networks that others trained.",
        "audio",
        (
            "read_audio",
            "AudioError",
            "LogMel",
            "MelStatistics",
            "MusicnnEmbedder",
            "FRONTENDS",
            "encoders.Encoder",
            "encoders.get_encoder",
            "encoders.list_encoders",
            "encoders.register_encoder",
        ),
        ("audio", "frontends", "encoders"),
    ),
    Step(
        "teachers",
        "Teachers and saved models",
        "Audio networks that learn from logs, artists or the labels of other "
        "collections; saved models embed clips in any pipeline.",
        "teachers",
        (
            "CFRegressor",
            "ArtistEmbedder",
            "MetricEmbedder",
            "SharedLatentEmbedder",
            "UserLogEmbedder",
            "load_model",
            "list_weights",
            "weights.find_controls",
            "weights.ModelError",
            "weights.NonCommercialWarning",
        ),
        ("weights", "estimators"),
    ),
    Step(
        "students",
        "Students and classifiers",
        "Estimators of a labelled task.",
        "students",
        (
            "KDStudentClassifier",
            "KDStudentRegressor",
            "PatchVotingClassifier",
            "WindowRegressionClassifier",
            "training.is_first",
            "training.alone",
        ),
        ("training",),
    ),
    Step(
        "evaluation",
        "Evaluation and controls",
        "Comparisons on the same folds and seeds, with controls, leaks and intervals.",
        "evaluation",
        (
            "compare",
            "summarise",
            "TeacherData",
            "comparison.register_arm",
            "comparison.save_controls",
            "evaluation.folds.stratified_folds",
            "evaluation.folds.StratifiedArtistKFold",
            "evaluation.folds.n_per_class",
            "evaluation.leaks.leak_report",
            "evaluation.intervals.mean_interval",
            "evaluation.significance.paired_ttest",
            "evaluation.significance.wilcoxon",
            "evaluation.significance.holm",
            "evaluation.significance.cohens_dz",
            "evaluation.friedman.friedman_test",
            "evaluation.factors.mean_cosine",
            "evaluation.factors.own_artist_percentile",
            "evaluation.similarity.precision_at_k",
            "evaluation.similarity.nearest_clips",
            "evaluation.similarity.Precision",
            "evaluation.learning_curves.learning_curve",
            "evaluation.learning_curves.standard_error",
        ),
        ("comparison", "evaluation"),
    ),
    Step(
        "plots",
        "Plots and reports",
        "Displays in the manner of scikit-learn, and pages of results.",
        "evaluation",
        (
            "TransferDisplay",
            "ClasswiseDisplay",
            "ScoreDisplay",
            "CFDisplay",
            "ColdStartDisplay",
            "ClipDisplay",
            "write_html",
            "explore",
            "report.register_plot",
            "report.Picture",
        ),
        ("report",),
    ),
    Step(
        "recommendation",
        "Recommendation and cold start",
        "Items for users, also those that nobody has played.",
        "cold_start",
        (
            "recommend",
            "nearest_artists",
            "nearest_users",
            "ColdStartItems",
            "feedback.feedback_of_logs",
            "feedback.read_feedback",
            "feedback.sample_dislikes",
            "feedback.Feedback",
            "evaluation.recommendation.evaluate_ranking",
            "evaluation.recommendation.RankingScores",
            "evaluation.recommendation_metrics.register_ranking_metric",
            "evaluation.recommendation_splits.split_per_user",
            "evaluation.recommendation_splits.split_by_time",
            "evaluation.recommendation_splits.split_users",
            "evaluation.recommendation_splits.split_items",
            "evaluation.over_time.evaluate_over_time",
            "evaluation.over_time.AgeScores",
        ),
        ("recommendation", "feedback"),
    ),
    Step(
        "tables",
        "Many files",
        "Features of many clips on disk.",
        "many_files",
        (
            "extract",
            "extraction.ExtractionSummary",
            "FeatureTable",
            "FeatureLookup",
            "tables.compact",
            "tables.prune",
            "tables.rename_clips",
            "tables.merge_tables",
            "tables.Change",
        ),
        ("extraction", "tables"),
    ),
    Step(
        "mirex",
        "MIREX submissions",
        "Both sides of MIREX's train/test tasks.",
        "mirex",
        (
            "mirex.extract_features",
            "mirex.train",
            "mirex.classify",
            "mirex.train_and_classify",
            "mirex.default_pipeline",
            "mirex.load_pipeline",
            "mirex.pipeline.write_description",
            "mirex.package.write_package",
            "mirex.evaluate.evaluate",
            "mirex.evaluate.Evaluation",
            "mirex.folds.read_folds",
            "mirex.read_clips",
            "mirex.read_labels",
            "mirex.read_tags",
            "mirex.write_labels",
            "mirex.write_tags",
        ),
        ("mirex",),
    ),
    Step(
        "data_sets",
        "Labelled data sets",
        "Published sets with their splits, and planted data.",
        "data_sets",
        (
            "datasets.make_listening_corpus",
            "datasets.synthetic.ListeningCorpus",
            "datasets.labelled_clips.LabelledClips",
            "datasets.magnatagatune.TaggedClips",
            "datasets.list_datasets",
            "datasets.register_dataset",
            "datasets.gtzan.fault_filtered",
            "datasets.gtzan.artist_filtered",
            "datasets.gtzan.gtzan_tracks",
        ),
        ("datasets",),
    ),
    Step(
        "parts",
        "Losses and networks",
        "The parts that teachers and students are made of.",
        "teachers",
        (
            "losses.mse_cosine",
            "losses.distillation",
            "losses.warp",
            "losses.softmax_of_many",
            "losses.register_loss",
            "training.fit_network",
            "training.songs.split_songs",
            "training.discriminants.fit_discriminants",
            "networks.se_cnn.SECNN",
            "networks.artist.ArtistCNN",
        ),
        ("losses", "networks"),
    ),
    Step("others", "Others", "What no step lists.", "index", ()),
)


def steps() -> list[Step]:
    """Return the steps with all names, each once; those without any are left out."""
    listed = {name for step in STEPS for name in step.names}
    for step in STEPS:
        step.found[:] = step.names
    for name in userlogfeat.__all__:
        if name not in listed | HIDDEN:
            _step_of(userlogfeat._PUBLIC[name]).found.append(name)
    known = [resolve(name) for step in STEPS for name in step.found]
    for package in PACKAGES:
        for name in public(package):
            value = resolve(f"{package}.{name}")
            if not any(value is other for other in known):
                _step_of(package).found.append(f"{package}.{name}")
    return [step for step in STEPS if step.found]


def public(package: str) -> list[str]:
    """Return the names of a package's public functions and classes."""
    module = import_module(f"userlogfeat.{package}")
    own = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and name[0] != "_"
    ]
    readers = [name for name in dir(module) if name.startswith("read_")]
    names = dict.fromkeys([*getattr(module, "__all__", own), *readers])
    return [
        name
        for name in names
        if inspect.isclass(value := getattr(module, name)) or inspect.isfunction(value)
    ]


def _step_of(module):
    """Return the step whose modules begin like `module`, by the longest beginning."""
    beginnings = [
        (len(own), step)
        for step in STEPS
        for own in step.modules
        if module == own or module.startswith(own + ".")
    ]
    return max(beginnings, key=lambda pair: pair[0])[1] if beginnings else STEPS[-1]


def resolve(name: str) -> object:
    """Return the object of a name such as ``"evaluation.folds.n_per_class"``."""
    module, _, last = f"userlogfeat.{name}".rpartition(".")
    return getattr(import_module(module), last)


def methods(cls: type) -> list[str]:
    """Return the public methods of a class: ours and scikit-learn's, ours first."""
    found = {}
    for name in dir(cls):
        owner = next((c for c in cls.__mro__ if name in vars(c)), cls)
        if (
            name.startswith("_")
            or owner.__module__.partition(".")[0] not in FROM_OUTSIDE
        ):
            continue
        if callable(getattr(cls, name)):
            found[name] = owner.__module__.startswith("sklearn")
    return sorted(found, key=lambda name: (found[name], name))


def attributes(cls: type) -> list[str]:
    """Return the public properties of a class."""
    return [
        name
        for name in dir(cls)
        if not name.startswith("_") and isinstance(getattr(cls, name), property)
    ]


def page(name: str) -> str:
    """Return the page of a name, in reStructuredText."""
    value = resolve(name)
    title = f"``{name}``"
    module, _, last = f"userlogfeat.{name}".rpartition(".")
    lines = [title, "=" * len(title), "", f".. currentmodule:: {module}", ""]
    if inspect.isclass(value):
        lines += _class_lines(last, value)
    elif callable(value):
        lines += [f".. autofunction:: {last}"]
    else:
        lines += [f".. autodata:: {last}", "   :no-value:", "", *_settings(value)]
    lines += ["", ".. rubric:: Gallery", ""]
    lines += [f".. minigallery:: userlogfeat.{name}", ""]
    return "\n".join(lines)


def _settings(named):
    """A table of dataclasses by name: a column each, a row a field."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * -"]
    lines += [f"     - {name}" for name in named]
    for parameter in fields(next(iter(named.values()))):
        lines += [f"   * - {parameter.name}"]
        lines += [f"     - {getattr(one, parameter.name)}" for one in named.values()]
    return lines


def _class_lines(name, cls):
    lines = [f".. autoclass:: {name}"]
    for kind, members in (("property", attributes(cls)), ("method", methods(cls))):
        if not members:
            continue
        word = "Properties" if kind == "property" else "Methods"
        lines += [
            "",
            f".. rubric:: {word}",
            "",
            ".. autosummary::",
            "   :nosignatures:",
        ]
        lines += ["", *(f"   {name}.{member}" for member in members), ""]
        lines += [f".. auto{kind}:: {name}.{member}" for member in members]
    return lines


def index(steps: list[Step]) -> str:
    """Return the first page of the reference."""
    lines = [
        "API reference",
        "=============",
        "",
        "Every public class and function, by the step where it is used. Names without",
        "a module are imported from ``userlogfeat``; pages link to their examples.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "   :hidden:",
        "",
        *(f"   {step.slug}" for step in steps),
        "",
    ]
    for step in steps:
        lines += [
            f":doc:`{step.title} <{step.slug}>`",
            "-" * (len(step.title) * 2 + 20),
        ]
        lines += ["", step.text, "", *_table(step), ""]
    return "\n".join(lines)


def step_page(step: Step) -> str:
    """Return the page of a step: its names with their first sentences."""
    lines = [step.title, "=" * len(step.title), "", step.text]
    lines += [f"How to choose: :doc:`the guide </guide/{step.guide}>`.", ""]
    lines += [*_table(step), "", ".. toctree::", "   :hidden:", ""]
    return "\n".join([*lines, *(f"   userlogfeat.{name}" for name in step.found), ""])


def _table(step):
    return [
        ".. currentmodule:: userlogfeat",
        "",
        ".. autosummary::",
        "   :nosignatures:",
        "",
        *(f"   {name}" for name in step.found),
    ]


def write(folder: Path) -> None:
    """Write all pages; unchanged ones keep their time, and pages of no name go."""
    listed = steps()
    pages = {"index.rst": index(listed)}
    for step in listed:
        pages[f"{step.slug}.rst"] = step_page(step)
        pages |= {f"userlogfeat.{name}.rst": page(name) for name in step.found}
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.rst"):
        if file.name not in pages:
            file.unlink()
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, encoding="utf-8")
