// Every rollout that was kept: a list with filters, and the chosen one with the others of its group.
//
// On a wide page the chosen rollout stands beside the list; on a narrow one, under the row that was tapped.

const ROLLOUTS_PER_PAGE = 40;
const MAX_GROUP_SHOWN = 63; // others of a group
const CHUNKS_PER_PAUSE = 20; // of a search through texts, before the page may draw and answer
const VERDICT_OPTIONS = [
  ["any", "any"],
  ["1", "correct"],
  ["0", "wrong"],
  ["-1", "none"],
];
const SORT_OPTIONS = [
  ["step", "order"],
  ["best", "reward, best first"],
  ["worst", "reward, worst first"],
  ["long", "longest"],
  ["short", "shortest"],
];

function defaultFilters() {
  const training = head.rollout_sets.findIndex((set) => set.kind === "training");
  return {
    set: Math.max(0, training),
    verdict: "any",
    script: "any",
    fromStep: null,
    toStep: null,
    leastReward: null,
    mostReward: null,
    sort: "step",
    search: "",
    page: 0,
    foldThinking: true,
    chosen: null,
  };
}

function isWithin(value, low, high) {
  return (low == null || value >= low) && (high == null || value <= high);
}

/** Return whether the numbers of a rollout pass the filters. */
function passesFilters(columns, i, filters) {
  if (filters.verdict !== "any" && columns.correct[i] !== +filters.verdict) return false;
  if (filters.script !== "any" && columns.script[i] !== +filters.script) return false;
  if (!isWithin(columns.step[i], filters.fromStep, filters.toStep)) return false;
  if (filters.leastReward == null && filters.mostReward == null) return true;
  return columns.reward[i] != null && isWithin(columns.reward[i], filters.leastReward, filters.mostReward);
}

/** Return a comparison of two rollouts for a sort order; a rollout without a reward comes last. */
function rolloutOrder(columns, sort) {
  const { reward, tokens } = columns;
  if (sort === "best") return (a, b) => (reward[b] ?? -Infinity) - (reward[a] ?? -Infinity) || a - b;
  if (sort === "worst") return (a, b) => (reward[a] ?? Infinity) - (reward[b] ?? Infinity) || a - b;
  if (sort === "long") return (a, b) => tokens[b] - tokens[a];
  if (sort === "short") return (a, b) => tokens[a] - tokens[b];
  return null;
}

/** Return a completion in one line: without tags, cut to what fits. */
function completionLine(text) {
  return text
    .replace(/<\/?(think|answer)>/g, " ")
    .trim()
    .slice(0, 160);
}

/** Return one row of the list: question above, completion below, verdict and reward at the side. */
function rolloutRow(columns, index, texts, onChoose) {
  const verdict = VERDICTS[columns.correct[index]];
  const question = texts.question.trim().slice(0, 160);
  const completion = completionLine(texts.completion);
  const language = shortLanguageLabel(completion);
  const step = columns.step[index] ? `step ${columns.step[index]}` : "";
  return element(
    "button",
    { type: "button", "data-index": index, onclick: onChoose },
    element(
      "span",
      { class: "row-line" },
      element("span", { class: "row-question", dir: firstDirection(question) }, ...previewNodes(question)),
      element(
        "span",
        { class: `row-verdict ${verdict.style}` },
        `${verdict.sign} ${formatNumber(columns.reward[index], 2)}`,
      ),
    ),
    element(
      "span",
      { class: "row-line" },
      element("span", { class: "row-completion", dir: firstDirection(completion) }, ...previewNodes(completion)),
      element(
        "span",
        { class: "row-facts" },
        language ? element("span", { class: "language-label" }, language) : null,
        step,
      ),
    ),
  );
}

/** Return the card of a question: its domain, its gold answer, its text. */
function questionCard(texts, search) {
  const gold = texts.answer == null ? null : element("span", {}, "gold answer: ", element("bdi", {}, texts.answer));
  const facts = element("div", { class: "facts" }, element("b", {}, "Question"), texts.domain || null, gold);
  return element("div", { class: "card" }, facts, textBlock(texts.question, search));
}

views.Rollouts = (section) => {
  section.append(element("h2", {}, "Rollouts"));
  if (!head.rollout_sets.length) return void section.append(note("No rollouts are kept here."));
  state.rollouts ||= defaultFilters();
  const filters = state.rollouts;
  const list = element("div", { id: "rollout-list", "aria-label": "rollouts" });
  const detail = element("div", { id: "rollout-detail" });
  const side = element("div", { class: "side" });
  const count = element("p", { class: "note", id: "rollout-count", role: "status" });
  const showError = showErrorIn(detail);
  const goToPage = (page) => {
    filters.page = page;
    filters.chosen = null;
    redrawList();
  };
  const previous = button("\u2190 previous", () => goToPage(filters.page - 1), { id: "previous-page" });
  const next = button("next \u2192", () => goToPage(filters.page + 1), { id: "next-page" });
  const setFilter = (key, convert) => (value) => {
    filters[key] = convert(value);
    filters.page = 0;
    filters.chosen = null;
    select(false);
  };
  const numberField = (label, key, name) => {
    const convert = (value) => (value === "" ? null : +value);
    const onChange = (event) => setFilter(key, convert)(event.target.value);
    const attributes = { type: "number", step: "any", value: filters[key] ?? "", "aria-label": name };
    return element("label", {}, label, element("input", { ...attributes, onchange: onChange }));
  };
  const search = element("input", {
    type: "search",
    placeholder: "search in texts (press /)",
    value: filters.search,
    "aria-label": "text",
    onchange: (event) => setFilter("search", String)(event.target.value),
  });
  const toggleFold = (checked) => {
    filters.foldThinking = checked;
    redrawList();
  };
  const scripts = [["any", "any"], ...head.scripts.map((name, i) => [i, name])];
  section.append(
    element(
      "div",
      { class: "controls" },
      rolloutSetField(filters.set, setFilter("set", Number)),
      selectField("verdict", VERDICT_OPTIONS, filters.verdict, setFilter("verdict", String)),
      selectField("script", scripts, filters.script, setFilter("script", String)),
      element(
        "span",
        { class: "field-pair" },
        numberField("steps from", "fromStep", "first step"),
        numberField("to", "toStep", "last step"),
      ),
      element(
        "span",
        { class: "field-pair" },
        numberField("reward from", "leastReward", "least reward"),
        numberField("to", "mostReward", "most reward"),
      ),
      selectField("sort by", SORT_OPTIONS, filters.sort, setFilter("sort", String)),
      search,
      checkboxField("fold thinking", filters.foldThinking, toggleFold),
    ),
    count,
    element(
      "div",
      { class: "list" },
      element("div", {}, list, element("div", { class: "controls" }, previous, next)),
      side,
    ),
  );

  let selectTurn = 0; // the newest selection and the newest choice; what is read for older ones is not shown
  let chooseTurn = 0;
  let selected = []; // indices of the rollouts that pass the filters, in order
  let columns;
  const isCurrent = (turn) => turn === selectTurn && section.isConnected;
  const rows = () => [...list.querySelectorAll("button[data-index]")];

  /** Return the selected rollouts whose texts contain the search; null where a newer selection began. */
  const searchTexts = async (indices, turn) => {
    const searchText = filters.search.toLowerCase();
    const chunkNumbers = [...new Set(indices.map(chunkOf))];
    const hits = new Set();
    for (const [i, number] of chunkNumbers.entries()) {
      const chunk = await loadBlob(`s${filters.set}c${number}`);
      if (!isCurrent(turn)) return null;
      chunk.forEach((texts, j) => {
        const hasHit = [texts.completion, texts.question].some((text) => text.toLowerCase().includes(searchText));
        if (hasHit) hits.add(number * head.rollouts_per_chunk + j);
      });
      if ((i + 1) % CHUNKS_PER_PAUSE === 0) {
        count.textContent = `searched ${percent((i + 1) / chunkNumbers.length)}% of the texts`;
        await new Promise((resume) => setTimeout(resume));
      }
    }
    return indices.filter((index) => hits.has(index));
  };

  const selectRollouts = async (keepChosen) => {
    selectTurn += 1;
    const turn = selectTurn;
    const loaded = await loadColumns(filters.set);
    if (!isCurrent(turn)) return;
    let indices = [];
    for (let i = 0; i < loaded.tokens.length; i++) if (passesFilters(loaded, i, filters)) indices.push(i);
    if (filters.search) indices = await searchTexts(indices, turn);
    if (indices === null) return;
    const order = rolloutOrder(loaded, filters.sort);
    if (order) indices.sort(order);
    columns = loaded;
    selected = indices;
    await fillList(turn, keepChosen);
  };

  const fillList = async (turn, keepChosen) => {
    const pageCount = Math.max(1, Math.ceil(selected.length / ROLLOUTS_PER_PAGE));
    filters.page = Math.min(Math.max(0, filters.page), pageCount - 1);
    const start = filters.page * ROLLOUTS_PER_PAGE;
    const indices = selected.slice(start, start + ROLLOUTS_PER_PAGE);
    const texts = await Promise.all(indices.map((index) => loadTexts(filters.set, index)));
    if (!isCurrent(turn)) return;
    const keys = narrowPage.matches ? "Tap one to open it." : "Keys: j and k go down and up, / searches.";
    const total = columns.tokens.length;
    count.textContent = `${selected.length} of ${total} rollouts, page ${filters.page + 1} of ${pageCount}. ${keys}`;
    previous.disabled = filters.page === 0;
    next.disabled = filters.page >= pageCount - 1;
    const hadFocus = list.contains(document.activeElement);
    detail.remove();
    list.replaceChildren(...indices.map((index, i) => rolloutRow(columns, index, texts[i], () => toggle(index))));
    const isShown = indices.includes(filters.chosen);
    if (!indices.length) {
      detail.replaceChildren(note("No rollout passes these filters."));
      side.append(detail);
    } else if (isShown && keepChosen) {
      markChosen();
    } else if (isShown || !narrowPage.matches) {
      await choose(isShown ? filters.chosen : indices[0]);
    }
    if (hadFocus) list.querySelector("[aria-current=true]")?.focus();
  };

  /** Mark the chosen row, and put the detail under it or beside the list. */
  const markChosen = () => {
    let chosenRow = null;
    for (const row of rows()) {
      const isChosen = +row.dataset.index === filters.chosen;
      row.setAttribute("aria-current", isChosen);
      if (isChosen) chosenRow = row;
    }
    if (!narrowPage.matches) side.append(detail);
    else if (chosenRow) chosenRow.after(detail);
  };

  const toggle = (index) => {
    if (narrowPage.matches && filters.chosen === index && detail.isConnected) {
      filters.chosen = null;
      detail.remove();
      markChosen();
      return;
    }
    choose(index).catch(showError);
  };

  const choose = async (index) => {
    chooseTurn += 1;
    const turn = chooseTurn;
    const chosenColumns = columns;
    filters.chosen = index;
    const others = [];
    for (let j = 0; j < columns.group.length; j++) {
      if (columns.group[j] === columns.group[index] && j !== index) others.push(j);
    }
    const visibleRows = others.slice(0, MAX_GROUP_SHOWN);
    const [texts, ...otherTexts] = await Promise.all([index, ...visibleRows].map((j) => loadTexts(filters.set, j)));
    if (turn !== chooseTurn || chosenColumns !== columns || !section.isConnected) return;
    const options = { search: filters.search, unfolded: !filters.foldThinking };
    const only = others.length > visibleRows.length ? `; ${visibleRows.length} of them are shown` : "";
    const groupTitle = `The ${others.length} other completions of this group${only}`;
    const cards = visibleRows.map((j, i) => completionCard(columns, j, otherTexts[i], options));
    const group = others.length
      ? [element("h3", {}, groupTitle), element("div", { class: "completions" }, ...cards)]
      : [];
    const row = rows().find((other) => +other.dataset.index === index);
    const top = row?.getBoundingClientRect().top;
    detail.replaceChildren(
      questionCard(texts, filters.search),
      completionCard(columns, index, texts, { ...options, chosen: true, title: "Completion" }),
      ...group,
    );
    markChosen();
    // A detail that was open above has gone: the row stays under the reader's finger.
    if (narrowPage.matches && row) scrollBy(0, row.getBoundingClientRect().top - top);
  };

  const select = (keepChosen) => selectRollouts(keepChosen).catch(showError);
  const redrawList = () => {
    selectTurn += 1;
    fillList(selectTurn, false).catch(showError);
  };
  section.move = (step) => {
    const all = rows();
    const row = all[all.findIndex((other) => +other.dataset.index === filters.chosen) + step];
    if (row) {
      row.focus();
      choose(+row.dataset.index).catch(showError);
    } else if (step > 0 ? !next.disabled : filters.page > 0) {
      goToPage(filters.page + step);
    }
  };
  section.search = () => search.focus();
  section.refresh = () => select(true);
  section.resize = () => {
    if (filters.chosen !== null && columns) markChosen();
  };
  select(false);
};
