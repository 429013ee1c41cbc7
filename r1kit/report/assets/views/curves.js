// Training curves: one chart a metric, and the methods of training apart, as their losses and lengths mean different
// things.

const METHODS = {
  rl: "Reinforcement learning",
  "reward-model": "Reward models",
  sft: "Supervised fine-tuning",
  distill: "Distillation on-policy",
};
const SMOOTHING = [
  [0, "none"],
  [0.6, "some"],
  [0.9, "much"],
];
const MIN_CURVE_POINTS = 2;

/** Return the runs of a method that have curves. */
function runsWithCurves(method) {
  return head.runs.filter((run) => run.method === method && (run.curves.step || []).length >= MIN_CURVE_POINTS);
}

/** Return the runs to draw for a metric. */
function visibleRuns(method, metric) {
  return runsWithCurves(method).filter((run) => run.curves[metric] && !state.hiddenRuns.has(run.name));
}

function curveData(runs, metric) {
  return uPlot.join(runs.map((run) => [run.curves.step, smoothCurve(run.curves[metric], state.smoothing)]));
}

/** Return the metrics of a method to draw: the usual ones, or all. */
function chosenMetrics(method) {
  const metrics = Object.entries(head.metrics[method] || {});
  return metrics.filter(([, metric]) => state.metrics === "all" || metric.usual).map(([key]) => key);
}

function runCheckboxes(method, redraw) {
  return runsWithCurves(method).map((run) => {
    const toggle = (checked) => {
      if (checked) state.hiddenRuns.delete(run.name);
      else state.hiddenRuns.add(run.name);
      redraw();
    };
    const field = checkboxField(run.name, !state.hiddenRuns.has(run.name), toggle);
    const swatch = element("span", { class: "swatch", style: `background: ${runColour(run.name)}` });
    field.firstElementChild.after(swatch);
    return field;
  });
}

function drawMetric(grid, method, key) {
  const runs = visibleRuns(method, key);
  if (!runs.length) return null;
  const metric = head.metrics[method][key];
  const series = runs.map((run) => ({
    label: run.name,
    stroke: runColour(run.name),
    width: 1.5,
    spanGaps: true,
    value: (plot, value) => formatNumber(value),
  }));
  return drawChart(grid, curveData(runs, key), series, {
    title: metric.label,
    key,
    reading: metric.reading,
    xLabel: "optimizer step",
    yLabel: metric.unit,
    isFraction: metric.fraction,
    syncKey: `steps of ${method}`,
  });
}

views.Curves = (section) => {
  const methods = Object.keys(METHODS).filter((method) => runsWithCurves(method).length);
  section.append(element("h2", {}, "Curves"));
  if (!methods.length) return void section.append(note("No run here has curves: only trainings log metrics."));
  const metricCount = methods.reduce((count, method) => count + Object.keys(head.metrics[method]).length, 0);
  const choices = [
    ["usual", "the usual"],
    ["all", `all ${metricCount}`],
  ];
  const setChoice = (key, convert) => (value) => {
    state[key] = convert(value);
    redraw();
  };
  section.append(
    element(
      "div",
      { class: "controls" },
      selectField("metrics", choices, state.metrics, setChoice("metrics", String)),
      selectField("smoothing", SMOOTHING, state.smoothing, setChoice("smoothing", Number)),
    ),
    note("Drag over a chart to look closer; double-click to see all of it again."),
  );
  const grids = new Map();
  for (const method of methods) {
    const grid = element("div", { class: "charts" });
    grids.set(method, grid);
    const checkboxes = element("div", { class: "controls" }, ...runCheckboxes(method, () => redraw()));
    section.append(element("h3", { class: "group-title" }, METHODS[method]), checkboxes, grid);
  }
  const plots = new Map(); // by method and metric
  let drawnContents = "";
  // What is drawn, as text: while it stays the same, new points are added to the charts that are there.
  const contents = () => {
    const runs = Object.keys(METHODS).map((method) => runsWithCurves(method).map((run) => run.name));
    const drawn = [...plots.values()].map(({ method, key }) => visibleRuns(method, key).map((run) => run.name));
    return JSON.stringify([runs, Object.keys(METHODS).map((method) => chosenMetrics(method)), drawn]);
  };
  const redraw = () => {
    plots.clear();
    for (const [method, grid] of grids) {
      clearNode(grid);
      for (const key of chosenMetrics(method)) {
        const plot = drawMetric(grid, method, key);
        if (plot) plots.set(`${method} ${key}`, { plot, method, key });
      }
    }
    drawnContents = contents();
  };
  section.refresh = () => {
    if (contents() !== drawnContents) return void showView(state.view);
    for (const { plot, method, key } of plots.values()) {
      const { min, max } = plot.scales.x;
      const steps = plot.data[0];
      const isZoomed = min > steps[0] || max < steps[steps.length - 1];
      plot.setData(curveData(visibleRuns(method, key), key), !isZoomed);
      if (isZoomed) plot.setScale("x", { min, max });
    }
  };
  redraw();
};
