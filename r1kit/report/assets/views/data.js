// What the stages that make data dropped, why, and examples.

/** Return the text of a prompt, or of the last message of a chat. */
function promptText(prompt) {
  if (typeof prompt === "string") return prompt;
  return prompt?.[prompt.length - 1]?.content ?? "";
}

function droppedExample(row) {
  const question = element("b", {}, textBlock(promptText(row.prompt)));
  const similar = row.like
    ? element("div", {}, element("span", { class: "note" }, "similar to: "), textBlock(promptText(row.like)))
    : null;
  const completion = row.completion ? completionNodes(promptText(row.completion), "", true) : [];
  return element("article", { class: "card" }, question, similar, ...completion);
}

/** Return the table of a drop report, and its examples in folds. */
function dropReport(report, noun, total) {
  const reasons = Object.entries(report.dropped).filter(([, count]) => count);
  reasons.sort((a, b) => b[1] - a[1]);
  const rows = reasons.map(([name, count]) => [name, formatCount(count), total ? fractionCell(count / total) : "-"]);
  const examples = Object.entries(report.examples || {}).map(([name, dropped]) =>
    element(
      "details",
      {},
      element("summary", {}, `examples of ${name}`),
      element("div", { class: "completions" }, ...dropped.map(droppedExample)),
    ),
  );
  return [dataTable(["reason", `${noun} dropped`, "% of all"], rows), ...examples];
}

views.Data = (section) => {
  const runs = head.runs.filter((run) => run.drops);
  section.append(element("h2", {}, "Data"));
  if (!runs.length) return void section.append(note("No run here made data."));
  for (const run of runs) {
    const reports = [
      ["problems", run.drops.hygiene],
      ["completions", run.drops],
    ];
    for (const [noun, report] of reports) {
      if (!report?.dropped) continue;
      const total = report.sampled ?? report.rows;
      const kept = noun === "completions" ? (run.rows ?? report.kept) : report.kept;
      const ofTotal = total ? ` of ${formatCount(total)}` : "";
      const title = `${run.name}: ${formatCount(kept)}${ofTotal} ${noun} kept`;
      section.append(element("h3", {}, title), ...dropReport(report, noun, total));
    }
  }
};
