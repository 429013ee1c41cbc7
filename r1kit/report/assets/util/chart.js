// Draw charts with uPlot: titles in words, axes with their units, and a sentence on how to read the curve.

let charts = []; // all on the page, to be resized with it

const MIN_CHART_WIDTH = 240; // pixels
const CHART_PADDING = 20; // pixels of the box around a chart

/** Return the range of the vertical axis. A flat curve of zeros lies on the axis, and fractions have round limits. */
function valueRange(isFraction, lowest, highest) {
  if (lowest == null) return [0, 1];
  let low = lowest;
  let high = highest;
  if (isFraction && lowest >= 0 && highest <= 1) {
    if (lowest >= 0.8) low = 0.8;
    else low = 0;
    if (highest <= 0.2) high = 0.2;
    else high = 1;
  } else if (lowest === highest) {
    low = Math.min(0, lowest);
    high = highest > 0 ? highest : 0;
    if (low === high) high = 1;
  } else if (lowest >= 0 && lowest < highest / 2) {
    low = 0;
  }
  const margin = 0.04 * (high - low); // so that a line at the limit is not cut in half
  return [low - margin, high + margin];
}

/** Draw vertical bars from `low` to `high` at the points of each series: its confidence intervals. */
function drawIntervals(intervals) {
  return (plot) => {
    const context = plot.ctx;
    const cap = 3 * devicePixelRatio;
    context.save();
    context.lineWidth = devicePixelRatio;
    intervals.forEach((points, i) => {
      const series = plot.series[i + 1];
      if (!series.show) return;
      context.strokeStyle = series._stroke || series.stroke(plot, i + 1);
      for (const { x, low, high } of points) {
        const left = Math.round(plot.valToPos(x, "x", true));
        const bottom = Math.round(plot.valToPos(low, "y", true));
        const top = Math.round(plot.valToPos(high, "y", true));
        context.beginPath();
        context.moveTo(left, bottom);
        context.lineTo(left, top);
        context.moveTo(left - cap, bottom);
        context.lineTo(left + cap, bottom);
        context.moveTo(left - cap, top);
        context.lineTo(left + cap, top);
        context.stroke();
      }
    });
    context.restore();
  };
}

/** Draw a chart into `container` and return it.
 *
 * options: title, key (the metric's name in the log), reading, xLabel, xName (in the legend, where it differs from
 * xLabel), yLabel, isFraction, logarithmic, height, syncKey (charts of one key share their cursor), formatTick,
 * intervals (see drawIntervals).
 */
function drawChart(container, data, series, options) {
  const key = options.key ? element("code", { class: "metric-key" }, options.key) : null;
  const box = element("div", { class: "chart" }, element("h4", {}, options.title), key);
  const reading = options.reading ? element("p", { class: "reading" }, options.reading) : null;
  if (reading) box.append(reading);
  container.append(box);
  const axis = {
    stroke: styleVariable("--soft"),
    grid: { stroke: styleVariable("--line"), width: 1 },
    ticks: { stroke: styleVariable("--line") },
    font: "11px system-ui",
    labelFont: "11px system-ui",
    labelSize: 16,
  };
  const yAxis = { ...axis, size: 50, label: options.yLabel };
  if (options.formatTick) yAxis.values = (plot, ticks) => ticks.map(options.formatTick);
  const limits = (options.intervals || []).flat().flatMap(({ low, high }) => [low, high]);
  const rangeWithIntervals = (_, lowest, highest) => {
    if (lowest == null) return valueRange(options.isFraction, lowest, highest); // every curve is hidden
    return valueRange(options.isFraction, Math.min(lowest, ...limits), Math.max(highest, ...limits));
  };
  const plot = new uPlot(
    {
      width: Math.max(MIN_CHART_WIDTH, box.clientWidth - CHART_PADDING),
      height: options.height || 220,
      cursor: { sync: options.syncKey ? { key: options.syncKey } : undefined, drag: { x: true, y: false } },
      scales: {
        x: { time: false, distr: options.logarithmic ? 3 : 1, log: 2 },
        y: { range: rangeWithIntervals },
      },
      axes: [{ ...axis, size: 30, label: options.xLabel }, yAxis],
      series: [{ label: options.xName || options.xLabel }, ...series],
      hooks: options.intervals ? { draw: [drawIntervals(options.intervals)] } : {},
    },
    data,
    box,
  );
  const canvas = plot.root.querySelector("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", options.title);
  charts.push({ plot, box });
  return plot;
}

function resizeCharts() {
  for (const { plot, box } of charts) {
    plot.setSize({ width: Math.max(MIN_CHART_WIDTH, box.clientWidth - CHART_PADDING), height: plot.height });
  }
}

/** Empty a node, and forget the charts in it. */
function clearNode(node) {
  for (const { plot, box } of charts) if (node.contains(box)) plot.destroy();
  charts = charts.filter(({ box }) => !node.contains(box));
  node.replaceChildren();
}

/** Return the exponential moving average of a curve; weight 0 leaves it as it is. */
function smoothCurve(values, weight) {
  if (!weight) return values;
  let average = null;
  return values.map((value) => {
    if (value == null) return null;
    average = average == null ? value : weight * average + (1 - weight) * value;
    return average;
  });
}
