// What the page knows of the runs, what the reader has chosen, and colours.

// Replaced as a whole when a server that follows the runs has news.
let head = JSON.parse(document.getElementById("head").textContent);

const root = document.documentElement;
const main = document.getElementById("main");
const tabs = document.getElementById("tabs");

// The reader's choices, kept while the reader goes from view to view.
const state = {
  view: null,
  recipeRun: null,
  recipeDefaults: false,
  hiddenRuns: new Set(),
  metrics: "usual",
  smoothing: 0,
  distributionSet: null,
  rollouts: null,
  compare: null,
};

// As in page.css: one column instead of two.
const narrowPage = matchMedia("(max-width: 820px)");

// Filled by the files in views/: name of the tab, function that builds the view in a section.
const views = {};

const LIGHT_COLOURS = [
  "#0b62c4",
  "#d9480f",
  "#1a7f4b",
  "#a626a4",
  "#b58900",
  "#0e8a9c",
  "#c2362b",
  "#7048e8",
  "#5c940d",
  "#d6336c",
  "#6b7280",
  "#8d5524",
];
const DARK_COLOURS = [
  "#6db1ff",
  "#ff9466",
  "#57c98b",
  "#dc8cdb",
  "#e0b84c",
  "#4fc4d4",
  "#ff8075",
  "#b197fc",
  "#a3cf5f",
  "#f783ac",
  "#aeb6c0",
  "#cfa37a",
];

function paletteColour(index) {
  const palette = root.dataset.theme === "dark" ? DARK_COLOURS : LIGHT_COLOURS;
  return palette[index % palette.length];
}

/** Return the colour of a run, the same in every chart. */
function runColour(name) {
  const index = head.runs.filter((run) => run.curves.step).findIndex((run) => run.name === name);
  return paletteColour(Math.max(0, index));
}

function styleVariable(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function findRun(name) {
  return head.runs.find((run) => run.name === name);
}

/** Return a select of the rollout sets. */
function rolloutSetField(value, onChange) {
  const options = head.rollout_sets.map((set, i) => [i, `${set.name} (${set.kind}, ${formatCount(set.count)})`]);
  return selectField("rollouts of", options, value, onChange);
}
