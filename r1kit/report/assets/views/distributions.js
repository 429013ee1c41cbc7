// Histograms of a rollout set: lengths of correct and wrong completions, and how lengths and rewards move.

const LENGTH_BINS = 40;
const REWARD_BINS = 24;
const VERDICT_COLOURS = { correct: "#1a7f4b", wrong: "#c2362b", "no verdict": "#6b7280" };
const THIRD_COLOURS = ["#b58900", "#0e8a9c", "#7048e8"];

/** Return what fraction of the values lies in each of `binCount` bins from `low` to `high`. */
function histogram(values, low, high, binCount) {
  const bins = new Array(binCount).fill(0);
  const width = (high - low || 1) / binCount;
  for (const value of values) {
    const bin = Math.floor((value - low) / width);
    bins[Math.min(binCount - 1, Math.max(0, bin))] += 1 / values.length;
  }
  return bins;
}

/** Draw the histograms of one column, one for each group; a group has a label, a colour and a test of a rollout. */
function drawHistogram(grid, columns, key, groups, options) {
  const values = columns[key];
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value == null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return;
  const binWidth = (count) => (high - low || 1) / count;
  const binCount = key === "tokens" ? Math.min(LENGTH_BINS, Math.max(1, high - low + 1)) : REWARD_BINS;
  // An empty bin at both ends, so that the first and the last are drawn in full.
  const centres = Array.from({ length: binCount + 2 }, (_, i) => low + (i - 0.5) * binWidth(binCount));
  const filled = groups
    .map((group) => ({ ...group, values: values.filter((value, i) => value != null && group.includes(i)) }))
    .filter((group) => group.values.length);
  const data = [centres, ...filled.map((group) => [0, ...histogram(group.values, low, high, binCount), 0])];
  const series = filled.map((group) => ({
    label: group.label,
    stroke: group.colour,
    fill: `${group.colour}33`,
    width: 1.5,
    paths: uPlot.paths.stepped({ align: 0 }),
    points: { show: false },
    value: (plot, value) => (value == null ? "-" : `${percent(value)}%`),
  }));
  drawChart(grid, data, series, {
    ...options,
    yLabel: "% of completions",
    formatTick: (tick) => `${formatNumber(100 * tick, 1)}%`,
  });
}

function drawDistributions(grid, columns) {
  const verdictGroup = (label, verdict) => ({
    label,
    colour: VERDICT_COLOURS[label],
    includes: (i) => columns.correct[i] === verdict,
  });
  drawHistogram(
    grid,
    columns,
    "tokens",
    [verdictGroup("correct", 1), verdictGroup("wrong", 0), verdictGroup("no verdict", -1)],
    {
      title: "Length of correct and wrong completions",
      xLabel: "tokens",
      reading: "If the wrong ones are much longer, many were cut off, or went round in circles.",
    },
  );
  const lastStep = columns.step.reduce((a, b) => Math.max(a, b), 0);
  const thirdOf = (i) => Math.min(2, Math.floor((3 * (columns.step[i] - 1)) / lastStep));
  const thirds = ["first third", "second third", "last third"].map((label, third) => ({
    label,
    colour: THIRD_COLOURS[third],
    includes: (i) => thirdOf(i) === third,
  }));
  const everything = [{ label: "all", colour: "#0b62c4", includes: () => true }];
  drawHistogram(grid, columns, "reward", lastStep ? thirds : everything, {
    title: lastStep ? "Reward, by thirds of the training" : "Reward",
    xLabel: "reward",
    reading: lastStep
      ? "The mass should move to the right as training goes on."
      : "The sum of the rewards of a completion.",
  });
  if (!lastStep) return;
  drawHistogram(grid, columns, "tokens", thirds, {
    title: "Length of a completion, by thirds of the training",
    xLabel: "tokens",
    reading: "Reasoning grows longer as it is learnt; two separate peaks are two habits, such as answering at once.",
  });
}

views.Distributions = (section) => {
  section.append(element("h2", {}, "Distributions"));
  if (!head.rollout_sets.length) return void section.append(note("No rollouts are kept here."));
  state.distributionSet ??= head.rollout_sets.length - 1;
  const grid = element("div", { class: "charts" });
  const choose = (value) => {
    state.distributionSet = +value;
    section.refresh();
  };
  section.append(element("div", { class: "controls" }, rolloutSetField(state.distributionSet, choose)), grid);
  let turn = 0; // of the newest choice; an older one that is read later is not drawn
  const redraw = async () => {
    turn += 1;
    const ownTurn = turn;
    const columns = await loadColumns(state.distributionSet);
    if (ownTurn !== turn || !section.isConnected) return;
    clearNode(grid);
    drawDistributions(grid, columns);
  };
  section.refresh = () => redraw().catch(showErrorIn(grid));
  section.refresh();
};
