// The recipe of a run: what was set, or with every default.

function openRecipe(runName) {
  state.recipeRun = runName;
  showView("Recipes");
  scrollTo(0, 0);
}

function runFacts(run) {
  const started = run.started ? run.started.slice(0, 16).replace("T", " ") : "unknown";
  const sessions = (run.sessions || 1) > 1 ? `, in ${run.sessions} sessions` : "";
  return `r1kit ${run.stage} recipe.yaml, started ${started} on ${run.host || "an unknown machine"}${sessions}; ${run.path}`;
}

views.Recipes = (section) => {
  const run = findRun(state.recipeRun) || head.runs[head.runs.length - 1];
  const chooseRun = (name) => {
    openRecipe(name);
    main.querySelector("select").focus();
  };
  const options = head.runs.map((other) => [other.name, other.name]);
  const text = element("pre", { tabindex: 0 });
  const showText = () => {
    const short = state.recipeDefaults ? null : run.recipe_without_defaults;
    text.textContent = short || run.recipe || "This run has no recipe.yaml.";
  };
  const toggleDefaults = (checked) => {
    state.recipeDefaults = checked;
    showText();
  };
  const versions = Object.entries(run.versions || {}).map(([name, version]) => `${name} ${version}`);
  section.append(
    element("h2", {}, "Recipes"),
    element(
      "div",
      { class: "controls" },
      selectField("run", options, run.name, chooseRun),
      checkboxField("fields at their defaults, too", state.recipeDefaults, toggleDefaults),
    ),
    note(runFacts(run)),
    text,
    note(versions.join(", ")),
  );
  showText();
};
