// Inference-time scaling: accuracy against the tokens that a question costs, with 95% intervals, and verifiers.

const METHODS_BY_SAMPLES = ["vote", "best"]; // their curves begin at one sample, as pass@N does by itself
const BLACK = "#000000"; // the colour of the plain vote, which no one sees on a dark page

/** Return the points by the name of their method, the same names and colours as in the pictures of `r1kit eval`. */
function pointsByMethod(points) {
  const methods = new Map();
  const oneSample = points.find((point) => point.method === "vote" && point.samples === 1);
  for (const point of points) {
    if (point === oneSample) continue;
    if (!methods.has(point.name)) methods.set(point.name, []);
    methods.get(point.name).push(point);
  }
  for (const line of methods.values()) {
    if (oneSample && METHODS_BY_SAMPLES.includes(line[0].method)) line.push(oneSample);
  }
  if (!methods.size && oneSample) methods.set(oneSample.name, [oneSample]);
  for (const line of methods.values()) line.sort((a, b) => a.tokens - b.tokens);
  return methods;
}

function lineColour(points) {
  const { colour } = points[points.length - 1];
  return colour === BLACK ? styleVariable("--ink") : colour;
}

function drawScaling(container, model) {
  const methods = pointsByMethod(model.points);
  const lines = [...methods.values()];
  const data = uPlot.join(
    lines.map((points) => [points.map((point) => point.tokens), points.map((point) => 100 * point.accuracy)]),
  );
  const series = [...methods].map(([name, points]) => ({
    label: name,
    stroke: lineColour(points),
    dash: points[points.length - 1].method === "pass" ? [3, 4] : undefined, // a bound, and not something to use
    width: 1.5,
    spanGaps: true,
    points: { show: true, size: 5 },
    value: (plot, value) => formatNumber(value, 1),
  }));
  const intervals = lines.map((points) =>
    points
      .filter((point) => point.low != null)
      .map((point) => ({ x: point.tokens, low: 100 * point.low, high: 100 * point.high })),
  );
  drawChart(container, data, series, {
    title: `${model.model}: what more tokens at inference buy`,
    reading:
      "Up and to the left is better. The bars are 95% intervals: two methods whose bars overlap may be equally good. " +
      "pass@N is no method to use, but the limit of all: it counts a question where any sample is correct.",
    xLabel: "completion tokens per question (logarithmic)",
    xName: "tokens",
    yLabel: "answered correctly, %",
    logarithmic: true,
    height: 380,
    intervals,
  });
}

function scalingTable(points) {
  const rows = points.map((point) => [
    point.name,
    point.samples,
    formatNumber(point.tokens, 0),
    fractionCell(point.accuracy),
    point.low == null ? "-" : `${percent(point.low)} to ${percent(point.high)}`,
  ]);
  return dataTable(["method", "samples", "tokens", "accuracy, %", "95% interval"], rows);
}

function recommendedTable(recommended) {
  const rows = recommended.map((row) => [
    element("td", { class: "words" }, row.name, " ", element("code", { class: "metric-key" }, row.method)),
    formatNumber(row.tokens, 0),
    fractionCell(row.accuracy),
    `${percent(row.low)} to ${percent(row.high)}`,
    row.over_greedy && row.method !== "greedy"
      ? `${percent(row.over_greedy.difference)} (${percent(row.over_greedy.low)} to ${percent(row.over_greedy.high)})`
      : "-",
  ]);
  return [
    element("h3", {}, "What to use"),
    dataTable(["method", "tokens a question", "accuracy, %", "95% interval", "more than greedy, points"], rows),
    note(
      "By the tokens that a question may cost. Chosen on one half of the questions, and reported on the other. " +
        "`r1kit answer MODEL QUESTIONS --budget TOKENS` answers new questions so.",
    ),
  ];
}

function verifierTable(measures) {
  const rows = Object.entries(measures)
    .filter(([, values]) => values && typeof values === "object")
    .map(([name, values]) => {
      const calibration = name === "head2toe" ? [formatNumber(values.brier), formatNumber(values.ece)] : ["-", "-"];
      return [name, formatNumber(values.auroc), formatNumber(values.within), ...calibration];
    });
  return [
    dataTable(["score", "AUROC", "AUROC within problems", "Brier", "ECE"], rows),
    note(
      "How well each score tells correct completions from wrong ones on held-out problems. AUROC: 0.5 is chance, 1 is " +
        "perfect. Brier and ECE, the errors of the stated probabilities: 0 is perfect.",
    ),
  ];
}

views.Scaling = (section) => {
  const models = head.runs.flatMap((run) => run.scaling || []);
  const verifierRuns = head.runs.filter((run) => run.verifier?.measures);
  section.append(element("h2", {}, "Inference-time scaling"));
  if (!models.length && !verifierRuns.length) {
    const text = "No run here measured what more samples a question are worth. r1kit eval does, with `scaling: {}`.";
    return void section.append(note(text));
  }
  for (const model of models) {
    if (!model.points?.length) {
      section.append(note(`${model.model}: no question had a verdict.`));
      continue;
    }
    const container = element("div");
    section.append(container);
    drawScaling(container, model);
    if (model.recommended?.length) section.append(...recommendedTable(model.recommended));
    const fold = element("details", {}, element("summary", {}, "the same as a table"), scalingTable(model.points));
    section.append(fold);
  }
  for (const run of verifierRuns) {
    section.append(element("h3", {}, `${run.name}: the verifier`), ...verifierTable(run.verifier.measures));
  }
};
