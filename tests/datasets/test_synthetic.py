"""The planted corpus: the truth is known, and both logs and audio show it."""

import numpy as np
import pytest
import soundfile

from userlogfeat import read_catalogue, read_logs
from userlogfeat.datasets import synthetic
from userlogfeat.datasets.synthesis import MAJOR, MINOR, SOUND, synthesise
from userlogfeat.datasets.synthetic import _make_items, make_listening_corpus

RATE = 16000
PLAIN = {
    "tempo": 120.0,
    "register": 400.0,
    "brightness": 2.0,
    "drums": 0.0,
    "mode": 0.0,
    "decay": 0.5,
    "vibrato": 0.0,
    "chords": 0.0,
}


def play(seed=0, n_samples=4 * RATE, noise=0.0, equaliser=(0.0, 0.0), **changes):
    return synthesise(
        {**PLAIN, **changes},
        np.array(equaliser),
        n_samples=n_samples,
        sample_rate=RATE,
        noise=noise,
        random_state=np.random.default_rng(seed),
    )


def spectrum(waveform):
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))) ** 2
    return np.fft.rfftfreq(len(waveform), 1 / RATE), power / power.sum()


def centroid(waveform):
    frequencies, power = spectrum(waveform)
    return frequencies @ power


def pitches(waveform):
    """Semitones above 400 Hz of every strong partial of a clip without overtones."""
    frequencies, power = spectrum(waveform)
    inner = power[1:-1]
    peak = (inner > power[:-2]) & (inner > power[2:]) & (inner > 0.03 * power.max())
    return 12 * np.log2(frequencies[1:-1][peak] / 400)


@pytest.fixture(scope="module")
def corpus():
    return make_listening_corpus(200, 240, 4, duration=0.25, random_state=0)


def test_the_first_note_is_near_its_register():
    """The key is -6 to 5 semitones away, the first note two degrees from the key."""
    settings = {"tempo": 1.0, "decay": 1e3, "brightness": 9.0}
    seen = {int(np.rint(pitches(play(seed, **settings))[0])) for seed in range(40)}
    assert min(seen) >= -6 - 3
    assert max(seen) <= 5 + 4
    assert len(seen) > 8


@pytest.mark.parametrize(("mode", "scale"), [(0.0, MAJOR), (1.0, MINOR)])
def test_every_note_is_of_the_mode(mode, scale):
    for seed in range(5):
        # Overtones so weak that only fundamentals count as peaks.
        notes = pitches(play(seed, mode=mode, brightness=9.0, decay=10.0, tempo=60.0))
        notes = np.rint(notes).astype(int)
        assert any(set((notes - key) % 12) <= set(scale) for key in range(12))


def test_tempo_is_the_number_of_attacks():
    waveform = play(tempo=180.0, decay=0.05)
    envelope = np.abs(waveform).reshape(-1, 160).max(axis=1)  # 10 ms
    attacks = np.sum((envelope[1:] > 0.3) & (envelope[:-1] <= 0.3))
    assert abs(attacks - 180 * 4 / 60) <= 1


def test_what_each_property_does_to_the_sound():
    assert centroid(play(brightness=0.7)) > 1.5 * centroid(play(brightness=2.4))
    assert centroid(play(register=600.0)) > 1.5 * centroid(play(register=150.0))
    assert centroid(play(drums=1.0)) > 1.5 * centroid(play(drums=0.0))
    short, long = (np.abs(play(decay=decay)).mean() for decay in (0.06, 0.9))
    assert long > 2 * short
    still, moved = (
        np.count_nonzero(spectrum(play(vibrato=depth, tempo=1.0, decay=1e3))[1] > 1e-4)
        for depth in (0.0, 0.9)
    )
    assert moved > 2 * still  # vibrato spreads every partial
    assert len(pitches(play(chords=0.9, brightness=9.0, tempo=1.0, decay=1e3))) == 3
    assert len(pitches(play(chords=0.0, brightness=9.0, tempo=1.0, decay=1e3))) == 1


def test_equaliser_gain_is_in_decibels():
    """20 dB everywhere is undone by the level; 20 dB at the top brightens."""
    np.testing.assert_array_equal(play(), play(equaliser=(20.0, 20.0)))
    assert centroid(play(equaliser=(0.0, 40.0))) > 1.5 * centroid(play())


def test_samples_are_those_of_a_16_bit_file():
    waveform = play(noise=1.0)
    assert waveform.dtype == np.float32
    assert np.abs(waveform).max() <= 0.9 + 1 / 32768
    np.testing.assert_array_equal(waveform * 32768, np.rint(waveform * 32768))


def test_shapes_and_truth(corpus):
    assert corpus.audio.shape == (240, 4000)
    assert corpus.audio.dtype == np.float32
    assert np.isfinite(corpus.audio).all()
    assert (np.abs(corpus.audio).max(axis=1) > 0.05).all()
    assert corpus.item_tastes.shape == (240, 4)
    assert corpus.user_tastes.shape == (200, 4)
    np.testing.assert_allclose(corpus.item_tastes.sum(axis=1), 1)
    labels = [f"taste_{k}" for k in corpus.item_tastes.argmax(axis=1)]
    assert corpus.catalogue.labels.tolist() == labels
    assert len(set(corpus.catalogue.artists)) == 60
    assert corpus.sounds.columns == list(SOUND)


def test_sounds_stay_in_their_range_and_reach_both_ends(corpus):
    for name, (a, b) in SOUND.items():
        values = corpus.sounds[name].to_numpy()
        assert values.min() == pytest.approx(min(a, b))
        assert values.max() == pytest.approx(max(a, b))


def test_pure_tastes_differ_in_half_of_the_properties():
    tastes = np.eye(4)
    sounds = synthetic._choose_sounds(tastes, 0.0, np.random.default_rng(0)).to_numpy()
    for a in range(4):
        for b in range(a):
            assert np.sum(sounds[a] != sounds[b]) in (4, 8)


def test_items_of_an_artist_are_alike(corpus):
    artists = corpus.catalogue.groups("artist")
    same = artists[:, None] == artists
    np.fill_diagonal(same, False)
    distance = np.abs(corpus.item_tastes[:, None] - corpus.item_tastes).sum(axis=2)
    assert distance[same].mean() < 0.6 * distance[~same].mean()


def test_users_play_what_suits_them(corpus):
    logs = corpus.logs
    user, count = logs["user"].to_numpy(), logs["count"].to_numpy()
    row = {item: i for i, item in enumerate(corpus.catalogue.items)}
    item = np.array([row[name] for name in logs["item"]])
    match = np.sum(corpus.user_tastes[user] * corpus.item_tastes[item], axis=1)
    chance = corpus.user_tastes[user].mean(axis=0) @ corpus.item_tastes[item].mean(0)
    assert np.average(match, weights=count) > 1.5 * chance
    assert count.min() >= 1
    assert len(logs.unique(["user", "item"])) == len(logs)
    assert count.sum() / 200 == pytest.approx(120, rel=0.2)


def test_popularity_has_a_long_tail(corpus):
    plays = corpus.logs.group_by("item").sum()["count"].sort(descending=True).to_numpy()
    assert plays[:24].sum() > 0.3 * plays.sum()  # a tenth of the items
    assert plays[120:].sum() > 0.05 * plays.sum()


def test_listening_follows_its_equation():
    """A user who plays very much shows p(item | user), computed here by loops."""
    item_tastes = np.random.default_rng(1).dirichlet(np.ones(3), size=8)
    user_tastes, logs = synthetic._listen(
        1, item_tastes, 400_000, np.random.default_rng(2)
    )
    popularity = 1 + np.random.default_rng(2).permutation(8)
    popularity = popularity**-synthetic.POPULARITY_SLOPE
    expected = np.zeros(8)
    for taste in range(3):
        total = sum(popularity[j] * item_tastes[j, taste] for j in range(8))
        for i in range(8):
            share = popularity[i] * item_tastes[i, taste] / total
            expected[i] += user_tastes[0, taste] * share
    counts = dict(zip(logs["item"], logs["count"], strict=True))
    found = np.array([counts[f"item_{i:04d}"] for i in range(8)])
    np.testing.assert_allclose(found / found.sum(), expected, atol=0.01)


def test_the_seed_decides_and_the_global_state_is_left():
    def make(seed, n_users=10):
        return make_listening_corpus(n_users, 8, 2, duration=0.1, random_state=seed)

    np.random.seed(7)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other, unseeded = make(3), make(3), make(4), make(None)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.testing.assert_array_equal(first.audio, again.audio)
    assert first.logs.equals(again.logs)
    assert not np.array_equal(first.audio, other.audio)
    assert not np.array_equal(first.audio, unseeded.audio)
    # More users: other logs, the same audio.
    np.testing.assert_array_equal(first.audio, make(3, n_users=30).audio)
    generator = np.random.default_rng(0)
    assert not np.array_equal(make(generator).audio, make(generator).audio)


def test_no_noise_leaves_the_level_alone():
    quiet = make_listening_corpus(10, 8, 2, duration=0.1, noise=0, random_state=0)
    np.testing.assert_allclose(np.abs(quiet.audio).max(axis=1), 0.9, atol=1e-4)


def test_each_item_may_have_an_equaliser_of_its_own():
    """All else stays: without noise nothing is equalised, and the audio is the same."""
    settings = {"n_artists": 3, "duration": 0.2, "random_state": 5}
    for noise, same in ((0, True), (1, False)):
        of_artists = make_listening_corpus(5, 12, 3, noise=noise, **settings)
        of_items = make_listening_corpus(
            5, 12, 3, noise=noise, equaliser="item", **settings
        )
        assert of_artists.logs.equals(of_items.logs)
        assert of_artists.sounds.equals(of_items.sounds)
        assert np.array_equal(of_artists.audio, of_items.audio) == same
    _, artists, by_artist = _make_items(12, 3, 3, "artist", np.random.default_rng(0))
    for artist in range(3):
        assert len(np.unique(by_artist[artists == artist], axis=0)) == 1
    _, _, by_item = _make_items(12, 3, 3, "item", np.random.default_rng(0))
    assert len(np.unique(by_item, axis=0)) == 12


def test_files_hold_the_same_corpus(tmp_path):
    settings = {"duration": 0.2, "random_state": 5}
    kept = make_listening_corpus(20, 12, 3, **settings)
    written = make_listening_corpus(20, 12, 3, folder=tmp_path / "new", **settings)
    for path, waveform in zip(written.audio, kept.audio, strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(samples, waveform)
    assert written.logs.equals(kept.logs)
    logs = read_logs(tmp_path / "new" / "logs.csv", count="count")
    assert logs.user_items.sum() == kept.logs["count"].sum()
    catalogue = read_catalogue(tmp_path / "new" / "catalogue.csv")
    assert catalogue.clips.tolist() == written.audio
    assert catalogue.items.tolist() == kept.catalogue.items.tolist()
    laid_out = read_catalogue(tmp_path / "new" / "audio")
    assert sorted(laid_out.artists) == sorted(kept.catalogue.artists)
    with pytest.raises(ValueError, match="holds files already"):
        make_listening_corpus(20, 12, 3, folder=tmp_path / "new", **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_tastes": 1}, "n_tastes=1, expected 2 to 16"),
        ({"n_tastes": 17}, "distinguished by ear"),
        ({"n_users": 0}, "n_users=0"),
        ({"n_items": 2.5}, r"n_items=2\.5"),
        ({"n_items": 4, "n_artists": 5}, "every artist needs an item"),
        ({"duration": float("nan")}, "duration=nan"),
        ({"noise": -1}, "noise=-1"),
        ({"sample_rate": 3999}, "at least 4000 Hz"),
        ({"plays_per_user": 0}, "plays_per_user=0"),
        ({"equaliser": "album"}, "equaliser='album'"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_listening_corpus(**{"n_users": 5, "n_items": 5, **settings})
