"use strict";
// The page of runs. Everything is built from `head`; numbers and texts of rollouts come when somebody looks.
(() => {
let head = JSON.parse(document.getElementById("head").textContent);
const main = document.getElementById("main"), tabs = document.getElementById("tabs"), root = document.documentElement;
const COLOURS = ["#0b62c4", "#d9480f", "#1a7f4b", "#a626a4", "#b58900", "#0e8a9c", "#c2362b", "#7048e8", "#5c940d", "#d6336c", "#6b7280", "#8d5524"];
const PAGE = 40;

// ------------------------------------------------------------------ small things
const make = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
};
const number = (value, digits = 3) =>
  value == null ? "-" : Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toFixed(digits));
const percent = (value) => (value == null ? "-" : (100 * value).toFixed(1));
const seconds = (value) => value == null ? "-" : value < 120 ? `${value.toFixed(0)} s` : value < 7200 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
const LIGHTER = ["#6db1ff", "#ff9466", "#57c98b", "#dc8cdb", "#e0b84c", "#4fc4d4", "#ff8075", "#b197fc", "#a3cf5f", "#f783ac", "#aeb6c0", "#cfa37a"];
const palette = () => (root.dataset.theme === "dark" ? LIGHTER : COLOURS);
const colour = (name) => palette()[Math.max(0, head.runs.filter((run) => run.curves.step).findIndex((run) => run.name === name)) % COLOURS.length];
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const table = (titles, rows) => make("div", { class: "wide" }, make("table", {},
  make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)))),
  make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => cell instanceof Node ? cell : make("td", {}, String(cell))))))));
const share = (value) => value == null ? make("td", {}, "-") : make("td", { class: "bar", style: `--part: ${(100 * value).toFixed(1)}%` }, percent(value));
const choice = (label, options, value, change) => make("label", {}, label, make("select", { onchange: (e) => change(e.target.value) },
  ...options.map(([key, text]) => make("option", { value: key, selected: String(key) === String(value) }, text))));

// ------------------------------------------------------------------ what is loaded when it is looked at
const loaded = new Map();
const KEPT = 64; // chunks of texts, the newest looked at
async function blob(name) {
  const found = loaded.get(name) ?? read(name).catch((error) => { loaded.delete(name); throw error; });
  loaded.delete(name);
  loaded.set(name, found);
  const chunks = [...loaded.keys()].filter((key) => key.includes("c"));
  if (chunks.length > KEPT) loaded.delete(chunks[0]);
  return found;
}
async function read(name) {
  if (head.live) {
    const answer = await fetch(`/${name}`);
    if (!answer.ok) throw new Error(`the server has no ${name} (any more)`);
    return answer.json();
  }
  const bytes = Uint8Array.from(atob(document.getElementById(name).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}
const CHUNK = 256;
const textOf = async (set, i) => (await blob(`s${set}c${Math.floor(i / CHUNK)}`))[i % CHUNK];

// ------------------------------------------------------------------ text of a completion
function marked(text, wanted) {
  const node = make("span");
  if (!wanted) { node.textContent = text; return node; }
  const low = text.toLowerCase(), find = wanted.toLowerCase();
  let from = 0, at;
  while ((at = low.indexOf(find, from)) >= 0) {
    node.append(text.slice(from, at), make("mark", {}, text.slice(at, at + find.length)));
    from = at + find.length;
  }
  node.append(text.slice(from));
  return node;
}
function completion(text, wanted, open) {
  const found = /^(\s*)<think>([\s\S]*?)(<\/think>|$)([\s\S]*)$/.exec(text);
  if (!found) return [make("div", { class: "text", dir: "auto" }, ...tagged(text, wanted))];
  const [, , thought, closed, rest] = found;
  const inside = wanted && thought.toLowerCase().includes(wanted.toLowerCase());
  const fold = make("details", { class: "think", open: Boolean(open || inside) },
    make("summary", {}, `thinking, ${thought.length} characters${closed ? "" : ", never closed"}`),
    make("div", { class: "text", dir: "auto" }, marked(thought.trim(), wanted)));
  return [fold, make("div", { class: "text", dir: "auto" }, ...tagged(rest.trim(), wanted))];
}
// Tags stand apart: their letters must not make the text around them run left to right.
function tagged(text, wanted) {
  return text.split(/(<\/?(?:think|answer|summary)>)/).filter(Boolean)
    .map((part) => (/^<\/?\w+>$/.test(part) ? make("bdi", { class: "tag", dir: "ltr" }, part) : marked(part, wanted)));
}
const VERDICT = { 1: ["right", "right"], 0: ["wrong", "wrong"], "-1": ["none", "no verdict"] };
const badge = (right) => make("span", { class: VERDICT[right][0] }, VERDICT[right][1]);
function card(columns, i, [question, said, gold, scores, ended], options = {}) {
  const numbers = Object.entries(scores).map(([name, value]) => make("span", {}, `${name} ${number(value, 2)}`));
  return make("article", { class: `card${options.current ? " this" : ""}` },
    make("div", { class: "meta" }, options.title ? make("b", {}, options.title) : null, badge(columns.right[i]),
      columns.step[i] ? make("span", {}, `step ${columns.step[i]}`) : null, ...numbers,
      make("span", {}, `${columns.tokens[i]} tokens`), ended && ended !== "stop" ? make("span", { class: "wrong" }, ended) : null),
    ...completion(said, options.wanted, options.open));
}

// ------------------------------------------------------------------ charts
let charts = [];
function chart(into, title, data, series, options = {}) {
  const box = make("div", { class: "chart" }, make("h3", {}, title));
  into.append(box);
  const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, font: "11px system-ui" };
  const plot = new uPlot({
    width: Math.max(240, box.clientWidth - 20), height: options.height || 210, ...options.more,
    cursor: { sync: options.sync ? { key: options.sync } : undefined, drag: { x: true, y: false } },
    scales: { x: { time: false, distr: options.log ? 3 : 1, log: 2 } , ...(options.scales || {}) },
    axes: [{ ...axis, size: 32 }, { ...axis, size: 56, ...(options.y || {}) }],
    series: [{ label: options.label || "step" }, ...series],
  }, data, box);
  const canvas = plot.root.querySelector("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", title);
  charts.push({ plot, box });
  return plot;
}
const smooth = (values, weight) => {
  if (!weight) return values;
  let last = null;
  return values.map((v) => (v == null ? null : (last = last == null ? v : weight * last + (1 - weight) * v)));
};

// ------------------------------------------------------------------ views
const views = {};

views.Overview = (section) => {
  section.append(make("h2", {}, "Pipeline"), make("div", { class: "graph wide", id: "graph" }));
  graph(section.querySelector("#graph"));
  const ladder = head.runs.flatMap((run) => (run.ladder || []).map((line) => ({ ...line, of: run.name })));
  if (ladder.length) {
    const domains = [...new Set(ladder.flatMap((line) => Object.keys(line.accuracy || {})))];
    section.append(make("h2", {}, "Models"), table(
      ["model", ...domains.map((d) => d || "accuracy"), "\u00b1", "maj@k", "thinks", "format", "language", "tokens"],
      ladder.map((line) => [line.model, ...domains.map((d) => share(line.accuracy?.[d])), percent(line.statistics?.interval), percent(line.statistics?.["maj@k"]),
        share(line.thinking), share(line.format), share(line.language_consistency), number(line.tokens, 1)])),
      make("p", { class: "note" }, "Percent of answers right, by domain, on held-out questions; \u00b1 is half the 95% interval over all of them."));
  }
  section.append(make("h2", {}, "Runs"), table(["run", "stage", "state", "steps", "rows", "time", "tokens", "seed", "parents"],
    head.runs.map((run) => [run.name, run.stage || "-", run.status || "-", run.steps ?? "-", run.rows ?? "-", seconds(run.seconds), run.tokens ?? "-", run.seed ?? "-",
      make("td", { class: "text" }, [...new Set(run.parents.map((p) => p.run || p.path))].join(", "))])));
};

function graph(into) {
  const nodes = new Map(), edges = [];
  for (const run of head.runs) nodes.set(run.name, { id: run.name, title: run.name, small: `${run.stage || "?"}, ${run.status || "?"}`, data: ["generate", "data"].includes(run.stage) });
  for (const run of head.runs) for (const parent of run.parents) {
    const id = parent.run || parent.path;
    if (!nodes.has(id)) nodes.set(id, { id, title: id.length > 24 ? `\u2026${id.slice(-23)}` : id, small: parent.role, outside: true, data: parent.role === "data" });
    if (!edges.some(([a, b]) => a === id && b === run.name)) edges.push([id, run.name]);
  }
  const depth = new Map();
  const level = (id, seen = new Set()) => {
    if (depth.has(id)) return depth.get(id);
    if (seen.has(id)) return 0;
    seen.add(id);
    const found = Math.max(-1, ...edges.filter(([, to]) => to === id).map(([from]) => level(from, seen))) + 1;
    depth.set(id, found);
    return found;
  };
  const columns = [];
  for (const id of nodes.keys()) (columns[level(id)] ||= []).push(id);
  // Sources of a model or data stand right before what they are first used in.
  for (const node of [...nodes.values()].filter((n) => n.outside)) {
    const first = Math.min(...edges.filter(([from]) => from === node.id).map(([, to]) => depth.get(to))) - 1;
    if (first > depth.get(node.id)) { columns[depth.get(node.id)] = columns[depth.get(node.id)].filter((id) => id !== node.id); (columns[first] ||= []).push(node.id); depth.set(node.id, first); }
  }
  const W = 158, H = 44, X = 44, Y = 16, place = new Map();
  columns.forEach((ids, x) => {
    const wish = (id) => { const from = edges.filter(([a, b]) => b === id && place.has(a)).map(([a]) => place.get(a)[1]); return from.length ? from.reduce((a, b) => a + b) / from.length : 0; };
    ids.sort((a, b) => wish(a) - wish(b)).forEach((id, y) => place.set(id, [x * (W + X) + 8, y * (H + Y) + 8]));
  });
  const NS = "http://www.w3.org/2000/svg";
  const shape = (name, attributes, ...children) => { const node = document.createElementNS(NS, name); for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v); node.append(...children); return node; };
  const width = Math.max(...[...place.values()].map(([x]) => x)) + W + 16, height = Math.max(...[...place.values()].map(([, y]) => y)) + H + 16;
  const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "which run comes from which" });
  for (const [a, b] of edges) {
    const [x1, y1] = place.get(a), [x2, y2] = place.get(b), bend = Math.max(24, (x2 - x1 - W) / 2);
    const faint = nodes.get(a).data && nodes.get(a).outside || head.runs.find((run) => run.name === b).stage === "eval";
    svg.append(shape("path", { class: faint ? "faint" : "", d: `M${x1 + W} ${y1 + H / 2}C${x1 + W + bend} ${y1 + H / 2} ${x2 - bend} ${y2 + H / 2} ${x2} ${y2 + H / 2}` }));
  }
  for (const node of nodes.values()) {
    const [x, y] = place.get(node.id), known = !node.outside;
    const box = shape(known ? "a" : "g", { class: node.data ? "data" : "model", ...(known ? { href: "#Recipes", tabindex: 0 } : {}) }, shape("rect", { x, y, width: W, height: H, rx: node.data ? 2 : 8 }),
      shape("text", { x: x + 10, y: y + 19 }, node.title), shape("text", { x: x + 10, y: y + 35, class: "small" }, node.small));
    if (known) box.addEventListener("click", (event) => { event.preventDefault(); state.recipe = node.id; show("Recipes"); });
    svg.append(box);
  }
  into.append(svg);
}

const USUAL = ["reward", "rewards/accuracy/mean", "rewards/format/mean", "rewards/language/mean", "completions/mean_length", "loss", "grad_norm", "frac_reward_zero_std", "entropy", "kl", "completions/clipped_ratio", "eval_loss", "mean_token_accuracy"];
const drawn = () => head.runs.filter((run) => run.curves.step && run.curves.step.length > 1);
const metrics = (runs) => [...new Set(runs.flatMap((run) => Object.keys(run.curves)))].filter((key) => key !== "step" && key !== "time");
views.Curves = (section) => {
  const runs = drawn();
  if (!runs.length) return void section.append(make("p", { class: "note" }, "No run here has curves."));
  state.off ||= new Set();
  const keys = metrics(runs);
  const controls = make("div", { class: "row" }, ...runs.map((run) => make("label", {}, make("input", { type: "checkbox", checked: !state.off.has(run.name), onchange: (e) => { e.target.checked ? state.off.delete(run.name) : state.off.add(run.name); again(); } }),
    make("span", { class: "key", style: `background: ${colour(run.name)}` }), run.name)));
  const more = make("div", { class: "row" }, choice("metrics", [["usual", "the usual"], ["all", `all ${keys.length}`]], state.metrics || "usual", (v) => { state.metrics = v; again(); }),
    choice("smoothing", [[0, "none"], [0.6, "some"], [0.9, "much"]], state.smooth || 0, (v) => { state.smooth = +v; again(); }));
  const grid = make("div", { class: "charts" });
  section.append(make("h2", {}, "Curves"), controls, more, make("p", { class: "note" }, "Drag over a chart to look closer, double-click to go back."), grid);
  const shown = (key) => drawn().filter((run) => run.curves[key] && !state.off.has(run.name));
  const joined = (mine, key) => uPlot.join(mine.map((run) => [run.curves.step, smooth(run.curves[key], state.smooth)]));
  let plots = new Map(), known = "";
  const again = () => {
    drop(grid);
    plots = new Map();
    for (const key of state.metrics === "all" ? keys : USUAL.filter((k) => keys.includes(k))) {
      const mine = shown(key);
      if (!mine.length) continue;
      plots.set(key, chart(grid, key, joined(mine, key), mine.map((run) => ({ label: run.name, stroke: colour(run.name), width: 1.5, spanGaps: true, value: (u, v) => number(v) })), { sync: "steps" }));
    }
    known = form();
  };
  const form = () => JSON.stringify([drawn().map((run) => run.name), metrics(drawn()), [...plots.keys()].map((key) => shown(key).map((run) => run.name))]);
  section.refresh = () => { // the charts stay, with what was chosen and what is looked at closer
    if (form() !== known) return void show(open);
    for (const [key, plot] of plots) {
      const { min, max } = plot.scales.x, steps = plot.data[0], closer = min > steps[0] || max < steps[steps.length - 1];
      plot.setData(joined(shown(key), key), !closer);
      if (closer) plot.setScale("x", { min, max });
    }
  };
  again();
};

const bins = (values, low, high, count) => {
  const found = new Array(count).fill(0);
  for (const value of values) found[Math.min(count - 1, Math.max(0, Math.floor(((value - low) / (high - low || 1)) * count)))] += 1;
  return found;
};
views.Distributions = (section) => {
  if (!head.sets.length) return void section.append(make("p", { class: "note" }, "No rollouts are kept here."));
  const grid = make("div", { class: "charts" });
  section.append(make("h2", {}, "Distributions"), make("div", { class: "row" }, sets(state.shape ?? latest(), (v) => { state.shape = +v; section.refresh(); })), grid);
  let turn = 0;
  const again = async () => {
    const mine = ++turn, columns = await blob(`s${state.shape ?? latest()}`);
    if (mine !== turn || !section.isConnected) return;
    drop(grid);
    const histogram = (title, key, parts) => {
      const all = columns[key].filter((v) => v != null);
      if (!all.length) return;
      const low = all.reduce((a, b) => Math.min(a, b)), high = all.reduce((a, b) => Math.max(a, b));
      const count = key === "tokens" ? Math.min(40, Math.max(1, high - low + 1)) : 24;
      const x = Array.from({ length: count }, (_, i) => low + ((i + 0.5) * (high - low || 1)) / count);
      const shown = parts.filter(([, test]) => columns[key].some((v, i) => v != null && test(i)));
      chart(grid, title, [x, ...shown.map(([, test]) => { const v = columns[key].filter((v, i) => v != null && test(i)); return bins(v, low, high, count).map((n) => n / v.length); })],
        shown.map(([label, , tint]) => ({ label, stroke: tint, fill: `${tint}33`, width: 1.5, paths: uPlot.paths.stepped({ align: 0 }), points: { show: false }, value: (u, v) => (v == null ? "-" : `${percent(v)}%`) })),
        { label: key, y: { values: (u, ticks) => ticks.map((t) => `${number(100 * t, 1)}%`) } });
    };
    const right = (n) => (i) => columns.right[i] === n;
    histogram("Tokens, of right and wrong answers", "tokens", [["right", right(1), "#1a7f4b"], ["wrong", right(0), "#c2362b"], ["no verdict", right(-1), "#6b7280"]]);
    const last = columns.step.reduce((a, b) => Math.max(a, b), 0);
    const thirds = last ? [["first third", (i) => columns.step[i] <= last / 3, "#b58900"], ["second", (i) => columns.step[i] > last / 3 && columns.step[i] <= (2 * last) / 3, "#0e8a9c"], ["last third", (i) => columns.step[i] > (2 * last) / 3, "#7048e8"]] : [["all", () => true, "#0b62c4"]];
    histogram("Reward", "reward", thirds);
    if (last) histogram("Tokens, as training goes on", "tokens", thirds);
  };
  section.refresh = () => again().catch(failed(grid));
  section.refresh();
};

views.Data = (section) => {
  const made = head.runs.filter((run) => run.drops);
  if (!made.length) return void section.append(make("p", { class: "note" }, "No run here made data."));
  const text = (prompt) => (typeof prompt === "string" ? prompt : prompt?.[prompt.length - 1]?.content ?? "");
  for (const run of made) for (const [what, drops] of [["problems", run.drops.hygiene], ["rows", run.drops]]) {
    if (!drops?.dropped) continue;
    const total = drops.sampled ?? drops.rows, kept = what === "rows" ? run.rows ?? drops.kept : drops.kept;
    section.append(make("h2", {}, `${run.name}: ${kept ?? "?"} ${what} kept${total ? ` of ${total}` : ""}`));
    const reasons = Object.entries(drops.dropped).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
    section.append(table(["dropped for", what, "share"], reasons.map(([name, count]) => [name, count, total ? share(count / total) : "-"])));
    for (const [name, rows] of Object.entries(drops.examples || {})) {
      section.append(make("details", {}, make("summary", {}, `examples: ${name}`), make("div", { class: "group" }, ...rows.map((row) => make("article", { class: "card" },
        make("div", { class: "text", dir: "auto" }, make("b", {}, text(row.prompt))), row.like ? make("div", { class: "text", dir: "auto" }, "like: ", make("bdi", {}, text(row.like))) : null,
        ...(row.completion ? completion(text(row.completion), "", true) : []))))));
    }
  }
};

views.Scaling = (section) => {
  const curves = head.runs.flatMap((run) => (run.scaling || []).map((one) => ({ ...one, run: run.name })));
  if (!curves.length && !head.runs.some((run) => run.verifier)) return void section.append(make("p", { class: "note" }, "No run here has inference-time scaling: r1kit eval with scaling: {}."));
  for (const one of curves) {
    section.append(make("h2", {}, `${one.model}: right answers against tokens a question`));
    if (!one.points?.length) { section.append(make("p", { class: "note" }, "No question had a verdict.")); continue; }
    const lines = new Map();
    for (const point of one.points) {
      const name = [{ pass: "one of N is right", vote: "vote", best: "best of N", stop: "vote, stopped when sure", direct: "thinking only when unsure", budget: "thinking cut", wait: "made to think on", beam: "beam search", dvts: "tree search (DVTS)" }[point.method] || point.method, point.score ? `by ${point.score}` : null].filter(Boolean).join(" ");
      if (!lines.has(name)) lines.set(name, []);
      lines.get(name).push(point);
    }
    const grid = make("div");
    section.append(grid);
    const joined = uPlot.join([...lines.values()].map((points) => { const line = [...points].sort((a, b) => a.tokens - b.tokens); return [line.map((p) => p.tokens), line.map((p) => 100 * p.accuracy)]; }));
    chart(grid, "accuracy, %", joined, [...lines.keys()].map((label, i) => ({ label, stroke: palette()[i % COLOURS.length], width: 1.5, spanGaps: true, points: { show: true, size: 5 }, value: (u, v) => number(v, 1) })), { log: true, label: "tokens", height: 360 });
  }
  for (const run of head.runs.filter((run) => run.verifier?.measures)) {
    const measures = run.verifier.measures;
    section.append(make("h2", {}, `${run.name}: the verifier`), table(["", "AUROC", "within problems", "Brier", "ECE"], Object.entries(measures).filter(([, m]) => m && typeof m === "object").map(([name, m]) => [name, number(m.auroc), number(m.within), ...(name === "head2toe" ? [number(m.brier), number(m.ece)] : ["-", "-"])])));
  }
};

const failed = (into) => (error) => into.replaceChildren(make("p", { class: "note", role: "alert" }, `cannot be read: ${error.message}`));
const latest = () => Math.max(0, head.sets.length - 1);
const sets = (value, change) => choice("of", head.sets.map((one, i) => [i, `${one.name} (${one.kind}, ${one.count})`]), value, change);

views.Completions = (section) => {
  if (!head.sets.length) return void section.append(make("p", { class: "note" }, "No rollouts are kept here."));
  const f = (state.filter ||= { set: Math.max(0, head.sets.findIndex((one) => one.kind === "training")), verdict: "any", script: "any", sort: "step", text: "", page: 0, fold: true });
  const list = make("div", { id: "rows", "aria-label": "rollouts" }), detail = make("div", { id: "detail" }), count = make("p", { class: "note", id: "count", role: "status" });
  const change = (key, convert = (v) => v) => (value) => { f[key] = convert(value); f.page = 0; f.chosen = null; again(); };
  const field = (label, key, name) => make("label", {}, label, make("input", { type: "number", step: "any", value: f[key] ?? "", "aria-label": name, onchange: (e) => change(key, (v) => (v === "" ? null : +v))(e.target.value) }));
  const search = make("input", { type: "search", placeholder: "text (press /)", value: f.text, "aria-label": "text", onchange: (e) => change("text")(e.target.value) });
  section.append(make("h2", {}, "Completions"), make("div", { class: "row" },
    sets(f.set, change("set", Number)), choice("verdict", [["any", "any"], ["1", "right"], ["0", "wrong"], ["-1", "none"]], f.verdict, change("verdict")),
    choice("script", [["any", "any"], ...head.scripts.map((name, i) => [i, name])], f.script, change("script")),
    field("steps from", "from", "first step"), field("to", "to", "last step"), field("reward from", "least", "least reward"), field("to", "most", "most reward"),
    choice("sort by", [["step", "order"], ["best", "reward, best first"], ["worst", "reward, worst first"], ["long", "longest"], ["short", "shortest"]], f.sort, change("sort")), search,
    make("label", {}, make("input", { type: "checkbox", checked: f.fold, onchange: (e) => { f.fold = e.target.checked; paint(); } }), "fold thinking")), count,
    make("div", { class: "list" }, make("div", {}, list, make("div", { class: "row" },
      make("button", { type: "button", id: "back", onclick: () => { f.page -= 1; f.chosen = null; paint(); } }, "\u2190 back"), make("button", { type: "button", id: "on", onclick: () => { f.page += 1; f.chosen = null; paint(); } }, "on \u2192"))), detail));
  let turn = 0, looks = 0, found = [], columns;
  const current = (mine) => mine === turn && section.isConnected;
  const select = async (keep) => {
    const mine = ++turn, set = f.set, c = await blob(`s${set}`);
    if (!current(mine)) return;
    const within = (v, low, high) => (low == null || v >= low) && (high == null || v <= high);
    let rows = [];
    for (let i = 0; i < c.tokens.length; i++)
      if ((f.verdict === "any" || c.right[i] === +f.verdict) && (f.script === "any" || c.script[i] === +f.script) && within(c.step[i], f.from, f.to) && ((f.least == null && f.most == null) || (c.reward[i] != null && within(c.reward[i], f.least, f.most)))) rows.push(i);
    if (f.text) {
      const wanted = f.text.toLowerCase(), parts = new Set(rows.map((i) => Math.floor(i / CHUNK))), inside = new Map();
      let looked = 0;
      for (const part of parts) {
        const texts = await blob(`s${set}c${part}`);
        if (!current(mine)) return;
        inside.set(part, texts.map(([q, said]) => said.toLowerCase().includes(wanted) || q.toLowerCase().includes(wanted)));
        if (++looked % 20 === 0) { count.textContent = `looked through ${percent(looked / parts.size)}% of the texts`; await new Promise((done) => setTimeout(done)); }
      }
      rows = rows.filter((i) => inside.get(Math.floor(i / CHUNK))[i % CHUNK]);
    }
    const by = { best: (a, b) => (c.reward[b] ?? -1e9) - (c.reward[a] ?? -1e9), worst: (a, b) => (c.reward[a] ?? 1e9) - (c.reward[b] ?? 1e9), long: (a, b) => c.tokens[b] - c.tokens[a], short: (a, b) => c.tokens[a] - c.tokens[b] }[f.sort];
    if (by) rows.sort(by);
    if (!current(mine)) return;
    columns = c;
    found = rows;
    await fill(mine, keep);
  };
  const fill = async (mine, keep) => {
    const c = columns, pages = Math.max(1, Math.ceil(found.length / PAGE));
    f.page = Math.min(Math.max(0, f.page), pages - 1);
    const shown = found.slice(f.page * PAGE, (f.page + 1) * PAGE), texts = await Promise.all(shown.map((i) => textOf(f.set, i)));
    if (!current(mine)) return;
    count.textContent = `${found.length} of ${c.tokens.length} rollouts, page ${f.page + 1} of ${pages}. Keys: j and k go down and up, / searches.`;
    section.querySelector("#back").disabled = f.page === 0;
    section.querySelector("#on").disabled = f.page >= pages - 1;
    const focused = list.contains(document.activeElement);
    list.replaceChildren(...shown.map((i, n) => make("button", { type: "button", "data-i": i, onclick: () => choose(i).catch(failed(detail)) },
      make("span", { class: "step" }, c.step[i] ? `#${c.step[i]}` : c.question[i] + 1), make("span", { class: "said", dir: "auto" }, texts[n][1].replace(/<\/?(think|answer)>/g, " ").trim().slice(0, 160)),
      make("span", { class: VERDICT[c.right[i]][0] }, `${{ 1: "\u2713", 0: "\u2717", "-1": "?" }[c.right[i]]} ${number(c.reward[i], 2)}`))));
    if (!shown.length) detail.replaceChildren(make("p", { class: "note" }, "Nothing is like that."));
    else if (keep && shown.includes(f.chosen)) point();
    else await choose(shown.includes(f.chosen) ? f.chosen : shown[0]);
    if (focused) list.querySelector("[aria-current=true]")?.focus();
  };
  const point = () => { for (const button of list.children) button.setAttribute("aria-current", +button.dataset.i === f.chosen); };
  const choose = async (i) => {
    const own = ++looks, c = columns, set = f.set, group = [];
    f.chosen = i;
    point();
    for (let j = 0; j < c.group.length; j++) if (c.group[j] === c.group[i] && j !== i) group.push(j);
    const others = group.slice(0, 63), [text, ...rest] = await Promise.all([i, ...others].map((j) => textOf(set, j)));
    if (own !== looks || c !== columns || !section.isConnected) return;
    detail.replaceChildren(make("div", { class: "card" }, make("div", { class: "meta" }, make("span", {}, text[5] || "question"), text[2] == null ? null : make("span", {}, "answer: ", make("bdi", {}, text[2]))), make("div", { class: "text", dir: "auto" }, marked(text[0], f.text))),
      card(c, i, text, { current: true, wanted: f.text, open: !f.fold }), ...(group.length ? [make("h3", {}, `The ${group.length} others of its group${group.length > others.length ? `, ${others.length} shown` : ""}`)] : []),
      make("div", { class: "group" }, ...others.map((j, n) => card(c, j, rest[n], { wanted: f.text, open: !f.fold }))));
  };
  const again = (keep) => select(keep).catch(failed(detail));
  const paint = () => fill(++turn).catch(failed(detail));
  section.move = (by) => {
    const buttons = [...list.children], next = buttons[buttons.findIndex((b) => +b.dataset.i === f.chosen) + by];
    if (next) { next.focus(); choose(+next.dataset.i).catch(failed(detail)); }
    else if (by > 0 ? !section.querySelector("#on").disabled : f.page > 0) { f.page += by; f.chosen = null; paint(); }
  };
  section.search = () => search.focus();
  section.refresh = () => again(true);
  again();
};

views.Compare = (section) => {
  if (!head.sets.length) return void section.append(make("p", { class: "note" }, "No rollouts are kept here."));
  const options = head.sets.flatMap((one, i) => one.kind === "training" ? [[`${i}:first`, `${one.name}: as first asked`], [`${i}:last`, `${one.name}: as last asked`]] : [[`${i}:first`, `${one.name} (${one.count})`]]);
  // At first the first two models of an eval, else a training's first and last time that it was asked.
  const models = head.sets.flatMap((one, i) => (head.runs.find((run) => run.name === one.run)?.ladder ? [`${i}:first`] : []));
  const usual = models.length > 1 ? models : options.map(([key]) => key);
  const c = (state.compare ||= { a: usual[0], b: usual[Math.min(1, usual.length - 1)], only: "fixed", page: 0 });
  if (!options.some(([key]) => key === c.a)) c.a = options[0][0];
  if (!options.some(([key]) => key === c.b)) c.b = options[options.length - 1][0];
  const body = make("div"), count = make("p", { class: "note", role: "status" });
  const set = (key) => (value) => { c[key] = value; c.page = 0; again(); };
  section.append(make("h2", {}, "The same questions, twice"), make("div", { class: "row" }, choice("before", options, c.a, set("a")), choice("after", options, c.b, set("b")),
    choice("show", [["fixed", "wrong, then right"], ["broken", "right, then wrong"], ["all", "all"]], c.only, set("only")),
    make("button", { type: "button", onclick: () => { c.page = Math.max(0, c.page - 1); again(); } }, "\u2190 back"), make("button", { type: "button", onclick: () => { c.page += 1; again(); } }, "on \u2192")), count, body);
  let turn = 0;
  const select = async () => {
    const mine = ++turn;
    const pick = async (key) => {
      const [i, which] = key.split(":"), columns = await blob(`s${i}`), place = new Map();
      columns.ids.forEach((id, q) => place.set(q, id));
      const at = new Map();
      for (let j = 0; j < columns.question.length; j++) { const id = place.get(columns.question[j]); if (which === "last" || !at.has(id)) at.set(id, j); }
      return { i, columns, at };
    };
    const [a, b] = await Promise.all([pick(c.a), pick(c.b)]);
    if (mine !== turn || !section.isConnected) return;
    const both = [...a.at.keys()].filter((id) => b.at.has(id));
    const verdicts = both.map((id) => [a.columns.right[a.at.get(id)], b.columns.right[b.at.get(id)]]);
    const kept = both.filter((id, n) => c.only === "all" || (c.only === "fixed" ? verdicts[n][0] === 0 && verdicts[n][1] === 1 : verdicts[n][0] === 1 && verdicts[n][1] === 0));
    const fixed = verdicts.filter(([x, y]) => x === 0 && y === 1).length, broken = verdicts.filter(([x, y]) => x === 1 && y === 0).length;
    const pages = Math.max(1, Math.ceil(kept.length / 12));
    c.page = Math.min(c.page, pages - 1);
    count.textContent = both.length ? `${both.length} questions stand in both, by their first sample there: ${fixed} were wrong and are right, ${broken} were right and are wrong. Page ${c.page + 1} of ${pages}.` : "No question stands in both.";
    const cards = await Promise.all(kept.slice(c.page * 12, c.page * 12 + 12).map(async (id) => {
      const [i, j] = [a.at.get(id), b.at.get(id)], [before, after] = await Promise.all([textOf(a.i, i), textOf(b.i, j)]);
      return make("section", { class: "compared" }, make("h3", { dir: "auto" }, before[0]), make("div", { class: "pair" }, card(a.columns, i, before, { open: true, title: "before" }), card(b.columns, j, after, { open: true, title: "after" })));
    }));
    if (mine === turn && section.isConnected) body.replaceChildren(...cards);
  };
  const again = () => select().catch(failed(body));
  again();
};

views.Recipes = (section) => {
  const names = head.runs.map((run) => run.name), run = head.runs.find((one) => one.name === state.recipe) || head.runs[head.runs.length - 1];
  section.append(make("h2", {}, "Recipes"), make("div", { class: "row" }, choice("run", names.map((n) => [n, n]), run.name, (v) => { state.recipe = v; show("Recipes"); main.querySelector("select").focus(); })),
    make("p", { class: "note" }, `r1kit ${run.stage} recipe.yaml, on ${run.host || "?"}, begun ${run.started || "?"}, ${run.sessions || 1} session(s), ${run.path}`),
    make("pre", { tabindex: 0 }, run.recipe || "no recipe.yaml"), make("p", { class: "note" }, Object.entries(run.versions || {}).map(([k, v]) => `${k} ${v}`).join(", ")));
};

// ------------------------------------------------------------------ the frame
const state = {};
let open = null;
function drop(node) { charts = charts.filter((one) => !node.contains(one.box) || (one.plot.destroy(), false)); node.replaceChildren(); }
function show(name, focus) {
  open = name in views ? name : "Overview";
  for (const button of tabs.children) { const is = button.textContent === open; button.setAttribute("aria-selected", is); button.tabIndex = is ? 0 : -1; if (is && focus) button.focus(); }
  drop(main);
  const section = make("section", { id: `view-${open}`, role: "tabpanel", "aria-labelledby": `tab-${open}` });
  main.append(section);
  views[open](section);
  history.replaceState(null, "", `#${open}`);
}
for (const name of Object.keys(views)) tabs.append(make("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, onclick: () => show(name) }, name));
tabs.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (by) { const names = Object.keys(views); show(names[(names.indexOf(open) + by + names.length) % names.length], true); event.preventDefault(); }
});
document.addEventListener("keydown", (event) => {
  const section = main.firstElementChild;
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "/" && section.search) { section.search(); event.preventDefault(); }
  if ((event.key === "j" || event.key === "k") && section.move) section.move(event.key === "j" ? 1 : -1);
});
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = (theme) => { root.dataset.theme = theme; if (open) show(open); };
document.getElementById("theme").addEventListener("click", () => paint(root.dataset.theme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => paint(dark.matches ? "dark" : "light"));
let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => charts.forEach(({ plot, box }) => plot.setSize({ width: Math.max(240, box.clientWidth - 20), height: plot.height })), 120); });
addEventListener("hashchange", () => { const name = location.hash.slice(1); if (name in views && name !== open) show(name); });
function title() {
  const going = head.runs.filter((run) => run.status === "running");
  document.getElementById("what").textContent = head.runs.map((run) => run.name).slice(-1)[0];
  document.getElementById("state").textContent = `${head.runs.length} runs${going.length ? `, going on: ${going.map((run) => `${run.name}, step ${run.curves.step ? run.curves.step[run.curves.step.length - 1] : 0}`).join("; ")}` : ""}${head.live ? ", live" : ""}`;
}
root.dataset.theme = dark.matches ? "dark" : "light";
title();
show(location.hash.slice(1) || "Overview");

// Sets are chosen by their place, which changes when a run before them writes its first.
function moved(place) {
  if (state.filter) state.filter.set = place(state.filter.set);
  if (state.shape != null) state.shape = place(state.shape);
  for (const key of state.compare ? ["a", "b"] : []) state.compare[key] = state.compare[key].replace(/^\d+/, (i) => place(+i));
}

if (head.live) {
  let version = head.version;
  const redraw = () => { const y = scrollY; show(open); scrollTo(0, y); };
  const look = async () => {
    let next = null;
    try {
      const now = await (await fetch("/version")).json();
      if (now !== version) next = await (await fetch("/head")).json();
      title();
    } catch { document.getElementById("state").textContent = "the server is gone; what was last seen stays"; }
    if (next) {
      const before = head.sets.map((one) => one.name);
      head = next;
      version = next.version;
      loaded.clear();
      title();
      const section = main.firstElementChild, now = head.sets.map((one) => one.name), others = String(before) !== String(now);
      if (others) moved((i) => Math.max(0, now.indexOf(before[i])));
      if (others && ["Completions", "Distributions", "Compare"].includes(open)) redraw();
      else if (section.refresh) section.refresh();
      else if (["Overview", "Data"].includes(open) && !main.contains(document.activeElement)) redraw();
    }
    setTimeout(look, 2000);
  };
  look();
}
})();
