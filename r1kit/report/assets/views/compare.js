// The same questions before and after: what was wrong and is correct now, and the other way round.

const COMPARED_PER_PAGE = 12;
const SHOW_OPTIONS = [
  ["fixed", "wrong, then correct"],
  ["broken", "correct, then wrong"],
  ["all", "all"],
];

/** Return what can be compared: of a training its first and last samples of a question, of others the first. */
function comparableSets() {
  const options = [];
  head.rollout_sets.forEach((set, i) => {
    if (set.kind === "training") {
      options.push([`${i}:first`, `${set.name}: first time a question was sampled`]);
      options.push([`${i}:last`, `${set.name}: last time a question was sampled`]);
    } else {
      options.push([`${i}:first`, `${set.name} (${formatCount(set.count)})`]);
    }
  });
  return options;
}

/** Return the choice at first: the first two models of an evaluation, else the first two that there are. */
function defaultComparison(options) {
  const evaluated = [];
  head.rollout_sets.forEach((set, i) => {
    if (findRun(set.run)?.ladder) evaluated.push(`${i}:first`);
  });
  const keys = evaluated.length > 1 ? evaluated : options.map(([key]) => key);
  return { before: keys[0], after: keys[Math.min(1, keys.length - 1)], show: "fixed", page: 0 };
}

/** Return a set's columns, and the index of the rollout to compare for each question id. */
async function loadSide(key) {
  const [set, which] = key.split(":");
  const columns = await loadColumns(set);
  const rollouts = new Map();
  columns.question.forEach((question, i) => {
    const id = columns.question_ids[question];
    if (which === "last" || !rollouts.has(id)) rollouts.set(id, i);
  });
  const verdict = (id) => columns.correct[rollouts.get(id)];
  return { set, columns, rollouts, verdict };
}

async function comparedQuestion(id, before, after) {
  const [beforeTexts, afterTexts] = await Promise.all([
    loadTexts(before.set, before.rollouts.get(id)),
    loadTexts(after.set, after.rollouts.get(id)),
  ]);
  const card = (side, texts, title) =>
    completionCard(side.columns, side.rollouts.get(id), texts, { unfolded: true, title });
  return element(
    "section",
    { class: "compared" },
    questionCard(beforeTexts, ""),
    element("div", { class: "pair" }, card(before, beforeTexts, "before"), card(after, afterTexts, "after")),
  );
}

views.Compare = (section) => {
  section.append(element("h2", {}, "The same questions, before and after"));
  if (!head.rollout_sets.length) return void section.append(note("No rollouts are kept here."));
  const options = comparableSets();
  state.compare ||= defaultComparison(options);
  const choice = state.compare;
  const exists = (key) => options.some(([other]) => other === key);
  if (!exists(choice.before)) choice.before = options[0][0];
  if (!exists(choice.after)) choice.after = options[options.length - 1][0];
  const body = element("div");
  const count = element("p", { class: "note", role: "status" });
  const setChoice = (key) => (value) => {
    choice[key] = value;
    choice.page = 0;
    redraw();
  };
  const goToPage = (page) => {
    choice.page = page;
    redraw();
  };
  const previous = button("\u2190 previous", () => goToPage(choice.page - 1));
  const next = button("next \u2192", () => goToPage(choice.page + 1));
  section.append(
    element(
      "div",
      { class: "controls" },
      selectField("before", options, choice.before, setChoice("before")),
      selectField("after", options, choice.after, setChoice("after")),
      selectField("show", SHOW_OPTIONS, choice.show, setChoice("show")),
      previous,
      next,
    ),
    count,
    body,
  );
  let newestTurn = 0;
  const compare = async () => {
    newestTurn += 1;
    const turn = newestTurn;
    const [before, after] = await Promise.all([loadSide(choice.before), loadSide(choice.after)]);
    if (turn !== newestTurn || !section.isConnected) return;
    const shared = [...before.rollouts.keys()].filter((id) => after.rollouts.has(id));
    const isFixed = (id) => before.verdict(id) === 0 && after.verdict(id) === 1;
    const isBroken = (id) => before.verdict(id) === 1 && after.verdict(id) === 0;
    const fixed = shared.filter(isFixed);
    const broken = shared.filter(isBroken);
    const visibleIds = { fixed, broken, all: shared }[choice.show];
    const pageCount = Math.max(1, Math.ceil(visibleIds.length / COMPARED_PER_PAGE));
    choice.page = Math.min(Math.max(0, choice.page), pageCount - 1);
    previous.disabled = choice.page === 0;
    next.disabled = choice.page >= pageCount - 1;
    count.textContent = shared.length
      ? `${shared.length} questions are in both, compared by their first sample: ${fixed.length} were wrong and are ` +
        `correct, ${broken.length} were correct and are wrong. Page ${choice.page + 1} of ${pageCount}.`
      : "No question is in both.";
    const start = choice.page * COMPARED_PER_PAGE;
    const ids = visibleIds.slice(start, start + COMPARED_PER_PAGE);
    const cards = await Promise.all(ids.map((id) => comparedQuestion(id, before, after)));
    if (turn === newestTurn && section.isConnected) body.replaceChildren(...cards);
  };
  const redraw = () => compare().catch(showErrorIn(body));
  redraw();
};
