"use strict";
// The explorer. Data (see exploration/page.py):
//   clips   columns of text: name, and where known title, album, artist, label, split, tags
//   audio   a URL for each clip, or null
//   colours other columns to colour by
//   models  name, tagNames, tags [[[tag, value], ...] a clip], items, liked [[item, ...] a clip]
//   layers  model, name, size, maps {method: [x0, y0, x1, ...]}, near, far, answers
//   pairs   [kind, clip, clip, text]
// Text enters the page as textContent alone, so none of it is ever read as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const N = data.clips.name.length;
const SIDE = 10000; // map coordinates are 0 to SIDE
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b8860b"];
const RAMP = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"];
const GREY = "#8a8a8a";
const SHAPES = ["circle", "square", "triangle", "diamond"]; // 4 and 7: 28 looks differ
const N_LOOKS = 28;
const N_LISTED = 50;
const METHODS = { tsne: "t-SNE", pca: "PCA", umap: "UMAP" };
const KINDS = { track: "same track", artist: "same artist", audio: "copy across the split", copy: "near copy" };

const find = (id) => document.getElementById(id);
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const say = (text) => { find("say").textContent = text; };
const percent = (value) => `${Math.round(100 * value)} %`;

const shortNames = data.clips.name.map((name) => name.split("/").pop());
const title = (clip) => (data.clips.title && data.clips.title[clip]) || shortNames[clip];
const known = (name, clip) => data.clips[name] && data.clips[name][clip];
const fullName = (clip) => [title(clip), known("artist", clip)].filter(Boolean).join(", ");

const state = { chosen: -1, hover: -1, hits: null, picked: new Set(), colour: null, method: null };

// ---------------------------------------------------------------- colours

// A colouring: {values: place of a category for each clip, categories: [{name, count, colour, shape}]}
function categories(values, { order = null, ramp = false } = {}) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  let names = order || [...counts.keys()].filter((name) => name !== null)
    .sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  const others = names.slice(N_LOOKS);
  names = names.slice(0, N_LOOKS);
  const found = names.map((name, i) => ({
    name, count: counts.get(name) || 0,
    colour: ramp ? RAMP[i] : COLOURS[i % COLOURS.length],
    shape: ramp ? "circle" : SHAPES[i % SHAPES.length],
  }));
  const place = new Map(names.map((name, i) => [name, i]));
  const rest = (name, count) => {
    if (count) found.push({ name, count, colour: GREY, shape: "circle" });
    return found.length - 1;
  };
  const atOthers = rest(`${others.length} others`, others.reduce((n, name) => n + counts.get(name), 0));
  for (const name of others) place.set(name, atOthers);
  if (counts.get(null)) place.set(null, rest("unknown", counts.get(null)));
  return { values: values.map((value) => place.get(value)), categories: found };
}

function numbers(values) {
  const real = values.filter((value) => value !== null);
  let low = Infinity, high = -Infinity;
  for (const value of real) { low = Math.min(low, value); high = Math.max(high, value); }
  const step = (high - low) / RAMP.length || 1;
  // As many digits as make the ends of a bin differ.
  const digits = Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high), step) / step)) + 1;
  const text = (value) => Number(value.toPrecision(Math.min(15, Math.max(2, digits)))).toString();
  const order = RAMP.map((_, i) => `${text(low + i * step)} to ${text(low + (i + 1) * step)}`);
  const bin = (value) => order[Math.min(RAMP.length - 1, Math.floor((value - low) / step))];
  return categories(values.map((value) => (value === null ? null : bin(value))), { order, ramp: true });
}

const column = (values) => (
  values.every((value) => value === null || typeof value === "number")
    ? numbers(values) : categories(values.map((value) => (value === null ? null : String(value)))));
const answerOf = (layer, clip) => layer.answers.classes[layer.answers.best[clip][0]];
const perClip = (make) => Array.from({ length: N }, (_, clip) => make(clip));

// Name -> function from a layer to a colouring.
const colourings = {};
for (const name of ["label", "artist", "album", "split"]) {
  if (data.clips[name]) colourings[name] = () => categories(data.clips[name]);
}
if (data.layers.some((layer) => layer.answers)) {
  colourings["classifier's answer"] = (layer) => layer.answers
    && categories(perClip((clip) => answerOf(layer, clip)));
  colourings["error of the classifier"] = (layer) => layer.answers && categories(
    perClip((clip) => (known("label", clip) == null ? null
      : answerOf(layer, clip) === known("label", clip) ? "right" : "wrong")),
    { order: ["right", "wrong"] });
  colourings["certainty of the classifier"] = (layer) => layer.answers
    && numbers(perClip((clip) => layer.answers.sure[clip][0]));
}
if (data.models.some((model) => model.tags)) {
  colourings["strongest tag"] = (layer) => data.models[layer.model].tags
    && categories(data.models[layer.model].tags.map((tags) => data.models[layer.model].tagNames[tags[0][0]]));
}
if (data.models.some((model) => model.liked)) {
  colourings["estimate: liked by listeners of"] = (layer) => data.models[layer.model].liked
    && categories(data.models[layer.model].liked.map((items) => data.models[layer.model].items[items[0]]));
}
for (const [name, values] of Object.entries(data.colours)) colourings[name] = () => column(values);
if (data.pairs.length) {
  const kinds = new Array(N).fill(null);
  for (const [kind, a, b] of data.pairs) kinds[a] = kinds[b] = KINDS[kind];
  colourings["leaks and copies"] = () => categories(kinds);
}
colourings.none = () => categories(new Array(N).fill("clip"));

// ---------------------------------------------------------------- drawing

const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function tracePath(context, shape, x, y, r) {
  context.beginPath();
  if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
  if (shape === "square") context.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
  if (shape === "triangle") {
    context.moveTo(x, y - 1.15 * r); context.lineTo(x + 1.1 * r, y + 0.85 * r); context.lineTo(x - 1.1 * r, y + 0.85 * r);
    context.closePath();
  }
  if (shape === "diamond") {
    context.moveTo(x, y - 1.25 * r); context.lineTo(x + 1.25 * r, y); context.lineTo(x, y + 1.25 * r); context.lineTo(x - 1.25 * r, y);
    context.closePath();
  }
}

function sprite(category, r, scale) {
  const size = Math.ceil(3 * r) + 2;
  const canvas = make("canvas");
  canvas.width = canvas.height = Math.ceil(size * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  tracePath(context, category.shape, size / 2, size / 2, r);
  context.fillStyle = category.colour;
  context.fill();
  context.lineWidth = 0.8;
  context.strokeStyle = styleOf("--panel");
  context.stroke();
  return { canvas, size };
}

class ClipMap {
  constructor(place) {
    this.place = place;
    this.canvas = find(`map${place}`);
    this.context = this.canvas.getContext("2d");
    this.layer = null;
    this.zoom = 1;
    this.centre = [SIDE / 2, SIDE / 2];
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.canvas);
  }

  show(layer) {
    this.layer = layer;
    this.canvas.parentElement.hidden = !layer;
    if (!layer) return;
    this.recolour();
    const answers = layer.answers
      ? ` Classifier: ${percent(layer.answers.accuracy)} right${layer.answers.byArtist ? ", artists kept apart" : ""}.` : "";
    find(`caption${this.place}`).textContent = `${layerName(layer)}, ${METHODS[state.method]}: ${N.toLocaleString("en")} clips.${answers}`;
    this.resize();
  }

  recolour() {
    const make = colourings[state.colour];
    this.colours = make(this.layer) || colourings.none();
    this.sprites = null;
    this.draw();
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    if (!box.width || !this.layer) return;
    this.scale = window.devicePixelRatio || 1;
    this.width = box.width; this.height = box.height;
    this.canvas.width = Math.round(box.width * this.scale);
    this.canvas.height = Math.round(box.height * this.scale);
    this.sprites = null;
    this.draw();
  }

  places() { return this.layer.maps[state.method]; }

  // Pixels for one unit of the map. The spread of PCA fills wide canvases: axes scale alike.
  unit() { return (0.94 * Math.min(this.width, this.height)) / SIDE * this.zoom; }

  at(clip) {
    const xy = this.places(), unit = this.unit();
    return [
      this.width / 2 + (xy[2 * clip] - this.centre[0]) * unit,
      this.height / 2 - (xy[2 * clip + 1] - this.centre[1]) * unit,
    ];
  }

  visible(clip) {
    return (!state.hits || state.hits.has(clip))
      && (!state.picked.size || state.picked.has(this.colours.categories[this.colours.values[clip]].name));
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawNow(); });
  }

  drawNow() {
    if (!this.layer || !this.width) return;
    const { context } = this, radius = Math.max(2.5, Math.min(6.5, 60 / Math.sqrt(N))) * Math.min(1.6, Math.sqrt(this.zoom));
    if (!this.sprites || this.sprites.radius !== radius) {
      this.sprites = this.colours.categories.map((category) => sprite(category, radius, this.scale));
      this.sprites.radius = radius;
    }
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const dimmed = state.hits !== null || state.picked.size > 0;
    for (const faint of dimmed ? [true, false] : [false]) {
      context.globalAlpha = faint ? 0.12 : 0.9;
      for (let clip = 0; clip < N; clip++) {
        if (dimmed && this.visible(clip) === faint) continue;
        const [x, y] = this.at(clip);
        if (x < -9 || y < -9 || x > this.width + 9 || y > this.height + 9) continue;
        const { canvas, size } = this.sprites[this.colours.values[clip]];
        context.drawImage(canvas, x - size / 2, y - size / 2, size, size);
      }
    }
    context.globalAlpha = 1;
    if (state.chosen >= 0) this.drawChosen(radius);
    if (state.hover >= 0) this.drawName(state.hover);
    this.canvas.dataset.drawn = String(N); // for tests
  }

  drawChosen(radius) {
    const { context } = this, [x, y] = this.at(state.chosen);
    context.strokeStyle = styleOf("--text");
    context.lineWidth = 1;
    for (const other of this.layer.near[state.chosen]) {
      const [ox, oy] = this.at(other);
      context.globalAlpha = 0.5;
      context.beginPath(); context.moveTo(x, y); context.lineTo(ox, oy); context.stroke();
      context.globalAlpha = 1;
      context.beginPath(); context.arc(ox, oy, radius + 2.5, 0, 2 * Math.PI); context.stroke();
    }
    context.lineWidth = 3;
    context.beginPath(); context.arc(x, y, radius + 5, 0, 2 * Math.PI); context.stroke();
    if (state.hover < 0) this.drawName(state.chosen);
  }

  drawName(clip) {
    const { context } = this, [x, y] = this.at(clip);
    let text = fullName(clip).slice(0, 60);
    context.font = "13px system-ui, sans-serif";
    while (text.length > 2 && context.measureText(text).width + 16 > this.width) text = `${text.slice(0, -2)}…`;
    const width = context.measureText(text).width + 12;
    this.canvas.dataset.name = text; // for tests
    const left = Math.max(2, Math.min(this.width - width - 2, x - width / 2));
    const top = y > 42 ? y - 36 : y + 16;
    context.fillStyle = styleOf("--back");
    context.strokeStyle = styleOf("--strong");
    context.lineWidth = 1;
    context.beginPath(); context.rect(left, top, width, 22); context.fill(); context.stroke();
    context.fillStyle = styleOf("--text");
    context.fillText(text, left + 6, top + 15);
  }

  nearestTo(x, y, reach) {
    let best = -1, least = reach * reach;
    for (let clip = 0; clip < N; clip++) {
      const [cx, cy] = this.at(clip), d = (cx - x) ** 2 + (cy - y) ** 2;
      if (d < least && this.visible(clip)) { best = clip; least = d; }
    }
    return best;
  }

  // The clip in the direction (dx, dy) from the chosen one: near, and not far to the side.
  next(dx, dy) {
    if (state.chosen < 0) return this.nearestTo(this.width / 2, this.height / 2, Infinity);
    const [x, y] = this.at(state.chosen);
    let best = state.chosen, least = Infinity;
    for (let clip = 0; clip < N; clip++) {
      if (clip === state.chosen || !this.visible(clip)) continue;
      const [cx, cy] = this.at(clip), along = (cx - x) * dx + (cy - y) * dy;
      const across = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
      if (along > 0.5 && along >= across && along + 2 * across < least) { best = clip; least = along + 2 * across; }
    }
    return best;
  }

  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.unit();
    this.zoom = Math.max(1, Math.min(60, this.zoom * factor));
    const shift = 1 / before - 1 / this.unit();
    if (this.zoom === 1) this.centre = [SIDE / 2, SIDE / 2];
    else {
      this.centre[0] += (x - this.width / 2) * shift;
      this.centre[1] -= (y - this.height / 2) * shift;
    }
    this.draw();
  }

  bringIntoView(clip) {
    const [x, y] = this.at(clip);
    if (x > 20 && y > 20 && x < this.width - 20 && y < this.height - 20) return;
    const xy = this.places();
    this.centre = [xy[2 * clip], xy[2 * clip + 1]];
  }

  listen() {
    const { canvas } = this, fingers = new Map();
    let moved = 0, spread = 0;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, place(event));
      moved = fingers.size > 1 ? Infinity : 0;
      spread = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = place(event), before = fingers.get(event.pointerId);
      if (!before) {
        const hover = this.nearestTo(x, y, 14);
        if (hover !== state.hover) { state.hover = hover; maps.forEach((map) => map.draw()); }
        return;
      }
      fingers.set(event.pointerId, [x, y]);
      if (fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        const now = Math.hypot(a[0] - b[0], a[1] - b[1]);
        if (spread) this.zoomBy(now / spread, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
        spread = now;
        return;
      }
      moved += Math.hypot(x - before[0], y - before[1]);
      if (moved > 4) {
        this.centre[0] -= (x - before[0]) / this.unit();
        this.centre[1] += (y - before[1]) / this.unit();
        this.draw();
      }
    });
    const end = (event) => {
      const at = fingers.get(event.pointerId);
      fingers.delete(event.pointerId);
      if (event.type !== "pointerup" || !at || moved > 4) return;
      const clip = this.nearestTo(...at, 22);
      if (clip >= 0) choose(clip, { play: true });
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => { state.hover = -1; maps.forEach((map) => map.draw()); });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 300), ...place(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (steps[event.key]) choose(this.next(...steps[event.key]));
      else if (event.key === "Enter" || event.key === " ") playOrPause();
      else if (event.key === "+" || event.key === "=") this.zoomBy(1.4);
      else if (event.key === "-") this.zoomBy(1 / 1.4);
      else if (event.key === "0") this.zoomBy(0);
      else return;
      event.preventDefault();
    });
  }
}

// ---------------------------------------------------------------- the chosen clip

const player = find("player");
player.addEventListener("error", () => { if (player.getAttribute("src")) say("The audio of this clip cannot be played here."); });

function playOrPause() {
  if (state.chosen < 0 || player.hidden) return;
  if (player.paused) player.play().catch(() => say("The audio of this clip cannot be played here."));
  else player.pause();
}

function choose(clip, { play = false } = {}) {
  if (clip < 0 || (clip === state.chosen && !play)) return;
  const isNew = clip !== state.chosen;
  state.chosen = clip;
  if (isNew) {
    const url = data.audio[clip];
    player.hidden = !url;
    if (url) player.src = url; else player.removeAttribute("src");
    showClip();
  }
  maps.forEach((map) => { if (map.layer && map.width) { map.bringIntoView(clip); map.draw(); } });
  if (play) playOrPause();
}

function clipButton(clip, more) {
  const button = make("button", fullName(clip), { type: "button", "data-clip": clip });
  button.addEventListener("click", () => choose(clip, { play: true }));
  const item = make("li");
  item.append(button);
  if (more) item.append(make("span", ` ${more}`, { class: "quiet" }));
  return item;
}

function listOf(heading, items, ordered = true) {
  const list = make(ordered ? "ol" : "ul");
  list.append(...items);
  return [make("h3", heading), list];
}

function showClip() {
  const clip = state.chosen, box = find("clip");
  const parts = [make("div", title(clip), { class: "name" })];
  const facts = ["artist", "album", "label", "split"].filter((name) => known(name, clip))
    .map((name) => `${name}: ${known(name, clip)}`);
  if (title(clip) !== shortNames[clip]) facts.push(`file: ${shortNames[clip]}`);
  if (facts.length) parts.push(make("div", facts.join(" · ")));
  if (!data.audio[clip]) parts.push(make("p", "No audio on this page.", { class: "quiet" }));
  const own = known("tags", clip);
  if (own && own.length) parts.push(make("div", `Tags: ${own.join(", ")}`));
  for (const map of maps.filter((one) => one.layer)) {
    const { layer } = map, model = data.models[layer.model];
    if (maps[1].layer) parts.push(make("h2", layerName(layer)));
    if (layer.answers) {
      const best = layer.answers.best[clip].map((place, i) => make("li", `${layer.answers.classes[place]} ${percent(layer.answers.sure[clip][i])}`));
      parts.push(...listOf("The classifier says", best));
    }
    if (model.tags) parts.push(...listOf("Tags of the model", model.tags[clip].map(([tag, value]) => make("li", `${model.tagNames[tag]} ${percent(value)}`))));
    if (model.liked) parts.push(...listOf("Listeners of these would like it", model.liked[clip].map((item) => make("li", model.items[item]))));
    parts.push(...listOf("Nearest clips", layer.near[clip].map((other, i) => clipButton(other, layer.far[clip][i].toFixed(2)))));
  }
  box.replaceChildren(...parts);
  const answer = maps[0].layer.answers ? `, classifier says ${answerOf(maps[0].layer, clip)}` : "";
  say(`${fullName(clip)}${known("label", clip) ? `, ${known("label", clip)}` : ""}${answer}. Nearest: ${fullName(maps[0].layer.near[clip][0])}.`);
}

// ---------------------------------------------------------------- search, legend, pairs

const searchText = perClip((clip) => [data.clips.name[clip], known("title", clip), known("artist", clip), known("album", clip),
  known("label", clip), ...(known("tags", clip) || []),
  ...data.models.flatMap((model) => (model.tags ? model.tags[clip].map(([tag]) => model.tagNames[tag]) : []))]
  .filter(Boolean).join("\n").toLowerCase());

function search() {
  const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  state.hits = words.length
    ? new Set(searchText.flatMap((text, clip) => (words.every((word) => text.includes(word)) ? [clip] : []))) : null;
  const listed = [...(state.hits || [])].slice(0, N_LISTED);
  find("results").hidden = !state.hits;
  find("list").replaceChildren(...listed.map((clip) => clipButton(clip, known("label", clip))));
  find("hits").textContent = !state.hits ? "" : `${state.hits.size} of ${N} clips found`
    + (state.hits.size > N_LISTED ? `; the first ${N_LISTED} are listed.` : ".");
  maps.forEach((map) => map.draw());
}

function showLegend() {
  const { categories: found } = maps[0].colours;
  find("legend").replaceChildren(...found.map((category) => {
    const button = make("button", undefined, { type: "button", "aria-pressed": state.picked.has(category.name) });
    const look = make("canvas", undefined, { width: 32, height: 32, "aria-hidden": "true" });
    const context = look.getContext("2d");
    tracePath(context, category.shape, 16, 16, 11);
    context.fillStyle = category.colour;
    context.fill();
    button.append(look, make("span", category.name), make("span", String(category.count), { class: "n" }));
    button.addEventListener("click", () => {
      const pressed = !state.picked.delete(category.name);
      if (pressed) state.picked.add(category.name);
      button.setAttribute("aria-pressed", pressed);
      maps.forEach((map) => map.draw());
    });
    return button;
  }));
}

function showPairs() {
  if (!data.nPairs) { find("pairs").replaceChildren(make("p", "None were found among these clips.", { class: "quiet" })); return; }
  const list = make("ol");
  for (const [kind, a, b, text] of data.pairs) {
    const button = make("button", `${fullName(a)} and ${fullName(b)}`, { type: "button" });
    button.addEventListener("click", () => {
      find("search").value = "";
      search();
      state.hits = new Set([a, b]);
      find("hits").textContent = "2 clips of a pair are shown. Escape shows all.";
      choose(a);
      maps.forEach((map) => map.draw());
    });
    const item = make("li");
    item.append(button, make("div", `${KINDS[kind]}, ${text}`, { class: "quiet" }));
    list.append(item);
  }
  const more = data.nPairs > data.pairs.length ? ` The first ${data.pairs.length} are listed.` : "";
  find("pairs").replaceChildren(make("p", `${data.nPairs} pairs.${more}`, { class: "quiet" }), list);
}

// ---------------------------------------------------------------- controls

const layerName = (layer) => (data.models.length > 1 ? `${data.models[layer.model].name}: ${layer.name}` : layer.name);

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", text, { value })));
  select.value = chosen;
  if (options.length < 2) select.parentElement.hidden = true;
}

const maps = [new ClipMap(0), new ClipMap(1)];

function update() {
  state.method = find("method").value;
  state.colour = find("colour").value;
  maps.forEach((map, place) => {
    const value = find(`layer${place}`).value;
    map.show(value === "" ? null : data.layers[Number(value)]);
  });
  find("maps").classList.toggle("two", Boolean(maps[1].layer));
  showLegend();
  if (state.chosen >= 0) showClip();
}

const layers = data.layers.map((layer, i) => [String(i), layerName(layer)]);
const widest = data.layers.reduce((best, layer, i) => (
  layer.model === 0 && layer.size > data.layers[best].size ? i : best), 0);
const named = data.layers.findIndex((layer) => layer.model === 1 && layer.name === data.layers[widest].name);
const second = named < 0 ? data.layers.findIndex((layer) => layer.model === 1) : named;
fill(find("layer0"), layers, String(widest));
fill(find("layer1"), [["", "nothing"], ...layers], second < 0 ? "" : String(second));
fill(find("method"), Object.keys(data.layers[0].maps).map((name) => [name, METHODS[name]]), Object.keys(data.layers[0].maps)[0]);
fill(find("colour"), Object.keys(colourings).map((name) => [name, name]), Object.keys(colourings)[0]);
find("controls").addEventListener("submit", (event) => event.preventDefault());
find("controls").addEventListener("change", (event) => {
  if (event.target.id === "search") return;
  if (event.target.id === "colour") state.picked.clear();
  maps.forEach((map) => { if (event.target.id !== "colour") map.zoomBy(0); });
  update();
});
find("search").addEventListener("input", search);
find("search").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !state.hits || !state.hits.size) return;
  choose([...state.hits][0], { play: true });
});
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "/" && !typing) { find("search").focus(); event.preventDefault(); }
  if (event.key === "Escape") { find("search").value = ""; state.picked.clear(); search(); showLegend(); say("All clips are shown."); }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => maps.forEach((map) => map.layer && map.recolour()));
update();
showPairs();
