// What the stages that make data dropped, why, and examples.

const DROP_REASONS = {
  incorrect: "the answer is wrong",
  format: "not in the required format",
  truncated: "cut off at the token limit",
  unknown_language: "the language of the prompt is not known",
  mixed_language: "the thinking mixes languages",
  repetition: "repeats itself",
  long_paragraph: "a paragraph is too long",
  code_block: "the thinking has a code block",
  too_short: "fewer tokens than keep.min_tokens",
  too_long: "more tokens than keep.max_tokens",
  long_thinking: "the thinking is too long",
  per_prompt: "its problem has enough others",
  exact_duplicate: "the same problem again",
  near_duplicate: "nearly the same problem again",
  contaminated: "resembles a problem of a benchmark",
};

function reasonCell(name) {
  const words = DROP_REASONS[name];
  const key = element("code", { class: "metric-key" }, name);
  return words ? element("td", { class: "words" }, words, " ", key) : element("td", { class: "words" }, key);
}

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
  const answers = [
    ["gold answer: ", row.answer],
    ["answer that was read: ", row.parsed_answer],
  ]
    .filter(([, text]) => text != null)
    .map(([label, text]) => element("div", {}, element("span", { class: "note" }, label), textBlock(text)));
  return element("article", { class: "card" }, question, similar, ...completion, ...answers);
}

/** Return the table of a drop report, and its examples in folds. */
function dropReport(report, total) {
  const reasons = Object.entries(report.dropped).filter(([, count]) => count);
  reasons.sort((a, b) => b[1] - a[1]);
  const rows = reasons.map(([name, count]) => [
    reasonCell(name),
    formatCount(count),
    total ? fractionCell(count / total) : "-",
  ]);
  const examples = Object.entries(report.examples || {}).map(([name, dropped]) =>
    element(
      "details",
      {},
      element("summary", {}, `examples: ${DROP_REASONS[name] || name}`),
      element("div", { class: "completions" }, ...dropped.map(droppedExample)),
    ),
  );
  return [dataTable(["dropped because", "number", "% of all"], rows), ...examples];
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
      noteArabicLanguage(
        Object.values(report.examples || {})
          .flat()
          .map((row) => promptText(row.prompt)),
      );
      const keptCount = noun === "completions" ? (run.rows ?? report.kept) : report.kept;
      const ofTotal = total ? ` of ${formatCount(total)}` : "";
      const title = `${run.name}: ${formatCount(keptCount)}${ofTotal} ${noun} kept`;
      section.append(element("h3", {}, title), ...dropReport(report, total));
    }
  }
};
