// The summary in words: what was trained, what came of it, what to be careful about. The sentences are made by
// r1kit/report/summary.py.

function summarySection() {
  const { totals, stages, results, warnings } = head.summary;
  const items = stages.map(({ run, text }) => element("li", {}, runLink(run), `: ${text}`));
  const trained = element(
    "div",
    { class: "summary-block" },
    element("h3", {}, "What was trained"),
    ...totals.map((sentence) => element("p", {}, sentence)),
    element(
      "details",
      { open: !narrowPage.matches },
      element("summary", {}, `the ${formatCount(stages.length)} ${stages.length === 1 ? "run" : "runs"}, in order`),
      element("ol", { class: "stages" }, ...items),
    ),
  );
  const noResults = "No evaluation stands here yet: `r1kit eval` measures models on held-out questions.";
  const came = element(
    "div",
    { class: "summary-block" },
    element("h3", {}, "What came of it"),
    ...(results.length ? results : [noResults]).map((sentence) => element("p", {}, sentence)),
    element("h3", {}, "What to be careful about"),
    warnings.length
      ? element("ul", { class: "warnings" }, ...warnings.map((sentence) => element("li", {}, sentence)))
      : element("p", {}, "Nothing was warned about."),
  );
  return element("div", { id: "summary", class: "summary" }, trained, came);
}

/** Return a link to a run's recipe. */
function runLink(name) {
  const open = (event) => {
    event.preventDefault();
    openRecipe(name);
  };
  return element("a", { href: "#Recipes", onclick: open }, name);
}

/** Return the table of evaluated models: accuracy over all questions and by domain, then how they answer. */
function ladderTable(rows) {
  const domains = [...new Set(rows.flatMap((row) => Object.keys(row.accuracy || {})))].filter(Boolean);
  const titles = ["model", "accuracy", ...domains, "vote@k", "thinking", "format", "language", "tokens"];
  const reflects = rows.some((row) => row.reflection_words);
  if (reflects) titles.push("reflection");
  const lines = rows.map((row) => {
    const statistics = row.statistics || {};
    const cells = [
      row.model,
      fractionCell(statistics["pass@1"], statistics.interval),
      ...domains.map((domain) => fractionCell(row.accuracy?.[domain], statistics.domains?.[domain]?.interval)),
      fractionCell(statistics["vote@k"]),
      fractionCell(row.thinking),
      fractionCell(row.format),
      fractionCell(row.language_consistency),
      formatNumber(row.tokens, 1),
    ];
    if (reflects) cells.push(formatNumber(row.reflection_words ?? 0, 2));
    return cells;
  });
  return [
    dataTable(titles, lines),
    element(
      "p",
      { class: "note" },
      "All in percent but the tokens. ",
      element("b", {}, "accuracy"),
      ": answers that are correct, over all questions and by domain, \u00b1 half the 95% interval. ",
      element("b", {}, "vote@k"),
      ": the majority vote of the samples of a question is correct. ",
      element("b", {}, "thinking"),
      ": completions with a chain of thought. ",
      element("b", {}, "format"),
      ": completions in the required form. ",
      element("b", {}, "language"),
      ": words of the thinking in the language of the question. ",
      element("b", {}, "tokens"),
      ": mean length of a completion. ",
      ...(reflects ? [element("b", {}, "reflection"), ": words such as wait, but and check in a completion."] : []),
    ),
  ];
}

/** Return the table of benchmarks: each figure of each model beside published ones, and where those stand. */
function benchmarkTable(figures) {
  const titles = ["benchmark", "metric", "model", "measured by", "score", "questions", "k", "published"];
  const lines = figures.map((figure) => {
    const published = Object.entries(figure.published).map(([model, percent]) => `${model} ${percent.toFixed(1)}`);
    return [
      figure.benchmark,
      figure.metric,
      figure.model,
      figure.program,
      fractionCell(figure.score, figure.interval),
      formatCount(figure.questions),
      formatCount(figure.samples),
      element("td", { class: "words" }, published.join(", ") || "-"),
    ];
  });
  const sources = [...new Set(figures.flatMap((figure) => figure.sources))];
  return [
    dataTable(titles, lines),
    element(
      "p",
      { class: "note" },
      "Scores and published figures in percent, \u00b1 half the 95% interval. ",
      sources.length ? `Published in: ${sources.join("; ")}.` : "",
    ),
  ];
}

function runsTable() {
  const titles = ["run", "stage", "status", "time", "tokens", "seed", "result", "comes from"];
  const rows = head.runs.map((run) => {
    const parents = [...new Set(run.parents.map((parent) => parent.run || parent.path))];
    return [
      element("td", {}, runLink(run.name)),
      run.stage || "-",
      run.status || "-",
      formatDuration(run.seconds),
      formatCount(run.tokens),
      run.seed ?? "-",
      element("td", { class: "words" }, run.result || "-"),
      element("td", { class: "words" }, parents.join(", ")),
    ];
  });
  return dataTable(titles, rows);
}
