// Show the text of a prompt or a completion: thinking folded, languages labelled, tags and search hits marked.

const VERDICTS = {
  1: { style: "correct", text: "correct", sign: "\u2713" },
  0: { style: "wrong", text: "wrong", sign: "\u2717" },
  "-1": { style: "no-verdict", text: "no verdict", sign: "?" },
};
const COMPLETION_TAGS = /(<\/?(?:think|answer|summary)>)/;

function verdictBadge(correct) {
  return element("span", { class: VERDICTS[correct].style }, VERDICTS[correct].text);
}

/** Return a text with every hit of `search` marked. */
function highlight(text, search) {
  const node = element("span");
  if (!search) {
    node.textContent = text;
    return node;
  }
  const lowerText = text.toLowerCase();
  const lowerSearch = search.toLowerCase();
  let start = 0;
  let hit = lowerText.indexOf(lowerSearch);
  while (hit >= 0) {
    const end = hit + search.length;
    node.append(text.slice(start, hit), element("mark", {}, text.slice(hit, end)));
    start = end;
    hit = lowerText.indexOf(lowerSearch, start);
  }
  node.append(text.slice(start));
  return node;
}

/** Return a text as nodes: plain in Latin letters, else a block for each language with its label. */
function languageNodes(text, search) {
  return languageSegments(text).map((segment) => {
    if (segment.label === null) return highlight(segment.text, search);
    return element(
      "span",
      { class: "language-segment" },
      element("span", { class: "language-label" }, segment.label),
      element(
        "span",
        { class: "segment-text", dir: textDirection(segment.text) },
        ...directedNodes(segment.text.trim(), search),
      ),
    );
  });
}

/** Return a block of text; tags stand apart, as their letters must not turn the text around them left to right. */
function textBlock(text, search = "") {
  const nodes = [];
  for (const piece of text.split(COMPLETION_TAGS).filter(Boolean)) {
    if (COMPLETION_TAGS.test(piece)) nodes.push(element("bdi", { class: "tag", dir: "ltr" }, piece));
    else nodes.push(...languageNodes(piece, search));
  }
  return element("div", { class: "text", dir: "auto" }, ...nodes);
}

/** Return a completion as nodes, its thinking in a fold. */
function completionNodes(text, search, unfolded) {
  const parts = /^\s*<think>([\s\S]*?)(<\/think>|$)([\s\S]*)$/.exec(text);
  if (!parts) return [textBlock(text, search)];
  const [, thinking, closingTag, answer] = parts;
  const hasHit = search && thinking.toLowerCase().includes(search.toLowerCase());
  const summary = `thinking, ${thinking.length} characters${closingTag ? "" : ", never closed"}`;
  const fold = element(
    "details",
    { class: "thinking", open: Boolean(unfolded || hasHit) },
    element("summary", {}, summary),
    textBlock(thinking.trim(), search),
  );
  return answer.trim() ? [fold, textBlock(answer.trim(), search)] : [fold];
}

/** Return a card of one completion: its verdict and rewards, then its text. */
function completionCard(columns, index, texts, options = {}) {
  const rewards = Object.entries(texts.rewards).map(([name, value]) =>
    element("span", {}, `${name} ${value == null ? "not applied" : formatNumber(value, 2)}`),
  );
  const finished = texts.finish_reason;
  const facts = [
    options.title ? element("b", {}, options.title) : null,
    verdictBadge(columns.correct[index]),
    columns.step[index] ? element("span", {}, `step ${columns.step[index]}`) : null,
    ...rewards,
    element("span", {}, `${columns.tokens[index]} tokens`),
    finished && finished !== "stop" ? element("span", { class: "wrong" }, finished) : null,
  ];
  return element(
    "article",
    { class: `card${options.chosen ? " chosen" : ""}` },
    element("div", { class: "facts" }, ...facts),
    ...completionNodes(texts.completion, options.search, options.unfolded),
  );
}
