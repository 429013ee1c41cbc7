// Lay out a directed graph in layers (Sugiyama's method), so that no edge runs through a node.
//
// Every node stands in a layer after its parents. An edge over several layers gets a waypoint in each layer between,
// with a lane of its own beside the nodes. Lines therefore cross only in the gaps between layers, where no node is.

const ORDERING_SWEEPS = 12;
const PLACEMENT_SWEEPS = 40;
// How much a segment pulls its ends into line, by how many of them are waypoints: long edges should be straight.
const SEGMENT_WEIGHTS = [1, 2, 8];

/** Return the layer of every node: one more than the highest of its parents, or just before its first child. */
function assignLayers(nodes, edges) {
  const layers = new Map();
  const visit = (id, path) => {
    if (layers.has(id)) return layers.get(id);
    if (path.has(id)) return 0; // a circle, which lineage never has
    path.add(id);
    let layer = 0;
    for (const edge of edges) if (edge.to === id) layer = Math.max(layer, visit(edge.from, path) + 1);
    path.delete(id);
    layers.set(id, layer);
    return layer;
  };
  for (const node of nodes) visit(node.id, new Set());
  const fromLast = [...nodes].sort((a, b) => layers.get(b.id) - layers.get(a.id));
  for (const { id } of fromLast) {
    const children = edges.filter((edge) => edge.from === id);
    const parents = edges.filter((edge) => edge.to === id);
    if (children.length <= parents.length) continue;
    layers.set(id, Math.min(...children.map((edge) => layers.get(edge.to))) - 1);
  }
  return layers;
}

/** Return the points (nodes and waypoints) by layer, and the segments between points of neighbouring layers. */
function splitEdges(nodes, edges, layers) {
  const points = new Map();
  const segments = [];
  for (const node of nodes) points.set(node.id, { id: node.id, layer: layers.get(node.id), waypoint: false });
  for (const edge of edges) {
    let previous = edge.from;
    for (let layer = layers.get(edge.from) + 1; layer < layers.get(edge.to); layer++) {
      const id = `${edge.from} ${edge.kind} ${layer}`; // edges of one kind from one node share their way
      if (!points.has(id)) {
        points.set(id, { id, layer, waypoint: true });
        segments.push({ from: previous, to: id, kind: edge.kind });
      }
      previous = id;
    }
    segments.push({ from: previous, to: edge.to, kind: edge.kind });
  }
  return { points, segments };
}

function countCrossings(layers, segments, points) {
  const ranks = new Map();
  for (const layer of layers) layer.forEach((id, rank) => ranks.set(id, rank));
  let crossings = 0;
  for (let i = 0; i < segments.length; i++) {
    for (let j = 0; j < i; j++) {
      if (points.get(segments[i].from).layer !== points.get(segments[j].from).layer) continue;
      const starts = ranks.get(segments[i].from) - ranks.get(segments[j].from);
      const ends = ranks.get(segments[i].to) - ranks.get(segments[j].to);
      if (starts * ends < 0) crossings += 1;
    }
  }
  return crossings;
}

/** Return the ids of each layer in an order with few crossings: by the mean rank of the neighbours, again and again. */
function orderLayers(points, segments) {
  let layers = [];
  for (const point of points.values()) (layers[point.layer] ||= []).push(point.id);
  layers = Array.from(layers, (layer) => layer || []);
  let best = layers.map((layer) => [...layer]);
  let fewest = countCrossings(best, segments, points);
  for (let sweep = 0; sweep < ORDERING_SWEEPS && fewest; sweep++) {
    const forward = sweep % 2 === 0;
    const indices = layers.map((_, i) => (forward ? i : layers.length - 1 - i));
    for (const i of indices) {
      const ranks = new Map();
      for (const layer of layers) layer.forEach((id, rank) => ranks.set(id, rank));
      const wish = (id) => {
        const neighbours = segments
          .filter((segment) => (forward ? segment.to : segment.from) === id)
          .map((segment) => ranks.get(forward ? segment.from : segment.to));
        if (!neighbours.length) return ranks.get(id);
        return neighbours.reduce((a, b) => a + b) / neighbours.length;
      };
      layers[i] = layers[i]
        .map((id) => [wish(id), id])
        .sort((a, b) => a[0] - b[0])
        .map(([, id]) => id);
    }
    const crossings = countCrossings(layers, segments, points);
    if (crossings < fewest) {
      fewest = crossings;
      best = layers.map((layer) => [...layer]);
    }
  }
  return best;
}

/** Return positions close to the wished ones that keep their distances: isotonic regression by pooling neighbours. */
function placeApart(wishes, weights, distances) {
  const offsets = [0];
  distances.forEach((distance, i) => offsets.push(offsets[i] + distance));
  const pools = [];
  wishes.forEach((wish, i) => {
    let pool = { value: wish - offsets[i], weight: weights[i], count: 1 };
    while (pools.length && pools[pools.length - 1].value > pool.value) {
      const before = pools.pop();
      const weight = before.weight + pool.weight;
      const value = (before.value * before.weight + pool.value * pool.weight) / weight;
      pool = { value, weight, count: before.count + pool.count };
    }
    pools.push(pool);
  });
  const positions = pools.flatMap((pool) => Array(pool.count).fill(pool.value));
  return positions.map((position, i) => position + offsets[i]);
}

/** Return the centre of every point across the layers, from 0 on, and the extent of all.
 *
 * sizes: node and waypoint (the extent of one across its layer), gap (between two).
 */
function placePoints(layers, segments, points, sizes) {
  const isWaypoint = (id) => Number(points.get(id).waypoint);
  const sizeOf = (id) => (isWaypoint(id) ? sizes.waypoint : sizes.node);
  const distances = layers.map((layer) =>
    layer.slice(1).map((id, i) => (sizeOf(layer[i]) + sizeOf(id)) / 2 + sizes.gap),
  );
  const centres = new Map();
  layers.forEach((layer, i) => {
    const positions = placeApart(
      layer.map(() => 0),
      layer.map(() => 1),
      distances[i],
    );
    layer.forEach((id, j) => centres.set(id, positions[j]));
  });
  for (let sweep = 0; sweep < PLACEMENT_SWEEPS; sweep++) {
    const indices = layers.map((_, i) => (sweep % 2 === 0 ? i : layers.length - 1 - i));
    for (const i of indices) {
      const wishes = layers[i].map((id) => {
        let sum = 0;
        let totalWeight = 0;
        for (const segment of segments) {
          if (segment.to !== id && segment.from !== id) continue;
          const other = segment.to === id ? segment.from : segment.to;
          const weight = SEGMENT_WEIGHTS[isWaypoint(id) + isWaypoint(other)];
          sum += weight * centres.get(other);
          totalWeight += weight;
        }
        return totalWeight ? sum / totalWeight : centres.get(id);
      });
      const weights = layers[i].map((id) => SEGMENT_WEIGHTS[2 * isWaypoint(id)]);
      placeApart(wishes, weights, distances[i]).forEach((position, j) => centres.set(layers[i][j], position));
    }
  }
  const starts = [...centres].map(([id, centre]) => centre - sizeOf(id) / 2);
  const ends = [...centres].map(([id, centre]) => centre + sizeOf(id) / 2);
  const first = Math.min(...starts);
  for (const [id, centre] of centres) centres.set(id, centre - first);
  return { centres, extent: Math.max(...ends) - first };
}

/** Return the layout: points with their layers, segments, the number of layers, and place(sizes) for the centres. */
function layOutGraph(nodes, edges) {
  const { points, segments } = splitEdges(nodes, edges, assignLayers(nodes, edges));
  const layers = orderLayers(points, segments);
  return {
    points,
    segments,
    layerCount: layers.length,
    place: (sizes) => placePoints(layers, segments, points, sizes),
  };
}
