// The first view: the summary, the graph of the pipeline, the evaluated models, their benchmarks, and the runs.

views.Overview = (section) => {
  const graph = element("div", { class: "graph scrolls", id: "graph" });
  section.append(element("h2", {}, "Summary"), summarySection(), element("h2", {}, "Pipeline"), graph);
  drawPipeline(graph);
  const ladder = head.runs.flatMap((run) => run.ladder || []);
  if (ladder.length) section.append(element("h2", {}, "Evaluated models"), ...ladderTable(ladder));
  const benchmarks = head.runs.flatMap((run) => run.benchmarks || []);
  if (benchmarks.length) section.append(element("h2", {}, "Benchmarks"), ...benchmarkTable(benchmarks));
  section.append(element("h2", {}, "Runs"), runsTable());
  section.resize = () => {
    graph.replaceChildren();
    drawPipeline(graph);
  };
};
