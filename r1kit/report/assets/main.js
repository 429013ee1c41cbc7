// The frame: tabs, keys, light and dark, and following a server.

const TAB_ORDER = ["Overview", "Curves", "Rollouts", "Compare", "Distributions", "Data", "Scaling", "Recipes"];
const RESIZE_DELAY = 120; // milliseconds without a change of size before charts are drawn anew
const POLL_INTERVAL = 2000; // milliseconds between two questions to the server
// Views without a refresh of their own, drawn anew as a whole when the runs change.
const REDRAWN_VIEWS = ["Overview", "Data"];
// Views whose choices are indices of rollout sets.
const ROLLOUT_VIEWS = ["Rollouts", "Distributions", "Compare"];

function showView(name, focusTab = false) {
  state.view = name in views ? name : "Overview";
  for (const tab of tabs.children) {
    const isOpen = tab.textContent === state.view;
    tab.setAttribute("aria-selected", isOpen);
    tab.tabIndex = isOpen ? 0 : -1;
    if (isOpen && focusTab) tab.focus();
    if (isOpen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  clearNode(main);
  const attributes = { id: `view-${state.view}`, role: "tabpanel", "aria-labelledby": `tab-${state.view}` };
  const section = element("section", attributes);
  main.append(section);
  views[state.view](section);
  history.replaceState(null, "", `#${state.view}`);
}

function makeTabs() {
  for (const name of TAB_ORDER) {
    const attributes = { role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}` };
    tabs.append(button(name, () => showView(name), attributes));
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const index = TAB_ORDER.indexOf(state.view) + step;
    showView(TAB_ORDER[(index + TAB_ORDER.length) % TAB_ORDER.length], true);
    event.preventDefault();
  });
}

function handleKey(event) {
  const section = main.firstElementChild;
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
  if (event.key === "/" && section.search) {
    section.search();
    event.preventDefault();
  }
  if (event.key === "j" && section.move) section.move(1);
  if (event.key === "k" && section.move) section.move(-1);
}

function setTheme(theme) {
  root.dataset.theme = theme;
  if (state.view) showView(state.view);
}

function followResize() {
  let timer;
  let width = innerWidth;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      resizeCharts();
      // On a phone the height changes whenever its address bar comes and goes.
      if (innerWidth !== width) main.firstElementChild?.resize?.();
      width = innerWidth;
    }, RESIZE_DELAY);
  });
}

/** Write the page's title line: the last run, how many runs, and what is running. */
function writeTitle() {
  const running = head.runs
    .filter((run) => run.status === "running")
    .map((run) => `${run.name}, step ${run.curves.step ? run.curves.step[run.curves.step.length - 1] : 0}`);
  const parts = [`${head.runs.length} ${head.runs.length === 1 ? "run" : "runs"}`];
  if (running.length) parts.push(`running: ${running.join("; ")}`);
  if (head.live) parts.push("live");
  document.getElementById("last-run").textContent = head.runs[head.runs.length - 1].name;
  document.getElementById("status").textContent = parts.join(", ");
}

/** Move the choices of rollout sets along when their indices change, as a run before them wrote its first rollouts. */
function moveSetChoices(moveIndex) {
  if (state.rollouts) state.rollouts.set = moveIndex(state.rollouts.set);
  if (state.distributionSet != null) state.distributionSet = moveIndex(state.distributionSet);
  if (!state.compare) return;
  for (const key of ["before", "after"]) {
    state.compare[key] = state.compare[key].replace(/^\d+/, (index) => moveIndex(+index));
  }
}

function redrawView() {
  const scrolled = scrollY;
  showView(state.view);
  scrollTo(0, scrolled);
}

/** Take over what the server knows now, and draw what changed. */
function applyNewHead(newHead) {
  const before = head.rollout_sets.map((set) => set.name);
  head = newHead;
  loadedBlobs.clear();
  writeTitle();
  const after = head.rollout_sets.map((set) => set.name);
  const setsChanged = String(before) !== String(after);
  if (setsChanged) moveSetChoices((index) => Math.max(0, after.indexOf(before[index])));
  const section = main.firstElementChild;
  if (setsChanged && ROLLOUT_VIEWS.includes(state.view)) redrawView();
  else if (section.refresh) section.refresh();
  else if (REDRAWN_VIEWS.includes(state.view) && !main.contains(document.activeElement)) redrawView();
}

/** Ask the server for news again and again. */
function followServer() {
  let version = head.version;
  const poll = async () => {
    let newHead = null;
    try {
      const newVersion = await (await fetch(withToken("/version"))).json();
      if (newVersion !== version) newHead = await (await fetch(withToken("/head"))).json();
      writeTitle();
    } catch {
      document.getElementById("status").textContent = "the server is gone; the page shows what it knew last";
    }
    if (newHead) {
      version = newHead.version;
      applyNewHead(newHead);
    }
    setTimeout(poll, POLL_INTERVAL);
  };
  poll();
}

function startPage() {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  root.dataset.theme = prefersDark.matches ? "dark" : "light";
  makeTabs();
  writeTitle();
  showView(location.hash.slice(1) || "Overview");
  const otherTheme = () => setTheme(root.dataset.theme === "dark" ? "light" : "dark");
  document.getElementById("theme").addEventListener("click", otherTheme);
  prefersDark.addEventListener("change", () => setTheme(prefersDark.matches ? "dark" : "light"));
  document.addEventListener("keydown", handleKey);
  addEventListener("hashchange", () => {
    const name = location.hash.slice(1);
    if (name in views && name !== state.view) showView(name);
  });
  followResize();
  if (head.live) followServer();
}

startPage();
