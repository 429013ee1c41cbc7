// Build elements of the page.

/** Return an element; attributes that start with "on" are listeners, `true` sets an empty attribute. */
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

function svgElement(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function note(text) {
  return element("p", { class: "note" }, text);
}

/** Return a table; a cell is a text, a number or a td element. */
function dataTable(titles, rows) {
  const isWords = (cell) => cell instanceof Node && cell.classList.contains("words");
  const headings = titles.map((title, i) =>
    element("th", { scope: "col", class: rows.length && isWords(rows[0][i]) ? "words" : null }, title),
  );
  const lines = rows.map((cells) => {
    const columns = cells.map((cell) => (cell instanceof Node ? cell : element("td", {}, String(cell))));
    return element("tr", {}, ...columns);
  });
  const head = element("thead", {}, element("tr", {}, ...headings));
  return element("div", { class: "scrolls" }, element("table", {}, head, element("tbody", {}, ...lines)));
}

/** Return a cell with a fraction in percent, a bar of its size behind it, and half its interval where it has one. */
function fractionCell(value, interval) {
  if (value == null) return element("td", {}, "-");
  const margin = interval == null ? null : element("span", { class: "interval" }, ` \u00b1${percent(interval)}`);
  const width = `--fraction: ${(100 * value).toFixed(1)}%`;
  return element("td", { class: "bar", style: width }, percent(value), margin);
}

/** Return a labelled select; `options` are pairs of a value and its text. */
function selectField(label, options, value, onChange) {
  const items = options.map(([key, text]) =>
    element("option", { value: key, selected: String(key) === String(value) }, text),
  );
  const select = element("select", { onchange: (event) => onChange(event.target.value) }, ...items);
  return element("label", {}, label, select);
}

function checkboxField(label, checked, onChange) {
  const box = element("input", { type: "checkbox", checked, onchange: (event) => onChange(event.target.checked) });
  return element("label", {}, box, label);
}

function button(text, onClick, attributes = {}) {
  return element("button", { type: "button", onclick: onClick, ...attributes }, text);
}

/** Return a function that shows an error in `container`. */
function showErrorIn(container) {
  return (error) => {
    const message = `This cannot be read: ${error.message}`;
    container.replaceChildren(element("p", { class: "note", role: "alert" }, message));
  };
}
