// The graph of the pipeline: which run comes from which. Models stand in round boxes, data in square ones.
//
// Data sets and benchmarks from outside are written into the boxes that use them, and evaluations stand below the
// graph: as nodes, they would be linked with nearly every box.

const STAGE_NAMES = {
  "rl-zero": "RL alone",
  rl: "RL",
  sft: "SFT",
  distill: "distillation",
  generate: "sampled",
  data: "prepared",
  verifier: "verifier",
  eval: "evaluation",
};
const EDGE_KINDS = {
  model: "weights: this model is trained further, or sampled from",
  data: "data: this model is trained on it",
  teacher: "teacher: another model that rewrites or judges",
  verifier: "verifier",
};
const DATA_STAGES = ["generate", "data"];
const BOX_HEIGHT = 64;
const WIDE_BOX = 190; // pixels; boxes are as wide as the page allows, between these two
const NARROW_BOX = 128;
const SMALLEST_BOX = 92; // on a phone
const SMALLEST_SCALE = 0.8; // where even the smallest boxes are too wide, the graph shrinks so far, then it scrolls
const LAYER_GAP = 30;
const VERTICAL_GAP = 46; // between layers in a downward graph, whose curves are flatter
const LANE = 10; // the extent of an edge that passes beside boxes
const BOX_GAP = 16;
const BOX_PADDING = 7;
const GRAPH_MARGIN = 8;
const ARROW = 5;

/** Return the accuracy of each evaluated model, by the name of its run or the path of a base model. */
function accuracyByNode() {
  const accuracies = new Map();
  for (const run of head.runs) {
    for (const row of run.ladder || []) accuracies.set(row.run || row.path, row.statistics?.["pass@1"]);
  }
  return accuracies;
}

/** Return the nodes and edges of the pipeline: runs but evaluations, and the models from outside. */
function pipelineGraph() {
  const nodes = new Map();
  const edges = [];
  const accuracies = accuracyByNode();
  const addOutsideModel = (parent) => {
    const size = parent.parameters ? `, ${formatLargeCount(parent.parameters)}` : "";
    nodes.set(parent.path, { id: parent.path, title: parent.path, stage: `base model${size}`, outside: true });
  };
  for (const run of head.runs) {
    for (const parent of run.parents) {
      if (parent.role === "model" && !parent.run && !nodes.has(parent.path)) addOutsideModel(parent);
    }
    if (run.stage === "eval") continue;
    const isData = DATA_STAGES.includes(run.stage);
    const amount = isData ? [run.rows, "rows"] : [run.steps, "steps"];
    const stage = STAGE_NAMES[run.stage] || run.stage || "run";
    nodes.set(run.name, {
      id: run.name,
      title: run.name,
      stage: amount[0] == null ? stage : `${stage}, ${formatCount(amount[0])} ${amount[1]}`,
      status: run.status,
      isData,
      sources: run.parents.filter((parent) => !parent.run && parent.role === "data").map((parent) => parent.path),
    });
  }
  for (const run of head.runs.filter((run) => run.stage !== "eval")) {
    for (const parent of run.parents) {
      const from = parent.run || parent.path;
      const exists = edges.some((edge) => edge.from === from && edge.to === run.name);
      if (nodes.has(from) && parent.role in EDGE_KINDS && !exists) {
        edges.push({ from, to: run.name, kind: parent.role });
      }
    }
  }
  for (const node of nodes.values()) node.accuracy = accuracies.get(node.id);
  return { nodes: [...nodes.values()], edges };
}

/** Return the sizes and the direction of the graph that fit the page's width: from left to right, or downward. */
function fitGraph(layout, availableWidth) {
  const layers = layout.layerCount;
  const boxWidth = (availableWidth - 2 * GRAPH_MARGIN - (layers - 1) * LAYER_GAP) / layers;
  if (boxWidth >= NARROW_BOX) {
    const width = Math.min(WIDE_BOX, boxWidth);
    const gap = layers > 1 ? (availableWidth - 2 * GRAPH_MARGIN - layers * width) / (layers - 1) : 0;
    const placed = layout.place({ node: BOX_HEIGHT, waypoint: LANE, gap: BOX_GAP });
    return { horizontal: true, boxWidth: width, layerGap: Math.min(gap, 80), ...placed };
  }
  let width = WIDE_BOX;
  let placed = layout.place({ node: width, waypoint: LANE, gap: BOX_GAP });
  while (width > SMALLEST_BOX && placed.extent > availableWidth - 2 * GRAPH_MARGIN) {
    width -= 4;
    placed = layout.place({ node: width, waypoint: LANE, gap: width > NARROW_BOX ? BOX_GAP : 6 });
  }
  return { horizontal: false, boxWidth: width, layerGap: VERTICAL_GAP, ...placed };
}

/** Return functions that turn a layer and a position across it into x and y. */
function graphCoordinates(fit) {
  const depth = fit.horizontal ? fit.boxWidth : BOX_HEIGHT; // of a layer
  const layerStart = (layer) => GRAPH_MARGIN + layer * (depth + fit.layerGap);
  const point = (along, across) => (fit.horizontal ? [along, across + GRAPH_MARGIN] : [across + GRAPH_MARGIN, along]);
  return { layerStart, layerEnd: (layer) => layerStart(layer) + depth, point };
}

/** Return the path of one segment: a curve in the gap between two layers, then straight past a waypoint. */
function segmentPath(segment, layout, fit) {
  const { layerStart, layerEnd, point } = graphCoordinates(fit);
  const from = layout.points.get(segment.from);
  const to = layout.points.get(segment.to);
  const start = layerEnd(from.layer);
  const end = layerStart(to.layer) - (to.waypoint ? 0 : ARROW);
  const middle = (start + end) / 2;
  const [fromCentre, toCentre] = [fit.centres.get(segment.from), fit.centres.get(segment.to)];
  const curve = [point(middle, fromCentre), point(middle, toCentre), point(end, toCentre)];
  let path = `M${point(start, fromCentre).join(" ")}C${curve.map((xy) => xy.join(" ")).join(" ")}`;
  if (to.waypoint) path += `L${point(layerEnd(to.layer), toCentre).join(" ")}`;
  return path;
}

function arrowPath(segment, layout, fit) {
  const { layerStart, point } = graphCoordinates(fit);
  const tip = layerStart(layout.points.get(segment.to).layer);
  const centre = fit.centres.get(segment.to);
  const corners = [point(tip, centre), point(tip - 2 * ARROW, centre - ARROW), point(tip - 2 * ARROW, centre + ARROW)];
  return `M${corners.map((xy) => xy.join(" ")).join("L")}Z`;
}

const textMeasure = document.createElement("canvas").getContext("2d");

/** Return a text cut to a width in pixels, with an ellipsis. */
function fitText(text, width, font) {
  textMeasure.font = font;
  if (textMeasure.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && textMeasure.measureText(`${text.slice(0, length)}\u2026`).width > width) length -= 1;
  return `${text.slice(0, length)}\u2026`;
}

/** Return one box of the graph, a link to its recipe where it is a run. */
function graphBox(node, layout, fit) {
  const { layerStart, point } = graphCoordinates(fit);
  const layer = layout.points.get(node.id).layer;
  const across = fit.centres.get(node.id) - (fit.horizontal ? BOX_HEIGHT : fit.boxWidth) / 2;
  const [x, y] = point(layerStart(layer), across);
  const family = getComputedStyle(document.body).fontFamily;
  const width = fit.boxWidth - 2 * BOX_PADDING;
  const third =
    node.accuracy == null ? dataLine(node) : `${percent(node.accuracy)}%${fit.boxWidth < NARROW_BOX ? "" : " correct"}`;
  const unfinished = node.status && node.status !== "finished" ? `${node.status}: ` : "";
  const lines = [
    ["title", node.title, `600 12px ${family}`],
    ["small", unfinished + node.stage, `11px ${family}`],
    [node.accuracy == null ? "small" : "small accuracy", third, `11px ${family}`],
  ];
  const texts = lines.map(([style, text, font], i) =>
    svgElement("text", { x: x + BOX_PADDING, y: y + 20 + 17 * i, class: style }, fitText(text, width, font)),
  );
  const sources = node.sources?.length ? `\ndata: ${node.sources.join(", ")}` : "";
  const description = `${node.title}: ${node.stage}${third && node.accuracy != null ? `, ${third}` : ""}${sources}`;
  const rectangle = { x, y, width: fit.boxWidth, height: BOX_HEIGHT, rx: node.isData ? 2 : 12 };
  const attributes = { class: node.isData ? "data" : "model" };
  if (!node.outside) Object.assign(attributes, { href: "#Recipes", tabindex: 0 });
  const box = svgElement(
    node.outside ? "g" : "a",
    attributes,
    svgElement("title", {}, description),
    svgElement("rect", rectangle),
    ...texts,
  );
  if (!node.outside) {
    box.addEventListener("click", (event) => {
      event.preventDefault();
      openRecipe(node.id);
    });
  }
  return box;
}

/** Return the data sets from outside that a run reads, in a few words. */
function dataLine(node) {
  if (!node.sources?.length) return "";
  const more = node.sources.length > 1 ? ` +${node.sources.length - 1}` : "";
  return `on ${node.sources[0]}${more}`;
}

/** Draw the graph into `container`, for its width. */
function drawPipeline(container) {
  const { nodes, edges } = pipelineGraph();
  if (!nodes.length) return;
  const layout = layOutGraph(nodes, edges);
  const fit = fitGraph(layout, container.clientWidth);
  const { layerEnd } = graphCoordinates(fit);
  const along = layerEnd(layout.layerCount - 1) + GRAPH_MARGIN;
  const across = fit.extent + 2 * GRAPH_MARGIN;
  const [width, height] = fit.horizontal ? [along, across] : [across, along];
  const svg = svgElement("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "group",
    "aria-label": "which run comes from which",
    style: `min-width: ${SMALLEST_SCALE * width}px`,
  });
  for (const segment of layout.segments) {
    svg.append(svgElement("path", { class: `edge ${segment.kind}`, d: segmentPath(segment, layout, fit) }));
    if (!layout.points.get(segment.to).waypoint) {
      svg.append(svgElement("path", { class: "arrow", d: arrowPath(segment, layout, fit) }));
    }
  }
  svg.append(...nodes.map((node) => graphBox(node, layout, fit)));
  container.append(svg, pipelineLegend(edges), ...evaluationLines());
}

function pipelineLegend(edges) {
  const kinds = Object.keys(EDGE_KINDS).filter((kind) => edges.some((edge) => edge.kind === kind));
  const items = kinds.map((kind) => {
    const line = svgElement("path", { class: `edge ${kind}`, d: "M1 5H33" });
    const sample = svgElement("svg", { width: 34, height: 10, "aria-hidden": "true" }, line);
    return element("span", { class: "legend-item" }, sample, EDGE_KINDS[kind]);
  });
  const shapes = element("span", {}, "Round boxes are models, square ones are data. A box opens its recipe.");
  return element("div", { class: "legend note" }, ...items, shapes);
}

/** Return a line for each evaluation: what it measured, on which data. */
function evaluationLines() {
  return head.runs
    .filter((run) => run.stage === "eval")
    .map((run) => {
      const models = new Set(run.parents.filter((parent) => parent.role === "model").map((parent) => parent.path));
      const sources = run.parents.filter((parent) => parent.role === "data").map((parent) => parent.run || parent.path);
      const text = ` measured ${models.size} of these models on ${sources.join(", ")}.`;
      return element("p", { class: "note" }, "The evaluation ", runLink(run.name), text);
    });
}
