// Elements are made of texts, never of markup: names in results are not to be trusted.
const fill = (made, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
};
const SVG = ["http", "://www.w3.org/2000/svg"].join(""); // a name, which nothing is asked for
const element = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const shape = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

const heading = (column) => (column.unit ? `${column.title} (${column.unit})` : column.title);
const figure = (board, row, name) => row.values[board.index[name]] ?? null;
const inUnit = (column, value) => (value === null ? null : value / column.scale);

function show(column, value) {
  if (value === null || value === undefined) return "-";
  return column.decimals === null ? String(value) : inUnit(column, value).toFixed(column.decimals);
}

// Narrow screens and paper show the rows of wide tables as cards, in which each cell needs the heading of its column.
function labelCells(place) {
  for (const table of place.querySelectorAll(".scroll > table")) {
    const labels = [...(table.tHead?.rows[0].cells ?? [])].map((head) => head.textContent.trim().replace(/\s+/g, " "));
    table.classList.add("labelled");
    table.classList.toggle("many", labels.length > 24);
    for (const body of table.tBodies) {
      for (const row of body.rows) {
        [...row.cells].forEach((cell, index) => {
          cell.dataset.label = labels[index];
          if (labels[index].length > 18) cell.classList.add("long");
        });
      }
    }
  }
}

// What is folded is printed, too, and plots have the width of the paper.
function preparePrinting(boards) {
  const PAPER = 690;
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open], .menu)")];
    for (const each of opened) each.open = true;
    for (const board of boards) drawPlot(board, PAPER);
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
    for (const board of boards) drawPlot(board);
  });
}
