// Load the numbers and texts of rollouts when a reader looks at them, and keep the newest.

const pageToken = new URLSearchParams(location.search).get("token") ?? "";
const loadedBlobs = new Map();
const MAX_LOADED_CHUNKS = 64; // of texts: 64 chunks are about 16,000 completions in memory

/** Return a blob by its name: `s0` has the columns of rollout set 0, `s0c3` the texts of its chunk 3. */
function loadBlob(name) {
  const blob = loadedBlobs.get(name) ?? readBlob(name);
  loadedBlobs.delete(name);
  loadedBlobs.set(name, blob); // the newest stands last
  blob.catch(() => loadedBlobs.delete(name));
  const chunks = [...loadedBlobs.keys()].filter((key) => key.includes("c"));
  if (chunks.length > MAX_LOADED_CHUNKS) loadedBlobs.delete(chunks[0]);
  return blob;
}

async function readBlob(name) {
  const blob = await unpackBlob(name);
  if (name.includes("c")) noteArabicLanguage(blob.flatMap((texts) => [texts.question, texts.completion]));
  return blob;
}

/** Return a path of the server with the token of the page's own address, without which it answers nothing. */
function withToken(path) {
  return `${path}?token=${encodeURIComponent(pageToken)}`;
}

async function unpackBlob(name) {
  if (head.live) {
    const response = await fetch(withToken(`/${name}`));
    if (!response.ok) throw new Error(`the server no longer has ${name}`);
    return response.json();
  }
  const bytes = Uint8Array.from(atob(document.getElementById(name).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const loadColumns = (set) => loadBlob(`s${set}`);
const chunkOf = (index) => Math.floor(index / head.rollouts_per_chunk);

/** Return question, completion, answer, rewards, finish_reason and domain of one rollout. */
async function loadTexts(set, index) {
  const chunk = await loadBlob(`s${set}c${chunkOf(index)}`);
  return chunk[index % head.rollouts_per_chunk];
}
