// The view of each leaderboard (filters, columns, order, axes, open card) is in the URL after `#board=`, and starts there.
const data = JSON.parse(document.getElementById("data").textContent);
const boards = data.boards;
const isView = () => location.hash.startsWith("#board=");

const decode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

// Returns what differs from the view at first; the board is always named if it is asked for.
function viewText(board, always) {
  const parts = Object.entries(board.view)
    .filter(([name, value]) => String(value) !== String(board.defaults[name]))
    .map(([name, value]) => `${name}=${[value].flat().map(encodeURIComponent).join(",")}`);
  return parts.length || always ? [`board=${encodeURIComponent(board.id)}`, ...parts].join("&") : "";
}

const linkTo = (board) => `${location.href.split("#")[0]}#${viewText(board, true)}`;

function writeHash() {
  const hash = boards.map((board) => viewText(board)).filter(Boolean).join("&");
  if (location.hash === `#${hash}`) return; // to write it takes longer than to draw the plot
  if (hash) history.replaceState(null, "", `#${hash}`);
  else if (isView()) history.replaceState(null, "", location.href.split("#")[0]);
}

// Returns the first board that the URL names, if any.
function readHash() {
  let first, board;
  for (const each of boards) each.view = { ...each.defaults };
  for (const part of location.hash.slice(1).split("&")) {
    const [name, ...rest] = part.split("=");
    const values = rest.join("=").split(",").map(decode);
    if (name === "board") board = boards.find((each) => each.id === values[0]);
    else if (board && name in board.defaults) {
      board.view[name] = Array.isArray(board.defaults[name]) ? values.filter(Boolean) : values.join(",");
    }
    first ??= board;
  }
  for (const each of boards) repair(each);
  return first;
}

function isRange(text) {
  const ends = text.split("..");
  return ends.length === 2 && ends.every((end) => Number.isFinite(Number(end)));
}

// What a link of another report names may not be here.
function repair(board) {
  const { view, defaults } = board;
  const isColumn = (name) => name in board.index;
  view.cols = board.columns.map((column) => column.name).filter((name) => view.cols.includes(name));
  if (view.sort && !isColumn(view.sort.replace(/^-/, ""))) view.sort = "";
  for (const axis of ["x", "y"]) if (!board.numeric.some((column) => column.name === view[axis])) view[axis] = defaults[axis];
  for (const facet of FACETS) view[facet] = view[facet].filter((value) => board.rows.some((row) => row[facet] === value));
  for (const { name } of board.ranges) if (!isRange(view[name])) view[name] = "";
  if (!board.rows.some((row) => row.name === view.card)) view.card = "";
}

function prepare(board) {
  board.section = document.getElementById(board.id);
  board.table = board.section.querySelector("table.board");
  board.index = Object.fromEntries(board.columns.map((column, index) => [column.name, index]));
  board.column = (name) => board.columns[board.index[name]];
  board.rows.forEach((row, index) => (row.element = board.table.tBodies[0].rows[index]));
  board.numeric = board.columns.filter((column) => column.decimals !== null && column.name !== "rank");
  board.ranges = RANGES.filter((name) => name in board.index).map(board.column);
  const axis = (names) => names.find((name) => name in board.index) ?? board.numeric[0].name;
  board.defaults = {
    q: "",
    method: [],
    backbone: [],
    source: [],
    status: [...new Set(board.rows.map((row) => row.status))].filter((status) => status !== "not_run").sort(),
    ...Object.fromEntries(board.ranges.map((column) => [column.name, ""])),
    cols: board.shown.filter((name) => name !== "architecture"),
    sort: "",
    x: axis(["macs", "params", "latency_ms"]),
    y: axis(["miou_percent"]),
    xlog: "1",
    ylog: "0",
    card: "",
  };
  board.shown = String(board.defaults.cols);
  board.order = "";
  const change = () => {
    arrange(board);
    drawPlot(board);
    writeHash();
  };
  board.open = (row) => {
    for (const each of boards) each.view.card = each === board ? row.name : "";
    showCard();
    writeHash();
  };
  makeControls(board, change);
  makeAxes(board, change);
  makeExports(board);
  linkRows(board);
}

// The name of an architecture opens its card, and is a link to it. A click on a figure leads to its results, too: on
// those of the leaderboard and on the IoU by class.
function linkRows(board) {
  const rows = new Map(board.rows.map((row) => [row.element, row]));
  for (const each of board.section.querySelectorAll("table.heat tbody tr")) {
    const row = board.rows.find(({ name }) => name === each.cells[0].dataset.value);
    if (row) rows.set(each, row);
  }
  for (const [place, row] of rows) {
    place.addEventListener("click", (event) => {
      if (!event.target.closest("a") && getSelection().isCollapsed) board.open(row);
    });
    const head = place.querySelector("th"), link = head.querySelector("a") ?? element("a", {}, ...head.childNodes);
    link.href = `#board=${encodeURIComponent(board.id)}&card=${encodeURIComponent(row.name)}`;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      board.open(row);
    });
    head.append(link);
  }
}

function showCard() {
  const card = document.getElementById("card");
  const board = boards.find((each) => each.view.card);
  if (board) fillCard(board, board.rows.find((row) => row.name === board.view.card));
  if (board && !card.open) card.showModal();
  if (!board && card.open) card.close();
}

function showViews() {
  for (const board of boards) {
    fillControls(board);
    fillAxes(board);
    arrange(board);
    fitTable(board);
    drawPlot(board);
  }
  showCard();
}

const card = document.getElementById("card");
card.addEventListener("close", () => {
  for (const board of boards) board.view.card = "";
  if (isView()) writeHash();
});
card.addEventListener("click", (event) => {
  if (event.target === card) card.close(); // beside it
});
addEventListener("hashchange", () => {
  if (location.hash && !isView()) return;
  readHash();
  showViews();
});
addEventListener("resize", () => boards.forEach(fitTable));
document.documentElement.classList.add("scripted");
boards.forEach(prepare);
labelCells(document);
const first = readHash();
showViews();
if (first && first !== boards[0] && performance.getEntriesByType("navigation")[0]?.type === "navigate") first.section.scrollIntoView();
closeMenus();
preparePrinting(boards);
